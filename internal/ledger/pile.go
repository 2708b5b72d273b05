package ledger

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

// pile is what is not on disk yet. It holds the newest row of each experiment and
// of each run, and the events in their order, so that it does not grow while the
// disk is full. It goes to disk as a whole.
type pile struct {
	wanted  map[string]*Wanted // nil: the row goes
	runs    map[runKey]*Run
	events  []Event
	samples []Sample
	dropped int // events that had no place
	lost    int // runs
}

type runKey struct {
	experiment string
	run        int
}

// Most events, samples and runs that wait for the disk; the oldest go first, of the runs
// such as have ended.
const (
	maxEvents  = 10_000
	maxSamples = 10_000
	maxRuns    = 10_000
)

func newPile() *pile {
	return &pile{wanted: make(map[string]*Wanted), runs: make(map[runKey]*Run)}
}

// size is how many rows wait.
func (p *pile) size() int { return len(p.wanted) + len(p.runs) + len(p.events) + len(p.samples) }

// put lays a write on the pile.
func (p *pile) put(w Write) {
	if w.Remove != "" {
		p.wanted[w.Remove] = nil
	}
	if w.Wanted != nil {
		row := *w.Wanted
		p.wanted[row.Experiment] = &row
	}
	if w.Run != nil {
		p.putRun(*w.Run)
	}
	if w.Event != nil {
		e := *w.Event
		if e.At.IsZero() {
			e.At = time.Now()
		}
		p.events = append(p.events, e)
	}
	for _, s := range w.Samples {
		if !s.At.IsZero() && !math.IsNaN(s.Value) { // NULL, for SQLite, which no column of a sample may be
			p.samples = append(p.samples, s)
		}
	}
	p.bound()
}

func (p *pile) putRun(r Run) {
	key := runKey{r.Experiment, r.Run}
	if old := p.runs[key]; old != nil {
		r = merge(*old, r)
	}
	p.runs[key] = &r
}

// over lays a newer pile on this one, which could not be written.
func (p *pile) over(newer *pile) *pile {
	maps.Copy(p.wanted, newer.wanted)
	for _, r := range newer.runs {
		p.putRun(*r)
	}
	p.events = append(p.events, newer.events...)
	p.samples = append(p.samples, newer.samples...)
	p.dropped += newer.dropped
	p.lost += newer.lost
	p.bound()
	return p
}

// inOrder returns the runs as they began.
func (p *pile) inOrder() []*Run {
	return slices.SortedFunc(maps.Values(p.runs), func(a, b *Run) int {
		return cmp.Or(orTime(a.StartedAt, a.EndedAt).Compare(orTime(b.StartedAt, b.EndedAt)),
			cmp.Compare(a.Experiment, b.Experiment), cmp.Compare(a.Run, b.Run))
	})
}

// bound makes room for some more at once: not every event of a long outage should
// copy all others.
func (p *pile) bound() {
	const room = 100
	if n := len(p.events) - maxEvents; n > 0 {
		n += room
		p.events = slices.Clone(p.events[n:])
		p.dropped += n
	}
	if n := len(p.samples) - maxSamples; n > 0 {
		n += room
		p.samples = slices.Clone(p.samples[n:])
	}
	if n := len(p.runs) - maxRuns; n > 0 {
		ended := slices.DeleteFunc(p.inOrder(), func(r *Run) bool { return r.EndedAt.IsZero() })
		for _, r := range ended[:min(n+room, len(ended))] {
			delete(p.runs, runKey{r.Experiment, r.Run})
			p.lost++
		}
	}
}

// merge is a run of which more has become known: what the newer row leaves out,
// the older one says.
func merge(old, r Run) Run {
	r.Invocation = cmp.Or(r.Invocation, old.Invocation)
	r.Unit = cmp.Or(r.Unit, old.Unit)
	r.Command = cmp.Or(r.Command, old.Command)
	r.Limits = cmp.Or(r.Limits, old.Limits)
	r.QueuedAt = orTime(r.QueuedAt, old.QueuedAt)
	r.StartedAt = orTime(r.StartedAt, old.StartedAt)
	r.EndedAt = orTime(r.EndedAt, old.EndedAt)
	r.Result = cmp.Or(r.Result, old.Result)
	r.Reason = cmp.Or(r.Reason, old.Reason)
	r.ExitCode = cmp.Or(r.ExitCode, old.ExitCode)
	r.Signal = cmp.Or(r.Signal, old.Signal)
	r.OOMKills = cmp.Or(r.OOMKills, old.OOMKills)
	r.MemoryMax = cmp.Or(r.MemoryMax, old.MemoryMax)
	r.MemoryPeak = cmp.Or(r.MemoryPeak, old.MemoryPeak)
	r.GPUMemoryPeak = cmp.Or(r.GPUMemoryPeak, old.GPUMemoryPeak)
	r.CPUSeconds = cmp.Or(r.CPUSeconds, old.CPUSeconds)
	r.Figures = mergeFigures(old.Figures, r.Figures)
	r.Boot = cmp.Or(r.Boot, old.Boot)
	return r
}

func orTime(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}
