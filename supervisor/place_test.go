package supervisor_test

import (
	"strings"
	"testing"
	"time"

	"brainjar/internal/quantity"
	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// Who ran, and lost its slot by no doing of its own, is before those that still wait for
// theirs; and they have waited since they came, however often brainjar began.
func TestWhatRanKeepsItsPlace(t *testing.T) {
	again := func(st stage, text string) *house {
		st.first = hot(60)
		h := st.begin(text)
		h.awaitReady()
		return h
	}
	for name, loses := range map[string]func(st stage, h *house, fake *transienttest.Fake, text string) *house{
		"drain": func(st stage, h *house, _ *transienttest.Fake, text string) *house {
			h.drain()
			return again(st, text)
		},
		"drain, and again before its turn has come": func(st stage, h *house, _ *transienttest.Fake, text string) *house {
			h.drain()
			st.first = hot(86)
			h = st.begin(text)
			h.awaitPhase(supervisor.Queued, time.Minute, "a")
			time.Sleep(time.Minute)
			h.drain()
			return again(st, text)
		},
		"power cut": func(st stage, h *house, fake *transienttest.Fake, text string) *house {
			h.kill()
			fake.PowerCut()
			st.book.boot = "two"
			return again(st, text)
		},
		"drain of what was adopted": func(st stage, h *house, _ *transienttest.Fake, text string) *house {
			h.kill()
			h = again(st, text)
			h.drain()
			return again(st, text)
		},
		"heat": func(_ stage, h *house, _ *transienttest.Fake, _ string) *house {
			h.feel(86)
			h.awaitPhase(supervisor.Queued, time.Minute, "a")
			h.cool()
			return h
		},
		"heat, and its end comes while brainjar is away": func(st stage, h *house, _ *transienttest.Fake, text string) *house {
			h.feel(86)
			h.awaitPhase(supervisor.Stopping, time.Minute, "a")
			h.kill()
			time.Sleep(time.Minute)
			return again(st, text)
		},
		"memory": func(_ stage, h *house, _ *transienttest.Fake, _ string) *house {
			h.memory(100*quantity.MiB, 10)
			h.awaitPhase(supervisor.Queued, time.Minute, "a")
			h.memory(quantity.GiB, 5)
			return h
		},
		"checkpoint code": func(_ stage, h *house, fake *transienttest.Fake, _ string) *house {
			fake.Finish("brainjar-a.service", transient.Outcome{Result: transient.ExitCode, ExitCode: 85})
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			onFake(t, func(st stage, fake *transienttest.Fake) {
				st.book = newBook()
				text := strings.NewReplacer("max_concurrent = 8", "max_concurrent = 1", `reserve = "0M"`, "reserve = \"400M\"\ncritical = \"200M\"\ngrace = \"5s\"").Replace(head) +
					experiment("b", "autostart = false", "sleep=10h") + experiment("a", "", "on=TERM:sleep=500ms,exit=0", "sleep=10h")
				h := st.begin(text)
				h.awaitPhase(supervisor.Running, time.Minute, "a")
				time.Sleep(time.Minute)
				came := time.Now()
				h.must(h.Supervisor.Start(h.ctx(), "b"))
				time.Sleep(time.Minute)
				lost := time.Now()
				h = loses(st, h, fake, text)
				h.await("a runs again", time.Minute, func() bool { s := h.status("a"); return s.Run == 2 && s.Phase == supervisor.Running })
				b := h.status("b")
				if b.Phase != supervisor.Queued || b.Run != 0 {
					st.Errorf("b is %s in run %d", b.Phase, b.Run)
				}
				if early := came.Sub(b.QueuedAt); early.Abs() > time.Second || !b.Since.Equal(b.QueuedAt) {
					st.Errorf("b waits since %v, as if it had come %v earlier", b.QueuedAt, early)
				}
				if r := h.run("a/2"); r.QueuedAt.Before(lost) {
					st.Errorf("a has waited since %v for its second run, though its first ended after %v", r.QueuedAt, lost)
				}
				h.drain()
			})
		})
	}
}

// A run that failed has lost its place.
func TestFailureLosesThePlace(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		h := st.begin(strings.Replace(head, "max_concurrent = 8", "max_concurrent = 1", 1) +
			experiment("a", "", "sleep=1m", "exit=1") + experiment("b", "", "sleep=1h") + experiment("c", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		h.awaitPhase(supervisor.Running, time.Hour, "b")
		h.awaitPhase(supervisor.Running, 2*time.Hour, "c")
		if a := h.status("a"); a.Run != 1 || a.Phase != supervisor.Queued {
			st.Errorf("a is %s in run %d", a.Phase, a.Run)
		}
		h.drain()
	})
}

// What came in the same moment keeps its order from one brainjar to the next.
func TestPlacesOfTheSameMoment(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		text := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 1", 1) +
			experiment("a", "", "sleep=1h") + experiment("b", "", "sleep=1h") + experiment("c", "", "sleep=1h")
		h := st.begin(text)
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		h.drain()
		h = st.begin(text)
		time.Sleep(90 * time.Minute)
		if a, b, c := h.status("a"), h.status("b"), h.status("c"); a.Phase != supervisor.Succeeded || b.Phase != supervisor.Running || c.Run != 0 {
			st.Errorf("a is %s, b is %s, c is %s", a.Phase, b.Phase, c.Phase)
		}
		h.drain()
	})
}
