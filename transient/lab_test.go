//go:build lab

package transient_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// The tests of the build tag lab want a real systemd as the system's service
// manager and fail where there is none.

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// TestMain makes the test binary serve as the recorder, as the helper of
// scopes and as the program of the workloads.
func TestMain(m *testing.M) {
	if code, handled := transient.Hidden(os.Args[1:]); handled {
		os.Exit(code)
	}
	if transienttest.RunWorkload(os.Args[1:]) {
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "own-job" {
		os.Exit(reportOwnJob(os.Args[2]))
	}
	os.Exit(m.Run())
}

// bench is a Manager that runs, with all that it has said.
type bench struct {
	*testing.T
	*transient.Manager
	program string
	rand    *rand.Rand
	prefix  string // of the ids of experiments
	die     func() // ends the Manager; the units go on

	mu      sync.Mutex
	events  []transient.Event
	changed chan struct{} // closed when there are more
}

// seed is what is drawn at random; BRAINJAR_SEED sets it.
func seed(t *testing.T) uint64 {
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("BRAINJAR_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("BRAINJAR_SEED=%d", n)
	return n
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// launch runs a Manager until the test ends. prepare may change it before.
func launch(t *testing.T, o transient.Options, prepare func(*transient.Manager)) (m *transient.Manager, die func()) {
	t.Helper()
	if o.RecordDir == "" {
		o.RecordDir = t.TempDir()
	}
	if len(o.Recorder) == 0 {
		o.Recorder = []string{executable(t), "record"}
	}
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	m = transient.New(o)
	if prepare != nil {
		prepare(m)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- m.Run(ctx) }()
	die = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-stopped:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not return")
		}
	})
	t.Cleanup(die)
	return m, die
}

// newBench runs a Manager and collects its events. At the end of the test all
// units of the test must be gone.
func newBench(t *testing.T, o transient.Options) *bench {
	t.Helper()
	return benchOf(t, o, nil)
}

func benchOf(t *testing.T, o transient.Options, prepare func(*transient.Manager)) *bench {
	t.Helper()
	b := &bench{T: t, program: executable(t), changed: make(chan struct{})}
	n := seed(t)
	b.rand = rand.New(rand.NewPCG(n, 1))
	b.prefix = fmt.Sprintf("lab%08x", b.rand.Uint32())
	b.Manager, b.die = launch(t, o, prepare)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.collect(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	t.Cleanup(func() { // what a test that failed has left
		systemctl(t, "stop", "brainjar-"+b.prefix+"*")
		systemctl(t, "reset-failed", "brainjar-"+b.prefix+"*")
	})
	return b
}

func (b *bench) collect(ctx context.Context) {
	for {
		select {
		case e := <-b.Events():
			b.mu.Lock()
			b.events = append(b.events, e)
			close(b.changed)
			b.changed = make(chan struct{})
			b.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// all returns the events of a type so far that match.
func all[E transient.Event](b *bench, match func(E) bool) (found []E) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e, ok := e.(E); ok && match(e) {
			found = append(found, e)
		}
	}
	return found
}

// await waits until n events of a type match, and returns the last of them.
func await[E transient.Event](b *bench, what string, n int, match func(E) bool) E {
	b.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		if found := all(b, match); len(found) >= n {
			return found[n-1]
		}
		select {
		case <-changed:
		case <-limit.C:
			b.mu.Lock()
			defer b.mu.Unlock()
			b.Fatalf("no %s within %v; events: %+v", what, patience, b.events)
		}
	}
}

func anyOf[E transient.Event](E) bool { return true }

func (b *bench) synced(n int) { b.Helper(); await(b, "Synced", n, anyOf[transient.Synced]) }

func (b *bench) started(unit string) transient.Started {
	b.Helper()
	return await(b, "Started", 1, func(e transient.Started) bool { return e.Unit.Name == unit })
}

func (b *bench) ended(unit string) transient.Ended {
	b.Helper()
	return await(b, "Ended", 1, func(e transient.Ended) bool { return e.Unit.Name == unit })
}

// spec is a service that runs the steps of a workload as root.
func (b *bench) spec(name string, steps ...string) transient.Spec {
	return transient.Spec{
		Experiment: b.prefix + "-" + name, Run: 1 + b.rand.IntN(1000), Attempt: b.rand.IntN(3),
		Kind: transient.Service, Description: b.Name(), User: "root",
		Command: transienttest.Command(b.program, steps...), Ready: transient.ReadyExec,
		StopSignal: syscall.SIGTERM, StopTimeout: 5 * time.Second, Sandbox: transient.SandboxOff,
	}
}

// start starts a spec and returns the name of its unit.
func (b *bench) start(spec transient.Spec) string {
	b.Helper()
	if err := b.Start(b.Context(), spec); err != nil {
		b.Fatal(err)
	}
	return spec.Unit()
}

// forget forgets all ends so far, after which no unit and no record of the
// test may be left, and nothing may have ended twice.
func (b *bench) forget() {
	b.Helper()
	seen := make(map[string]bool)
	for _, e := range all(b, anyOf[transient.Ended]) {
		if seen[e.Unit.Invocation] {
			b.Errorf("%s ended twice: %s", e.Unit.Name, e.Unit.Invocation)
		}
		seen[e.Unit.Invocation] = true
		if err := b.Forget(b.Context(), e.Unit); err != nil {
			b.Error(err)
		}
	}
	if left := b.left(); left != "" {
		b.Errorf("units left over:\n%s", left)
	}
}

// left waits until the units of the test are gone, and returns those that stay.
func (b *bench) left() (list string) {
	deadline := time.Now().Add(patience)
	for {
		list = systemctl(b.T, "list-units", "--all", "--plain", "--no-legend", "brainjar-"+b.prefix+"*")
		if list == "" || time.Now().After(deadline) {
			return list
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// systemctl is what a person does.
func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// eventually waits until something has become true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
