package supervisor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"brainjar/transient"
)

// Prober asks a unit that runs whether all is well with it.
type Prober interface {
	// CheckHealth makes one check; nil: all is well. It returns soon after ctx
	// has ended, whatever the check does.
	CheckHealth(ctx context.Context, unit transient.Unit, check transient.HealthCheck) error
}

// probesAtOnce is how many checks may be under way.
const probesAtOnce = 8

// probing is how an experiment that runs stands with its checks.
type probing struct {
	stretch  int                // counts how often it began to run, or went on after a freeze
	cancel   context.CancelFunc // of the check that is under way; nil: none is
	due      time.Time          // of the next; zero: there is none
	failures int                // in a row
}

// followProbe begins with checks when an experiment begins to run, and ends
// them when it does not run any more, or is frozen: the answer to a check that
// is under way then counts for nothing.
func (s *Supervisor) followProbe(e *experiment, c Change) {
	p := &e.probing
	if c.From == Running && p.cancel != nil {
		p.cancel()
	}
	p.stretch++
	p.due, p.failures = time.Time{}, 0
	if c.To == Running && s.Prober != nil && e.cfg.Probe.Wanted() {
		p.due = c.At.Add(e.cfg.Probe.Every)
	}
}

// tickProbes makes the checks that are due, those first that have waited longest.
// With too many under way the rest come when one of them has been answered.
func (s *Supervisor) tickProbes(now time.Time, next *time.Time) {
	var due []*experiment
	for _, e := range s.experiments {
		switch p := &e.probing; {
		case p.due.IsZero() || p.cancel != nil || e.turn != nil: // frozen, nobody answers
		case now.Before(p.due):
			*next = earlier(*next, p.due)
		default:
			due = append(due, e)
		}
	}
	slices.SortStableFunc(due, func(a, b *experiment) int { return a.probing.due.Compare(b.probing.due) })
	for _, e := range due[:min(len(due), probesAtOnce-s.probes)] {
		s.probe(e, now)
	}
}

// probe makes one check, outside the loop.
func (s *Supervisor) probe(e *experiment, now time.Time) {
	p := &e.probing
	p.due = now.Add(e.cfg.Probe.Every)
	check := e.cfg.ProbeFor(e.run, e.attempt)
	order := transient.HealthCheck{
		Exec: check.Exec, HTTP: check.HTTP, WorkingDirectory: e.cfg.WorkingDirectory,
	}
	unit, stretch := e.unit, p.stretch
	ctx, cancel := context.WithTimeout(s.ctx, check.Timeout)
	p.cancel = cancel
	s.probes++
	s.do(func(context.Context) error {
		defer cancel()
		return s.Prober.CheckHealth(ctx, unit, order)
	}, func(err error) {
		s.probes--
		p.cancel = nil
		if p.stretch == stretch && s.ctx.Err() == nil {
			s.probed(e, err)
		}
	})
}

// probed takes the answer to a check of an experiment that still runs.
func (s *Supervisor) probed(e *experiment, err error) {
	p := &e.probing
	switch {
	case err == nil && p.failures == 0:
	case err == nil:
		s.Log.Info("probe is well again", "experiment", e.cfg.ID, "failures", p.failures)
		p.failures = 0
	default:
		p.failures++
		if p.failures == 1 || p.failures == e.cfg.Probe.Failures {
			s.Log.Warn("probe failed", "experiment", e.cfg.ID, "failures", p.failures, "of", e.cfg.Probe.Failures, "err", err)
		}
		if p.failures >= e.cfg.Probe.Failures {
			s.end(e, CauseProbe, probeReason(p.failures, err))
		}
	}
}

// probeReason says why a run is ended after so many failed checks.
func probeReason(failures int, err error) string {
	if failures == 1 {
		return fmt.Sprintf("probe failed: %v", err)
	}
	return fmt.Sprintf("probe failed %d times in a row: %v", failures, err)
}
