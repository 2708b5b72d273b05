package supervisor

import (
	"context"
	"errors"
	"syscall"
	"time"

	"brainjar/internal/quantity"
	"brainjar/transient"
)

// orphan is a unit of brainjar's that no experiment of the configuration owns:
// its experiment vanished from the file. It takes its slot and its memory until
// it has ended. It is ended by its stop signal alone, for what else it was
// configured with is not known any more; but systemd still knows its
// stop_timeout.
type orphan struct {
	found transient.Started // as systemd told of it last
	run   int               // its number, if the ledger knows the invocation; 0: it does not
	holds quantity.Bytes    // memory: its limit
	uses  measured

	ending bool      // it was told to end, or will be
	killed bool      // by SIGKILL: it had its time
	failed bool      // the latest order to end it did not get through
	due    time.Time // when to do more about it; zero: nothing is to be done, or an order is under way
}

// foundOrphan takes a unit that runs and belongs to nobody.
func (s *Supervisor) foundOrphan(ev transient.Started) {
	if known := s.orphans[ev.Unit.Name]; known != nil && known.found.Unit.Invocation == ev.Unit.Invocation {
		known.found, known.holds = ev, max(known.holds, ev.Effective.MemoryMax)
		return // told again: after a reconnection, or because it was loading
	}
	o := &orphan{found: ev, holds: ev.Effective.MemoryMax}
	if r := s.openRun(ev.Unit.Invocation); r != nil {
		o.run = r.Run
	}
	s.orphans[ev.Unit.Name] = o
	if s.frozenByHeat(ev.Unit) {
		s.command(func(ctx context.Context) error { return s.Freezer.Thaw(ctx, o.found.Unit.Name) }, func(err error) {
			if err != nil && s.ctx.Err() == nil {
				s.Log.Warn("order failed", "unit", o.found.Unit.Name, "order", "thaw", "err", err)
			}
		})
	}
	const words = "no experiment of the configuration owns a unit that runs"
	if s.Config.Supervisor.KeepOrphans {
		s.Log.Warn(words+", it is left running", "unit", o.found.Unit.Name, "experiment", o.found.Unit.Experiment, "memory_max", o.holds)
		return
	}
	s.Log.Warn(words+", it is stopped", "unit", o.found.Unit.Name, "experiment", o.found.Unit.Experiment)
	o.ending = true
	if s.synced {
		s.endOrphan(o)
	}
}

// takeBack gives an experiment that came back into the file the unit of its that was
// kept meanwhile, as a brainjar that starts would find it.
func (s *Supervisor) takeBack(e *experiment) bool {
	for name, o := range s.orphans {
		if o.found.Unit.Experiment != e.cfg.ID || o.ending {
			continue
		}
		delete(s.orphans, name)
		if o.run == e.counted {
			e.counted-- // it is the number of this invocation, which has not ended
		}
		o.found.Found = true
		s.started(o.found)
		return true
	}
	return false
}

// endOrphans gives the order to end all that are to end: anew, for the one
// before may have been lost with a connection.
func (s *Supervisor) endOrphans() {
	for _, o := range s.orphans {
		if o.ending {
			s.endOrphan(o)
		}
	}
}

// endOrphan asks systemd to stop a unit. That goes on by itself, up to SIGKILL,
// also when brainjar leaves or dies. While systemd waits for brainjar's own unit
// to stop it would wait for that first, so signals must do.
func (s *Supervisor) endOrphan(o *orphan) {
	name := o.found.Unit.Name
	switch {
	case o.killed:
		s.orphanOrder(o, stopMargin, func(ctx context.Context) error {
			return s.Units.Kill(ctx, name, transient.All, syscall.SIGKILL)
		})
	case s.leaving.blocked:
		s.orphanOrder(o, s.Config.Supervisor.StopTimeout, s.awake(name, func(ctx context.Context) error {
			return s.Units.Kill(ctx, name, transient.Main, syscall.SIGTERM)
		}))
	default:
		s.orphanOrder(o, s.Config.Supervisor.StopTimeout+stopMargin, func(ctx context.Context) error {
			return s.Units.Stop(ctx, name)
		})
	}
}

// orphanOrder gives an order, and notes when to look again: soon if it failed.
func (s *Supervisor) orphanOrder(o *orphan, limit time.Duration, order func(context.Context) error) {
	o.due = time.Time{}
	s.command(order, func(err error) {
		if s.ctx.Err() != nil {
			return
		}
		before := o.failed
		o.failed = err != nil && !errors.Is(err, transient.ErrNoUnit) // without a unit, its end is on the way
		if o.failed {
			limit = stopMargin
		}
		if o.failed && !before {
			s.Log.Error("cannot stop, tried again", "unit", o.found.Unit.Name, "err", err)
		}
		o.due = time.Now().Add(limit)
	})
}

// tickOrphans does what is due for orphans that are being ended. Only a drain
// kills: at other times one may take as long as systemd gives it, and is only
// asked again.
func (s *Supervisor) tickOrphans(now time.Time, next *time.Time) {
	for _, o := range s.orphans {
		switch {
		case o.due.IsZero():
		case now.Before(o.due):
			*next = earlier(*next, o.due)
		case s.leaving.ending && !o.failed && !o.killed:
			s.Log.Warn("killing", "unit", o.found.Unit.Name)
			o.killed = true
			s.endOrphan(o)
		default:
			s.endOrphan(o)
		}
	}
}

// drainOrphans ends what is not kept, since brainjar itself is to end; at once
// if it was asked for a second time.
func (s *Supervisor) drainOrphans() {
	for _, o := range s.orphans {
		if s.Config.Supervisor.KeepOrphans {
			continue
		}
		o.ending, o.killed = true, o.killed || s.leaving.killed
		s.endOrphan(o)
	}
}

// endingOrphans names the units that must have ended before a drain is over.
func (s *Supervisor) endingOrphans() []string {
	var names []string
	for name, o := range s.orphans {
		if o.ending {
			names = append(names, name)
		}
	}
	return names
}

// orphanGone takes the end of a unit that belonged to nobody.
func (s *Supervisor) orphanGone(u transient.Unit) {
	if o := s.orphans[u.Name]; o != nil && o.found.Unit.Invocation == u.Invocation {
		delete(s.orphans, u.Name)
		s.progress()
	}
}
