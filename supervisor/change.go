package supervisor

import (
	"errors"
	"time"

	"brainjar/transient"
)

// Change is one change of the phase of an experiment.
type Change struct {
	ID         int64 // of the event that this is, as in the ledger: ascending
	At         time.Time
	Experiment string
	Run        int // 0: it has never run
	From, To   Phase
	Reason     string
	Ended      *transient.Outcome // of the run that this change ended; nil if it ended none

	place place // of what is queued
}

// ErrEnded is the answer to a question that comes after Run has returned.
var ErrEnded = errors.New("the supervisor has ended")
