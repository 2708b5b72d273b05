package supervisor

import (
	"context"
	"errors"
	"time"

	"brainjar/transient"
)

// Change is one change of the phase of an experiment.
type Change struct {
	At         time.Time
	Experiment string
	Run        int // 0: it has never run
	From, To   Phase
	Reason     string
	Ended      *transient.Outcome // of the run that this change ended; nil if it ended none
}

// Status is how one experiment stands.
type Status struct {
	Experiment string
	Phase      Phase
	Since      time.Time // of the phase
	Reason     string
	Run        int // number of the latest run; 0: none yet
	Attempt    int // restarts in a row
	Unit       transient.Unit
	LastResult transient.Result // "" if no run has ended
}

// ErrEnded is the answer to a question that comes after Run has returned.
var ErrEnded = errors.New("the supervisor has ended")

// Snapshot returns how every experiment stands, in the order of the
// configuration. It waits for the loop until ctx ends.
func (s *Supervisor) Snapshot(ctx context.Context) ([]Status, error) {
	answer := make(chan []Status, 1)
	s.order(func() {
		all := make([]Status, len(s.experiments))
		for i, e := range s.experiments {
			all[i] = Status{
				Experiment: e.cfg.ID, Phase: e.phase, Since: e.since, Reason: e.reason,
				Run: e.run, Attempt: e.attempt, Unit: e.unit, LastResult: e.last,
			}
		}
		answer <- all
	})
	select {
	case all := <-answer:
		return all, nil
	case <-s.done:
		return nil, ErrEnded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
