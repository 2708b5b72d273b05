package transienttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"brainjar/transient"
)

// callLimit is how long a call to a fake that hangs takes to fail.
const callLimit = 10 * time.Second

// Fake is a service manager in memory with the methods of transient.Manager.
// It runs workloads (see Command) on timers of package time alone, with no
// goroutine of its own but Run's: so it works inside a testing/synctest
// bubble, where days pass at once.
//
// The units belong to the machine, not to the connection. When Run returns,
// they go on; when Run is called again, that is a new brainjar: what runs is
// reported as found, and so is each end that was not forgotten.
//
// Of commands that are no workloads, the fake knows true, false and sleep N by
// the last part of their name; a command below /nonexistent/ cannot be
// executed; all others exit with 0 at once.
//
// Everything that a person could do with systemctl, a test does by calling the
// same methods as brainjar does.
type Fake struct {
	events chan transient.Event
	wake   chan struct{} // the queue is no longer empty

	mu         sync.Mutex
	queue      []transient.Event
	running    bool // Run is
	connected  bool
	session    int                // number of Runs
	units      map[string]*unit   // that exist and have not ended, by name
	ended      map[string]*record // by invocation, until Forget
	starts     map[string]int     // by unit
	cleaned    []string
	failStart  map[string]error // by unit, "" for every unit
	health     map[string]error // what checks of a unit answer
	hang       chan struct{}    // not nil: calls wait until it is closed
	ownJob     string
	host       transient.Host
	slice      transient.Limits
	halted     bool // the slice was stopped
	lastPID    int
	invocation uint64
}

// record is the end of a run that nobody has forgotten yet.
type record struct {
	event    transient.Ended
	reported bool // in this session
}

// NewFake returns a machine on which nothing runs, with systemd 252 and
// control groups v2.
func NewFake() *Fake {
	return &Fake{
		events:    make(chan transient.Event),
		wake:      make(chan struct{}, 1),
		units:     make(map[string]*unit),
		ended:     make(map[string]*record),
		starts:    make(map[string]int),
		failStart: make(map[string]error),
		health:    make(map[string]error),
		host: transient.Host{
			Version: 252, Unified: true, Devices: true,
			Controllers: []string{"cpu", "cpuset", "io", "memory", "pids"},
		},
		lastPID: 1000,
	}
}

// Run connects and delivers events until ctx ends. What nobody received by
// then is dropped, as it is when a Manager dies.
func (f *Fake) Run(ctx context.Context) error {
	f.mu.Lock()
	if f.running {
		f.mu.Unlock()
		return errors.New("the fake is already running")
	}
	f.running = true
	f.session++
	f.connect()
	f.mu.Unlock()

	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running, f.connected, f.queue = false, false, nil
		for _, r := range f.ended {
			r.reported = false
		}
	}()
	for {
		var to chan transient.Event
		var next transient.Event
		f.mu.Lock()
		if len(f.queue) > 0 {
			to, next = f.events, f.queue[0]
		}
		f.mu.Unlock()
		select {
		case to <- next:
			f.mu.Lock()
			f.queue = f.queue[1:]
			f.mu.Unlock()
		case <-f.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// Events returns the one ordered stream of events.
func (f *Fake) Events() <-chan transient.Event { return f.events }

// connect reports all that exists, then Synced. The caller holds mu.
func (f *Fake) connect() {
	f.connected = true
	for _, name := range sortedKeys(f.units) {
		u := f.units[name]
		if u.active {
			f.emit(transient.Started{Unit: u.unit, Found: true, Effective: u.limits, StopSignal: u.stopSignal(), StopTimeout: u.stopTimeout()})
		} else {
			f.emit(transient.Started{Unit: u.unit, Found: true, Loading: true, StopSignal: u.stopSignal(), StopTimeout: u.stopTimeout()})
		}
		u.said = ""
		u.say(true)
	}
	unreported := make([]*record, 0, len(f.ended))
	for _, r := range f.ended {
		if !r.reported {
			r.reported = true
			unreported = append(unreported, r)
		}
	}
	slices.SortFunc(unreported, func(a, b *record) int {
		return a.event.Outcome.Ended.Compare(b.event.Outcome.Ended)
	})
	for _, r := range unreported {
		f.emit(r.event)
	}
	f.emit(transient.Synced{})
}

// emit queues an event if there is somebody to tell. The caller holds mu.
func (f *Fake) emit(e transient.Event) {
	if !f.connected {
		return
	}
	f.queue = append(f.queue, e)
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// call waits while the fake hangs, then takes mu, which the caller must
// release unless there is an error.
func (f *Fake) call(ctx context.Context, what, unit string) error {
	limit := time.NewTimer(callLimit)
	defer limit.Stop()
	for {
		f.mu.Lock()
		hang := f.hang
		if hang == nil {
			if ctx.Err() == nil && f.connected {
				return nil
			}
			f.mu.Unlock()
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("cannot %s %s: %w", what, unit, err)
			}
			return fmt.Errorf("cannot %s %s: %w", what, unit, transient.ErrDisconnected)
		}
		f.mu.Unlock()
		select {
		case <-hang:
		case <-ctx.Done():
			return fmt.Errorf("cannot %s %s: %w", what, unit, ctx.Err())
		case <-limit.C:
			return fmt.Errorf("cannot %s %s: %w", what, unit, transient.ErrUncertain)
		}
	}
}

// unitCall is call for a unit that must be running.
func (f *Fake) unitCall(ctx context.Context, what, name string) (*unit, error) {
	if err := f.call(ctx, what, name); err != nil {
		return nil, err
	}
	u := f.units[name]
	if u == nil {
		f.mu.Unlock()
		return nil, fmt.Errorf("cannot %s %s: %w", what, name, transient.ErrNoUnit)
	}
	return u, nil
}

// Start starts a unit; see Manager.Start.
func (f *Fake) Start(ctx context.Context, spec transient.Spec) error {
	name := spec.Unit()
	if err := f.call(ctx, "start", name); err != nil {
		return err
	}
	defer f.mu.Unlock()
	for _, key := range []string{name, ""} {
		if err := f.failStart[key]; err != nil {
			return fmt.Errorf("cannot start %s: %w", name, err)
		}
	}
	switch {
	case f.units[name] != nil:
		return fmt.Errorf("cannot start %s: %w", name, transient.ErrExists)
	case f.halted && len(f.units) > 0:
		return fmt.Errorf("cannot start %s: the slice is being stopped: %w", name, transient.ErrNotNow)
	}
	f.startSlice()
	f.starts[name]++
	if spec.Process != nil { // which a test only imagines: its exit status is not known
		spec.Command = Command("adopted", "sleep=1000000h")
	}
	u, err := f.launch(spec)
	if err == nil && spec.Process != nil {
		u.unit.MainPID, u.session = spec.Process.PID, -1
	}
	return err
}

// Stop asks a unit to end; see Manager.Stop.
func (f *Fake) Stop(ctx context.Context, name string) error {
	u, err := f.unitCall(ctx, "stop", name)
	if err != nil {
		return err
	}
	defer f.mu.Unlock()
	u.stopRequested = true
	u.thaw()
	u.terminate()
	return nil
}

// Kill sends a signal; see Manager.Kill.
func (f *Fake) Kill(ctx context.Context, name string, whom transient.Whom, sig syscall.Signal) error {
	u, err := f.unitCall(ctx, "kill", name)
	if err != nil {
		return err
	}
	defer f.mu.Unlock()
	if whom == transient.All && sig != syscall.SIGTERM {
		u.children = nil // that a workload left behind, see "fork"
	}
	u.deliver(sig)
	return nil
}

// Forget drops the record of an end; see Manager.Forget.
func (f *Fake) Forget(ctx context.Context, unit transient.Unit) error {
	if err := f.call(ctx, "forget", unit.Name); err != nil {
		return err
	}
	defer f.mu.Unlock()
	delete(f.ended, unit.Invocation)
	return nil
}
