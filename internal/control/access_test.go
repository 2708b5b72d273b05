package control_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/control"
	"brainjar/supervisor"
)

// Users of tests, who need no name.
const (
	ada     = 64001
	brendan = 64002
)

// as returns a caller that connects as another user, with a group of its own and
// others besides. Only root can do that.
func (h *house) as(uid int, groups ...int) caller {
	return caller{h, http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return dialAs(h.socket, uid, groups)
	}}}}
}

// dialAs connects to a socket from a thread that becomes another user: the kernel
// tells a socket's other end of the thread that has connected. The thread is not used
// for anything else.
func dialAs(socket string, uid int, groups []int) (net.Conn, error) {
	type dialled struct {
		fd  int
		err error
	}
	done := make(chan dialled)
	go func() {
		runtime.LockOSThread() // and never unlocks it: it ends with the goroutine
		fd, err := connectAs(socket, uid, groups)
		done <- dialled{fd, err}
	}()
	d := <-done
	if d.err != nil {
		return nil, d.err
	}
	f := os.NewFile(uintptr(d.fd), socket)
	defer f.Close()
	return net.FileConn(f)
}

func connectAs(socket string, uid int, groups []int) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := becomeOnThisThread(uid, groups); err != nil {
		return -1, fmt.Errorf("cannot become user %d: %w", uid, err)
	}
	return fd, unix.Connect(fd, &unix.SockaddrUnix{Name: socket})
}

// needsRoot fails where nobody can be somebody else.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: what other users may do on the control socket: only root can become them")
	}
}

// needsGroups skips a test where nobody can tell of what groups a peer is: qemu-user
// passes SO_PEERGROUPS on with room for one of them.
func needsGroups(t *testing.T) {
	t.Helper()
	needsRoot(t)
	if emulator := os.Getenv("BRAINJAR_EMULATOR"); emulator != "" {
		t.Skip("NOT TESTED: what members of groups may do: " + emulator + " does not tell of a peer's groups")
	}
}

// TestStrangers: who is neither root nor in the group cannot connect, and if the mode
// of the socket let them, they could do nothing.
func TestStrangers(t *testing.T) {
	needsGroups(t)
	h := open(t, lab)
	for _, stranger := range []caller{h.as(ada), h.as(ada, ada, 64003), h.as(65534, 65534)} {
		if a, err := stranger.try("GET", "/v1/version", ""); err == nil {
			t.Errorf("a stranger was answered: %d %s", a.status, a.body)
		}
	}
	info, err := os.Stat(h.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(h.socket, 0o666); err != nil { // what must not be is what is tested
		t.Fatal(err)
	}
	stranger := h.as(ada, ada, 64003)
	for _, r := range allRoutes(h) {
		body := ""
		if r.method != http.MethodGet {
			body = "{}"
		}
		words := stranger.refused(r.method, r.path, body, http.StatusForbidden, control.CodeForbidden)
		if !strings.Contains(words, "user 64001 may not use brainjar") || !strings.Contains(words, "group brainjar") {
			t.Errorf("%s %s: %s", r.method, r.path, words)
		}
	}
	stranger.refused("GET", "/v1/nothing", "", http.StatusNotFound, control.CodeNoRoute)
}

type request struct{ method, path string }

// allRoutes are all routes of the description, about experiment runs.
func allRoutes(h *house) (all []request) {
	paths, _ := h.description()["paths"].(map[string]any)
	for path, operations := range paths {
		for method := range operations.(map[string]any) {
			all = append(all, request{strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "runs")})
		}
	}
	return all
}

// TestMembers: a member of the group, by whichever of their groups, sees everything
// and acts on what is configured.
func TestMembers(t *testing.T) {
	needsGroups(t)
	h := open(t, lab)
	openToGroup(h)
	h.awaitPhase("runs", supervisor.Running)
	for _, member := range []caller{h.as(ada, group), h.as(ada, ada, group), h.as(ada, append(many(200), group)...)} {
		for _, path := range []string{"/v1/status", "/v1/experiments/runs/why", "/v1/history", "/v1/plan", "/v1/sensors", "/v1/events?lines=5"} {
			if a := member.call("GET", path, ""); a.status != http.StatusOK {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
	}
	member := h.as(ada, ada, group)
	if e := member.obeyed("POST", "/v1/experiments/idle/hold", ""); !strings.HasPrefix(e.Reason, "held by 64001") {
		t.Errorf("held: %q", e.Reason)
	}
	member.obeyed("POST", "/v1/experiments/idle/release", "")
	member.obeyed("POST", "/v1/experiments/idle/stop", "")
	h.awaitPhase("idle", supervisor.Stopped)
	member.obeyed("POST", "/v1/experiments/idle/start", `{"keys": {"memory_max": "512M"}}`)
	h.awaitPhase("idle", supervisor.Running)
	member.obeyed("PATCH", "/v1/experiments/idle", `{"keys": {"memory_max": "1G"}}`)
	member.obeyed("POST", "/v1/experiments/idle/kill", `{}`)

	forbidden := func(method, path, body, words string) {
		t.Helper()
		if got := member.refused(method, path, body, http.StatusForbidden, control.CodeForbidden); !strings.Contains(got, words) {
			t.Errorf("%s %s: %q is not in %q", path, body, words, got)
		}
	}
	forbidden("POST", "/v1/reload", "", "only root may reload")
	forbidden("POST", "/v1/experiments/new/adopt", `{"pid": 1}`, "only root may adopt")
	forbidden("PATCH", "/v1/experiments/runs", `{"keys": {"memory_max": "2G"}}`, "memory_max")
	forbidden("PATCH", "/v1/experiments/runs", `{"keys": {"cpu_quota": "60%"}}`, "cpu_quota")
	forbidden("PATCH", "/v1/experiments/runs", `{"keys": {"tasks_max": 100000}}`, "tasks_max")
	forbidden("PATCH", "/v1/experiments/runs", `{"keys": {"priority": 1}}`, "priority")
	forbidden("POST", "/v1/experiments/runs/start", `{"keys": {"environment": {"LD_PRELOAD": "/tmp/mine.so"}}}`, "environment")
	forbidden("POST", "/v1/experiments/runs/start", `{"keys": {"power_mode": "0"}}`, "power_mode")
	forbidden("POST", "/v1/experiments/waits/start", `{"keys": {"memory_max": "2G"}}`, "memory_max")
}

// openToGroup gives the socket the mode and group that it has where there is a group
// brainjar.
func openToGroup(h *house) {
	if err := os.Chown(h.socket, 0, group); err != nil {
		h.Fatal(err)
	}
	if err := os.Chmod(h.socket, 0o660); err != nil {
		h.Fatal(err)
	}
}

// many are more groups than are asked for at first.
func many(n int) (groups []int) {
	for i := range n {
		groups = append(groups, 70000+i)
	}
	return groups
}

// TestMemberSubmits: what a member submits runs as that member and sandboxed, is
// refused what only root may have, and is nobody else's.
func TestMemberSubmits(t *testing.T) {
	needsGroups(t)
	h := open(t, strings.Replace(lab, "[defaults]\n", "[defaults]\nuser = \"root\"\nsandbox = \"off\"\ndevices = [\"/dev/null rw\"]\nwritable_paths = [\"/var\"]\n", 1))
	openToGroup(h)
	member, other := h.as(ada, ada, group), h.as(brendan, group)
	const command = `"command": ["true", "workload", "sleep=1h"]`
	e := member.obeyed("PUT", "/v1/experiments/mine", `{"keys": {`+command+`, "working_directory": "/tmp", "environment": {"A": "1"},
		"priority": -1, "restart": {"policy": "no"}, "tags": ["a"], "gpu": true, "memory_max": "100M", "stop_timeout": "5s", "sandbox": "strict"}}`)
	if !e.Submitted || e.Owner != "64001" || e.Priority != -1 {
		t.Errorf("%+v", e)
	}
	h.awaitPhase("mine", supervisor.Running)
	r, err := h.Report(t.Context(), "mine")
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Experiments[0].Config; c.User != "64001" || c.Group != "64001" || c.Sandbox != "strict" || len(c.Devices)+len(c.WritablePaths) > 0 || c.Kind != "service" {
		t.Errorf("runs as %s:%s, sandbox %s, with %v and %v, a %s", c.User, c.Group, c.Sandbox, c.Devices, c.WritablePaths, c.Kind)
	}
	member.obeyed("PUT", "/v1/experiments/plain", `{"keys": {`+command+`}}`)
	if r, err = h.Report(t.Context(), "plain"); err != nil || r.Experiments[0].Config.Sandbox != "default" || r.Experiments[0].Config.User != "64001" {
		t.Errorf("%+v, %v", r.Experiments, err)
	}

	for keys, key := range map[string]string{
		`"user": "root"`: "user", `"group": "root"`: "group", `"sandbox": "off"`: "sandbox", `"sandbox": 7`: "sandbox", `"kind": "scope"`: "kind",
		`"devices": ["/dev/mem"]`: "devices", `"writable_paths": ["/etc"]`: "writable_paths", `"power_mode": "0"`: "power_mode",
		`"environment_files": ["/etc/shadow"]`: "environment_files", `"priority": 1`: "priority", `"priority": 1e3`: "priority",
		`"probe": {"command": ["id"]}`: "probe", `"allow_unenforced": true`: "allow_unenforced",
	} {
		words := member.refused("PUT", "/v1/experiments/evil", `{"keys": {`+command+`, `+keys+`}}`, http.StatusForbidden, control.CodeForbidden)
		if !strings.Contains(words, key+": ") || !strings.Contains(words, "only root") {
			t.Errorf("%s: %s", keys, words)
		}
	}
	h.refused("GET", "/v1/experiments/evil", "", http.StatusNotFound, control.CodeUnknown)
	member.refused("PUT", "/v1/experiments/evil", `{"keys": {`+command+`, "priority": "1"}}`, http.StatusUnprocessableEntity, control.CodeConfig)

	for _, order := range []string{"start", "stop", "restart", "hold", "release", "freeze", "thaw", "kill", "enable", "disable", "auto", "forget"} {
		if words := other.refused("POST", "/v1/experiments/mine/"+order, "", http.StatusForbidden, control.CodeForbidden); !strings.Contains(words, "64001") {
			t.Errorf("%s: %s", order, words)
		}
	}
	other.refused("PATCH", "/v1/experiments/mine", `{"keys": {"memory_max": "50M"}}`, http.StatusForbidden, control.CodeForbidden)
	other.refused("PUT", "/v1/experiments/mine", `{"keys": {`+command+`}}`, http.StatusForbidden, control.CodeForbidden)
	member.obeyed("POST", "/v1/experiments/mine/stop", "")
	h.awaitPhase("mine", supervisor.Stopped)
	other.refused("PUT", "/v1/experiments/mine", `{"keys": {`+command+`}}`, http.StatusForbidden, control.CodeForbidden)
	member.obeyed("PUT", "/v1/experiments/mine", `{"keys": {`+command+`}}`)
	h.obeyed("POST", "/v1/experiments/mine/stop", "") // root may
	h.awaitPhase("mine", supervisor.Stopped)
	member.obeyed("POST", "/v1/experiments/mine/forget", "")
}

// TestListen: the socket is nobody else's from its first moment on, takes the place of
// one that was left, and goes when it is closed.
func TestListen(t *testing.T) {
	h := open(t, lab)
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".control") {
			t.Errorf("%s was left", e.Name())
		}
	}
	h.end()
	if _, err := os.Lstat(h.socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	if err := os.WriteFile(h.socket, []byte("left"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.begin()
	if a := h.call("GET", "/v1/version", ""); a.status != http.StatusOK {
		t.Errorf("%d", a.status)
	}
	if err := os.Remove(h.socket); err != nil {
		t.Fatal(err)
	}
	h.await("the socket that was removed is there again", func() bool { _, err := os.Lstat(h.socket); return err == nil })
	if a := h.call("GET", "/v1/version", ""); a.status != http.StatusOK {
		t.Errorf("%d", a.status)
	}
	if renewed, err := h.listener.Renew(); renewed || err != nil {
		t.Errorf("renewed a socket that is there: %v %v", renewed, err)
	}
	if _, err := control.Listen("/nonexistent/control.sock", false); err == nil {
		t.Error("listens where there is no directory")
	}
}
