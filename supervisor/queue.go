package supervisor

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// keepPlaceAfter is how long smaller experiments may pass a bigger one that
// waits for room. Then its place is kept: nothing behind it starts.
const keepPlaceAfter = 10 * time.Minute

// Candidate is an experiment that waits for admission.
type Candidate struct {
	ID          string
	Priority    int       // higher goes first
	Came        time.Time // earlier goes first among equals
	ScarceSince time.Time // since when it has waited for nothing but room; zero if it has not
	Demand      Demand
}

// Schedule answers every candidate, in the order of their turns: highest
// priority first, then first come. Verdicts that say yes have been taken out
// of the headroom of those that follow.
func Schedule(waiting []Candidate, room Headroom, now time.Time) []Verdict {
	order := make([]int, len(waiting))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(
			cmp.Compare(waiting[b].Priority, waiting[a].Priority),
			waiting[a].Came.Compare(waiting[b].Came))
	})
	verdicts := make([]Verdict, len(waiting))
	var kept, keptMode *Candidate
	for _, i := range order {
		c := &waiting[i]
		v := Admit(c.Demand, room)
		switch {
		case v.OK() && kept != nil:
			v = kept.passed()
		case v.OK() && keptMode != nil && c.Demand.Mode != "": // others do not keep it waiting
			v = keptMode.passed()
		case v.OK():
			room = room.Take(c.Demand)
			if room.ModeBy == "" && c.Demand.Mode != "" {
				room.ModeBy = c.ID
			}
		case !v.Scarce() || c.ScarceSince.IsZero() || now.Sub(c.ScarceSince) < keepPlaceAfter:
		case v.Check == CheckPowerMode && keptMode == nil:
			keptMode = c
		case v.Check != CheckPowerMode && kept == nil:
			kept = c
		}
		verdicts[i] = v
	}
	return verdicts
}

// passed is the answer to one that may not pass c any more.
func (c *Candidate) passed() Verdict {
	return Verdict{CheckPlace, fmt.Sprintf("the place of %s is kept, it waited longer than %s", c.ID, keepPlaceAfter)}
}

// place is a place in the queue; the zero place is the last.
type place struct {
	came        time.Time // earlier goes first among equals
	waits       time.Time // since when; zero: from now on
	scarceSince time.Time
}

// placeNow is the place that an experiment has, or had when it began to start.
func (e *experiment) placeNow() place { return place{e.came, e.queuedAt, e.scarceSince} }

// placeKept is the place of an experiment that has run, and whose run ended by no doing of
// its own: before those that came later, who still wait.
func (e *experiment) placeKept() place { return place{came: e.came} }

// takePlace gives an experiment that is queued its place.
func (e *experiment) takePlace(c Change) {
	e.came, e.queuedAt, e.scarceSince = cmp.Or(c.place.came, c.At), cmp.Or(c.place.waits, c.At), c.place.scarceSince
	e.since = e.queuedAt
}

// queueAt queues an experiment at a place that it had before.
func (s *Supervisor) queueAt(e *experiment, p place, reason string) {
	s.change(e, Change{To: Queued, Reason: reason, place: p}, nil)
}
