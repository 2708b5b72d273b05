package supervisor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// breakerMemory is for how long a failure counts towards the breaker.
const breakerMemory = 10 * time.Minute

// Breaker holds all starts when something is wrong that is not the fault of one
// experiment: so many different ones failed soon after their start, within ten
// minutes. It opens until somebody resets it. The zero Breaker never does.
type Breaker struct {
	Failures int           // different experiments; 0: never
	Within   time.Duration // of their start

	failed map[string]time.Time // when, by experiment
	open   []string             // the experiments that opened it
}

// Ended takes the end of a run at a time: whether it failed, and how long it
// lasted. It reports whether that opened the breaker.
func (b *Breaker) Ended(experiment string, failed bool, lasted time.Duration, now time.Time) bool {
	if b.Failures == 0 || len(b.open) > 0 {
		return false
	}
	if !failed || lasted > b.Within {
		delete(b.failed, experiment)
		return false
	}
	if b.failed == nil {
		b.failed = make(map[string]time.Time)
	}
	maps.DeleteFunc(b.failed, func(_ string, at time.Time) bool { return now.Sub(at) > breakerMemory })
	b.failed[experiment] = now
	if len(b.failed) < b.Failures {
		return false
	}
	b.open = slices.Sorted(maps.Keys(b.failed))
	return true
}

// Reset closes the breaker.
func (b *Breaker) Reset() { b.failed, b.open = nil, nil }

// Reason says why the breaker is open, "" if it is not.
func (b *Breaker) Reason() string {
	if len(b.open) == 0 {
		return ""
	}
	return fmt.Sprintf("circuit breaker: %d experiments failed within %s of their start (%s); `brainjar release --all` or a new start of brainjar resets it",
		len(b.open), round(b.Within), strings.Join(b.open, ", "))
}

// trip tells the breaker of a run that ended.
func (s *Supervisor) trip(e *experiment, next Next, lasted time.Duration) {
	failed := next.Phase == Failed || next.Phase == Backoff && next.Result != "success"
	if s.breaker.Ended(e.cfg.ID, failed && next.Result != "lost", lasted, time.Now()) {
		s.Log.Error("starts are held", "reason", s.breaker.Reason())
		s.note("breaker", e.cfg.ID, e.run, s.breaker.Reason())
	}
}
