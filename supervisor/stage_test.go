package supervisor_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"brainjar/internal/config"
	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient"
)

// systemd is what a scenario plays on: the fake, or the real one.
type systemd interface {
	supervisor.Units
	supervisor.House
	supervisor.Groups
	supervisor.Freezer
	supervisor.Prober
	Events() <-chan transient.Event
	Run(ctx context.Context) error
}

// stage is where a scenario is played. Every scenario runs on the fake, in
// simulated time, and on real systemd in the lab.
type stage struct {
	testing.TB
	open    func() systemd // a new connection to the same systemd
	program string         // that runs workloads
	dir     string
	real    bool
	book    *book           // what outlives a brainjar; nil: nothing
	logs    supervisor.Logs // nil: none
	heat    *heatFile       // what a brainjar leaves to the next of its heat; nil: nothing
	clocks  supervisor.Clocks
	first   sensors.Reading // what the sensors say at first; none: a machine without zones
	board   supervisor.Board
}

// house is a brainjar that runs on a stage.
type house struct {
	stage
	*supervisor.Supervisor
	systemd
	readings chan sensors.Reading

	mu      sync.Mutex
	changes []supervisor.Change
	log     bytes.Buffer
	told    []string // by sd_notify

	cancel context.CancelFunc
	over   chan struct{} // Run has returned
	err    error
}

// parse reads a configuration in which PROGRAM stands for the workload
// program, so that a command is written ["PROGRAM", "workload", "exit=3"].
func (st stage) parse(text string) *config.Config {
	st.Helper()
	path := filepath.Join(st.dir, fmt.Sprintf("config-%d.toml", time.Now().UnixNano()))
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "PROGRAM", st.program)), 0o600); err != nil {
		st.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		st.Fatalf("cannot load:\n%v", err)
	}
	return cfg
}

// begin runs a brainjar with that configuration.
func (st stage) begin(text string) *house {
	st.Helper()
	h := &house{stage: st, systemd: st.open(), readings: make(chan sensors.Reading, 1), over: make(chan struct{})}
	h.readings <- st.first
	settings := supervisor.Supervisor{
		Config: st.parse(text), Units: h.systemd, House: h.systemd, Groups: h.systemd, Freezer: h.systemd, Prober: h.systemd, Events: h.systemd.Events(),
		Readings: h.readings, MemTotal: 64 * quantity.GiB,
		Log: slog.New(slog.NewTextHandler(h, nil)),
		Observe: func(c supervisor.Change) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.changes = append(h.changes, c)
		},
		Logs: st.logs,
		Notify: func(line string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.told = append(h.told, line)
		},
	}
	if st.book != nil {
		settings.Ledger, settings.Past, settings.Boot = st.book, st.book.past(), st.book.boot
	}
	if st.heat != nil {
		settings.KeepHeat, settings.PastHeat = st.heat.keep, st.heat.read()
	}
	settings.Clocks, settings.Board = st.clocks, st.board
	h.Supervisor = supervisor.New(settings)
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	bus := make(chan struct{})
	go func() {
		defer close(bus)
		if err := h.systemd.Run(ctx); err != nil {
			st.Errorf("systemd: %v", err)
		}
	}()
	go func() {
		h.err = h.Supervisor.Run(ctx)
		cancel()
		<-bus
		close(h.over)
	}()
	st.Cleanup(func() {
		cancel()
		<-h.over
		if st.Failed() {
			st.Logf("log:\n%s", h.logged())
			st.clear()
		}
	})
	return h
}

// stretched is a time limit, longer where the whole machine is emulated.
func stretched(limit time.Duration) time.Duration {
	if os.Getenv("BRAINJAR_LAB") == "vm" {
		return 4 * limit
	}
	return limit
}

// clear ends what a failed scenario left, so that the next begins with nothing.
func (st stage) clear() {
	if st.real {
		_ = exec.Command("systemctl", "stop", transient.Slice).Run()
	}
}

// Write takes a line of the log.
func (h *house) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(p)
}

func (h *house) logged() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.String()
}

// past returns what has changed so far, of one experiment or ("") of all.
func (h *house) past(id string) []supervisor.Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.changes), func(c supervisor.Change) bool { return id != "" && c.Experiment != id })
}

// phases returns the phases an experiment went through.
func (h *house) phases(id string) []supervisor.Phase {
	var phases []supervisor.Phase
	for _, c := range h.past(id) {
		phases = append(phases, c.To)
	}
	return phases
}

// ends returns how the runs of an experiment ended.
func (h *house) ends(id string) []transient.Outcome {
	var ends []transient.Outcome
	for _, c := range h.past(id) {
		if c.Ended != nil {
			ends = append(ends, *c.Ended)
		}
	}
	return ends
}

// report returns how everything stands now.
func (h *house) report() supervisor.Report {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all, err := h.Report(ctx)
	if err != nil {
		h.Fatalf("cannot see: %v", err)
	}
	return all
}

// status returns how an experiment stands now.
func (h *house) status(id string) supervisor.Status {
	h.Helper()
	for _, s := range h.report().Experiments {
		if s.Config.ID == id {
			return s
		}
	}
	h.Fatalf("no experiment %s", id)
	return supervisor.Status{}
}

// await waits until something holds, and fails if it does not in time.
func (h *house) await(what string, limit time.Duration, holds func() bool) {
	h.Helper()
	limit = stretched(limit)
	for end := time.Now().Add(limit); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			h.Fatalf("not within %v: %s\nlog:\n%s", limit, what, h.logged())
		}
	}
}

// awaitPhase waits until experiments are in a phase.
func (h *house) awaitPhase(phase supervisor.Phase, limit time.Duration, ids ...string) {
	h.Helper()
	for _, id := range ids {
		h.await(fmt.Sprintf("%s is %s", id, phase), limit, func() bool {
			phases := h.phases(id)
			return len(phases) > 0 && phases[len(phases)-1] == phase
		})
	}
}

// awaitReady waits until brainjar knows what runs and takes orders: what it finds is
// told one by one before.
func (h *house) awaitReady() {
	h.Helper()
	h.await("it is ready", 10*time.Second, func() bool { return h.report().Ready })
}

// drain asks brainjar to stop, waits for it and returns how long it took.
func (h *house) drain() time.Duration {
	h.Helper()
	begin := time.Now()
	h.Drain()
	<-h.over
	if h.err != nil {
		h.Errorf("drain: %v", h.err)
	}
	return time.Since(begin)
}

// kill ends a brainjar as kill -9 does: nothing more is said to anybody.
func (h *house) kill() {
	h.cancel()
	<-h.over
}

// leave ends brainjar and lets experiments run on.
func (h *house) leave() {
	h.Leave()
	<-h.over
}

// cool lets the machine cool until everything that was done against heat is undone.
func (h *house) cool() {
	h.Helper()
	for range 20 {
		h.feel(60)
		time.Sleep(heatInterval)
		if r := h.report(); r.Stage == "cool" {
			return
		}
	}
	h.Fatalf("it stays %s\nlog:\n%s", h.report().Stage, h.logged())
}

// feel gives the supervisor a temperature.
func (h *house) feel(celsius quantity.Celsius) {
	h.readings <- sensors.Reading{At: time.Now(), EverHadZone: true, Zones: []sensors.Zone{
		{Type: "tj-thermal", Name: "tj-thermal", State: sensors.OK, Temperature: celsius},
	}}
}
