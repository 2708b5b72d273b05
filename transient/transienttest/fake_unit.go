package transienttest

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"brainjar/internal/quantity"
	"brainjar/transient"
)

// harmless are the signals that do nothing to a program that has not asked for
// them; all others kill it. (The fake knows no stopped processes: SIGSTOP and
// its like do nothing.)
var harmless = []syscall.Signal{
	syscall.SIGCHLD, syscall.SIGURG, syscall.SIGWINCH, syscall.SIGCONT,
	syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
}

// defaultStopTimeout is systemd's own, for a unit that names none.
const defaultStopTimeout = 90 * time.Second

// unit is a unit of the fake that has not ended, with its program: a stack of
// step lists, of which the last is being run (the others were interrupted by a
// signal). All its methods want Fake.mu held.
type unit struct {
	fake    *Fake
	spec    transient.Spec
	unit    transient.Unit
	limits  transient.Limits
	session int // of the fake, when it was started

	text, said    string // its status, and what was told of that last
	active        bool   // Started was reported
	over          bool
	unseen        bool // it was frozen by somebody else, and nobody has looked since
	stopRequested bool
	killedAtStop  bool
	oomKills      int
	cause         transient.Result // why the manager itself is ending it

	stack    []frame
	ignored  map[syscall.Signal]bool
	handlers map[syscall.Signal][]step
	pending  []syscall.Signal // came while it was frozen
	children []int            // PIDs

	memory, peak quantity.Bytes
	cpu          time.Duration
	counted      time.Time // up to when cpu is counted
	created      time.Time

	step, stop, runtime, ready, watchdog *time.Timer
}

// frame is a list of steps that is being run.
type frame struct {
	steps    []step
	until    time.Time // the current sleep, spin or beat ends then; zero: none
	spinning bool
	beats    int
}

// launch makes a unit and runs its program up to the first wait.
func (f *Fake) launch(spec transient.Spec) (*unit, error) {
	steps, missing, err := program(spec.Command)
	if err != nil {
		return nil, err
	}
	f.invocation++
	now := time.Now()
	u := &unit{
		fake: f, spec: spec, session: f.session, limits: spec.Limits,
		unit: transient.Unit{
			Name: spec.Unit(), Experiment: spec.Experiment, Run: spec.Run, Attempt: spec.Attempt,
			Invocation: fmt.Sprintf("%032x", f.invocation), Kind: spec.Kind,
		},
		stack:    []frame{{steps: steps}},
		ignored:  make(map[syscall.Signal]bool),
		handlers: make(map[syscall.Signal][]step),
		created:  now, counted: now,
	}
	u.limits.Implied = nil
	f.units[u.unit.Name] = u
	if missing {
		u.end(-1, 0, transient.Outcome{
			Result: transient.StartFailed, ExitCode: -1,
			Detail: fmt.Sprintf("cannot execute %s: no such file or directory", spec.Command[0]),
		})
		return u, nil
	}
	u.unit.MainPID = f.newPID()
	if spec.Ready == transient.ReadyNotify {
		u.ready = u.after(spec.ReadyTimeout, func() { u.fail(transient.Timeout, syscall.SIGTERM) })
	} else {
		u.activate()
	}
	u.advance()
	return u, nil
}

// program reads a command: the steps it stands for, and whether there is no
// such program.
func program(command []string) (steps []step, missing bool, err error) {
	if len(command) == 0 {
		return nil, false, fmt.Errorf("cannot start a unit without a command")
	}
	if len(command) > 1 && command[1] == workloadWord {
		steps, err = parseSteps(command[2:])
		return steps, strings.HasPrefix(command[0], "/nonexistent/"), err
	}
	switch path.Base(command[0]) {
	case "false":
		steps = []step{{verb: "exit", code: 1}}
	case "sleep":
		if len(command) == 2 {
			seconds, err := strconv.ParseFloat(command[1], 64)
			if err != nil {
				return nil, false, fmt.Errorf("cannot read the fake's sleep: %w", err)
			}
			steps = []step{{verb: "sleep", duration: time.Duration(seconds * float64(time.Second))}}
		}
	}
	return steps, strings.HasPrefix(command[0], "/nonexistent/"), nil
}

func (f *Fake) newPID() int {
	f.lastPID++
	return f.lastPID
}

// after is time.AfterFunc with the fake locked, while the unit lives; nil if
// there is no time limit.
func (u *unit) after(d time.Duration, do func()) *time.Timer {
	if d <= 0 {
		return nil
	}
	return time.AfterFunc(d, func() {
		u.fake.mu.Lock()
		defer u.fake.mu.Unlock()
		if !u.over {
			do()
		}
	})
}

// activate reports the unit as started and lets its clocks run.
func (u *unit) activate() {
	if u.active {
		return
	}
	u.active = true
	u.unit.Since = time.Now()
	stopTimer(u.ready)
	u.runtime = u.after(u.spec.RuntimeMax, func() { u.fail(transient.Timeout, u.stopSignal()) })
	u.watchdog = u.after(u.spec.Watchdog, func() { u.fail(transient.Watchdog, syscall.SIGABRT) })
	u.fake.emit(transient.Started{Unit: u.unit, Effective: u.limits, StopSignal: u.stopSignal(), StopTimeout: u.stopTimeout()})
	u.say(false)
}

func (u *unit) stopSignal() syscall.Signal {
	if u.spec.StopSignal == 0 {
		return syscall.SIGTERM
	}
	return u.spec.StopSignal
}

func (u *unit) stopTimeout() time.Duration { return cmp.Or(u.spec.StopTimeout, defaultStopTimeout) }

// fail is the manager ending the unit for a reason of its own.
func (u *unit) fail(cause transient.Result, sig syscall.Signal) {
	if u.cause == "" && !u.stopRequested {
		u.cause = cause
	}
	u.thaw()
	u.armKill()
	u.deliver(sig)
}

// terminate sends the stop signal, and SIGKILL after the stop timeout.
func (u *unit) terminate() {
	if u.stop != nil {
		return // it is being stopped already
	}
	u.armKill()
	u.deliver(u.stopSignal())
}

func (u *unit) armKill() {
	if u.stop == nil {
		u.stop = u.after(u.stopTimeout(), func() {
			u.killedAtStop = true
			u.deliver(syscall.SIGKILL)
		})
	}
}

// deliver gives a signal to the program.
func (u *unit) deliver(sig syscall.Signal) {
	switch {
	case u.over:
	case sig == syscall.SIGKILL:
		u.end(-1, sig, transient.Outcome{})
	case u.unit.Frozen:
		if !slices.Contains(u.pending, sig) {
			u.pending = append(u.pending, sig)
		}
	case u.ignored[sig]:
	case u.handlers[sig] != nil:
		u.count()
		u.stack = append(u.stack, frame{steps: u.handlers[sig]})
		u.advance()
	case slices.Contains(harmless, sig):
	default:
		u.end(-1, sig, transient.Outcome{})
	}
}

// count adds the CPU time since it was last called.
func (u *unit) count() {
	now := time.Now()
	if n := len(u.stack); n > 0 && u.stack[n-1].spinning && !u.unit.Frozen {
		share := 1.0
		if quota := float64(u.limits.CPUQuota); quota > 0 {
			share = min(share, quota/100)
		}
		u.cpu += time.Duration(share * float64(now.Sub(u.counted)))
	}
	u.counted = now
}

// end is the end of the unit and of all its processes. What forced does not
// say follows from how the main process ended.
func (u *unit) end(code int, sig syscall.Signal, forced transient.Outcome) {
	u.count()
	for _, t := range []*time.Timer{u.step, u.stop, u.runtime, u.ready, u.watchdog} {
		stopTimer(t)
	}
	u.over = true
	f := u.fake
	delete(f.units, u.unit.Name)
	o := forced
	if o.Result == "" {
		o = transient.Outcome{
			Result: u.result(code, sig), ExitCode: code, Signal: sig,
			StopRequested: u.stopRequested, KilledAtStop: u.killedAtStop, OOMKills: u.oomKills,
		}
	}
	if u.spec.Kind == transient.Scope && u.session != f.session {
		// Nobody was there to reap it.
		o = transient.Outcome{Result: transient.Lost, ExitCode: -1}
	}
	o.MemoryPeak, o.CPUTime = max(o.MemoryPeak, u.peak), max(o.CPUTime, u.cpu)
	o.Started, o.Ended = u.created, time.Now()
	r := &record{event: transient.Ended{Unit: u.unit, Outcome: o}, reported: f.connected}
	f.ended[u.unit.Invocation] = r
	f.emit(r.event)
}

func (u *unit) result(code int, sig syscall.Signal) transient.Result {
	switch {
	case u.oomKills > 0:
		return transient.OOMKill
	case u.cause != "":
		return u.cause
	case u.stopRequested:
		return transient.Stopped
	case sig != 0:
		return transient.Signal
	case code != 0:
		return transient.ExitCode
	}
	return transient.Success
}

func stopTimer(t *time.Timer) {
	if t != nil {
		t.Stop()
	}
}
