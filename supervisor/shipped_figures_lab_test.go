//go:build lab

package supervisor_test

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brainjar/sensors/sensorstest"
)

// What a run felt on a board is in the ledger, the history and the explanation; also
// what was felt before brainjar was killed.
func TestShippedFigures(t *testing.T) {
	orin, state := newBoard(t), t.TempDir()
	b := ship(t, state, heatHead+"[experiments.felt]\ncommand = [\"/bin/sleep\", \"28\"]\n", "--sysroot", orin.dir)
	b.ready()
	b.await("it runs", 20*time.Second, func() bool { return strings.Contains(b.logged(), " running    felt") })
	orin.heat(68)
	must(t, sensorstest.Write(orin.dir, "[sys/class/hwmon/hwmon0]\noc2_event_cnt = 5 | oc3_event_cnt = 99999\n"))
	const open = "SELECT count(*) FROM runs WHERE over_current_events = 2 AND energy_joules > 0 AND ended_at IS NULL"
	b.await("figures of a run that goes on", 25*time.Second, func() bool { return fromLedger(t, state, open) == "1" })
	orin.heat(50)
	b.kill()
	b = ship(t, state, heatHead+"[experiments.felt]\ncommand = [\"/bin/sleep\", \"28\"]\n", "--sysroot", orin.dir)
	b.ready()
	b.await("it has ended", 40*time.Second, func() bool { return strings.Contains(b.logged(), " succeeded  felt") })
	out, err := run(shippedBinary(t), "history", "--state", state, "-o", "json", "felt")
	must(t, err)
	var rows []struct {
		MaxTemperature float64 `json:"max_temperature"`
		Zone           string  `json:"max_temperature_zone"`
		Joules         float64 `json:"energy_joules"`
		Seconds        float64 `json:"energy_seconds"`
		Shared         *bool   `json:"energy_shared"`
		OverCurrent    int     `json:"over_current_events"`
		Tainted        string  `json:"tainted"`
	}
	must(t, json.Unmarshal([]byte(out), &rows))
	if len(rows) != 1 {
		t.Fatal(out)
	}
	r := rows[0]
	if r.MaxTemperature != 68 || r.Zone != "tj-thermal" || r.OverCurrent != 2 || r.Shared == nil || *r.Shared || !strings.HasPrefix(r.Tainted, "over-current 2") {
		t.Errorf("%+v", r)
	}
	if watts := r.Joules / r.Seconds; watts < 9.2 || watts > 9.3 || r.Seconds < 15 || r.Seconds > 29 { // VDD_IN: 4984 mV, 1856 mA
		t.Errorf("%.1f J in %.1f s", r.Joules, r.Seconds)
	}
	if why, err := run(shippedBinary(t), "why", "felt"); err != nil || !strings.Contains(why, "tainted: over-current 2") || !strings.Contains(why, "It was at most 68.0 °C hot (tj-thermal) and took ") {
		t.Errorf("%v\n%s", err, why)
	}
	if n := fromLedger(t, state, "SELECT count(DISTINCT name) FROM samples WHERE name IN ('tj-thermal', 'power', 'memory_available', 'gpu_load')"); n != "4" {
		t.Errorf("%s of the sensors have samples", n)
	}
	t.Logf("%s", out)
	b.drain(20 * time.Second)
}

// fromLedger is what the ledger answers to one question, as text; "" where it cannot yet.
func fromLedger(t testing.TB, state, question string) (answer string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(state, "brainjar.db")+"?mode=ro")
	must(t, err)
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), question).Scan(&answer); err != nil {
		t.Logf("%s: %v", question, err)
	}
	return answer
}
