package supervisor_test

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"brainjar/internal/quantity"
	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// Whatever the temperatures do: nothing starts at or above throttle, at critical
// everything is stopped within two intervals and its stop time, and when it has
// cooled everything runs as before, and nothing is left of what was done.
func TestHeatWalk(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		_, random := seeded(st)
		clocks := &machineClocks{n: 1}
		st.book, st.heat, st.clocks = newBook(), &heatFile{}, clocks
		text := strings.NewReplacer("[thermal]", "[thermal]\nclocks = true", "[defaults.restart]", "[defaults.restart]\npolicy = \"always\"").Replace(head)
		for _, id := range []string{"a", "b", "c"} { // they end and are started again all the time
			text += experiment(id, "priority = 1\nmax_requeues = 100000\ncheckpoint_signal = \"SIGUSR1\"", "on=USR1:sleep=100ms,exit=0", "spin=3s")
		}
		text += experiment("stubborn", "max_requeues = 100000", "ignore=TERM", "spin=100h")
		h := st.begin(text)
		celsius, drift := 60.0, 0.0
		seen := make(map[string]int)
		told := 0
		critical := 0 // intervals in a row
		again := func() {
			st.first = hot(quantity.Celsius(celsius))
			h = st.begin(text)
			time.Sleep(heatInterval)
			told, critical = len(h.past("")), 0
		}
		for range 4000 {
			if random.IntN(12) == 0 {
				drift = random.NormFloat64() * 1.5
			}
			if random.IntN(200) == 0 {
				h.Drain() // which no heat may hang, and the next goes on
				<-h.over
				if h.err != nil || len(fake.Running()) > 0 {
					st.Fatalf("a drain at %.1f °C: %v, left %v", celsius, h.err, fake.Running())
				}
				again()
			} else if random.IntN(200) == 0 {
				h.cancel() // kill -9
				<-h.over
				again()
			}
			celsius = math.Min(math.Max(celsius+drift+random.NormFloat64(), 50), 95)
			h.readings <- hot(quantity.Celsius(celsius))
			synctest.Wait() // what was started at this moment may have been started before that was known
			told = len(h.past(""))
			time.Sleep(heatInterval)
			seen[h.report().Stage]++
			changes := h.past("")
			for _, c := range changes[told:] {
				if c.To == supervisor.Starting && celsius >= 75 {
					st.Fatalf("%s was started at %.1f °C", c.Experiment, celsius)
				}
			}
			told = len(changes)
			if critical++; celsius < 85 {
				critical = 0
			}
			if running := fake.Running(); critical > 2+int(2*time.Second/heatInterval) && len(running) > 0 {
				st.Fatalf("at %.1f °C for %d intervals %v run", celsius, critical, running)
			}
		}
		h.cool()
		time.Sleep(10 * time.Second)
		h.wantFree(fake, clocks)
		for _, id := range []string{"a", "b", "c", "stubborn"} {
			if s := h.status(id); !s.Phase.Active() && s.Phase != supervisor.Backoff {
				st.Errorf("%s is %s: %s", id, s.Phase, s.Reason)
			}
		}
		h.drain()
		h.wantFree(fake, clocks)
		if len(seen) != 10 {
			st.Errorf("not all stages were seen: %v", seen)
		}
		st.Logf("intervals in each stage: %v, %d writes of the record", seen, st.heat.writes)
	})
}

// An experiment with a max_temperature goes alone, and comes back alone.
func TestMaxTemperature(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		h := st.begin(head + experiment("tender", "max_temperature = 65\nmax_requeues = 2", "sleep=10h") + experiment("other", "", "sleep=10h"))
		h.awaitPhase(supervisor.Running, time.Second, "tender", "other")
		h.warm(64.9, 3)
		if s := h.status("tender"); s.Phase != supervisor.Running {
			st.Fatalf("below its temperature it is %s", s.Phase)
		}
		h.warm(65, 3)
		s := h.status("tender")
		if s.Phase != supervisor.Queued || s.Reason != "tj-thermal 65.0 °C, it starts below 60 °C" || s.Requeues != 1 {
			st.Errorf("%s, %q", s.Phase, s.Reason)
		}
		if end := h.ends("tender"); len(end) != 1 || end[0].Result != supervisor.ResultHeat {
			st.Errorf("ended with %+v", end)
		}
		h.warm(60, 3)
		if s := h.status("tender"); s.Phase != supervisor.Queued {
			st.Errorf("within 5 °C of its temperature it is %s", s.Phase)
		}
		h.warm(59.9, 1)
		h.awaitPhase(supervisor.Running, time.Second, "tender")
		h.warm(66, 1)
		h.warm(50, 2)
		h.awaitPhase(supervisor.Running, time.Second, "tender")
		h.warm(66, 3)
		h.awaitPhase(supervisor.Held, time.Second, "tender") // for the third time
		if s := h.status("tender"); !strings.Contains(s.Reason, "tj-thermal 66.0 °C, and its max_temperature is 65 °C") {
			st.Errorf("reason %q", s.Reason)
		}
		if s := h.status("other"); s.Phase != supervisor.Running || s.Run != 1 {
			st.Errorf("other is %s in run %d", s.Phase, s.Run)
		}
		h.drain()
	})
}
