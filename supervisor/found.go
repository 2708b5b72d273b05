package supervisor

import "brainjar/transient"

// updateFound compares a run that was found with what is configured now: a file that
// changed while brainjar was away is like one that was reloaded. Limits are changed at
// once, what needs another run waits for that.
func (s *Supervisor) updateFound(e *experiment, ev transient.Started) {
	e.command, e.outdated = toJSON(e.cfg.CommandFor(e.run, ev.Unit.Attempt)), e.begun.differs(e.cfg)
	limits := toJSON(limitsOf(e))
	same := true
	for _, r := range s.open {
		if r.Invocation != ev.Unit.Invocation || r.Experiment != e.cfg.ID {
			continue
		}
		same = r.Limits == "" || r.Limits == limits
		if r.Command != "" && r.Command != e.command {
			e.command = r.Command
			e.outdate([]string{"command"})
		}
	}
	before := *e.cfg
	if inForce := ev.Effective.MemoryMax; inForce > 0 {
		before.MemoryMax = inForce
	}
	if !same || before.MemoryMax != e.cfg.MemoryMax {
		s.Log.Info("limits follow the configuration", "experiment", e.cfg.ID, "unit", ev.Unit.Name, "memory_max", e.cfg.MemoryMax)
		s.changeLimits(e, &before)
	}
}
