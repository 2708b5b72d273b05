package supervisor

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"brainjar/internal/quantity"
	"brainjar/sensors"
)

// Guard keeps the machine from running out of memory, before the kernel chooses
// whom to kill: on a board where memory is shared with the GPU it chooses wrong, or
// too late. It decides; others act.
type Guard struct {
	Critical quantity.Bytes // available memory; 0: nothing is ever stopped
	Grace    time.Duration  // for how long there must be less

	since time.Time // when there was less for the first time; zero: there is not
}

// Victim is an experiment that may be stopped for its memory.
type Victim struct {
	ID       string
	Priority int
	Unsaved  time.Duration  // run time since its last checkpoint, or since it began
	Uses     quantity.Bytes // of memory
	Ending   bool           // it was stopped for its memory, and has not ended yet
}

// Step takes one reading of memory, made at now, and returns which of those that run
// is to be stopped, and why; "" means none. That is the one of the lowest priority,
// among equals the one that loses least. The next is stopped only when that one has
// ended and memory was critical for Grace again.
func (g *Guard) Step(m sensors.Memory, running []Victim, now time.Time) (victim, reason string) {
	if m.State != sensors.OK || m.Available >= g.Critical {
		g.since = time.Time{}
		return "", ""
	}
	ending := slices.ContainsFunc(running, func(v Victim) bool { return v.Ending })
	if ending || g.since.IsZero() {
		g.since = now
	}
	lasted := now.Sub(g.since)
	if ending || len(running) == 0 || lasted < g.Grace {
		return "", ""
	}
	v := slices.MinFunc(running, func(a, b Victim) int {
		return cmp.Or(
			cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Unsaved, b.Unsaved),
			cmp.Compare(b.Uses, a.Uses), cmp.Compare(a.ID, b.ID))
	})
	g.since = time.Time{}
	return v.ID, fmt.Sprintf("only %s of memory available for %s, less than %s; %s", m.Available, round(lasted), g.Critical, why(v, running))
}

// why says why it is this one.
func why(v Victim, running []Victim) string {
	words := fmt.Sprintf("it would lose %s of work", round(v.Unsaved))
	if len(running) == 1 {
		return words
	}
	if slices.ContainsFunc(running, func(o Victim) bool { return o.Priority != v.Priority }) {
		return fmt.Sprintf("its priority %d is the lowest of %d that run, and %s", v.Priority, len(running), words)
	}
	return fmt.Sprintf("of %d that run, %s, the least", len(running), words)
}

// guardMemory stops an experiment if there is too little memory.
func (s *Supervisor) guardMemory(now time.Time) {
	if s.leaving.how != stay {
		return
	}
	var running []Victim
	for _, e := range s.experiments {
		if !e.phase.Active() || e.phase == Stopping && e.stop.cause != CauseMemory {
			continue
		}
		v := Victim{ID: e.cfg.ID, Priority: e.cfg.Priority, Uses: e.uses.claim() + s.Board.shared(e.gpu.now), Ending: e.phase == Stopping}
		begun := e.unit.Since
		if begun.IsZero() {
			begun = e.since
		}
		if e.savedAt.After(begun) {
			begun = e.savedAt
		}
		v.Unsaved = max(0, now.Sub(begun))
		running = append(running, v)
	}
	s.guard.Critical, s.guard.Grace = s.Config.Memory.Critical, s.Config.Memory.Grace
	if id, reason := s.guard.Step(s.memory, running, now); id != "" {
		s.Log.Error("memory is critical, an experiment is stopped", "experiment", id, "reason", reason)
		s.note(eventMemory, id, s.byID[id].run, reason)
		s.end(s.byID[id], CauseMemory, reason)
	}
}

// eventMemory is the kind of the events of the memory guard.
const eventMemory = "memory"
