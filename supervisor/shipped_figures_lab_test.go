//go:build lab

package supervisor_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"brainjar/sensors/sensorstest"
)

// What a run felt on a board is in the ledger, the history and the explanation; also
// what was felt before brainjar was killed.
func TestLongFigures(t *testing.T) {
	orin, state := newBoard(t), t.TempDir()
	b := ship(t, state, heatHead+"[experiments.felt]\ncommand = [\"/bin/sleep\", \"28\"]\n", "--sysroot", orin.dir)
	b.ready()
	b.await("it runs", 20*time.Second, func() bool { return strings.Contains(b.logged(), " running    felt") })
	orin.heat(68)
	must(t, sensorstest.Write(orin.dir, "[sys/class/hwmon/hwmon0]\noc2_event_cnt = 5 | oc3_event_cnt = 99999\n"))
	b.await("figures of a run that goes on", 25*time.Second, func() bool {
		rows := feltRuns(t, state, "felt")
		return len(rows) == 1 && rows[0].EndedAt == "" && rows[0].OverCurrent == 2 && rows[0].Joules > 0
	})
	orin.heat(50)
	b.kill()
	b = ship(t, state, heatHead+"[experiments.felt]\ncommand = [\"/bin/sleep\", \"28\"]\n", "--sysroot", orin.dir)
	b.ready()
	b.await("it has ended", 40*time.Second, func() bool { return strings.Contains(b.logged(), " succeeded  felt") })
	rows := feltRuns(t, state, "felt")
	if len(rows) != 1 {
		t.Fatalf("%+v", rows)
	}
	r := rows[0]
	if r.MaxTemperature != 68 || r.Zone != "tj-thermal" || r.OverCurrent != 2 || r.Shared == nil || *r.Shared || !strings.HasPrefix(r.Tainted, "over-current 2") {
		t.Errorf("%+v", r)
	}
	if watts := r.Joules / r.Seconds; watts < 9.2 || watts > 9.3 || r.Seconds < 15 || r.Seconds > 29 { // VDD_IN: 4984 mV, 1856 mA
		t.Errorf("%.1f J in %.1f s", r.Joules, r.Seconds)
	}
	if why, err := run(shippedBinary(t), "why", "felt"); err != nil || !strings.Contains(why, "tainted: over-current 2") || !strings.Contains(why, "It was at most 68.0 °C hot (tj-thermal), had over-current 2 times and took ") {
		t.Errorf("%v\n%s", err, why)
	}
	t.Logf("%+v", r)
	b.drain(20 * time.Second)
}

// feltRun is what the history says of a run.
type feltRun struct {
	EndedAt        string  `json:"ended_at"`
	MaxTemperature float64 `json:"max_temperature"`
	Zone           string  `json:"max_temperature_zone"`
	Joules         float64 `json:"energy_joules"`
	Seconds        float64 `json:"energy_seconds"`
	Shared         *bool   `json:"energy_shared"`
	OverCurrent    int     `json:"over_current_events"`
	Tainted        string  `json:"tainted"`
}

// feltRuns are the runs of an experiment, whether or not they have ended.
func feltRuns(t testing.TB, state, experiment string) (rows []feltRun) {
	t.Helper()
	out, err := run(shippedBinary(t), "history", "--state", state, "-o", "json", experiment)
	must(t, err)
	must(t, json.Unmarshal([]byte(out), &rows))
	return rows
}
