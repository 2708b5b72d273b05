package supervisor_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// board gives readings of a board that takes 10 W, for so many intervals.
func (h *house) board(celsius quantity.Celsius, intervals int, change func(*sensors.Reading)) {
	for range intervals {
		r := hot(celsius)
		r.Power.Power = sensors.Value[quantity.Milliwatts]{State: sensors.OK, V: 10_000}
		if change != nil {
			change(&r)
		}
		h.readings <- r
		time.Sleep(heatInterval)
	}
}

// run returns a row of the book.
func (h *house) run(key string) ledger.Run {
	h.Helper()
	h.book.mu.Lock()
	defer h.book.mu.Unlock()
	r, ok := h.book.runs[key]
	if !ok {
		h.Fatalf("no run %s", key)
	}
	return r
}

// near reports whether a figure is known, and about what it should be.
func near(f *float64, want, within float64) bool {
	return f != nil && math.Abs(*f-want) <= within
}

// A run that was alone has all of the energy; two that ran side by side share it by
// what they used of the CPUs; one that was left in peace is clean, one that was not
// says by what.
func TestRunFigures(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		h := st.begin(head + experiment("busy", "", "spin=40s") + experiment("lazy", "autostart = false", "sleep=10s"))
		h.awaitPhase(supervisor.Running, time.Second, "busy")
		h.board(50, 55, nil) // 11 s: measured, and written
		open := h.run("busy/1")
		if !near(open.EnergyJoules, 100, 6) || open.EnergyShared == nil || *open.EnergyShared || open.Tainted != "" {
			st.Errorf("of a run that goes on: %+v", open.Figures)
		}
		if err := h.Supervisor.Start(st.Context(), "lazy"); err != nil {
			st.Fatal(err)
		}
		h.awaitPhase(supervisor.Running, time.Second, "lazy")
		h.board(50, 52, nil)
		h.awaitPhase(supervisor.Succeeded, 5*time.Second, "lazy")
		h.board(60, 1, func(r *sensors.Reading) {
			r.Cooling = []sensors.Cooling{{Type: "cpu-throttle-alert", Level: sensors.Value[int64]{State: sensors.OK, V: 1}}}
		})
		h.board(55, 100, nil)
		h.awaitPhase(supervisor.Succeeded, 5*time.Second, "busy")
		rows := make(map[string]int)
		for _, sample := range h.book.sensed {
			rows[sample.Name]++
		}
		if rows["tj-thermal"] != 5 || rows["power"] != 5 || len(rows) != 2 { // in 42 s
			st.Errorf("samples %v", rows)
		}
		lazy, busy := h.run("lazy/1"), h.run("busy/1")
		if lazy.Tainted != ledger.Clean || !near(lazy.EnergyJoules, 0, 2) || !*lazy.EnergyShared || !near(lazy.EnergySeconds, 10, 0.5) {
			st.Errorf("lazy: %q, %s", lazy.Tainted, said(lazy))
		}
		if busy.Tainted != "throttled by hardware 200ms" || !near(busy.EnergyJoules, 400, 10) || !*busy.EnergyShared {
			st.Errorf("busy: %q, %s", busy.Tainted, said(busy))
		}
		if !near(busy.MaxTemperature, 60, 0) || busy.MaxTemperatureZone != "tj-thermal" || !near(busy.WatchedSeconds, 40, 0.5) {
			st.Errorf("busy: %s", said(busy))
		}
		h.drain()
	})
}

// said is what figures say, without pointers.
func said(r ledger.Run) string {
	text, _ := json.Marshal(r.Figures)
	return string(text)
}

// What is known of a run outlives the brainjar that found it out: the next goes on with
// it, and says for how long nobody looked.
func TestFiguresOutliveBrainjar(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		text := head + experiment("a", "", "sleep=100s") + experiment("gone", "", "sleep=25s")
		h := st.begin(text)
		h.awaitPhase(supervisor.Running, time.Second, "a", "gone")
		h.board(70, 51, func(r *sensors.Reading) {
			known := func(n int64) sensors.Value[int64] { return sensors.Value[int64]{State: sensors.OK, V: n} }
			r.OverCurrent = []sensors.OverCurrent{{Name: "oc1", Events: known(9), Recent: known(1)}, {Name: "oc3", Events: known(9), Recent: known(9)}}
		})
		h.cancel() // kill -9
		<-h.over
		time.Sleep(30 * time.Second)
		h = st.begin(text)
		h.awaitPhase(supervisor.Running, time.Second, "a")
		h.board(60, 301, nil)
		h.awaitPhase(supervisor.Succeeded, 5*time.Second, "a")
		a, gone := h.run("a/1"), h.run("gone/1")
		if !strings.HasPrefix(a.Tainted, "over-current 5") || !strings.HasSuffix(a.Tainted, ", unwatched 30s") {
			st.Errorf("a: %q", a.Tainted)
		}
		if !near(a.MaxTemperature, 70, 0) || !near(a.WatchedSeconds, 70, 1) {
			st.Errorf("a: %s", said(a))
		}
		if !strings.HasPrefix(gone.Tainted, "over-current 5") || !strings.HasSuffix(gone.Tainted, ", unwatched 15s") || !near(gone.MaxTemperature, 70, 0) {
			st.Errorf("gone: %q, %s", gone.Tainted, said(gone))
		}
		h.drain()
	})
}

// What was read last holds until a run ends, also of one that is over between two
// readings; but not what was read long ago.
func TestFiguresBetweenReadings(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		h := st.begin(head + experiment("soon", "autostart = false", "sleep=100ms") + experiment("late", "autostart = false", "sleep=100ms") +
			experiment("long", "", "sleep=60s"))
		h.awaitPhase(supervisor.Running, time.Second, "long")
		for _, id := range []string{"soon", "late"} {
			h.board(50, 3, nil)
			if id == "late" {
				time.Sleep(10 * time.Second) // the sensors say nothing
			}
			if err := h.Supervisor.Start(st.Context(), id); err != nil {
				st.Fatal(err)
			}
			h.awaitPhase(supervisor.Succeeded, time.Second, id)
		}
		soon, late := h.run("soon/1"), h.run("late/1")
		if soon.Tainted != ledger.Clean || !near(soon.WatchedSeconds, 0.1, 0.02) || !near(soon.EnergySeconds, 0.1, 0.02) {
			st.Errorf("soon: %s", said(soon))
		}
		if late.Figures != (ledger.Figures{}) {
			st.Errorf("late: %s", said(late))
		}
		h.board(50, 250, nil)
		h.awaitPhase(supervisor.Succeeded, 20*time.Second, "long")
		long := h.run("long/1")
		if !strings.HasPrefix(long.Tainted, "unwatched ") || !near(long.EnergySeconds, 50, 3) {
			st.Errorf("long: %s", said(long))
		}
		if all := *long.EnergyJoules + *soon.EnergyJoules; math.Abs(all-10**long.EnergySeconds) > 0.1 {
			st.Errorf("%.2f J of %.2f J", all, 10**long.EnergySeconds)
		}
		h.drain()
	})
}

// A machine that feels nothing says so: nothing is known, and nothing is called clean.
func TestFiguresWithoutSensors(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		h := st.begin(head + experiment("a", "", "sleep=2s"))
		for range 12 {
			h.readings <- sensors.Reading{At: time.Now()}
			time.Sleep(heatInterval)
		}
		h.awaitPhase(supervisor.Succeeded, 5*time.Second, "a")
		if r := h.run("a/1"); r.Figures != (ledger.Figures{}) {
			st.Errorf("%s", said(r))
		}
		h.drain()
	})
}
