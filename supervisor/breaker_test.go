package supervisor_test

import (
	"strings"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

func TestBreaker(t *testing.T) {
	now := time.Now()
	type end struct {
		id     string
		failed bool
		lasted time.Duration
		after  time.Duration
	}
	for name, test := range map[string]struct {
		ends []end
		open bool
	}{
		"three different ones":       {[]end{{"a", true, 1, 0}, {"b", true, 1, 0}, {"c", true, time.Minute, 0}}, true},
		"the same one":               {[]end{{"a", true, 1, 0}, {"a", true, 1, 0}, {"a", true, 1, 0}, {"b", true, 1, 0}}, false},
		"one of them late":           {[]end{{"a", true, 1, 0}, {"b", true, 1, 0}, {"c", true, 61 * time.Second, 0}}, false},
		"one has worked since":       {[]end{{"a", true, 1, 0}, {"a", false, 1, 0}, {"b", true, 1, 0}, {"c", true, 1, 0}}, false},
		"one ran for long since":     {[]end{{"a", true, 1, 0}, {"a", true, time.Hour, 0}, {"b", true, 1, 0}, {"c", true, 1, 0}}, false},
		"spread over days":           {[]end{{"a", true, 1, 0}, {"b", true, 1, time.Hour}, {"c", true, 1, time.Hour}}, false},
		"ten minutes are not spread": {[]end{{"a", true, 1, 0}, {"b", true, 1, 5 * time.Minute}, {"c", true, 1, 5 * time.Minute}}, true},
	} {
		b := supervisor.Breaker{Failures: 3, Within: time.Minute}
		at := now
		opened := 0
		for _, e := range test.ends {
			at = at.Add(e.after)
			if b.Ended(e.id, e.failed, e.lasted, at) {
				opened++
			}
		}
		if open := b.Reason() != ""; open != test.open || (opened == 1) != test.open {
			t.Errorf("%s: open %v, %d times", name, open, opened)
		}
		b.Reset()
		if b.Reason() != "" {
			t.Errorf("%s: still open", name)
		}
	}
	var never supervisor.Breaker
	for _, id := range []string{"a", "b", "c", "d"} {
		if never.Ended(id, true, 1, now) {
			t.Error("the zero breaker opened")
		}
	}
}

// With the breaker open nothing starts, restarts included; what runs goes on; and
// releasing everything lets it go on.
func TestBreakerHoldsAll(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		text := strings.Replace(head, "[thermal]", "breaker = { failures = 3, within = \"60s\" }\n[thermal]", 1) +
			experiment("runs", "", "sleep=1h") + experiment("later", `after = { runs = "started" }`+"\nautostart = false", "exit=0")
		for _, id := range []string{"x", "y", "z"} {
			text += experiment(id, `restart = { delay = "5s" }`, "sleep=1s", "exit=1")
		}
		h := st.begin(text)
		h.await("the breaker opens", time.Minute, func() bool { return strings.Contains(h.logged(), "circuit breaker") })
		if err := h.Supervisor.Start(st.Context(), "later"); err != nil {
			st.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		for _, id := range []string{"x", "y", "z"} {
			if n := len(h.ends(id)); n != 1 {
				st.Errorf("%s ran %d times", id, n)
			}
		}
		if s := h.status("later"); s.Phase != supervisor.Queued || !strings.Contains(s.Reason, "failed within 1m0s of their start (x, y, z)") {
			st.Errorf("%+v", s)
		}
		if s := h.status("runs"); s.Phase != supervisor.Running {
			st.Errorf("%+v", s)
		}
		if err := h.ReleaseAll(st.Context()); err != nil {
			st.Fatal(err)
		}
		h.awaitPhase(supervisor.Succeeded, time.Minute, "later")
		h.drain()
	})
}

// An experiment that is not configured any more runs on where that is wanted, and
// takes its place and its memory.
func TestOrphansAreKept(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		first := st.begin(head + experiment("old", `memory_max = "600M"`, "sleep=1h"))
		first.awaitPhase(supervisor.Running, time.Minute, "old")
		first.leave()
		h := st.begin(strings.Replace(head, "[thermal]", "keep_orphans = true\n[thermal]", 1) + experiment("new", `memory_max = "600M"`, "sleep=1h"))
		time.Sleep(time.Minute)
		if s := h.status("new"); s.Phase != supervisor.Queued || !strings.Contains(s.Reason, "needs 600M, 424M of 1G left") {
			st.Errorf("%+v", s)
		}
		if n := strings.Count(h.logged(), "no experiment of the configuration owns"); n != 1 {
			st.Errorf("told %d times", n)
		}
		fake.Finish("brainjar-old.service", transient.Outcome{Result: transient.Success})
		h.awaitPhase(supervisor.Running, time.Minute, "new")
		h.drain()
	})
}
