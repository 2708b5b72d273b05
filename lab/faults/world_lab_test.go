//go:build lab

// Package faults is a random walk of faults: brainjar is killed, systemd and the
// bus are restarted, the disk fills up, the ledger is overwritten, sensors fail, while
// experiments of all kinds run and write down for themselves when they began and
// how they ended. At the end the ledger must say the same.
package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// world is what the walk goes through.
type world struct {
	*testing.T
	random  *rand.Rand
	dir     string
	binary  string // the shipped one
	state   string // a small file system of its own
	config  string
	diary   string // what the experiments themselves write down
	sysroot string // what the sensors read

	brainjar *exec.Cmd
	log      *os.File
	over     chan error
	logStart int64             // where the log of the present brainjar begins
	steady   map[string]string // MainPID of the units that nothing may touch
	touched  map[string]bool   // experiments that a person has restarted
	seen     map[string]row    // rows that the ledger had before it was overwritten
	kills    map[string]int    // by place
	faults   map[string]int
}

// workload writes down that it begins and how it ends. Arguments: seconds, and
// the exit code or "random".
const workload = `#!/bin/sh
say() { printf '%s %s %s %s %s\n' "$1" "$BRAINJAR_EXPERIMENT" "$BRAINJAR_RUN" "$INVOCATION_ID" "$2" >>"$DIARY"; }
say start "$BRAINJAR_ATTEMPT"
sleep "$1"
code=$2
if [ "$code" = random ]; then
	code=$(od -An -N1 -tu1 /dev/urandom)
	code=$((code % 8))
	[ "$code" -lt 5 ] || code=0
fi
say end "$code"
exit "$code"
`

const settings = `
[supervisor]
max_concurrent = 40
memory_budget = "4G"
stop_timeout = "5s"
[memory]
reserve = "0M"
[thermal]
throttle = 75.0
resume = 70.0
critical = 95.0
interval = "300ms"
[defaults]
memory_max = "48M"
user = "nobody"
environment = { DIARY = "%[1]s" }
writable_paths = ["%[2]s"]
[defaults.restart]
policy = "always"
delay = "200ms"
max_delay = "200ms"
factor = 1.0
max_restarts = 1000
`

const (
	loops   = 12
	steady  = 4
	crashes = 2
)

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{
		T: t, random: rand.New(rand.NewPCG(seed, 1)), binary: os.Getenv("BRAINJAR_BINARY"),
		steady: map[string]string{}, touched: map[string]bool{}, seen: map[string]row{},
		kills: map[string]int{}, faults: map[string]int{},
	}
	if w.binary == "" {
		t.Fatal("BRAINJAR_BINARY is not set: run this by lab/suite")
	}
	dir, err := os.MkdirTemp("/var/tmp", "brainjar-faults-") // not /tmp: experiments have one of their own
	w.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w.must(os.Chmod(dir, 0o711)) //nolint:gosec // the user nobody has to pass
	notes := filepath.Join(dir, "notes")
	w.must(os.Mkdir(notes, 0o700))
	w.must(os.Chown(notes, 65534, 65534))
	w.dir, w.diary, w.state, w.config = dir, filepath.Join(notes, "diary"), filepath.Join(dir, "state"), filepath.Join(dir, "config.toml")
	w.sysroot = filepath.Join(dir, "sysroot")
	w.buildSensors()
	w.must(os.Mkdir(w.state, 0o700))
	w.must(syscall.Mount("faults", w.state, "tmpfs", 0, "size=64m,mode=700"))
	t.Cleanup(func() { _ = syscall.Unmount(w.state, syscall.MNT_DETACH) })
	script := filepath.Join(dir, "workload")
	w.must(os.WriteFile(script, []byte(workload), 0o755)) //nolint:gosec // a program
	text := fmt.Sprintf(settings, w.diary, notes)
	add := func(id, keys string, args ...any) {
		text += fmt.Sprintf("[experiments.%s]\ncommand = [%q, %q, %q]\n%s\n", id, script, fmt.Sprint(args[0]), fmt.Sprint(args[1]), keys)
	}
	for i := range loops {
		add(fmt.Sprintf("loop%d", i), "", float64(w.random.IntN(20))/10, "random")
	}
	for i := range steady {
		add(fmt.Sprintf("steady%d", i), "", 3600, 0)
	}
	for i := range crashes {
		add(fmt.Sprintf("crash%d", i), "restart = { policy = \"on-failure\", max_restarts = 3, delay = \"3s\", max_delay = \"3s\" }", 1, 6)
	}
	text += fmt.Sprintf("[experiments.once]\ncommand = [%q, \"2\", \"0\"]\nrestart.policy = \"on-failure\"\n", script)
	w.must(os.WriteFile(w.config, []byte(text), 0o600))
	w.log, err = os.Create(filepath.Join(dir, "log"))
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// begin starts a brainjar: the shipped one, or one that will kill itself.
func (w *world) begin(die string) {
	w.Helper()
	w.brainjar = exec.Command(w.binary, "run", "--state", w.state, "--sysroot", w.sysroot, w.config)
	if die != "" {
		self, err := os.Executable()
		w.must(err)
		w.brainjar = exec.Command(self, w.state, w.sysroot, w.config)
		w.brainjar.Env = append(os.Environ(), dieVariable+"="+die)
	}
	w.brainjar.Stderr = w.log
	info, err := w.log.Stat()
	w.must(err)
	w.logStart = info.Size()
	w.must(w.brainjar.Start())
	over := make(chan error, 1)
	w.over = over
	cmd := w.brainjar
	go func() { over <- cmd.Wait() }()
}

// death waits until brainjar has died by SIGKILL, as it was to.
func (w *world) death(limit time.Duration) bool {
	w.Helper()
	select {
	case err := <-w.over:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			w.Fatalf("brainjar ended by itself: %v\n%s", err, w.tail())
		}
		return true
	case <-time.After(limit):
		return false
	}
}

// lives fails if brainjar has ended.
func (w *world) lives() {
	w.Helper()
	select {
	case err := <-w.over:
		w.Fatalf("brainjar ended by itself: %v\n%s", err, w.tail())
	default:
	}
}

// tail is the end of brainjar's log.
func (w *world) tail() string {
	b, err := os.ReadFile(w.log.Name())
	w.must(err)
	return string(b[max(0, len(b)-6000):])
}

// logged counts the lines of the present brainjar's log with these words.
func (w *world) logged(words string) int {
	b, err := os.ReadFile(w.log.Name())
	w.must(err)
	return bytes.Count(b[w.logStart:], []byte(words))
}

// command runs a program of systemd with a time limit.
func (w *world) command(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// await waits until something holds.
func (w *world) await(what string, limit time.Duration, holds func() bool) {
	w.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("not within %v: %s\n%s", limit, what, w.tail())
		}
	}
}

// pids are the main processes of the units that nothing may touch.
func (w *world) pids() map[string]string {
	pids := map[string]string{}
	for i := range steady {
		unit := fmt.Sprintf("brainjar-steady%d.service", i)
		out, err := w.command("systemctl", "show", "--value", "-p", "MainPID", unit)
		w.must(err)
		pids[unit] = strings.TrimSpace(out)
	}
	return pids
}
