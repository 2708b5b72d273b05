package supervisor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"brainjar/transient"
)

// Breaker holds all starts when different experiments fail soon after theirs:
// then the machine is probably the cause, and a queue that goes on would fail
// as a whole while nobody looks. What runs, runs on; only a person resets it.
//
// A failure counts until a later run shows that the machine can run something:
// one that began after it, and lasted for longer than Within or succeeded. So a
// few broken experiments among many good ones do not add up over a night; nor do
// those of days, for a failure counts for an hour.
//
// Only runs whose start it saw count, by the clock of this process, which
// nobody sets: one that was found running has lasted for nobody knows how long.
// It decides on what it is told and knows no clock.
type Breaker struct {
	Failures int           // different experiments; 0: it never opens
	Within   time.Duration // after the run was ready

	open   bool
	began  map[string]begin // of what runs
	failed []soonFailure    // the latest of each experiment, in the order of the failures
}

// breakerMemory is for how long a failure counts.
const breakerMemory = time.Hour

// begin is when a run was begun, and when it was ready: zero while it is not.
type begin struct{ at, ready time.Time }

type soonFailure struct {
	experiment string
	at         time.Time
}

// Step takes one change of a phase, and reports whether it opened the breaker.
func (b *Breaker) Step(c Change) (opened bool) {
	if b.Failures == 0 {
		return false
	}
	if b.began == nil {
		b.began = make(map[string]begin)
	}
	run, seen := b.began[c.Experiment]
	switch {
	case c.To == Starting:
		b.began[c.Experiment] = begin{at: c.At}
	case c.To == Running && c.From == Starting && seen:
		run.ready = c.At
		b.began[c.Experiment] = run
	case c.Ended != nil:
		delete(b.began, c.Experiment)
		if seen {
			return b.end(c, run)
		}
	case !c.To.Active():
		delete(b.began, c.Experiment) // systemd did not start it
	}
	return false
}

// end takes the end of a run.
func (b *Breaker) end(c Change, run begin) (opened bool) {
	if c.Ended.Result == transient.Success || b.lasted(run, c.At) {
		b.refute(run)
		return false
	}
	if !failedSoon(c) {
		return false
	}
	for _, other := range b.began { // what runs on has lasted meanwhile
		if b.lasted(other, c.At) {
			b.refute(other)
		}
	}
	b.failed = slices.DeleteFunc(b.failed, func(f soonFailure) bool {
		return f.experiment == c.Experiment || !b.open && c.At.Sub(f.at) > breakerMemory
	})
	b.failed = append(b.failed, soonFailure{c.Experiment, c.At})
	opened = !b.open && len(b.failed) >= b.Failures
	b.open = b.open || opened
	return opened
}

// lasted reports whether a run has got through the time in which a failure counts.
func (b *Breaker) lasted(run begin, now time.Time) bool {
	return !run.ready.IsZero() && now.Sub(run.ready) > b.Within
}

// refute strikes the failures that came before a run which went well: unless
// the breaker is open, for then a person is to look at them.
func (b *Breaker) refute(run begin) {
	if !b.open {
		b.failed = slices.DeleteFunc(b.failed, func(f soonFailure) bool { return f.at.Before(run.at) })
	}
}

// failedSoon reports whether the end of a run is a failure that may be the
// machine's. One for heat, memory or a stop is not, nor is one that nobody saw,
// nor a program that asks to be run again. A time limit that passes is one if it
// was that for getting ready.
func failedSoon(c Change) bool {
	switch c.Ended.Result {
	case transient.ExitCode:
		return c.To != Queued
	case transient.Timeout:
		return c.From == Starting
	case transient.Signal, transient.OOMKill, transient.StartFailed, transient.Watchdog, ResultProbe:
		return true
	}
	return false
}

// Reset closes the breaker and forgets all failures.
func (b *Breaker) Reset() { b.open, b.failed = false, nil }

// breakerNames is how many of the failed experiments are named.
const breakerNames = 5

// Reason says why nothing starts, and what to do, in words; "" while the breaker
// is closed.
func (b *Breaker) Reason() string {
	if !b.open {
		return ""
	}
	var names []string
	for _, f := range b.failed[:min(len(b.failed), breakerNames)] {
		names = append(names, f.experiment)
	}
	if more := len(b.failed) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("circuit breaker: %s failed within %s of their start (%s); `brainjar release --all` or a new start of brainjar resets it",
		count(len(b.failed), "experiment"), brief(b.Within), strings.Join(names, ", "))
}

// resetBreaker lets experiments be started again.
func (s *Supervisor) resetBreaker() {
	if s.breaker.Reason() != "" {
		s.Log.Info("circuit breaker is reset")
		s.note(eventBreaker, "", 0, "reset")
	}
	s.breaker.Reset()
}

// eventBreaker is the kind of the events of the circuit breaker.
const eventBreaker = "breaker"

// stepBreaker tells the breaker of a change.
func (s *Supervisor) stepBreaker(c Change) {
	if s.breaker.Step(c) {
		reason := s.breaker.Reason()
		s.Log.Error("nothing is started any more", "reason", reason)
		s.note(eventBreaker, "", 0, reason)
	}
}
