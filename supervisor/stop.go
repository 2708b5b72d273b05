package supervisor

import (
	"context"
	"errors"
	"syscall"
	"time"

	"brainjar/internal/config"
	"brainjar/transient"
)

// checkpointDone is the status text by which a program says that it has saved
// its work (sd_notify STATUS=…: the service manager passes no other variable on).
const checkpointDone = "BRAINJAR_CHECKPOINT=1"

// stopMargin is how much longer than an experiment's own limits brainjar gives
// systemd to end it, before it kills by itself.
const stopMargin = 5 * time.Second

// stopStep is how far the end of a run has got.
type stopStep int

const (
	stopAwaitUnit  stopStep = iota // systemd has not yet said that there is a unit
	stopCheckpoint                 // the checkpoint signal was sent
	stopTerminate                  // systemd was asked to stop it, or the stop signal was sent
	stopKill                       // SIGKILL was sent
)

// stop is how a run is being ended by brainjar.
type stop struct {
	cause Cause
	why   string // in words
	step  stopStep
	late  bool // its stop_timeout has passed
	again bool // the order of this step failed and is to be given again
}

// ends is how systemd ends a run: what its unit was started with, whatever is configured
// since.
type ends struct {
	signal  syscall.Signal
	timeout time.Duration
}

// end begins to end the run of an experiment that has one.
func (s *Supervisor) end(e *experiment, cause Cause, reason string) {
	if e.phase == Stopping || !e.phase.Active() {
		return
	}
	before := e.phase
	e.cause = cause
	s.move(e, Stopping, reason)
	e.stop = stop{cause: cause, why: reason}
	switch {
	case before == Running || before == Frozen:
		s.checkpoint(e)
	case e.answered: // it is loading: there is nothing to save yet
		s.terminate(e)
	}
}

// endAsked makes a person's order what a run that is being ended ends for.
func (e *experiment) endAsked() { e.cause, e.stop.cause = CauseAsked, CauseAsked }

// awake makes an order wait until the program can hear it: whoever froze it, and whether
// that was seen or not, it is thawed before. systemd refuses that while the unit has a
// job, as when the machine goes down.
func (s *Supervisor) awake(unit string, order func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := s.Freezer.Thaw(ctx, unit)
		switch {
		case errors.Is(err, transient.ErrDisconnected), errors.Is(err, transient.ErrUncertain):
			return err
		case err != nil && !errors.Is(err, transient.ErrNoUnit) && ctx.Err() == nil:
			s.Log.Warn("order failed", "unit", unit, "order", "thaw", "err", err)
		}
		return order(ctx)
	}
}

// saved takes a program's word that it has saved its work: what it is told to end
// for, it may then end.
func (s *Supervisor) saved(e *experiment) {
	e.savedAt = time.Now()
	if e.phase == Stopping && e.stop.step == stopCheckpoint {
		s.Log.Info("checkpoint saved", "experiment", e.cfg.ID, "after", round(time.Since(e.since)))
		s.terminate(e)
	}
}

// checkpoint tells a program to save its work, if it asked to be told.
func (s *Supervisor) checkpoint(e *experiment) {
	sig := e.cfg.CheckpointSignal
	if sig == 0 {
		s.terminate(e)
		return
	}
	s.Log.Info("checkpoint", "experiment", e.cfg.ID, "signal", signalName(sig), "timeout", e.cfg.CheckpointTimeout)
	s.step(e, stopCheckpoint, e.cfg.CheckpointTimeout, e.inTurn(s.awake(e.unit.Name, s.signal(e, transient.Main, sig))))
}

// terminate ends a program with its stop signal, and with SIGKILL after its
// stop_timeout. systemd does that by itself, even if brainjar dies meanwhile;
// but while systemd waits for brainjar's own unit to stop, experiments' units
// are ordered behind it, and signals are the only way.
func (s *Supervisor) terminate(e *experiment) {
	unit := e.unit.Name
	if s.leaving.blocked {
		s.step(e, stopTerminate, e.ends.timeout, e.inTurn(s.awake(unit, s.signal(e, transient.Main, e.ends.signal))))
		return
	}
	s.step(e, stopTerminate, e.ends.timeout+stopMargin, e.inTurn(func(ctx context.Context) error { return s.Units.Stop(ctx, unit) }))
}

// killNow ends every process of a unit at once, and again until it is gone.
func (s *Supervisor) killNow(e *experiment) {
	s.Log.Warn("killing", "experiment", e.cfg.ID, "unit", e.unit.Name)
	s.step(e, stopKill, stopMargin, s.signal(e, transient.All, syscall.SIGKILL))
}

// signal is the order to send a signal to an experiment's processes.
func (s *Supervisor) signal(e *experiment, whom transient.Whom, sig syscall.Signal) func(context.Context) error {
	unit := e.unit.Name
	return func(ctx context.Context) error { return s.Units.Kill(ctx, unit, whom, sig) }
}

// advanceStop is called when the time of the present step has passed.
func (s *Supervisor) advanceStop(e *experiment) {
	again := e.stop.again
	e.stop.again = false
	switch {
	case e.stop.step == stopCheckpoint && again:
		s.checkpoint(e)
	case e.stop.step == stopCheckpoint:
		s.Log.Warn("checkpoint timed out", "experiment", e.cfg.ID, "timeout", e.cfg.CheckpointTimeout)
		s.terminate(e)
	case e.stop.step == stopTerminate && again:
		s.terminate(e)
	default:
		e.stop.late = e.stop.late || e.stop.step == stopTerminate
		s.killNow(e)
	}
}

// warn tells a program, by its checkpoint signal, that its runtime_max ends
// soon.
func (s *Supervisor) warn(e *experiment) {
	e.warnAt, e.warned = time.Time{}, true
	s.Log.Info("runtime_max ends soon", "experiment", e.cfg.ID, "signal", signalName(e.cfg.CheckpointSignal), "runtime_max", e.cfg.RuntimeMax)
	s.command(s.signal(e, transient.Main, e.cfg.CheckpointSignal), func(err error) {
		if err != nil && s.ctx.Err() == nil {
			s.Log.Warn("order failed", "experiment", e.cfg.ID, "err", err)
		}
	})
}

// warnTime is when a run that began at since is to be warned, or zero.
func warnTime(c *config.Experiment, since time.Time) time.Time {
	if c.CheckpointSignal == 0 || c.RuntimeWarning <= 0 || c.RuntimeMax <= c.RuntimeWarning || since.IsZero() {
		return time.Time{}
	}
	return since.Add(c.RuntimeMax - c.RuntimeWarning)
}

// warnLater sets when a run is to be warned. A time that had passed when the run was found
// was the business of the brainjar before.
func (e *experiment) warnLater(found bool) {
	e.warnAt = warnTime(e.cfg, e.unit.Since)
	e.warned = found && !e.warnAt.IsZero() && !time.Now().Before(e.warnAt)
	if e.warned {
		e.warnAt = time.Time{}
	}
}

// orderRetry is the wait before an order that failed is given again.
const orderRetry = time.Second

// step gives the order of a step towards the end. Its time limit begins when
// systemd has taken the order. An order that fails is given again: while the
// connection to systemd is being made anew, no program may be killed that was
// never asked to end.
func (s *Supervisor) step(e *experiment, step stopStep, limit time.Duration, order func(context.Context) error) {
	e.stop.step, e.due = step, time.Time{}
	run := e.run
	s.command(order, func(err error) {
		if s.ctx.Err() != nil || e.run != run || e.phase != Stopping || e.stop.step != step {
			return
		}
		if err != nil && !errors.Is(err, transient.ErrNoUnit) { // without a unit, its end is on the way
			s.Log.Warn("order failed", "experiment", e.cfg.ID, "err", err)
			e.stop.again, limit = true, orderRetry
		}
		e.due = time.Now().Add(limit)
	})
}
