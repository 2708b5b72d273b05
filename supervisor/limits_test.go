package supervisor_test

import (
	"strings"
	"testing"
	"time"

	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// A program hears by its checkpoint signal that its runtime_max ends soon.
func TestRuntimeWarning(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		h := st.begin(head + experiment("a", "runtime_max = \"5m\"\nruntime_warning = \"60s\"\ncheckpoint_signal = \"SIGUSR1\"",
			"on=USR1:sleep=1s,exit=85", "sleep=1h"))
		time.Sleep(20*time.Minute + 30*time.Second)
		ends := h.ends("a")
		if len(ends) != 5 {
			st.Errorf("%d runs, want one in each 4 minutes", len(ends))
		}
		for _, end := range ends {
			if end.ExitCode != 85 || end.Ended.Sub(end.Started).Round(time.Second) != 4*time.Minute+time.Second {
				st.Errorf("ended with %+v", end)
			}
		}
		h.drain()
	})
}

// A run is warned once, whatever is reloaded and however often brainjar begins meanwhile; by
// the runtime_max that it has.
func TestRuntimeWarningComesOnce(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		text := func(more string) string {
			return head + experiment("a", "runtime_max = \"1h\"\nruntime_warning = \"30m\"\ncheckpoint_signal = \"SIGUSR1\"\n"+more, "on=USR1:sleep=1s", "sleep=2h")
		}
		warned := func(h *house) int { return strings.Count(h.logged(), "runtime_max ends soon") }
		h := st.begin(text(""))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		reload := func(text string) {
			h.rewrite(text)
			_, err := h.Reload(h.ctx(), false)
			h.must(err)
			time.Sleep(time.Minute)
		}
		time.Sleep(10 * time.Minute)
		h.kill()
		h = st.begin(text("")) // before it was warned
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		longer := strings.Replace(text(""), "1h", "2h", 1) // for the next run
		reload(longer)
		reload(longer + "priority = 1\n")
		time.Sleep(17 * time.Minute)
		if n := warned(h); n != 0 {
			st.Errorf("warned %d times before its time", n)
		}
		time.Sleep(3 * time.Minute)
		if n := warned(h); n != 1 {
			st.Errorf("warned %d times at its time", n)
		}
		reload(text("priority = 2\n"))
		reload(text("priority = 3\n"))
		reload(strings.Replace(text(""), "30m", "40m", 1))
		if n := warned(h); n != 1 {
			st.Errorf("warned %d times, want once", n)
		}
		h.kill()
		h = st.begin(text(""))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		time.Sleep(time.Minute)
		reload(text("priority = 4\n"))
		if n := warned(h); n != 0 {
			st.Errorf("warned %d times by the next brainjar", n)
		}
		h.drain()
	})
}

// Without a warning that it heeds, a run ends at its runtime_max.
func TestRuntimeMax(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		h := st.begin(head + experiment("a", "runtime_max = \"5m\"\nrestart.policy = \"no\"", "sleep=1h"))
		h.awaitPhase(supervisor.Failed, 10*time.Minute, "a")
		if end := h.ends("a"); end[0].Result != transient.Timeout || h.status("a").Reason != "ran longer than runtime_max" {
			st.Errorf("ended with %+v, %q", end, h.status("a").Reason)
		}
		h.drain()
	})
}

// At critical also what is only found or begun later is stopped.
func TestCriticalStopsWhatComesLater(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Second, "a")
		h.feel(90)
		h.awaitPhase(supervisor.Queued, 10*time.Second, "a")
		spec := transient.Spec{Experiment: "a", Run: 9, Kind: transient.Service, Command: transienttest.Command("x", "sleep=1h")}
		if err := fake.Start(st.Context(), spec); err != nil { // somebody else
			st.Fatal(err)
		}
		h.awaitPhase(supervisor.Running, time.Second, "a")
		h.feel(88)
		h.awaitPhase(supervisor.Queued, 10*time.Second, "a")
		h.drain()
	})
}

// Memory that running experiments may still take is not given away twice, and
// starts wait for the sensors' first word.
func TestAvailableMemory(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		text := strings.Replace(head, `reserve = "0M"`, `reserve = "100M"`, 1)
		h := st.begin(text + experiment("a", `memory_max = "300M"`, "alloc=200M", "sleep=1h") +
			experiment("b", "memory_max = \"300M\"\npriority = -1", "sleep=1h"))
		feel := func(available quantity.Bytes) {
			h.readings <- sensors.Reading{At: time.Now(), Memory: sensors.Memory{State: sensors.OK, Total: quantity.GiB, Available: available}}
			time.Sleep(time.Second)
		}
		h.awaitPhase(supervisor.Running, time.Second, "a", "b")
		h.drain()

		st.first.Memory = sensors.Memory{State: sensors.OK, Total: quantity.GiB, Available: 450 * quantity.MiB}
		h = st.begin(text + experiment("c", `memory_max = "300M"`, "alloc=200M", "sleep=1h") +
			experiment("d", "memory_max = \"300M\"\npriority = -1\nafter = { c = \"started\" }", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Second, "c")
		feel(450 * quantity.MiB) // c holds 200M, and may take 100M more
		if s := h.status("d"); s.Phase != supervisor.Queued || s.Reason != "needs 300M, 250M of memory available" {
			st.Errorf("d: %s, %q", s.Phase, s.Reason)
		}
		feel(600 * quantity.MiB)
		feel(600 * quantity.MiB)
		h.awaitPhase(supervisor.Running, time.Second, "d")
		h.drain()
	})
}

// A file that gives what runs more memory than there is to give is obeyed, and it is said
// what follows.
func TestRaisedAboveTheBudget(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		text := func(limit string) string {
			return head + experiment("a", `memory_max = "`+limit+`"`, "sleep=1h") + experiment("b", `memory_max = "300M"`, "sleep=1h")
		}
		h := st.begin(text("300M"))
		h.awaitPhase(supervisor.Running, time.Second, "a", "b")
		for limit, want := range map[string]string{"900M": "1.2G together then, above the memory_budget of 1G", "700M": ""} {
			h.rewrite(text(limit))
			plan, err := h.Plan(h.ctx())
			h.must(err)
			if got := strings.Join(plan.Warnings, "\n"); !strings.Contains(got, want) || want == "" && got != "" {
				st.Errorf("%s: warned of %q", limit, got)
			}
		}
		h.drain()
	})
}

// Patterns that match no zone are said to be the cause, not blindness.
func TestNoZoneMatches(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		text := strings.Replace(head, "[thermal]\n", "[thermal]\nzones = [\"gpu-*\"]\n", 1)
		h := st.begin(text + experiment("a", "", "sleep=1s", "exit=1"))
		for range 6 {
			h.feel(50)
		}
		h.await("the zones are named", time.Minute, func() bool {
			return h.status("a").Reason == "thermal: no zone matches thermal.zones; there are: tj-thermal"
		})
		h.drain()
	})
}

// cached is a systemd whose units have their memory full of files that the
// kernel would give up at once.
type cached struct{ systemd }

func (c cached) Usage(string) (transient.Usage, error) {
	return transient.Usage{Memory: 900 * quantity.MiB, Cache: 800 * quantity.MiB}, nil
}

// A mapped model counts as available memory to the machine, so it must not count
// as memory that its experiment has taken already.
func TestFileCacheIsNotTaken(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.open = func() systemd { return cached{fake} }
		reading := sensors.Reading{Memory: sensors.Memory{State: sensors.OK, Available: 1000 * quantity.MiB}}
		st.first = reading
		text := strings.Replace(head, `memory_budget = "1G"`, `memory_budget = "4G"`, 1)
		h := st.begin(text + experiment("a", "memory_max = \"900M\"\npriority = 1", "sleep=1h") + experiment("b", `memory_max = "300M"`, "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		for range 3 {
			h.readings <- reading
			time.Sleep(2 * time.Second)
		}
		if s := h.status("b"); s.Reason != "needs 300M, 200M of memory available" {
			st.Errorf("b is %s: %q", s.Phase, s.Reason)
		}
		h.drain()
	})
}
