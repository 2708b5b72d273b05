package supervisor

import (
	"context"
	"fmt"
	"time"

	"brainjar/transient"
)

// Prober makes health checks.
type Prober interface {
	// CheckHealth returns nil if the unit is well. It blocks for no longer than
	// the check's own timeout.
	CheckHealth(ctx context.Context, unit transient.Unit, check transient.HealthCheck) error
}

// probing is how far the health checks of a run have got.
type probing struct {
	at       time.Time // of the next; zero: none
	failures int       // in a row
	asking   bool      // one is under way
}

// probesAtOnce is how many health checks are made at once.
const probesAtOnce = 8

// probe makes the health check of an experiment that runs, when it is due, and
// moves next to when it wants to be looked at again.
func (s *Supervisor) probe(e *experiment, now time.Time, next *time.Time) {
	c := e.cfg.Probe
	if len(c.Exec) == 0 && c.HTTP == "" || s.Prober == nil || e.phase != Running || e.probing.asking {
		return
	}
	switch {
	case e.probing.at.IsZero(): // the run has just begun, or goes on after a freeze
		e.probing.at = now.Add(c.Every)
	case !now.Before(e.probing.at) && s.probes < probesAtOnce:
		s.check(e)
		return
	}
	*next = earlier(*next, e.probing.at)
}

// check asks whether an experiment is well.
func (s *Supervisor) check(e *experiment) {
	e.probing.asking = true
	s.probes++
	unit, run, c := e.unit, e.run, e.cfg.ProbeFor(e.run, e.unit.Attempt)
	health := transient.HealthCheck{
		Exec: c.Exec, HTTP: c.HTTP, Timeout: c.Timeout, WorkingDirectory: e.cfg.WorkingDirectory,
		Environment: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "EXPERIMENT_ID=" + e.cfg.ID,
			"BRAINJAR_EXPERIMENT=" + e.cfg.ID, fmt.Sprintf("BRAINJAR_RUN=%d", e.run),
		},
	}
	s.do(func(ctx context.Context) error { return s.Prober.CheckHealth(ctx, unit, health) }, func(err error) {
		s.probes--
		if e.run == run {
			s.checked(e, err)
		}
	})
}

// checked takes the answer of a health check.
func (s *Supervisor) checked(e *experiment, err error) {
	e.probing.asking = false
	e.probing.at = time.Now().Add(e.cfg.Probe.Every)
	switch {
	case e.phase != Running || s.ctx.Err() != nil:
		e.probing = probing{}
		return
	case err == nil && e.probing.failures > 0:
		s.Log.Info("probe is well again", "experiment", e.cfg.ID)
		fallthrough
	case err == nil:
		e.probing.failures = 0
		return
	}
	e.probing.failures++
	s.Log.Warn("probe failed", "experiment", e.cfg.ID, "in_a_row", e.probing.failures, "of", e.cfg.Probe.Failures, "err", err)
	if e.probing.failures >= e.cfg.Probe.Failures {
		s.end(e, CauseProbe, fmt.Sprintf("probe failed %s in a row: %v", count(e.probing.failures, "time"), err))
	}
}
