package supervisor

import (
	"brainjar/internal/ledger"
	"brainjar/transient"
)

// A run's number belongs to one invocation, and is given once:
//
//   - start reserves the lowest number above all that runs have. It is written before
//     systemd is asked; the unit carries it.
//   - The invocation that comes with a number has it, if no other has it. One that
//     comes with the number of another, as a unit does that a person restarts, is a
//     run of its own and gets the next that is free. Of what ended unwritten before
//     brainjar died, the ledger tells whether another has the number.
//   - A number is free again only where it is certain that no unit was made: systemd
//     said so, or had none when it had told all there is.
//
// An experiment's run and unit change together: its run is the number of that unit's
// invocation, or the one that is reserved for it.

// number is the number of the run that an invocation is. It remembers which it gives.
func (s *Supervisor) number(e *experiment, u transient.Unit) int {
	if r := s.openRun(u.Invocation); r != nil {
		return r.Run
	}
	if u.Invocation != "" && u.Invocation == e.unit.Invocation {
		return e.run
	}
	for run, owner := range e.owners {
		if owner == u.Invocation {
			return run
		}
	}
	run := u.Run
	reserved := e.phase.Active() && e.unit.Invocation == "" && run == e.run
	if _, owned := e.owners[run]; !reserved && (owned || run <= e.counted) {
		run = e.nextRun()
	}
	if s.ready {
		e.counted = max(e.counted, run)
		return run
	}
	e.own(run, u.Invocation)
	return run
}

// own remembers, until brainjar is ready, which invocation has a number.
func (e *experiment) own(run int, invocation string) {
	if e.owners == nil {
		e.owners = make(map[int]string)
	}
	e.owners[run] = invocation
}

// openRun is the row of an invocation whose end is not known, or nil.
func (s *Supervisor) openRun(invocation string) *ledger.Run {
	for i := range s.open {
		if s.open[i].Invocation == invocation {
			return &s.open[i]
		}
	}
	return nil
}

// lastRun is the highest number that a run has.
func (e *experiment) lastRun() int {
	last := e.counted
	for run := range e.owners {
		last = max(last, run)
	}
	return last
}

// nextRun is the lowest number above all that runs have, or may get.
func (e *experiment) nextRun() int { return max(e.run, e.lastRun()) + 1 }
