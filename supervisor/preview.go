package supervisor

import (
	"context"
	"fmt"
	"time"

	"brainjar/internal/config"
	"brainjar/internal/quantity"
	"brainjar/transient"
)

// Forecast is what would become of an experiment if brainjar began now.
type Forecast struct {
	Experiment *config.Experiment
	Verdict    Verdict // the first answer of admission; OK also if it is not to be started
	Idle       bool    // autostart = false: nobody wants it yet
	Refusal    error   // what the machine cannot enforce, a line for each reason; nil if it can
	Missing    error   // what it names that is not here yet, a line for each; nil if all is
	Warnings   []string
}

// Machine is where a configuration is to be run.
type Machine struct {
	MemTotal quantity.Bytes
	Host     *transient.Host // nil: no service manager could be asked
	Board    Board
}

// Preview answers what Run would do first with a configuration on a machine
// where nothing runs. It looks at file systems, accounts and the GPU.
func Preview(ctx context.Context, cfg *config.Config, m Machine) []Forecast {
	room := Headroom{Slots: cfg.Supervisor.MaxConcurrent, Budget: cfg.Budget(m.MemTotal)}
	endless := doubts(cfg)
	noGPU := m.Board.lacks(ctx, cfg)
	forecasts := make([]Forecast, len(cfg.Experiments))
	var candidates []Candidate
	var asked []*Forecast
	for i, c := range cfg.Experiments {
		f := &forecasts[i]
		*f = Forecast{Experiment: c, Idle: !c.Autostart}
		f.check(m.Host)
		if endless[c.ID] != "" {
			f.Warnings = append(f.Warnings, "after: "+endless[c.ID])
		}
		if c.GPU && noGPU != nil {
			f.Warnings = append(f.Warnings, noGPU.Error())
		}
		if err := m.Board.lacksMode(c.PowerMode); err != nil {
			f.Warnings = append(f.Warnings, err.Error())
		}
		if f.Idle || f.Refused() {
			continue
		}
		demand := Demand{Memory: c.MemoryMax + m.Board.shared(c.GPUMemory), GPU: c.GPUMemory, Mode: c.PowerMode}
		if len(c.After) > 0 {
			phase := Queued
			if d, ok := cfg.Experiment(c.After[0].ID); ok && !d.Autostart {
				phase = Idle
			}
			demand.Waits = fmt.Sprintf("after %s: %s", c.After[0].ID, phase)
		}
		candidates = append(candidates, Candidate{ID: c.ID, Priority: c.Priority, Demand: demand})
		asked = append(asked, f)
	}
	for i, v := range Schedule(candidates, room, time.Time{}) {
		asked[i].Verdict = v
	}
	return forecasts
}

// Refused says whether the experiment would not be started here.
func (f Forecast) Refused() bool { return f.Refusal != nil || f.Missing != nil }

// doubts are, by experiment, why something that it waits for may never come.
func doubts(cfg *config.Config) map[string]string {
	endless := make(map[string]*config.Experiment)
	for _, c := range cfg.Experiments {
		if c.Restart.Policy == config.RestartAlways {
			endless[c.ID] = c
		}
	}
	words := make(map[string]string)
	for _, c := range cfg.Experiments {
		for _, dep := range c.After {
			if on := endless[dep.ID]; on != nil && words[c.ID] == "" {
				words[c.ID] = dep.Doubt(on)
			}
		}
	}
	return words
}

// newDoubts are those that another configuration brings.
func newDoubts(old, next *config.Config) (words []string) {
	before, now := doubts(old), doubts(next)
	for _, c := range next.Experiments {
		if doubt := now[c.ID]; doubt != "" && doubt != before[c.ID] {
			words = append(words, c.ID+": after: "+doubt)
		}
	}
	return words
}

// check finds out whether the machine would refuse the experiment.
func (f *Forecast) check(host *transient.Host) {
	order := launch{cfg: f.Experiment, run: 1, userManager: host != nil && host.User}
	spec, err := order.spec()
	if f.Missing = transient.CheckNamed(spec); f.Missing == nil {
		f.Missing = err
	}
	if host != nil {
		f.Warnings, f.Refusal = host.Check(spec)
	}
}
