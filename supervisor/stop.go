package supervisor

import (
	"context"
	"errors"
	"syscall"
	"time"

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
	step  stopStep
	late  bool // its stop_timeout has passed
	again bool // the order of this step failed and is to be given again
}

// end begins to end the run of an experiment that has one.
func (s *Supervisor) end(e *experiment, cause Cause, reason string) {
	if e.phase == Stopping || !e.phase.Active() {
		return
	}
	before := e.phase
	s.move(e, Stopping, reason)
	e.stop = stop{cause: cause}
	switch before {
	case Running:
		s.checkpoint(e, time.Now())
	case Frozen:
		s.thaw(e)
	}
}

// thaw lets a program run again that is to be told to save its work.
func (s *Supervisor) thaw(e *experiment) {
	unit, run := e.unit.Name, e.run
	s.do(func(ctx context.Context) error { return s.Freezer.Thaw(ctx, unit) }, func(err error) {
		if err != nil && s.ctx.Err() == nil {
			s.Log.Warn("order failed", "experiment", e.cfg.ID, "order", "thaw", "err", err)
		}
		if e.run == run && e.phase == Stopping && e.stop.step == stopAwaitUnit {
			s.checkpoint(e, time.Now())
		}
	})
}

// checkpoint tells a program to save its work, if it asked to be told.
func (s *Supervisor) checkpoint(e *experiment, now time.Time) {
	if e.cfg.CheckpointSignal == 0 {
		s.terminate(e, now)
		return
	}
	e.stop.step, e.due = stopCheckpoint, now.Add(e.cfg.CheckpointTimeout)
	s.Log.Info("checkpoint", "experiment", e.cfg.ID, "signal", signalName(e.cfg.CheckpointSignal), "timeout", e.cfg.CheckpointTimeout)
	s.kill(e, transient.Main, e.cfg.CheckpointSignal)
}

// terminate ends a program with its stop signal, and with SIGKILL after its
// stop_timeout. systemd does that by itself, even if brainjar dies meanwhile;
// but while systemd waits for brainjar's own unit to stop, experiments' units
// are ordered behind it, and signals are the only way.
func (s *Supervisor) terminate(e *experiment, now time.Time) {
	e.stop.step, e.due = stopTerminate, now.Add(e.cfg.StopTimeout)
	if s.leaving.blocked {
		s.kill(e, transient.Main, e.cfg.StopSignal)
		return
	}
	e.due = e.due.Add(stopMargin)
	unit := e.unit.Name
	s.do(func(ctx context.Context) error { return s.Units.Stop(ctx, unit) }, s.complain(e, "stop"))
}

// advanceStop is called when the time of the present step has passed.
func (s *Supervisor) advanceStop(e *experiment, now time.Time) {
	again := e.stop.again
	e.stop.again = false
	switch {
	case again && e.stop.step == stopCheckpoint:
		s.checkpoint(e, now)
		return
	case again && e.stop.step == stopTerminate:
		s.terminate(e, now)
		return
	}
	switch e.stop.step {
	case stopCheckpoint:
		s.Log.Warn("checkpoint timed out", "experiment", e.cfg.ID, "timeout", e.cfg.CheckpointTimeout)
		s.terminate(e, now)
	case stopTerminate, stopKill:
		e.stop.late = true
		s.killNow(e, now)
	case stopAwaitUnit:
		e.due = time.Time{}
	}
}

// killNow ends every process of a unit at once, and again until it is gone.
func (s *Supervisor) killNow(e *experiment, now time.Time) {
	e.stop.step, e.due = stopKill, now.Add(stopMargin)
	s.Log.Warn("killing", "experiment", e.cfg.ID, "unit", e.unit.Name)
	s.kill(e, transient.All, syscall.SIGKILL)
}

func (s *Supervisor) kill(e *experiment, whom transient.Whom, sig syscall.Signal) {
	unit := e.unit.Name
	s.do(func(ctx context.Context) error { return s.Units.Kill(ctx, unit, whom, sig) }, s.complain(e, "signal"))
}

// orderRetry is the wait before an order that failed is given again.
const orderRetry = time.Second

// complain logs the failure of an order and lets it be given again: while the
// connection to systemd is being made anew, no program may be killed that was
// never asked to end. An order fails harmlessly if the unit has just ended.
func (s *Supervisor) complain(e *experiment, order string) func(error) {
	run, step := e.run, e.stop.step
	return func(err error) {
		if err == nil || s.ctx.Err() != nil || e.run != run || e.phase != Stopping || e.stop.step != step {
			return
		}
		if errors.Is(err, transient.ErrNoUnit) {
			return // its end is on the way
		}
		s.Log.Warn("order failed", "experiment", e.cfg.ID, "order", order, "err", err)
		e.stop.again = true
		e.due = time.Now().Add(orderRetry)
	}
}
