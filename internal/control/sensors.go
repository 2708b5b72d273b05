package control

import (
	"context"
	"net/http"

	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient"
)

// Sensors is the answer to GET /v1/sensors: the fields of a reading as package
// sensors writes them, where null is what is not known, and what goes with it.
type Sensors struct {
	sensors.Reading
	Interval float64 `json:"interval_seconds,omitempty"` // since the reading before; 0: there was none

	sensors.Settings
	ThermalZones   []string       `json:"thermal_zones"`             // names of the zones that count for [thermal]
	GPUExperiments map[int]string `json:"gpu_experiments,omitempty"` // by PID, of processes that use memory of a GPU
}

// NewSensors puts together what goes with a reading; zones are the patterns of the
// zones that count.
func NewSensors(r sensors.Reading, set sensors.Settings, zones []string) Sensors {
	s := Sensors{Reading: r, Settings: set, ThermalZones: []string{}}
	for _, z := range r.Zones {
		if z.Matches(zones) {
			s.ThermalZones = append(s.ThermalZones, z.Name)
		}
	}
	for _, c := range r.GPUMemory.Clients {
		if id, found := transient.Whose(c.PID); found {
			if s.GPUExperiments == nil {
				s.GPUExperiments = make(map[int]string)
			}
			s.GPUExperiments[c.PID] = id
		}
	}
	return s
}

// sensors answers with the newest reading.
func (s *Server) sensors(_ http.ResponseWriter, q *http.Request) (any, error) {
	if s.Sensors == nil {
		return nil, supervisor.ErrNotReady
	}
	report, err := s.Supervisor.Report(q.Context())
	if err != nil {
		return nil, err
	}
	reading, err := s.Sensors(q.Context(), report.ThermalZones)
	if err != nil {
		return nil, err
	}
	return reading, nil
}

// Sensors returns the newest reading of the machine's sensors. Problems have their
// errors as texts.
func (c *Client) Sensors(ctx context.Context) (s Sensors, err error) {
	return s, c.call(ctx, http.MethodGet, "/sensors", nil, nil, &s)
}
