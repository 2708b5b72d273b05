package control

import (
	"golang.org/x/sys/unix"

	"brainjar/internal/config"
	"brainjar/internal/ledger"
	"brainjar/supervisor"
	"brainjar/transient"
)

// eventOf is a change of a phase as it travels.
func eventOf(c supervisor.Change) Event {
	e := Event{
		ID: c.ID, At: c.At, Kind: KindPhase, Experiment: c.Experiment, Run: c.Run,
		From: string(c.From), To: string(c.To), Reason: c.Reason,
	}
	if c.Ended != nil {
		e.Result = string(c.Ended.Result)
		if c.Ended.ExitCode >= 0 {
			e.ExitCode = &c.Ended.ExitCode
		}
		e.Signal = unix.SignalName(c.Ended.Signal)
	}
	return e
}

// pastEvent is an event of the ledger as it travels.
func pastEvent(e ledger.Event) Event {
	return Event{ID: e.ID, At: e.At, Kind: e.Kind, Experiment: e.Experiment, Run: e.Run, From: e.From, To: e.To, Reason: e.Reason}
}

func pastEvents(past []ledger.Event) []Event {
	events := make([]Event, len(past))
	for i, e := range past {
		events[i] = pastEvent(e)
	}
	return events
}

// experimentOf is how an experiment stands as it travels.
func experimentOf(s supervisor.Status) Experiment {
	c := s.Config
	e := Experiment{
		Experiment: c.ID, Description: c.Description, Tags: c.Tags, Matrix: c.Matrix, Kind: string(c.Kind),
		Phase: string(s.Phase), Reason: s.Reason, WaitsFor: string(s.WaitsFor), Blocked: s.Blocked, Since: s.Since,
		Priority: c.Priority, Autostart: s.Autostart, Enabled: s.Enabled, Hold: s.Hold,
		Run: s.Run, Attempt: s.Attempt, MaxRestarts: maxRestarts(c), Requeues: s.Requeues,
		QueuedAt: s.QueuedAt, DueAt: s.DueAt, LastResult: string(s.LastResult),
		MemoryMax: s.MemoryMax, GPUMemory: c.GPUMemory, CPUQuota: c.CPUQuota, TasksMax: c.TasksMax,
		Command: c.CommandFor(s.Run, s.Attempt), Config: c.Config,
		NeedsRestart: s.Outdated,
	}
	if s.Submission != nil {
		e.Submitted, e.Owner = true, s.Submission.Owner
	}
	if s.Phase.Active() {
		e.Unit, e.Invocation, e.PID, e.StartedAt = s.Unit.Name, s.Unit.Invocation, s.Unit.MainPID, s.Unit.Since
	}
	e.GPUMemoryUsed = s.GPUMemory
	if u := s.Usage; u != nil {
		seconds := u.CPUTime.Seconds()
		e.MemoryCurrent, e.MemoryCache, e.CPUPercent, e.CPUSeconds, e.Tasks = &u.Memory, &u.Cache, &u.CPU, &seconds, &u.Tasks
		if u.MemoryPeak > 0 {
			e.MemoryPeak = &u.MemoryPeak
		}
	}
	return e
}

// maxRestarts is how often in a row an experiment is started again.
func maxRestarts(c *config.Experiment) int {
	if c.Restart.Policy == config.RestartNo {
		return 0
	}
	return c.Restart.MaxRestarts
}

// statusOf is how everything stands as it travels.
func (s *Server) statusOf(r supervisor.Report) Status {
	st := Status{At: r.At, Experiments: make([]Experiment, len(r.Experiments)), Supervisor: Supervisor{
		Version: s.Version, PID: s.pid, StartedAt: s.began, Config: r.Config, Ready: r.Ready, Leaving: r.Leaving,
		Slots: r.Slots, SlotsUsed: r.SlotsUsed, MemoryBudget: r.Budget, MemoryUsed: r.BudgetUsed,
		Hold: r.Hold, Stage: r.Stage, Ledger: r.Ledger, Phases: make(map[string]int),
	}}
	if r.AvailableKnown {
		st.Supervisor.MemoryAvailable = &r.Available
	}
	if r.Hottest.Known {
		celsius := float64(r.Hottest.Celsius)
		st.Supervisor.Zone, st.Supervisor.Temperature = r.Hottest.Zone, &celsius
	}
	if r.Disconnected {
		st.Supervisor.Systemd = "out of reach"
	}
	for phase, n := range r.Phases {
		st.Supervisor.Phases[string(phase)] = n
	}
	for i, e := range r.Experiments {
		st.Experiments[i] = experimentOf(e)
	}
	return st
}

// planOf is a plan as it travels.
func planOf(p supervisor.Plan) Plan {
	plan := Plan{Steps: make([]Step, len(p.Steps)), Warnings: p.Warnings}
	for i, step := range p.Steps {
		plan.Steps[i] = Step{step.Experiment, string(step.Effect), step.Keys, step.Words}
	}
	return plan
}

// whomOf is the kind of processes that a signal goes to.
func whomOf(words string) (transient.Whom, bool) {
	switch words {
	case "":
		return transient.All, true
	case string(transient.Main), string(transient.All):
		return transient.Whom(words), true
	}
	return "", false
}
