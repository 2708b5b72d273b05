package transient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// The journal's names for two of systemd's messages, sd-messages.h.
const (
	messageSpawnFailed = "641257651c1b4ec9a8624d7a40a9e1e7" // the child could not execute the program
	messageProcessExit = "98e322203f7a4ed290d09fe03c09fe15" // systemd saw the child exit
)

// How long the journal may take: nobody but the one experiment waits for it,
// and on a busy board it can be seconds behind.
const (
	journalLimit = 15 * time.Second
	journalPause = 100 * time.Millisecond
)

// spawnFailure asks the journal whether systemd could not execute the program
// of an invocation, and returns what it said of that; "" if it was executed.
//
// The child writes its failure before it exits, systemd that it exited after
// that, both to the same socket: where the second message is in the journal
// and the first is not, there was no failure.
func spawnFailure(ctx context.Context, invocation string, user bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, journalLimit)
	defer cancel()
	field := "INVOCATION_ID="
	if user {
		field = "USER_INVOCATION_ID="
	}
	for {
		text, complete, err := readJournal(ctx, field+invocation)
		if text != "" || complete || err != nil {
			return text, err
		}
		select {
		case <-time.After(journalPause):
		case <-ctx.Done():
			return "", errors.New("it says nothing about this run")
		}
	}
}

func readJournal(ctx context.Context, match string) (text string, complete bool, err error) {
	cmd := exec.CommandContext(ctx, "journalctl", "--quiet", "--no-pager", "--output=json",
		"--output-fields=MESSAGE,MESSAGE_ID", "--lines=50", match)
	cmd.WaitDelay = 100 * time.Millisecond
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil && ctx.Err() == nil && stderr.Len() > 0 {
		return "", false, fmt.Errorf("journalctl: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	} else if errors.Is(err, exec.ErrNotFound) {
		return "", false, err
	}
	text, complete = parseJournal(out.Bytes())
	return text, complete, nil
}

// parseJournal looks for both messages in the output of journalctl -o json:
// one object a line.
func parseJournal(out []byte) (text string, complete bool) {
	for line := range bytes.Lines(out) {
		var entry struct {
			ID      string `json:"MESSAGE_ID"`
			Message any    `json:"MESSAGE"` // a string, or bytes as an array if it is not UTF-8
		}
		if json.Unmarshal(line, &entry) != nil {
			continue
		}
		switch entry.ID {
		case messageSpawnFailed:
			message, ok := entry.Message.(string)
			if !ok {
				message = "systemd could not execute the program"
			}
			if _, after, ok := strings.Cut(message, ": "); ok && strings.HasPrefix(message, Prefix) {
				message = after
			}
			text = message
		case messageProcessExit:
			return text, true // what follows is about the recorder
		}
	}
	return text, false
}
