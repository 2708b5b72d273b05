package supervisor_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"brainjar/internal/ledger"
)

// book is a ledger that outlives the brainjars of a test.
type book struct {
	mu     sync.Mutex
	wanted map[string]ledger.Wanted
	runs   map[string]ledger.Run // by "experiment/run"
	events []ledger.Event
	sensed []ledger.Sample
	boot   string
	writes int
	broken error // what keeps writes from the disk
	aside  int   // damaged files set aside
	queued []ledger.Write
	slow   time.Duration // that a question takes
	taken  []string      // numbers that were given to two invocations, as "experiment/run"

	// dieAt is the number of the write at which die is called, 0 for none: before
	// it is on disk, or after.
	dieAt  int
	before bool
	die    func()
	dead   bool
}

func newBook() *book {
	return &book{wanted: map[string]ledger.Wanted{}, runs: map[string]ledger.Run{}, boot: "one"}
}

func (b *book) Put(w ledger.Write, done func(error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writes++
	if b.dead {
		return
	}
	if b.dieAt > 0 && b.writes >= b.dieAt {
		b.dead = true
		go b.die()
		if b.before {
			return
		}
	}
	b.queued = append(b.queued, w)
	err := b.broken
	if err == nil {
		for _, w := range b.queued {
			b.apply(w)
		}
		b.queued = nil
	}
	if done != nil && !b.dead {
		go done(err)
	}
}

// breaks keeps writes from the disk, until it is called with nil.
func (b *book) breaks(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = err
}

func (b *book) apply(w ledger.Write) {
	if w.Event != nil {
		b.events = append(b.events, *w.Event)
	}
	b.sensed = append(b.sensed, w.Samples...)
	if w.Wanted != nil {
		b.wanted[w.Wanted.Experiment] = *w.Wanted
	}
	if w.Remove != "" {
		delete(b.wanted, w.Remove)
	}
	if w.Run != nil {
		key := fmt.Sprintf("%s/%d", w.Run.Experiment, w.Run.Run)
		r := *w.Run
		if old := b.runs[key].Invocation; old != "" && r.Invocation != "" && old != r.Invocation {
			b.taken = append(b.taken, key)
		}
		if old, ok := b.runs[key]; ok && r.Invocation == "" {
			if r.Invocation = old.Invocation; r.EndedAt.IsZero() { // only its figures are new
				old.Figures = r.Figures
				r = old
			}
		}
		b.runs[key] = r
	}
}

func (b *book) Counted(_ context.Context, invocation string) (bool, error) {
	time.Sleep(b.slow)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.runs {
		if r.Invocation == invocation && !r.EndedAt.IsZero() {
			return true, nil
		}
	}
	return false, nil
}

func (b *book) HasRun(_ context.Context, experiment string, run int) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, written := b.runs[fmt.Sprintf("%s/%d", experiment, run)]
	return written, nil
}

func (b *book) LastRun(_ context.Context, experiment string) (last int, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.runs {
		if r.Experiment == experiment {
			last = max(last, r.Run)
		}
	}
	return last, nil
}

func (b *book) State() ledger.State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return ledger.State{Err: b.broken, SetAside: b.aside}
}

func (b *book) past() ledger.Past {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := ledger.Past{Wanted: slices.Collect(maps.Values(b.wanted)), LastRun: map[string]int{}}
	for _, r := range b.runs {
		p.LastRun[r.Experiment] = max(p.LastRun[r.Experiment], r.Run)
		if r.EndedAt.IsZero() {
			p.Open = append(p.Open, r)
		}
	}
	return p
}

// ends are the runs of an experiment in their order, each as "result code".
func (b *book) ends(id string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var runs []ledger.Run
	for _, r := range b.runs {
		if r.Experiment == id {
			runs = append(runs, r)
		}
	}
	slices.SortFunc(runs, func(a, b ledger.Run) int { return a.Run - b.Run })
	var ends []string
	for _, r := range runs {
		code := ""
		if r.ExitCode != nil {
			code = fmt.Sprint(" ", *r.ExitCode)
		}
		ends = append(ends, fmt.Sprintf("%d:%s%s", r.Run, r.Result, code))
	}
	return ends
}
