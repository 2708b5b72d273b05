package supervisor

import (
	"context"
	"sync"
	"time"

	"brainjar/internal/quantity"
	"brainjar/transient"
)

// measured is what a unit used at some time.
type measured struct {
	transient.Usage
	At  time.Time // zero: it was never measured
	CPU float64   // percent of one CPU, between the measurement before and this one
}

// next is the measurement that follows m of a run that began at since.
func (m measured) next(u transient.Usage, at, since time.Time) measured {
	from, used := m.At, m.CPUTime
	if from.IsZero() {
		from, used = since, 0
	}
	n := measured{Usage: u, At: at, CPU: m.CPU}
	if passed := at.Sub(from); !from.IsZero() && passed >= minMeasured {
		n.CPU = 100 * float64(max(0, u.CPUTime-used)) / float64(passed)
	}
	return n
}

// claim is the memory that a unit has taken: what is cached for it the kernel
// takes back when it is short.
func (m measured) claim() quantity.Bytes { return m.Memory - min(m.Cache, m.Memory) }

const (
	// measureEvery is the time between two measurements of all units while nobody
	// needs to know more.
	measureEvery = 10 * time.Second
	// freshFor is how long a measurement is good for an answer.
	freshFor = 2 * time.Second
	// minMeasured is the shortest time over which a share of the CPU says something.
	minMeasured = 100 * time.Millisecond
)

// fresh are the measurements that reports have made lately, by invocation: whoever asks
// next need not make them again.
type fresh struct {
	mu     sync.Mutex
	latest map[string]measured
}

func (f *fresh) of(invocation string) measured {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest[invocation]
}

// keep adds measurements, and lets go of those that are not fresh any more.
func (f *fresh) keep(made map[string]measured) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for invocation, m := range f.latest {
		if _, again := made[invocation]; !again && time.Since(m.At) <= freshFor {
			made[invocation] = m
		}
	}
	f.latest = made
}

// measure finds out what each unit uses that runs: with each reading of the
// sensors while something waits for memory, else now and then.
func (s *Supervisor) measure(now time.Time) {
	var units []transient.Unit
	queued := false
	for _, e := range s.experiments {
		queued = queued || e.phase == Queued
		if e.phase.Active() && e.unit.Invocation != "" {
			units = append(units, e.unit)
		}
	}
	for _, o := range s.orphans {
		units = append(units, o.found.Unit)
	}
	if len(units) == 0 || !queued && now.Sub(s.measuredAt) < measureEvery {
		return
	}
	s.measuredAt = now
	uses := make(map[string]transient.Usage, len(units)) // by invocation
	s.do(func(context.Context) error {
		for _, unit := range units {
			if u, err := s.Groups.Usage(unit.Name); err == nil { // a unit that has just gone uses nothing
				uses[unit.Invocation] = u
			}
		}
		return nil
	}, func(error) {
		at := time.Now()
		for _, e := range s.experiments {
			if u, known := uses[e.unit.Invocation]; known {
				e.uses = e.uses.next(u, at, e.unit.Since)
				if u.SwapKnown {
					e.figures.addSwap(u.Swap)
				}
			}
		}
		for _, o := range s.orphans {
			if u, known := uses[o.found.Unit.Invocation]; known {
				o.uses = o.uses.next(u, at, o.found.Unit.Since)
			}
		}
	})
}
