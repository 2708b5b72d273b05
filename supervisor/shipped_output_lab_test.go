//go:build lab

package supervisor_test

import (
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// `brainjar logs` reads output wherever it went: of services and scopes, of one run,
// the newest lines, and as it is written.
func TestShippedLogs(t *testing.T) {
	state := t.TempDir()
	b := ship(t, state, shippedHead+`
[experiments.filed]
restart = { delay = "1s", max_restarts = 1 }
command = ["/bin/sh", "-c", "echo filed $BRAINJAR_RUN; exit 3"]
log = "file"
[experiments.journaled]
restart = { delay = "1s", max_restarts = 1 }
command = ["/bin/sh", "-c", "echo journaled $BRAINJAR_RUN; exit 3"]
[experiments.scope]
restart = { delay = "1s", max_restarts = 1 }
kind = "scope"
user = "nobody"
sandbox = "off"
command = ["/bin/sh", "-c", "echo scope $BRAINJAR_RUN; sleep 0.2; exit 3"]
[experiments.talks]
command = ["/bin/sh", "-c", "i=0; while :; do echo talk $i; i=$((i+1)); sleep 0.1; done"]
`)
	b.ready()
	logs := func(args ...string) string {
		out, err := run(shippedBinary(t), append([]string{"logs", "-o", "cat"}, args...)...)
		if err != nil {
			return err.Error()
		}
		return out
	}
	for _, id := range []string{"filed", "journaled", "scope"} {
		both := id + " 1\n" + id + " 2"
		b.await("both lines of "+id, 30*time.Second, func() bool { return logs("-n", "10", id) == both })
		for args, want := range map[string]string{"--run 1": id + " 1", "--run 2": id + " 2", "-n 1": id + " 2", "--since 1h": both} {
			if got := logs(append(strings.Fields(args), id)...); got != want {
				t.Errorf("logs %s %s: %q, want %q", args, id, got, want)
			}
		}
	}
	if all := logs("--all", "-n", "1000"); !strings.Contains(all, "filed 2") || !strings.Contains(all, "journaled 2") || !strings.Contains(all, "scope 2") {
		t.Errorf("all: %q", all)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	follow := exec.CommandContext(ctx, shippedBinary(t), "logs", "-o", "cat", "-f", "-n", "1", "talks", "filed")
	out, err := follow.StdoutPipe()
	must(t, err)
	must(t, follow.Start())
	seen, buffer := "", make([]byte, 4096)
	for strings.Count(seen, "talk ") < 20 || !strings.Contains(seen, "filed 2") {
		n, err := out.Read(buffer)
		if seen += string(buffer[:n]); err != nil {
			t.Fatalf("followed %q, %v", seen, err)
		}
	}
	cancel()
	_, _ = io.Copy(io.Discard, out)
	_ = follow.Wait() // it was killed
	b.await("the end of journalctl", 10*time.Second, func() bool {
		out, err := run("pgrep", "-x", "journalctl")
		return err != nil && out == ""
	})
	b.drain(20 * time.Second)
}
