package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"brainjar/internal/control"
)

// What cannot be asked is said with what to do.
func TestUnreachable(t *testing.T) {
	hasten(t, time.Second)
	answerLimit = 100 * time.Millisecond
	dir := t.TempDir()
	d := &testDaemon{fatal: t.Fatalf, socket: filepath.Join(dir, "none")}
	d.run("status").is(t, ExitUnreachable, "error: brainjar does not answer on "+d.socket+": no such file or directory\n", "hint: is it running?")
	d.run("exec", "--memory-max", "16M", "--", "true").is(t, exitExecFailed, " on "+d.socket+": no such file or directory\n", "hint: is it running?")
	silent, err := net.Listen("unix", filepath.Join(dir, "silent"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	d.socket = filepath.Join(dir, "silent")
	d.run("status").is(t, ExitUnreachable, "it has not answered in time", "hint: `journalctl -u brainjar`")
	d.run("events", "-n", "1").is(t, ExitUnreachable, "it has not answered in time")
	d.run("stop", "a").is(t, ExitUnreachable)
	t.Setenv("XDG_RUNTIME_DIR", "")
	var out strings.Builder
	if code := Main([]string{"status", "--user"}, &out, &out); code != ExitUnreachable || !strings.Contains(out.String(), "XDG_RUNTIME_DIR is not set") {
		t.Errorf("exit %d: %s", code, out.String())
	}
	t.Setenv(socketVariable, d.socket)
	if path, err := (&remote{}).path(); err != nil || path != d.socket {
		t.Errorf("socket %s, %v", path, err)
	}
	if hint := hintOf(fmt.Errorf("%w: %w", control.ErrUnreachable, syscall.EACCES)); !strings.Contains(hint, "group brainjar") {
		t.Errorf("hint %q", hint)
	}
}

func TestExitCodes(t *testing.T) {
	refusal := func(code string) error { return fmt.Errorf("a: %w", &control.Error{Message: "no", Code: code}) }
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), ExitFailed},
		{refusal(control.CodeUnknown), ExitUnknown},
		{refusal(control.CodeBadRequest), ExitUsage},
		{refusal(control.CodeConfig), ExitConfig},
		{refusal(control.CodeNotAdmitted), ExitNotAdmitted},
		{refusal(control.CodeForbidden), ExitFailed},
		{refusal(control.CodeNotReady), ExitUnreachable},
		{fmt.Errorf("%w: x", control.ErrUnreachable), ExitUnreachable},
		{failures{refusal(control.CodeUnknown), refusal(control.CodeNotAdmitted)}, ExitUnknown},
		{failures{&failure{errors.New("x"), ExitAwaited, ""}, refusal(control.CodeForbidden)}, ExitFailed},
		{fmt.Errorf("%w: %w", errWriting, syscall.EPIPE), exitBrokenPipe},
	} {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%v: %d, want %d", test.err, got, test.want)
		}
	}
}

// A reader that goes away, as head does, is told nothing.
func TestBrokenPipe(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking)
	for _, args := range [][]string{{"status"}, {"status", "-o", "json"}, {"stop", "a", "-o", "json"}, {"version"}, {"man"}, {"events", "-f", "-n", "0"}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		d.awaitClients(t, 0)
		var stderr shown
		done := make(chan int, 1)
		go func() { done <- Main(append([]string{"--socket", d.socket}, args...), w, &stderr) }()
		if args[0] == "events" {
			d.awaitClients(t, 1)
			d.run("hold", "a").is(t, 0)
		}
		select {
		case code := <-done:
			if code != exitBrokenPipe || stderr.String() != "" {
				t.Errorf("%v: exit %d, %q", args, code, stderr.String())
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%v goes on", args)
		}
		w.Close()
	}
}
