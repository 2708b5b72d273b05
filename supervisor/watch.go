package supervisor

import (
	"slices"
	"strconv"
	"time"

	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/transient"
)

const (
	// sampleEvery is the time between two rows of a sensor in the ledger, and between
	// two writings of what runs have felt: what is lost when brainjar is killed.
	sampleEvery = 10 * time.Second
	// maxSampled is how many zones have samples: a week of samples must have an end.
	maxSampled = 32
	// unwatchedGrace is for how long a run may be unwatched without that being said,
	// if intervals are short.
	unwatchedGrace = 5 * time.Second
)

// watch is how it stands with the figures of runs.
type watch struct {
	latest    feeling
	latestAt  time.Time
	power     quantity.Milliwatts // of the board, as last known
	powerAt   time.Time           // zero: it never was
	sampledAt time.Time
}

// gap is the longest time between two readings that the later one speaks for.
func (s *Supervisor) gap() time.Duration { return 3*s.Config.Thermal.Interval + time.Second }

// watch takes a reading into the figures of all runs. Stage is what was in force until
// now.
func (s *Supervisor) watch(r sensors.Reading, hottest Temperature, stage Stage) {
	f, w := feelingIn(r, hottest, stage), &s.watching
	if milliwatts, known := f.power.Get(); known {
		w.power, w.powerAt = milliwatts, r.At
	} else if !w.powerAt.IsZero() && r.At.Sub(w.powerAt) <= s.gap() {
		f.power = sensors.Value[quantity.Milliwatts]{State: sensors.OK, V: w.power}
	}
	s.credit(f, r.At)
	f.overloads = 0 // they have been counted
	w.latest, w.latestAt = f, r.At
	if !w.sampledAt.IsZero() && r.At.Sub(w.sampledAt) < sampleEvery-s.Config.Thermal.Interval/10 {
		return
	}
	w.sampledAt = r.At
	s.write(ledger.Write{Samples: samplesOf(r)}, nil)
	for _, e := range s.experiments {
		if e.watched() {
			s.write(ledger.Write{Run: &ledger.Run{
				Experiment: e.cfg.ID, Run: e.run, Attempt: e.unit.Attempt, GPUMemoryPeak: e.gpu.peak, Figures: e.figures.row(),
			}}, nil)
		}
	}
}

// watched reports whether the experiment has a run whose figures are made.
func (e *experiment) watched() bool {
	return e.phase.Active() && e.unit.Invocation != "" && e.figures.invocation == e.unit.Invocation && !e.figures.upTo.IsZero()
}

// credit gives each run its part of what was felt until at.
func (s *Supervisor) credit(f feeling, at time.Time) {
	running, uses := make([]*experiment, 0, len(s.experiments)), make([]use, 0, len(s.experiments))
	for _, e := range s.experiments {
		if e.watched() {
			running = append(running, e)
			uses = append(uses, use{cpu: e.uses.CPU, gpu: e.cfg.GPU})
		}
	}
	for _, o := range s.orphans {
		uses = append(uses, use{cpu: o.uses.CPU})
	}
	parts := shares(uses, s.cooling.cpus, f.gpu)
	for i, e := range running {
		e.figures.add(f, at, s.gap(), parts[i], len(uses) > 1)
	}
}

// creditUntil is credit with what was read last, before a run is added or goes. If
// that is long ago, nobody knows what the time since was like.
func (s *Supervisor) creditUntil(at time.Time) {
	if !s.watching.latestAt.IsZero() && at.Sub(s.watching.latestAt) <= s.gap() {
		s.credit(s.watching.latest, at)
	}
}

// beginFigures begins the figures of a run that was started, or goes on with what a
// brainjar before wrote of one that was found.
func (s *Supervisor) beginFigures(e *experiment, u transient.Unit) {
	if e.figures.invocation != u.Invocation {
		e.figures = s.recallFigures(u.Invocation)
	}
	if e.figures.upTo.IsZero() {
		now := time.Now()
		s.creditUntil(now)
		e.figures.upTo = now
	}
}

// recallFigures are the figures that a brainjar before wrote of a run whose end was not
// known, if there are any.
func (s *Supervisor) recallFigures(invocation string) figures {
	i := slices.IndexFunc(s.open, func(r ledger.Run) bool { return invocation != "" && r.Invocation == invocation })
	if i < 0 {
		return figures{invocation: invocation}
	}
	return figuresIn(s.open[i])
}

// closeFigures brings the figures of a run up to its end: what was read last holds
// until then.
func (s *Supervisor) closeFigures(e *experiment, o transient.Outcome) {
	now := time.Now()
	if !o.Ended.IsZero() {
		now = now.Add(-max(0, now.Round(0).Sub(o.Ended.Round(0)))) // brainjar hears of it later
	}
	if e.watched() {
		s.creditUntil(now)
	}
}

// judged are the figures of a run that has ended, with what they mean.
func (s *Supervisor) judged(g figures, r *ledger.Run) ledger.Figures {
	lasted := time.Duration(0)
	if !r.StartedAt.IsZero() {
		lasted = r.EndedAt.Round(0).Sub(r.StartedAt.Round(0))
	}
	f := g.row()
	f.Tainted = g.taint(lasted, max(unwatchedGrace, 2*s.Config.Thermal.Interval), r.Result == string(transient.Lost))
	return f
}

// samplesOf are the rows of a reading for the ledger: °C, mW, bytes, percent.
func samplesOf(r sensors.Reading) []ledger.Sample {
	var samples []ledger.Sample
	add := func(known bool, name string, value float64) {
		if known {
			samples = append(samples, ledger.Sample{At: r.At, Name: name, Value: value})
		}
	}
	for _, z := range r.Zones[:min(len(r.Zones), maxSampled)] {
		add(z.State == sensors.OK, z.Name, float64(z.Temperature))
	}
	add(r.Power.Power.State == sensors.OK, "power", float64(r.Power.Power.V))
	add(r.Memory.State == sensors.OK, "memory_available", float64(r.Memory.Available))
	for i, g := range r.GPUs[:min(len(r.GPUs), maxSampled)] {
		name := "gpu_load"
		if i > 0 {
			name += "_" + strconv.Itoa(i+1)
		}
		add(g.Load.State == sensors.OK, name, float64(g.Load.V))
	}
	return samples
}
