package supervisor

import (
	"fmt"
	"time"

	"brainjar/sensors"
)

// feel takes one reading of the sensors.
func (s *Supervisor) feel(r sensors.Reading) {
	s.memory, s.felt = r.Memory, true
	s.measure(time.Now())
	s.hottest = s.temperature(r)
	s.watch(r, s.hottest, s.heat.Stage)
	if r.CPU.Count > 0 {
		s.cooling.cpus = r.CPU.Count
	}
	if s.Config.Thermal.Enabled {
		s.act(s.governor.Step(s.hottest, r.At))
	}
	s.feelEach()
	s.feelGPU(r)
	s.guardMemory(r.At)
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
	if s.heat.Stage > Hold {
		line += "; cooling: " + s.heat.String()
	}
	if reason := s.holdReason(); reason != "" {
		line += "; " + reason
	}
	if trouble := s.ledgerTrouble(); trouble != "" {
		line += "; " + trouble
	}
	if line != s.status {
		s.status = line
		s.Notify(line)
	}
}
