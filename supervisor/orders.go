package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"syscall"

	"brainjar/transient"
)

// Why an order cannot be obeyed.
var (
	// ErrUnknown: there is no experiment of that name.
	ErrUnknown = errors.New("no such experiment")
	// ErrNotRunning: the order is one for an experiment that runs.
	ErrNotRunning = errors.New("not running")
	// ErrNotFrozen: the order is one for an experiment that is frozen.
	ErrNotFrozen = errors.New("not frozen")
	// ErrLeaving: brainjar is about to end.
	ErrLeaving = errors.New("brainjar is stopping")
	// ErrNotWritten: the order is obeyed, but not on disk: it would not survive
	// brainjar.
	ErrNotWritten = errors.New("not on disk")
)

// answer is what the giver of an order waits for.
type answer chan error

// refuse says why the order is not obeyed.
func (a answer) refuse(err error) { a <- err }

// written says that the order is on disk, or what keeps it from there.
func (a answer) written(err error) {
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	a <- err
}

// obey carries out an order in the loop, and returns when that is on disk: when do
// refuses, or has called written. Whoever asked does not wait for longer than ctx;
// an order that was begun by then holds all the same.
func (s *Supervisor) obey(ctx context.Context, id string, do func(e *experiment, written func(error)) error) error {
	return s.carryOut(ctx, func(written func(error)) error {
		e := s.byID[id]
		if e == nil {
			return fmt.Errorf("%w: %s", ErrUnknown, id)
		}
		return do(e, written)
	})
}

// carryOut is obey for an order that is not about an experiment which is there.
func (s *Supervisor) carryOut(ctx context.Context, do func(written func(error)) error) error {
	a := make(answer, 1)
	s.order(func() {
		err := ctx.Err() // who asked has gone before the order was begun
		switch {
		case err != nil:
		case !s.ready:
			err = fmt.Errorf("%w yet: systemd has not told what runs", ErrNotReady)
		default:
			err = do(a.written)
		}
		if err != nil {
			a.refuse(err)
		}
	})
	refused, err := receive(ctx, s, a)
	return cmp.Or(err, refused)
}

// ErrNotReady is the answer to an order that comes before brainjar knows what
// runs.
var ErrNotReady = errors.New("not ready")

// Start wants an experiment: it is queued, with its count of restarts begun
// anew, and released if it was held. One that runs, or waits already, is left
// alone; one in backoff does not wait any longer. It returns when that is on
// disk.
func (s *Supervisor) Start(ctx context.Context, id string) error {
	return s.obey(ctx, id, s.orderStart)
}

func (s *Supervisor) orderStart(e *experiment, written func(error)) error {
	s.halt(false)
	return s.wantNow(e, written)
}

// wantNow is orderStart for one that may have to wait until starts go on.
func (s *Supervisor) wantNow(e *experiment, written func(error)) error {
	switch {
	case s.leaving.how != stay:
		return ErrLeaving
	case e.phase == Stopping:
		e.again = true
		e.endAsked()
		s.keep(e, written)
	case e.phase.Active() || e.phase == Queued:
		s.keep(e, written)
	default:
		e.hold, e.attempt, e.requeues = "", 0, 0
		s.change(e, Change{To: Queued}, written)
	}
	return nil
}

// stopAsked is the reason of what Stop does.
const stopAsked = "stop was asked for"

// Stop ends an experiment, gracefully if it runs, and wants it no more. It
// returns when that is on disk; the end itself is a Change.
func (s *Supervisor) Stop(ctx context.Context, id string) error {
	return s.obey(ctx, id, s.orderStop)
}

func (s *Supervisor) orderStop(e *experiment, written func(error)) error {
	e.again = false
	switch {
	case e.phase == Stopping:
		e.endAsked()
		s.keep(e, written)
	case e.phase.Active():
		s.end(e, CauseAsked, stopAsked)
		s.keep(e, written)
	case e.phase == Queued || e.phase == Backoff || e.phase == Held:
		e.cause, e.hold = CauseAsked, ""
		s.change(e, Change{To: Stopped, Reason: stopAsked}, written)
	default:
		e.cause = CauseAsked // what was drained is not to come back
		s.keep(e, written)
	}
	return nil
}

// restartAsked is the reason of what Restart does.
const restartAsked = "restart was asked for"

// Restart ends an experiment that runs and then queues it again, with its count
// of restarts begun anew; one that does not run is started.
func (s *Supervisor) Restart(ctx context.Context, id string) error {
	return s.obey(ctx, id, func(e *experiment, written func(error)) error {
		if !e.phase.Active() || e.phase == Stopping || s.leaving.how != stay {
			return s.orderStart(e, written)
		}
		s.renew(e, restartAsked, written)
		return nil
	})
}

// Hold keeps an experiment from being started until it is released; what runs,
// runs to its end, and what has succeeded or failed stays so: a release must not run
// that once more. why says who wants that, or what for.
func (s *Supervisor) Hold(ctx context.Context, id, why string) error {
	return s.obey(ctx, id, func(e *experiment, written func(error)) error {
		e.hold = orElse(why, "held") + howToRelease(e)
		if e.phase.Active() || e.phase == Held || e.phase == Succeeded || e.phase == Failed {
			s.keep(e, written)
			return nil
		}
		s.change(e, Change{To: Held, Reason: e.hold}, written)
		return nil
	})
}

// howToRelease is what follows the reason why an experiment is held.
func howToRelease(e *experiment) string { return " (`brainjar release " + e.cfg.ID + "`)" }

// Release undoes a hold, whoever put it: the experiment is queued.
func (s *Supervisor) Release(ctx context.Context, id string) error {
	return s.obey(ctx, id, func(e *experiment, written func(error)) error {
		e.hold = ""
		if e.phase != Held {
			s.keep(e, written)
			return nil
		}
		e.requeues = 0
		s.change(e, Change{To: Queued, Reason: "released"}, written)
		return nil
	})
}

// ReleaseAll releases all that is held, resets the circuit breaker, and lets starts go on
// after a stop of the slice.
func (s *Supervisor) ReleaseAll(ctx context.Context) error {
	held, err := ask(ctx, s, func() (held []string, _ error) {
		s.resetBreaker()
		s.halt(false)
		for _, e := range s.experiments {
			if e.phase == Held || e.hold != "" {
				held = append(held, e.cfg.ID)
			}
		}
		return held, nil
	})
	for _, id := range held {
		err = errors.Join(err, s.Release(ctx, id))
	}
	return err
}

// Enable overrides autostart of an experiment for good: whether it is wanted
// when brainjar starts. nil takes the override back.
func (s *Supervisor) Enable(ctx context.Context, id string, enabled *bool) error {
	return s.obey(ctx, id, func(e *experiment, written func(error)) error {
		e.enabled = enabled
		s.keep(e, written)
		return nil
	})
}

// Thaw lets a frozen experiment go on.
func (s *Supervisor) Thaw(ctx context.Context, id string) error {
	return s.actOn(ctx, id, Frozen, func(ctx context.Context, u transient.Unit) error { return s.Freezer.Thaw(ctx, u.Name) })
}

// Kill sends a signal to the main process of an experiment, or to all its
// processes. What follows is what follows a run that died.
func (s *Supervisor) Kill(ctx context.Context, id string, whom transient.Whom, sig syscall.Signal) error {
	return s.actOn(ctx, id, "", func(ctx context.Context, u transient.Unit) error { return s.Units.Kill(ctx, u.Name, whom, sig) })
}

// actOn does something to the unit of an experiment that is in a phase, or in any
// with a unit ("").
func (s *Supervisor) actOn(ctx context.Context, id string, phase Phase, do func(context.Context, transient.Unit) error) error {
	unit, err := ask(ctx, s, func() (transient.Unit, error) {
		e := s.byID[id]
		switch {
		case e == nil:
			return transient.Unit{}, fmt.Errorf("%w: %s", ErrUnknown, id)
		case phase == Frozen && e.phase != Frozen:
			return transient.Unit{}, fmt.Errorf("%w: %s is %s", ErrNotFrozen, id, e.phase)
		case phase == "" && (!e.phase.Active() || e.unit.Invocation == "") || phase != "" && e.phase != phase:
			return transient.Unit{}, fmt.Errorf("%w: %s is %s", ErrNotRunning, id, e.phase)
		}
		return e.unit, nil
	})
	if err != nil {
		return err
	}
	return do(ctx, unit)
}

// onceMore queues an experiment whose end was asked for in order to start it
// again.
func (s *Supervisor) onceMore(e *experiment, cause Cause) {
	again := e.again
	e.again = false // before it is written down that it is queued: that is done once
	switch {
	case s.leaving.how != stay || e.phase != Stopped:
	case again:
		e.attempt = 0
		s.queueAt(e, e.placeKept(), restartAsked)
	case cause == CauseLeave && !e.disabled(): // the brainjar that was leaving died before it had left
		s.queueAt(e, e.placeKept(), ranWhenStopped)
	}
}
