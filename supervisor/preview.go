package supervisor

import (
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
	Refusal    error   // why the machine would refuse it; nil if it would not
	Warnings   []string
}

// Preview answers what Run would do first with a configuration on a machine
// where nothing runs. host is nil where no service manager could be asked.
func Preview(cfg *config.Config, memTotal quantity.Bytes, host *transient.Host) []Forecast {
	room := Headroom{Slots: cfg.Supervisor.MaxConcurrent, Budget: cfg.Budget(memTotal)}
	forecasts := make([]Forecast, len(cfg.Experiments))
	var candidates []Candidate
	var asked []*Forecast
	for i, c := range cfg.Experiments {
		f := &forecasts[i]
		*f = Forecast{Experiment: c, Idle: !c.Autostart}
		if host != nil {
			order := launch{cfg: c, run: 1, userManager: host.User}
			spec, err := order.spec()
			if err == nil {
				f.Warnings, err = host.Check(spec)
			}
			f.Refusal = err
		}
		if f.Idle || f.Refusal != nil {
			continue
		}
		demand := Demand{Memory: c.MemoryMax + c.GPUMemory}
		if len(c.After) > 0 {
			demand.Waits = fmt.Sprintf("after %s: %s", c.After[0].ID, Queued)
		}
		candidates = append(candidates, Candidate{ID: c.ID, Priority: c.Priority, Demand: demand})
		asked = append(asked, f)
	}
	for i, v := range Schedule(candidates, room, time.Time{}) {
		asked[i].Verdict = v
	}
	return forecasts
}
