package supervisor

import (
	"context"
	"errors"
	"fmt"

	"brainjar/internal/config"
	"brainjar/internal/quantity"
	"brainjar/internal/runlog"
	"brainjar/transient"
)

// Logs is what the supervisor asks of the files that output goes to.
type Logs interface {
	// Create makes the file of a run and returns its path. It may block for I/O.
	Create(experiment string, run int) (path string, err error)
}

// logFile makes the file of a run whose output goes to one; "" if it does not.
// That it cannot be made is no fault of the experiment.
func (s *Supervisor) logFile(l launch) (string, error) {
	if l.cfg.Log != config.LogFile || l.streams != nil || l.process != nil {
		return "", nil
	}
	if s.Logs == nil {
		return "", errors.New(`cannot start it with log = "file": there is no place for log files`)
	}
	path, err := s.Logs.Create(l.cfg.ID, l.run)
	if err != nil {
		return "", fmt.Errorf("%w: %w", transient.ErrNotNow, err)
	}
	return path, nil
}

// orphanLogs are the limits of those of which it is not known any more what they
// were configured with: the configuration's defaults.
var orphanLogs = runlog.Limits{Size: 64 * quantity.MiB, Runs: 10}

// LogTerms says how much of the output in files is kept, and of which runs it is
// not over. It is ErrNotReady as long as it is not known what runs.
func (s *Supervisor) LogTerms(ctx context.Context) (runlog.Terms, error) {
	return ask(ctx, s, func() (runlog.Terms, error) {
		if !s.synced {
			return runlog.Terms{}, ErrNotReady
		}
		t := runlog.Terms{Budget: s.Config.Supervisor.LogBudget, Experiments: make(map[string]runlog.Limits)}
		for _, e := range s.experiments {
			limits := runlog.Limits{Size: e.cfg.LogMaxSize, Runs: e.cfg.LogMaxRuns}
			if e.phase.Active() {
				limits.Live = e.run
			}
			t.Experiments[e.cfg.ID] = limits
		}
		for _, o := range s.orphans {
			limits := orphanLogs
			limits.Live = o.found.Unit.Run
			t.Experiments[o.found.Unit.Experiment] = limits
		}
		return t, nil
	})
}
