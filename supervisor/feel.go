package supervisor

import (
	"context"
	"fmt"

	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/transient"
)

// feel takes one reading of the sensors.
func (s *Supervisor) feel(r sensors.Reading) {
	s.memory, s.felt = r.Memory, true
	s.measureClaims()
	if s.Config.Thermal.Enabled {
		s.act(s.governor.Step(s.temperature(r), r.At))
	}
}

// temperature is what the governor needs of a reading.
func (s *Supervisor) temperature(r sensors.Reading) Temperature {
	z, known := r.Hottest(s.Config.Thermal.Zones)
	t := Temperature{Zone: z.Name, Celsius: z.Temperature, Known: known, Ever: r.EverHadZone}
	for _, other := range r.Zones {
		if !known && other.State == sensors.OK {
			t.Others = append(t.Others, other.Name)
		}
	}
	return t
}

// act does what the governor wants.
func (s *Supervisor) act(a Action) {
	before := s.heat
	s.heat = a
	if a.Heat == Stop { // also what was found running, or was started, since
		for _, e := range s.experiments {
			s.end(e, CauseHeat, a.Reason)
		}
	}
	if !a.Changed && (a.Reason == "") == (before.Reason == "") {
		return
	}
	switch {
	case a.Heat == Stop:
		s.Log.Error("critical temperature, everything stops", "reason", a.Reason)
	case a.Reason != "":
		s.Log.Warn("starts are held", "reason", a.Reason)
	default:
		s.Log.Info("starts resume")
	}
}

// measureClaims finds out how much of its memory each unit that runs has already
// taken, while something waits for memory; else nobody asks.
func (s *Supervisor) measureClaims() {
	var units []transient.Unit
	queued := false
	for _, e := range s.experiments {
		queued = queued || e.phase == Queued
		if e.phase.Active() && e.unit.Invocation != "" {
			units = append(units, e.unit)
		}
	}
	for _, o := range s.orphans {
		units = append(units, o.unit)
	}
	if !queued || len(units) == 0 {
		return
	}
	uses := make(map[string]quantity.Bytes, len(units)) // by invocation
	s.do(func(context.Context) error {
		for _, unit := range units {
			if u, err := s.House.Usage(unit.Name); err == nil {
				uses[unit.Invocation] = u.Memory - min(u.Cache, u.Memory) // a unit that has just gone uses nothing
			}
		}
		return nil
	}, func(error) {
		for _, e := range s.experiments {
			if used, known := uses[e.unit.Invocation]; known {
				e.uses = used
			}
		}
		for _, o := range s.orphans {
			if used, known := uses[o.unit.Invocation]; known {
				o.uses = used
			}
		}
	})
}

// tell keeps the service manager informed in one line of what is going on.
func (s *Supervisor) tell() {
	if !s.ready {
		return
	}
	running, queued, failed := 0, 0, 0
	for _, e := range s.experiments {
		switch {
		case e.phase.Active():
			running++
		case e.phase == Queued || e.phase == Backoff:
			queued++
		case e.phase == Failed:
			failed++
		}
	}
	line := fmt.Sprintf("STATUS=%d of %d running, %d waiting, %d failed", running, s.Config.Supervisor.MaxConcurrent, queued, failed)
	if reason := s.holdReason(); reason != "" {
		line += "; " + reason
	}
	if line != s.status {
		s.status = line
		s.Notify(line)
	}
}
