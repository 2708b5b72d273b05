//go:build lab

package transienttest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if RunWorkload(os.Args[1:]) {
		return
	}
	os.Exit(m.Run())
}

// workload is a real process that runs the steps.
func workload(t *testing.T, steps ...string) *exec.Cmd {
	t.Helper()
	command := Command(os.Args[0], steps...)
	c := exec.CommandContext(t.Context(), command[0], command[1:]...)
	c.Stderr = os.Stderr
	return c
}

func TestWorkloadEnds(t *testing.T) {
	tests := map[string]struct {
		steps  []string
		code   int
		signal syscall.Signal
	}{
		"end of the steps":  {steps: []string{"print=hello"}},
		"exit code":         {steps: []string{"sleep=1ms", "exit=7"}, code: 7},
		"TERM":              {steps: []string{"kill=TERM"}, signal: syscall.SIGTERM, code: -1},
		"HUP":               {steps: []string{"kill=HUP"}, signal: syscall.SIGHUP, code: -1},
		"INT":               {steps: []string{"kill=INT"}, signal: syscall.SIGINT, code: -1},
		"PIPE":              {steps: []string{"kill=PIPE"}, signal: syscall.SIGPIPE, code: -1},
		"USR1":              {steps: []string{"kill=USR1"}, signal: syscall.SIGUSR1, code: -1},
		"ABRT":              {steps: []string{"kill=ABRT"}, signal: syscall.SIGABRT, code: -1},
		"SEGV":              {steps: []string{"kill=SEGV"}, signal: syscall.SIGSEGV, code: -1},
		"KILL":              {steps: []string{"kill=KILL"}, signal: syscall.SIGKILL, code: -1},
		"death when caught": {steps: []string{"on=USR1:exit=3", "kill=USR1"}, signal: syscall.SIGUSR1, code: -1},
		"ready unheard":     {steps: []string{"ready"}, code: workloadFailed},
		"child":             {steps: []string{"child-alloc=1M", "exit=4"}, code: 4},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := workload(t, test.steps...)
			c.Env = []string{}
			err := c.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			status := c.ProcessState.Sys().(syscall.WaitStatus)
			if code := c.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if status.Signaled() != (test.signal != 0) || status.Signaled() && status.Signal() != test.signal {
				t.Errorf("status %#x, want signal %v", status, test.signal)
			}
		})
	}
}

func TestWorkloadSignals(t *testing.T) {
	tests := map[string]struct {
		steps []string
		send  []syscall.Signal
		want  string // the exec.ExitError
	}{
		"default":    {send: []syscall.Signal{syscall.SIGUSR2}, want: "signal: user defined signal 2"},
		"ignored":    {steps: []string{"ignore=TERM", "print=set"}, send: []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP}, want: "signal: hangup"},
		"handler":    {steps: []string{"on=TERM:exit=9"}, send: []syscall.Signal{syscall.SIGTERM}, want: "exit status 9"},
		"two":        {steps: []string{"on=USR1:print=saved", "on=TERM:exit=9"}, send: []syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM}, want: "exit status 9"},
		"in a spin":  {steps: []string{"on=TERM:exit=9", "print=set", "spin=1m"}, send: []syscall.Signal{syscall.SIGTERM}, want: "exit status 9"},
		"then sleep": {steps: []string{"on=USR1:sleep=1ms,print=saved", "print=set", "sleep=1s", "exit=5"}, send: []syscall.Signal{syscall.SIGUSR1}, want: "exit status 5"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := workload(t, append(test.steps, "print=set", "sleep=1m")...)
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for i, sig := range test.send {
				if !lines.Scan() { // "set", then "saved"
					t.Fatalf("no line before signal %d", i)
				}
				if err := c.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Wait(); err == nil || err.Error() != test.want {
				t.Errorf("ended with %v, want %s", err, test.want)
			}
		})
	}
}

func TestWorkloadNotifies(t *testing.T) {
	directory := t.TempDir()
	socket := filepath.Join(directory, "notify")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file := filepath.Join(directory, "out")
	c := workload(t, "ready", "ping", "status=at 3", "write="+file+":a", "write="+file+":b", "fork", "beat=1ms")
	c.Env = []string{"NOTIFY_SOCKET=" + socket}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Wait() }()
	defer func() { _ = c.Process.Kill() }()
	if err := listener.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var child int
	for _, want := range []string{"READY=1", "WATCHDOG=1", "STATUS=at 3", "STATUS=child ", "STATUS=beat 1", "STATUS=beat 2"} {
		message := make([]byte, 100)
		n, err := listener.Read(message)
		got := string(message[:n])
		if err != nil || !strings.HasPrefix(got, want) {
			t.Fatalf("message %q, %v, want %q", got, err, want)
		}
		if want == "STATUS=child " {
			if _, err := fmt.Sscanf(got, "STATUS=child %d", &child); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
		t.Errorf("child %d: %v", child, err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "a\nb\n" {
		t.Errorf("written: %q, %v", text, err)
	}
}
