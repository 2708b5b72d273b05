package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"brainjar/internal/config"
	"brainjar/supervisor"
)

// memberKeys are the keys that a member of the group may submit. What runs then runs
// as that member, in a sandbox, with what an administrator could have forbidden.
var memberKeys = []string{
	"command", "config", "description", "environment", "working_directory", "tags", "after", "autostart",
	"memory_max", "memory_high", "memory_swap_max", "cpu_quota", "cpu_weight", "cpus", "io_weight", "tasks_max", "open_files",
	"gpu", "gpu_memory", "runtime_max", "runtime_warning", "restart", "stop_signal", "stop_timeout",
	"checkpoint_signal", "checkpoint_timeout", "ready", "ready_timeout", "watchdog", "max_temperature", "priority", "sandbox",
}

// mayNot is the answer to a member who asks for what only root may.
func mayNot(key, words string) *Error {
	return &Error{
		Message: fmt.Sprintf("%s: %s", key, words), Hint: "only root may ask for that",
		Code: CodeForbidden, Status: http.StatusForbidden,
	}
}

// memberSubmission is what a member of the group submits: in the member's own name,
// sandboxed, and without what [defaults] give to the experiments of files alone.
func (s *Server) memberSubmission(q *http.Request, peer Peer, sub supervisor.Submission) (supervisor.Submission, error) {
	for _, key := range slices.Sorted(maps.Keys(sub.Keys)) {
		table, _, _ := strings.Cut(key, ".")
		if !slices.Contains(memberKeys, table) && isKey(table) {
			return sub, mayNot(key, "is not for members of group "+GroupName)
		}
	}
	if p, ok := sub.Keys["priority"].(json.Number); ok && !strings.HasPrefix(p.String(), "-") && p.String() != "0" {
		return sub, mayNot("priority", "above 0 is not for members of group "+GroupName)
	}
	if sandbox, said := sub.Keys["sandbox"]; said && sandbox != string(config.SandboxDefault) && sandbox != string(config.SandboxStrict) {
		return sub, mayNot("sandbox", "must be default or strict")
	}
	if _, _, err := s.mine(q); errors.Is(err, supervisor.ErrNotYours) {
		return sub, err
	}
	sub.Keys = maps.Clone(sub.Keys)
	maps.Copy(sub.Keys, map[string]any{
		"user": peer.Name(), "group": peer.GroupName(), "kind": string(config.Service),
		"environment_files": []any{}, "devices": []any{}, "writable_paths": []any{},
	})
	sub.Confined = true
	return sub, nil
}

func isKey(name string) bool {
	return slices.ContainsFunc(config.ExperimentKeys(), func(k config.KeyInfo) bool {
		table, _, _ := strings.Cut(k.Name, ".")
		return table == name
	})
}

// memberStart refuses keys by which a member could make an experiment of somebody
// else do what it was not made for.
func (s *Server) memberStart(q *http.Request, peer Peer, keys map[string]any) error {
	if len(keys) == 0 {
		return nil
	}
	st, err := s.find(q)
	own := err == nil && st.Config.User == peer.Name()
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		switch {
		case key == "max_temperature", key == "environment" && own:
		case key == "environment":
			return mayNot(key, "can be given to experiments that run as you alone")
		case slices.Contains(supervisor.Settable, key): // within what is configured
		default:
			return mayNot(key, "is not for members of group "+GroupName)
		}
	}
	return nil
}
