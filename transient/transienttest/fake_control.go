package transienttest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"brainjar/transient"
)

// SetLimits changes the limits of a unit; see Manager.SetLimits.
func (f *Fake) SetLimits(ctx context.Context, name string, l transient.Limits) (transient.Limits, error) {
	u, err := f.unitCall(ctx, "set the limits of", name)
	if err != nil {
		return transient.Limits{}, err
	}
	defer f.mu.Unlock()
	u.count()
	l.Implied = nil
	u.limits = l
	u.checkMemory()
	return l, nil
}

// Freeze stops the processes of a unit where they are; see Manager.Freeze.
func (f *Fake) Freeze(ctx context.Context, name string) error {
	u, err := f.unitCall(ctx, "freeze", name)
	if err != nil {
		return err
	}
	defer f.mu.Unlock()
	u.freeze()
	return nil
}

// FreezeUnseen is a person's `systemctl freeze`, of which nobody hears before Usage
// looks.
func (f *Fake) FreezeUnseen(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.units[name]; u != nil && !u.unit.Frozen {
		u.count()
		u.unit.Frozen, u.unseen = true, true
	}
}

// Thaw undoes Freeze; see Manager.Thaw.
func (f *Fake) Thaw(ctx context.Context, name string) error {
	u, err := f.unitCall(ctx, "thaw", name)
	if err != nil {
		return err
	}
	defer f.mu.Unlock()
	u.thaw()
	return nil
}

// Usage returns what a unit uses now; see Manager.Usage.
func (f *Fake) Usage(name string) (transient.Usage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.units[name]
	if u == nil {
		return transient.Usage{}, fmt.Errorf("cannot read the usage of %s: %w", name, transient.ErrNoUnit)
	}
	u.count()
	if u.unseen {
		u.unseen = false
		f.emit(transient.Frozen{Unit: name, Frozen: true})
	}
	return transient.Usage{Memory: u.memory, MemoryPeak: u.peak, CPUTime: u.cpu, Tasks: 1 + len(u.children)}, nil
}

// Processes returns the PIDs of a unit's processes; see Manager.Processes.
func (f *Fake) Processes(name string) ([]int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.units[name]
	if u == nil {
		return nil, fmt.Errorf("cannot list the processes of %s: %w", name, transient.ErrNoUnit)
	}
	return append([]int{u.unit.MainPID}, u.children...), nil
}

// SetSlice sets the limits of the slice; see Manager.SetSlice.
func (f *Fake) SetSlice(ctx context.Context, l transient.Limits) (transient.Limits, error) {
	if err := f.call(ctx, "set the limits of", transient.Slice); err != nil {
		return transient.Limits{}, err
	}
	defer f.mu.Unlock()
	l.Implied = nil
	f.slice = l
	return l, nil
}

// StopSlice is a person's `systemctl stop` of the slice: every unit ends, and nothing
// starts before.
func (f *Fake) StopSlice() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.halted = true
	f.emit(transient.SliceStopped{Stopped: true})
	for _, name := range sortedKeys(f.units) {
		u := f.units[name]
		u.stopRequested = true
		u.thaw()
		u.terminate()
	}
}

// StartSlice is a person's `systemctl start` of the slice.
func (f *Fake) StartSlice() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.startSlice()
}

// startSlice is what a person does, or the first unit after a stop.
func (f *Fake) startSlice() {
	if f.halted {
		f.halted = false
		f.emit(transient.SliceStopped{})
	}
}

// OwnJob returns what SetOwnJob said; see Manager.OwnJob.
func (f *Fake) OwnJob(ctx context.Context) (string, error) {
	if err := f.call(ctx, "read the job of", "the own unit"); err != nil {
		return "", err
	}
	defer f.mu.Unlock()
	return f.ownJob, nil
}

// Host returns what SetHost said; see Manager.Host.
func (f *Fake) Host(ctx context.Context) (transient.Host, error) {
	if err := f.call(ctx, "read the version of", "systemd"); err != nil {
		return transient.Host{}, err
	}
	defer f.mu.Unlock()
	return f.host, nil
}

// Clean removes the directories of an experiment, of which a fake unit has none.
func (f *Fake) Clean(ctx context.Context, experiment string) error {
	if err := f.call(ctx, "clean", experiment); err != nil {
		return err
	}
	defer f.mu.Unlock()
	f.cleaned = append(f.cleaned, experiment)
	return nil
}

// Cleaned returns the experiments whose directories were removed.
func (f *Fake) Cleaned() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.cleaned)
}

// FailStart makes every Start of a unit fail with err, until it is called with
// nil. The unit "" means all.
func (f *Fake) FailStart(unit string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.failStart, unit)
	} else {
		f.failStart[unit] = err
	}
}

// Hang makes every call wait (and fail after 10 s or with its context), until
// it is called with false.
func (f *Fake) Hang(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case on && f.hang == nil:
		f.hang = make(chan struct{})
	case !on && f.hang != nil:
		close(f.hang)
		f.hang = nil
	}
}

// Disconnect drops the connection: calls fail and no event comes until
// Reconnect.
func (f *Fake) Disconnect(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.connected {
		f.emit(transient.Disconnected{Err: err})
		f.connected = false
	}
}

// Reconnect undoes Disconnect: what runs is reported again, as found, and what
// ended meanwhile, then Synced.
func (f *Fake) Reconnect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running && !f.connected {
		f.connect()
	}
}

// Running returns the names of the units that have not ended, sorted.
func (f *Fake) Running() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sortedKeys(f.units)
}

// Frozen returns the names of the units that are frozen, sorted.
func (f *Fake) Frozen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(sortedKeys(f.units), func(name string) bool { return !f.units[name].unit.Frozen })
}

// Records returns the number of ends that were not forgotten.
func (f *Fake) Records() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ended)
}

// Starts returns how often Start made that unit.
func (f *Fake) Starts(unit string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.starts[unit]
}

// SliceLimits returns what SetSlice set last.
func (f *Fake) SliceLimits() transient.Limits {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.slice
}

// Alive says whether a process of that PID exists.
func (f *Fake) Alive(pid int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.units {
		if u.unit.MainPID == pid || slices.Contains(u.children, pid) {
			return true
		}
	}
	return false
}

// SetOwnJob says what OwnJob answers: "", "stop" or "restart".
func (f *Fake) SetOwnJob(jobType string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ownJob = jobType
}

// SetHost says what Host answers.
func (f *Fake) SetHost(h transient.Host) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.host = h
}

// Plant makes a unit run that a former brainjar started at since: the next Run
// or Reconnect finds it.
func (f *Fake) Plant(spec transient.Spec, since time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name := spec.Unit(); f.units[name] != nil {
		return fmt.Errorf("cannot plant %s: %w", name, transient.ErrExists)
	}
	u, err := f.launch(spec)
	if err == nil {
		u.session, u.created = -1, since
		if u.active {
			u.unit.Since = since
		}
	}
	return err
}

// PlantEnded leaves the record of a run that ended while no brainjar was
// there. Empty Name and Invocation are made up.
func (f *Fake) PlantEnded(unit transient.Unit, outcome transient.Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.invocation++
	unit.Kind = cmp.Or(unit.Kind, transient.Service)
	unit.Name = cmp.Or(unit.Name, transient.UnitName(unit.Experiment, unit.Kind))
	unit.Invocation = cmp.Or(unit.Invocation, fmt.Sprintf("%032x", f.invocation))
	f.ended[unit.Invocation] = &record{event: transient.Ended{Unit: unit, Outcome: outcome}}
}

// Finish ends a running unit with that outcome, whatever its program was
// doing; Started, Ended and unset figures of the outcome are filled in.
func (f *Fake) Finish(name string, outcome transient.Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.units[name]; u != nil {
		u.end(outcome.ExitCode, outcome.Signal, outcome)
	}
}

// Restart is a person's `systemctl restart` of a unit that runs: one invocation ends,
// and another one begins, which carries the same number.
func (f *Fake) Restart(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.units[name]
	if u == nil {
		return
	}
	u.stopRequested = true
	u.end(-1, syscall.SIGTERM, transient.Outcome{})
	f.starts[name]++
	_, _ = f.launch(u.spec) // which was good once
}

// PowerCut makes every unit and every record vanish, without a word. A test
// ends its Run first, as the power does.
func (f *Fake) PowerCut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.units {
		u.over = true
		for _, t := range []*time.Timer{u.step, u.stop, u.runtime, u.ready, u.watchdog} {
			stopTimer(t)
		}
	}
	clear(f.units)
	clear(f.ended)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
