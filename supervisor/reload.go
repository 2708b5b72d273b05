package supervisor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"brainjar/internal/config"
	"brainjar/internal/quantity"
)

// Plan is what a reload of the configuration would change, or has changed.
type Plan struct {
	Steps    []Step
	Warnings []string

	next []*config.Experiment // what becomes of submitted experiments
}

// Effect is what a reload does to an experiment.
type Effect string

// The effects of a reload.
const (
	Add    Effect = "add"     // a new experiment
	Amend  Effect = "change"  // at once, also where it runs
	Renew  Effect = "restart" // some of what changed needs another run
	Remove Effect = "remove"  // it is stopped, and goes
)

// Step is what a reload does to one experiment, or to the settings.
type Step struct {
	Experiment string // "": the settings of brainjar itself
	Effect     Effect
	Keys       []string // that changed
	Words      string

	restart bool // at once
}

// liveKeys are the keys that take effect without another run, beside those of
// liveLimits: brainjar alone acts on them.
var liveKeys = []string{
	"autostart", "priority", "after", "tags", "description", "gpu_memory", "runtime_warning", "checkpoint_signal", "checkpoint_timeout",
	"restart.policy", "restart.max_restarts", "restart.delay", "restart.factor", "restart.max_delay", "restart.jitter",
	"restart.reset_after", "restart.success_codes", "restart.fatal_codes", "restart.checkpoint_codes", "max_requeues",
	"probe.exec", "probe.http", "probe.every", "probe.timeout", "probe.failures", "max_temperature", "log_max_size", "log_max_runs",
}

// needRun are those of the keys that only another run can have.
func needRun(keys []string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		return slices.Contains(liveKeys, key) || slices.Contains(liveLimits, key)
	})
}

// lateSettings are the settings that are read when brainjar starts.
var lateSettings = []string{"thermal.interval"}

// Plan reads the configuration again and says what a reload would do. The error is
// config.Errors if it cannot be used: then nothing would change.
func (s *Supervisor) Plan(ctx context.Context) (Plan, error) {
	r, err := s.readAgain(ctx)
	if err != nil {
		return Plan{}, err
	}
	return ask(ctx, s, func() (Plan, error) { return s.plan(r, false), nil })
}

// Reload reads the configuration again and changes what differs, and nothing else.
// What needs another run is restarted only if that is asked for.
func (s *Supervisor) Reload(ctx context.Context, restart bool) (Plan, error) {
	r, err := s.readAgain(ctx)
	if err != nil {
		return Plan{}, err
	}
	return ask(ctx, s, func() (Plan, error) {
		switch {
		case s.Config != r.old:
			return Plan{}, fmt.Errorf("%w: another reload was faster, try again", ErrNotReady)
		case !s.ready:
			return Plan{}, fmt.Errorf("%w yet: systemd has not told what runs", ErrNotReady)
		case s.leaving.how != stay:
			return Plan{}, ErrLeaving
		}
		p := s.plan(r, restart)
		s.reload(r, p)
		return p, nil
	})
}

// rereading is a configuration that was read again, with what was found out about
// it outside of the loop.
type rereading struct {
	old, new *config.Config
	named    map[string]bool // ids of new
	runs     map[string]int  // number of the latest run, of experiments that are new
}

func (s *Supervisor) readAgain(ctx context.Context) (rereading, error) {
	type known struct {
		config *config.Config
		ids    map[string]bool
	}
	k, err := ask(ctx, s, func() (known, error) {
		ids := make(map[string]bool)
		for id := range s.byID {
			ids[id] = true
		}
		return known{s.Config, ids}, nil
	})
	if err != nil {
		return rereading{}, err
	}
	r := rereading{old: k.config, named: make(map[string]bool), runs: make(map[string]int)}
	if r.new, err = config.Load(k.config.Path); err != nil {
		return r, err
	}
	if problems := r.new.Fit(s.MemTotal, s.Board.Unified); len(problems) > 0 {
		return r, problems
	}
	for _, c := range r.new.Experiments {
		r.named[c.ID] = true
		if !k.ids[c.ID] && s.Ledger != nil {
			if r.runs[c.ID], err = s.Ledger.LastRun(ctx, c.ID); err != nil {
				return r, fmt.Errorf("cannot number the runs of %s: %w", c.ID, err)
			}
		}
	}
	return r, nil
}

// plan compares the configuration that was read again with what there is.
func (s *Supervisor) plan(r rereading, restart bool) Plan {
	var p Plan
	if keys := r.old.Differences(r.new); len(keys) > 0 {
		p.Steps = append(p.Steps, Step{Effect: Amend, Keys: keys})
		for _, key := range keys {
			if slices.Contains(lateSettings, key) {
				p.Warnings = append(p.Warnings, key+" takes effect when brainjar is started again")
			}
		}
	}
	for _, c := range r.new.Experiments {
		e := s.byID[c.ID]
		if e == nil || e.removed {
			p.Steps = append(p.Steps, Step{Experiment: c.ID, Effect: Add, Words: addWords(c)})
			continue
		}
		if keys := e.base.Differences(c); len(keys) > 0 || e.submission != nil || e.isOutdated() {
			p.amend(e, c, restart)
		}
	}
	others := slices.Collect(maps.Keys(s.byID))
	for _, e := range s.experiments {
		if e.submission == nil || r.named[e.cfg.ID] {
			continue
		}
		// [defaults] or [template] may have changed.
		c, err := build(r.new, e.cfg.ID, *e.submission, e.overrides, others)
		if err != nil {
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s stays as it is, it could not be made any more: %v", e.cfg.ID, err))
		} else if len(e.base.Differences(c)) > 0 || e.isOutdated() {
			p.amend(e, c, restart)
		}
	}
	for _, e := range s.experiments {
		if r.named[e.cfg.ID] || e.submission != nil || e.removed {
			continue
		}
		step := Step{Experiment: e.cfg.ID, Effect: Remove}
		if e.phase.Active() {
			step.Words = "is stopped"
		}
		p.Steps = append(p.Steps, step)
	}
	p.Warnings = append(p.Warnings, newDoubts(r.old, r.new)...)
	if claimed, budget := s.claimedUnder(r.new), r.new.Budget(s.MemTotal); claimed > budget {
		p.Warnings = append(p.Warnings, fmt.Sprintf("what runs may use %s together then, above the memory_budget of %s: nothing starts until it fits", claimed, budget))
	}
	return p
}

// claimedUnder is the memory that the limits of what runs would add up to under another
// configuration, before anything has ended.
func (s *Supervisor) claimedUnder(c *config.Config) quantity.Bytes {
	limit := make(map[string]quantity.Bytes)
	for _, e := range c.Experiments {
		limit[e.ID] = e.MemoryMax + s.Board.shared(e.GPUMemory)
	}
	claimed := s.headroom().BudgetUsed
	for _, e := range s.experiments {
		_, said := e.overrides.Keys["memory_max"]
		if then, named := limit[e.cfg.ID]; named && e.phase.Active() && !said {
			claimed += max(then, s.demand(e)) - s.demand(e)
		}
	}
	return claimed
}

// amend adds what becomes of an experiment whose configuration is another one now.
func (p *Plan) amend(e *experiment, c *config.Experiment, restart bool) {
	keys := e.base.Differences(c)
	step := Step{Experiment: c.ID, Effect: Amend, Keys: keys}
	late := needRun(keys)
	if e.isOutdated() { // since an earlier reload
		late = union(e.outdated, late)
		step.Keys = union(step.Keys, late)
	}
	late = e.begun.lacks(c, late)
	if len(late) > 0 && e.phase.Active() {
		step.Effect, step.Words = Renew, "takes effect with its next run: "+strings.Join(late, ", ")
		if step.restart = restart && e.phase != Stopping; step.restart {
			step.Words = "is restarted for " + strings.Join(late, ", ")
		}
	} else if !e.phase.Active() && definitionOf(c).changed(e.definition, e.phase) {
		step.Words = "is started again: it had " + string(e.phase)
	}
	if over := overridden(e, keys); len(over) > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s: an order overrides %s", c.ID, strings.Join(over, ", ")))
	}
	p.Steps = append(p.Steps, step)
	if e.submission != nil {
		p.next = append(p.next, c)
	}
}

func addWords(c *config.Experiment) string {
	if c.Autostart {
		return "is queued"
	}
	return ""
}

// overridden are those of the keys that an order says otherwise.
func overridden(e *experiment, keys []string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		table, _, _ := strings.Cut(key, ".")
		_, said := e.overrides.Keys[table]
		return !said && (key != "config" || e.overrides.Config == "")
	})
}

// reload makes the configuration that was read again the one that holds.
func (s *Supervisor) reload(r rereading, p Plan) {
	budget := s.budget
	s.Config = r.new
	s.applySettings()
	s.Log.Info("configuration reloaded", "config", s.Config.Path, "steps", len(p.Steps))
	var ordered []*experiment
	for _, c := range r.new.Experiments {
		e := s.byID[c.ID]
		if e == nil {
			e = s.add(c, nil, r.runs[c.ID])
			if !s.takeBack(e) && e.autostart() {
				s.want(e)
			}
		} else {
			e.submission = nil
			s.replace(e, c)
		}
		ordered = append(ordered, e)
	}
	for _, e := range s.experiments {
		if r.named[e.cfg.ID] {
			continue
		}
		ordered = append(ordered, e)
		if e.submission == nil && !e.removed {
			s.Log.Info("vanished from the configuration", "experiment", e.cfg.ID, "phase", e.phase)
			s.remove(e, "it vanished from the configuration")
		}
	}
	s.experiments = ordered
	for _, c := range p.next {
		if e := s.byID[c.ID]; e.submission != nil {
			s.replace(e, c)
		}
	}
	for _, step := range p.Steps {
		if e := s.byID[step.Experiment]; e != nil && step.restart {
			s.renew(e, "restarted for a reload", nil)
		}
	}
	if s.budget != budget {
		s.setSlice()
	}
}

// applySettings makes the loop's own state follow the settings.
func (s *Supervisor) applySettings() {
	s.budget = s.Config.Budget(s.MemTotal)
	s.setThermal()
	s.breaker.Failures, s.breaker.Within = s.Config.Supervisor.Breaker.Failures, s.Config.Supervisor.Breaker.Within
}

// replace gives an experiment another configuration.
func (s *Supervisor) replace(e *experiment, c *config.Experiment) {
	before := e.cfg
	keys := e.base.Differences(c)
	back := e.removed
	e.removed = false
	if len(keys) == 0 && !back {
		e.base = c
		s.recalc(e)
		return
	}
	was := e.definition
	e.base, e.definition = c, definitionOf(c).String()
	s.recalc(e)
	switch {
	case e.phase.Active():
		e.outdate(needRun(keys))
		e.outdated = e.begun.lacks(e.cfg, e.outdated)
		if limitsDiffer(before, e.cfg) {
			s.changeLimits(e, before)
		}
		if !e.warned && !slices.Contains(e.outdated, "runtime_max") {
			e.warnLater(false)
		}
		e.again = e.again || back && e.phase == Stopping
	case definitionOf(c).changed(was, e.phase):
		e.attempt, e.requeues = 0, 0
		s.move(e, Queued, fmt.Sprintf("its configuration has changed since run %d %s", e.run, e.phase))
		return
	case e.phase == Idle && e.autostart():
		s.want(e)
		return
	}
	s.keep(e, nil)
}

// changeLimits gives a unit that runs the limits that are configured now. Where that
// fails they come with the next run.
func (s *Supervisor) changeLimits(e *experiment, before *config.Experiment) {
	late := slices.DeleteFunc(e.cfg.Differences(before), func(key string) bool { return !slices.Contains(liveLimits, key) })
	if e.unit.Invocation == "" {
		e.outdate(late)
		return
	}
	unit, cfg, inForce := e.unit, e.cfg, max(before.MemoryMax, e.holds)
	e.holds = max(inForce, cfg.MemoryMax)
	apply := func(ctx context.Context) error { return s.applyLimits(ctx, unit.Name, cfg, inForce) }
	s.do(e.inTurn(apply), func(err error) {
		if e.unit.Invocation != unit.Invocation || s.ctx.Err() != nil {
			return
		}
		if err == nil {
			e.holds = 0
			return
		}
		e.holds = inForce
		s.Log.Error("limits cannot be changed while it runs", "experiment", cfg.ID, "unit", unit.Name, "err", err)
		e.outdate(late)
	})
}

// outdate notes keys that only the next run will have.
func (e *experiment) outdate(keys []string) { e.outdated = union(e.outdated, keys) }

// isOutdated reports whether what runs lacks something that is configured now.
func (e *experiment) isOutdated() bool { return e.phase.Active() && len(e.outdated) > 0 }

// union is a, followed by what b has besides.
func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, key := range b {
		if !slices.Contains(all, key) {
			all = append(all, key)
		}
	}
	return all
}

// renew ends a run so that another one begins.
func (s *Supervisor) renew(e *experiment, reason string, written func(error)) {
	e.again = true
	s.end(e, CauseAsked, reason)
	s.keep(e, written)
}
