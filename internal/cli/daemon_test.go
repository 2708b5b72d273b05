package cli

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"brainjar/internal/config"
	"brainjar/internal/control"
	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// testDaemon is a brainjar that can be asked: everything but systemd, the journal and the
// sensors is what `brainjar run` is made of.
type testDaemon struct {
	fatal  func(format string, args ...any)
	dir    string
	config string // path
	socket string
	fake   *transienttest.Fake
	logs   control.Logs
	feels  func(context.Context, []string) (control.Sensors, error)

	*supervisor.Supervisor
	cancel context.CancelFunc
	over   sync.WaitGroup
	log    strings.Builder // read after the end alone
}

// newDaemon runs a brainjar with a configuration in which workload stands for a
// command, see transienttest.Command.
func newDaemon(t testing.TB, text string) *testDaemon {
	t.Helper()
	d := prepareDaemon(t.TempDir(), text, t.Fatalf)
	t.Cleanup(d.end)
	d.begin()
	return d
}

func prepareDaemon(dir, text string, fatal func(string, ...any)) *testDaemon {
	d := &testDaemon{fatal: fatal, dir: dir, fake: transienttest.NewFake(), config: filepath.Join(dir, "brainjar.toml"), socket: filepath.Join(dir, "socket")}
	d.write(text)
	return d
}

// write writes the configuration.
func (d *testDaemon) write(text string) {
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		d.fatal("%v", err)
	}
}

// begin starts brainjar.
func (d *testDaemon) begin() {
	cfg, err := config.Load(d.config)
	if err != nil {
		d.fatal("cannot load:\n%v", err)
		return
	}
	leaving, leave := context.WithCancel(context.Background())
	d.cancel = leave
	log := slog.New(slog.NewTextHandler(&d.log, nil))
	path := filepath.Join(d.dir, ledgerName)
	book := ledger.Open(leaving, path, ledger.Options{Log: log})
	past, err := book.Restore(leaving)
	if err != nil {
		d.fatal("%v", err)
	}
	hub := control.NewHub(0)
	readings := make(chan sensors.Reading, 1)
	readings <- sensors.Reading{}
	d.Supervisor = supervisor.New(supervisor.Supervisor{
		Config: cfg, Units: d.fake, House: d.fake, Groups: d.fake, Freezer: d.fake, Events: d.fake.Events(), Readings: readings,
		MemTotal: 64 * quantity.GiB, Log: log, Ledger: book, Past: past, Observe: hub.Change, Noted: hub.Note,
	})
	listener, err := control.Listen(d.socket, false)
	if err != nil {
		d.fatal("%v", err)
		return
	}
	server := &control.Server{Supervisor: d.Supervisor, Hub: hub, Listener: listener, Logs: d.logs, Sensors: d.feels, History: control.Ledger{Path: path}, Version: "test", Log: log}
	// As in the service, all else goes on until the supervisor has ended.
	ctx, cancel := context.WithCancel(context.Background())
	d.over.Go(func() { book.Run(ctx) })
	d.over.Go(func() { _ = d.fake.Run(ctx) })
	d.over.Go(func() { _ = server.Run(ctx); listener.Close() })
	d.over.Go(func() { _ = d.Run(leaving); cancel() })
	d.awaitReady(ctx)
}

// awaitReady waits until orders are taken.
func (d *testDaemon) awaitReady(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		r, err := d.Summary(ctx)
		switch {
		case err != nil:
			d.fatal("brainjar is not ready: %v", err)
			return
		case r.Ready:
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// end ends brainjar; its experiments run on.
func (d *testDaemon) end() {
	d.cancel()
	d.over.Wait()
}

// run runs a command to its end.
func (d *testDaemon) run(args ...string) result {
	return within(d.fatal, time.Minute, d.start(args...))
}

// start runs a command, to be waited for.
func (d *testDaemon) start(args ...string) *command {
	c := &command{done: make(chan int, 1)}
	go func() { c.done <- Main(append([]string{"--socket", d.socket}, args...), &c.stdout, &c.stderr) }()
	return c
}

// command is a command that runs.
type command struct {
	stdout, stderr shown
	done           chan int
}

// shown is what a command has written so far.
type shown struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *shown) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *shown) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// awaitWords waits until a command has written something.
func (c *command) awaitWords(t testing.TB, words string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(c.stdout.String()+c.stderr.String(), words); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q is not in\n%s%s", words, c.stdout.String(), c.stderr.String())
		}
	}
}

// result is what a command has written and returned.
type result struct {
	code        int
	out, errors string
}

// is fails unless a command returned a code and wrote something.
func (r result) is(t testing.TB, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit %d, want %d\n%s%s", r.code, code, r.out, r.errors)
	}
	for _, word := range words {
		if !strings.Contains(r.out+r.errors, word) {
			t.Errorf("%q is not in\n%s%s", word, r.out, r.errors)
		}
	}
}

// within waits for a command that should end.
func within(fatal func(string, ...any), limit time.Duration, c *command) result {
	select {
	case code := <-c.done:
		return result{code, c.stdout.String(), c.stderr.String()}
	case <-time.After(limit):
		fatal("has not ended within %v:\n%s%s", limit, c.stdout.String(), c.stderr.String())
		return result{}
	}
}

// awaitClients waits until so many connections are open: a command that follows has
// two, one of which it asks on, if it asks.
func (d *testDaemon) awaitClients(t testing.TB, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		sockets, err := os.ReadFile("/proc/net/unix")
		if err != nil {
			t.Fatal(err)
		}
		// Those that were accepted have the name with which the listening one was born.
		got := strings.Count(string(sockets), " "+d.dir+"/.control") - 1
		if got == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d connections, want %d", got, n)
		}
	}
}

// awaitPhase waits until an experiment is in a phase.
func (d *testDaemon) awaitPhase(t testing.TB, id string, want supervisor.Phase) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		r, err := d.Report(t.Context(), id)
		if err == nil && len(r.Experiments) == 1 && r.Experiments[0].Phase == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is not %s: %+v %v", id, want, r.Experiments, err)
		}
	}
}

// hasten makes watching look more often, for a test.
func hasten(t *testing.T, reconnect time.Duration) {
	old := []time.Duration{reconnectLimit, reconnectPause, watchPause, answerLimit}
	reconnectLimit, reconnectPause, watchPause, answerLimit = reconnect, 20*time.Millisecond, time.Millisecond, 10*time.Second
	t.Cleanup(func() { reconnectLimit, reconnectPause, watchPause, answerLimit = old[0], old[1], old[2], old[3] })
}
