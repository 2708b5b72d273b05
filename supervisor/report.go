package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"brainjar/internal/config"
	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/transient"
)

// Report is how everything stands.
type Report struct {
	At           time.Time
	Config       string // path of the configuration
	Ready        bool   // it is known what runs, orders are taken
	Leaving      bool   // brainjar is about to end
	Disconnected bool   // systemd is out of reach
	Ledger       string // what is wrong with the ledger; "" if nothing is

	Slots, SlotsUsed   int
	Budget, BudgetUsed quantity.Bytes
	Available          quantity.Bytes // memory of the machine
	AvailableKnown     bool
	Hold               string      // why nothing may start; "" if something may
	Stage              string      // of the governor: "cool", "hold", "quota 75 %", …, "stop"
	Hottest            Temperature // of the zones that count
	ThermalZones       []string    // patterns of these; nil: heat is not looked at
	Experiments        []Status    // those that were asked for
	Phases             map[Phase]int
}

// Status is how one experiment stands.
type Status struct {
	Config     *config.Experiment // with its overrides; not to be changed
	Submission *Submission        // nil: a file names it
	Phase      Phase
	Since      time.Time // of the phase
	Reason     string
	WaitsFor   Check // which question of admission it fails on, while it is queued
	Blocked    bool  // what it waits for has failed for good
	Run        int   // number of the latest run; 0: none yet
	Attempt    int   // restarts in a row
	Requeues   int   // in a row, for heat or memory
	Unit       transient.Unit
	LastResult transient.Result // "" if no run has ended
	QueuedAt   time.Time        // zero: it does not wait
	DueAt      time.Time        // when its backoff ends
	Hold       string           // why a person holds it
	Enabled    *bool            // override of autostart
	Autostart  bool             // with that
	MemoryMax  quantity.Bytes   // that is in force, or would be
	Usage      *Usage           // nil: it has no unit, or that could not be read
	GPUMemory  *quantity.Bytes  // of the GPUs' that its unit uses; nil: that is not known
	Outdated   []string         // keys that changed since the run began, and need another one
}

// Usage is what the unit of an experiment uses.
type Usage struct {
	transient.Usage
	CPU float64 // percent of one CPU, lately
}

// Summary returns how everything stands but the experiments, which nobody then has to
// look at.
func (s *Supervisor) Summary(ctx context.Context) (Report, error) {
	return ask(ctx, s, func() (Report, error) { return s.report(), nil })
}

// Report returns how everything stands, with the experiments of these ids, or all
// of them, in the order of the configuration. The bare id of a matrix stands for its
// members. ErrUnknown: there is no experiment of an id.
func (s *Supervisor) Report(ctx context.Context, ids ...string) (Report, error) {
	type found struct {
		report  Report
		samples []measured
	}
	f, err := ask(ctx, s, func() (found, error) {
		r := s.report()
		chosen, err := s.choose(ids)
		if err != nil {
			return found{}, err
		}
		r.Experiments = make([]Status, len(chosen))
		samples, blocked := make([]measured, len(chosen)), make(map[*experiment]string)
		for i, e := range chosen {
			r.Experiments[i], samples[i] = s.statusOf(e, s.blocked(e, blocked)), e.uses
		}
		return found{r, samples}, nil
	})
	if err != nil {
		return Report{}, err
	}
	made := make(map[string]measured)
	for i := range f.report.Experiments {
		st := &f.report.Experiments[i]
		if st.Phase.Active() && st.Unit.Invocation != "" {
			st.Usage = s.usageOf(st.Unit, f.samples[i], made)
		}
	}
	s.fresh.keep(made)
	return f.report, nil
}

// usageOf is what a unit uses now, or used a moment ago. A measurement that it makes
// is added to those made, by invocation.
func (s *Supervisor) usageOf(u transient.Unit, m measured, made map[string]measured) *Usage {
	now := time.Now()
	if other := s.fresh.of(u.Invocation); other.At.After(m.At) {
		m = other
	}
	if m.At.IsZero() || now.Sub(m.At) > freshFor {
		current, err := s.Groups.Usage(u.Name)
		if err != nil {
			return nil
		}
		m = m.next(current, now, u.Since)
		made[u.Invocation] = m
	}
	return &Usage{m.Usage, m.CPU}
}

// report is a Report without experiments.
func (s *Supervisor) report() Report {
	room := s.headroom()
	r := Report{
		At: time.Now(), Config: s.Config.Path, Ready: s.ready, Leaving: s.leaving.how != stay, Disconnected: !s.synced, Ledger: s.ledgerTrouble(),
		Slots: room.Slots, SlotsUsed: room.SlotsUsed, Budget: room.Budget, BudgetUsed: room.BudgetUsed,
		Available: s.memory.Available, AvailableKnown: s.memory.State == sensors.OK,
		Hold: room.Hold, Stage: s.heat.String(), Hottest: s.hottest, Phases: make(map[Phase]int),
	}
	if s.Config.Thermal.Enabled {
		r.ThermalZones = s.Config.Thermal.Zones
	}
	for _, e := range s.experiments {
		r.Phases[e.phase]++
	}
	return r
}

// choose finds the experiments that ids mean; none means all.
func (s *Supervisor) choose(ids []string) ([]*experiment, error) {
	if len(ids) == 0 {
		return s.experiments, nil
	}
	var chosen []*experiment
	var unknown error
	seen := make(map[string]bool)
	add := func(e *experiment) {
		if !seen[e.cfg.ID] {
			seen[e.cfg.ID] = true
			chosen = append(chosen, e)
		}
	}
	for _, id := range ids {
		if e := s.byID[id]; e != nil {
			add(e)
			continue
		}
		members := 0
		for _, e := range s.experiments {
			if e.cfg.Matrix == id {
				members++
				add(e)
			}
		}
		if members == 0 {
			unknown = errors.Join(unknown, fmt.Errorf("%w: %s", ErrUnknown, id))
		}
	}
	return chosen, unknown
}

// statusOf is how an experiment stands. blocked is for whom it waits in vain; "": for nobody.
func (s *Supervisor) statusOf(e *experiment, blocked string) Status {
	st := Status{
		Config: e.cfg, Submission: e.submission, Phase: e.phase, Since: e.since, Reason: e.reason, WaitsFor: e.waits,
		Run: e.run, Attempt: e.attempt, Requeues: e.requeues, Unit: e.unit, LastResult: e.last,
		Hold: e.hold, Enabled: e.enabled, Autostart: e.autostart(), MemoryMax: e.memoryMax(),
	}
	switch e.phase {
	case Queued:
		st.QueuedAt = e.queuedAt
		if blocked != "" { // and what else it waits for does not matter
			st.Blocked, st.Reason, st.WaitsFor = true, blocked, CheckDependency
		}
	case Backoff:
		st.DueAt = e.due
	}
	if e.phase.Active() {
		st.Outdated = e.outdated
		if used := e.gpu.now; e.gpu.known {
			st.GPUMemory = &used
		}
	}
	return st
}
