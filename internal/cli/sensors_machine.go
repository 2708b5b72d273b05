package cli

import (
	"context"
	"os"
	"sync"
	"time"

	"brainjar/internal/control"
	"brainjar/sensors"
	"brainjar/supervisor"
)

// settingsAge is how long what the board is set to counts: asking runs a program.
const settingsAge = 10 * time.Second

// machine is what is known of this machine for those who ask: its newest reading,
// and how the board is set.
type machine struct {
	fs   sensors.FS
	caps string // file of the caps that brainjar put on clocks

	mu       sync.Mutex
	reading  *sensors.Reading // nil: there was none yet
	interval time.Duration    // since the reading before

	asking   sync.Mutex // held while the settings are asked for
	settings sensors.Settings
	problems []sensors.Problem
	asked    time.Time
}

// keep takes a new reading.
func (m *machine) keep(r sensors.Reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reading != nil {
		m.interval = r.At.Sub(m.reading.At)
	}
	m.reading = &r
}

// get returns the newest reading with what goes with it; zones are the patterns of
// those that count. Its error is supervisor.ErrNotReady before the first reading.
func (m *machine) get(ctx context.Context, zones []string) (control.Sensors, error) {
	m.mu.Lock()
	reading, interval := m.reading, m.interval
	m.mu.Unlock()
	if reading == nil {
		return control.Sensors{}, supervisor.ErrNotReady
	}
	settings, problems := m.set(ctx)
	s := control.NewSensors(*reading, settings, zones)
	s.Interval = interval.Seconds()
	s.Problems = append(s.Problems[:len(s.Problems):len(s.Problems)], problems...)
	return s, nil
}

// set asks how the board is set, unless that is known from a short while ago. What came
// of asking for somebody who did not wait for it is not kept for others.
func (m *machine) set(ctx context.Context) (sensors.Settings, []sensors.Problem) {
	m.asking.Lock()
	defer m.asking.Unlock()
	if m.asked.IsZero() || time.Since(m.asked) > settingsAge {
		m.settings, m.problems = m.fs.Settings(ctx)
		m.asked = time.Now()
		if ctx.Err() != nil {
			m.asked = time.Time{}
		}
	}
	settings := m.settings
	if _, err := os.Stat(m.caps); err == nil {
		// With a ceiling of brainjar's own, a floor above it looks like a clock that is held.
		settings.JetsonClocks = sensors.Value[bool]{}
	}
	return settings, m.problems
}
