//go:build lab

package supervisor_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shipped is the brainjar that people run: the binary, as a process of its own.
// What it says by sd_notify(3) comes to the test.
type shipped struct {
	testing.TB
	cmd   *exec.Cmd
	begun time.Time
	over  chan error

	mu      sync.Mutex
	log     strings.Builder
	told    []string  // by sd_notify
	readyAt time.Time // when READY=1 came
}

// shippedBinary is the binary under test.
func shippedBinary(t testing.TB) string {
	t.Helper()
	binary := os.Getenv("BRAINJAR_BINARY")
	if binary == "" {
		t.Fatal("BRAINJAR_BINARY is not set: run this by lab/suite")
	}
	return binary
}

// ship runs `brainjar run` with a configuration, a state directory and more flags.
// At the end of the test nothing of it is left running.
func ship(t testing.TB, state, text string, flags ...string) *shipped {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.toml")
	must(t, os.WriteFile(config, []byte(text), 0o600))
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	must(t, err)
	b := &shipped{TB: t, cmd: exec.Command(shippedBinary(t), append([]string{"run", "--state", state, config}, flags...)...), over: make(chan error, 1)}
	b.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"))
	b.cmd.Stderr = b
	go b.listen(socket)
	b.begun = time.Now()
	must(t, b.cmd.Start())
	go func() { b.over <- b.cmd.Wait() }()
	t.Cleanup(func() {
		b.kill()
		socket.Close()
		_, _ = run("systemctl", "kill", "-s", "KILL", "brainjar.slice")
		_, _ = run("systemctl", "stop", "brainjar.slice")
		_, _ = run("systemctl", "reset-failed", "brainjar-*")
		_ = os.RemoveAll("/run/brainjar/ended") // of what was killed
		if t.Failed() {
			log := b.logged()
			t.Logf("log:\n%s\nstatus: %s", log[max(0, len(log)-6000):], b.statusLine())
		}
	})
	return b
}

// Write takes a line of the log.
func (b *shipped) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

func (b *shipped) listen(socket *net.UnixConn) {
	buffer := make([]byte, 4096)
	for {
		n, err := socket.Read(buffer)
		if err != nil {
			return
		}
		b.mu.Lock()
		b.told = append(b.told, string(buffer[:n]))
		if b.told[len(b.told)-1] == "READY=1" {
			b.readyAt = time.Now()
		}
		b.mu.Unlock()
	}
}

func (b *shipped) logged() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

// statusLine is the latest STATUS.
func (b *shipped) statusLine() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.told) - 1; i >= 0; i-- {
		if line, ok := strings.CutPrefix(b.told[i], "STATUS="); ok {
			return line
		}
	}
	return ""
}

// await waits until something holds.
func (b *shipped) await(what string, limit time.Duration, holds func() bool) {
	b.Helper()
	limit = stretched(limit)
	for end := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// ready waits until brainjar serves, and returns how long after its start that
// was.
func (b *shipped) ready() (took time.Duration) {
	b.Helper()
	b.await("READY=1", 20*time.Second, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		took = b.readyAt.Sub(b.begun)
		return !b.readyAt.IsZero()
	})
	return took
}

// kill is kill -9.
func (b *shipped) kill() {
	_ = b.cmd.Process.Kill()
	b.waited(10 * time.Second)
}

// drain ends brainjar and all experiments, and returns how long that took.
func (b *shipped) drain(limit time.Duration) time.Duration {
	b.Helper()
	begin := time.Now()
	must(b, b.cmd.Process.Signal(syscall.SIGTERM))
	if err := b.waited(stretched(limit)); err != nil {
		b.Errorf("the end of brainjar: %v", err)
	}
	return time.Since(begin)
}

var errStays = errors.New("it does not end")

// waited waits until brainjar has ended; the second time it returns at once.
func (b *shipped) waited(limit time.Duration) error {
	select {
	case err := <-b.over:
		b.over <- err
		return err
	case <-time.After(limit):
		return errStays
	}
}

// pastRun is a run as `brainjar history -o json` tells it.
type pastRun struct {
	Experiment string     `json:"experiment"`
	Run        int        `json:"run"`
	Attempt    int        `json:"attempt"`
	Result     *string    `json:"result"`
	ExitCode   *int       `json:"exit_code"`
	StartedAt  *time.Time `json:"started_at"`
	EndedAt    *time.Time `json:"ended_at"`
}

// history is what the ledger says of the runs of an experiment, the oldest first.
func (b *shipped) history(state, experiment string) (runs []pastRun) {
	b.Helper()
	out, err := run(shippedBinary(b), "history", "--state", state, "-o", "json")
	must(b, err)
	must(b, json.Unmarshal([]byte(out), &runs))
	return slices.DeleteFunc(runs, func(r pastRun) bool { return r.Experiment != experiment })
}

// whole fails unless the ledger knows every run of an experiment: numbers without
// a gap, each with its result.
func (b *shipped) whole(state, experiment string) (runs []pastRun) {
	b.Helper()
	runs = b.history(state, experiment)
	for i, r := range runs {
		if r.Run != i+1 || r.Result == nil || r.EndedAt == nil {
			b.Errorf("%s: %d. of %d runs: %+v", experiment, i+1, len(runs), r)
			break
		}
	}
	return runs
}

// property is a property of an experiment's unit, as systemctl shows it.
func property(t testing.TB, experiment, name string) string {
	t.Helper()
	out, err := run("systemctl", "show", "--value", "-p", name, "brainjar-"+experiment+".service")
	must(t, err)
	return out
}

// run runs a program with a time limit.
func run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		err = errors.Join(errors.New(name+" "+strings.Join(args, " ")+": "+string(out)), err)
	}
	return strings.TrimSpace(string(out)), err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
