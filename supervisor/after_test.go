package supervisor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// What one waits for that is to have started has run while that had no room, and has ended
// since: it is not waited for any more, whatever became of brainjar meanwhile.
func TestStartedWhileItWaited(t *testing.T) {
	text := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 2", 1) +
		experiment("other", "", "sleep=1h") + experiment("a", `restart.policy = "no"`, "sleep=10m", "exit=1") + experiment("b", "autostart = false\nafter = { a = \"started\" }", "sleep=10h") +
		experiment("next", "priority = 1\nautostart = false", "sleep=1h")
	for name, meanwhile := range map[string]func(st stage, h *house) *house{
		"nothing": func(_ stage, h *house) *house { return h },
		"a new start after it ended": func(st stage, h *house) *house {
			time.Sleep(15 * time.Minute)
			h.kill()
			return st.begin(text)
		},
		"a new start before it ended": func(st stage, h *house) *house {
			h.kill()
			return st.begin(text)
		},
		"a new start, and it ended between": func(st stage, h *house) *house {
			h.kill()
			time.Sleep(15 * time.Minute)
			return st.begin(text)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onFake(t, func(st stage, _ *transienttest.Fake) {
				st.book = newBook()
				h := st.begin(text)
				h.awaitPhase(supervisor.Running, time.Minute, "a", "other")
				time.Sleep(time.Minute)
				h.must(h.Supervisor.Start(h.ctx(), "b"))
				h.must(h.Supervisor.Start(h.ctx(), "next")) // takes the slot that a leaves
				time.Sleep(time.Minute)
				h = meanwhile(st, h)
				h.awaitReady()
				time.Sleep(2 * time.Hour)
				if a, b := h.status("a"), h.status("b"); a.Phase != supervisor.Failed || a.Run != 1 || b.Phase != supervisor.Running {
					st.Errorf("a is %s in run %d, b is %s: %s", a.Phase, a.Run, b.Phase, b.Reason)
				}
				h.drain()
			})
		})
	}
}

// A run that had ended before one waits is none that it waits for, and neither is one whose
// program was never executed.
func TestNotStartedWhileItWaited(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		text := head + experiment("a", `restart.policy = "no"`, "sleep=1m", "exit=1") + experiment("b", "autostart = false\nafter = { a = \"started\" }", "sleep=10h")
		h := st.begin(text)
		h.awaitPhase(supervisor.Failed, time.Hour, "a")
		time.Sleep(time.Minute)
		h.must(h.Supervisor.Start(h.ctx(), "b"))
		fake.FailStart("brainjar-a.service", fmt.Errorf("no: %w", transient.ErrStopped))
		h.must(h.Supervisor.Start(h.ctx(), "a"))
		for range 2 {
			time.Sleep(time.Minute)
			if b := h.status("b"); b.Phase != supervisor.Queued || !strings.HasPrefix(b.Reason, "after a: ") {
				st.Errorf("b is %s: %s", b.Phase, b.Reason)
			}
			h.kill()
			h = st.begin(text)
			h.awaitReady()
		}
		fake.FailStart("brainjar-a.service", nil)
		h.must(h.Supervisor.Start(h.ctx(), "a"))
		h.awaitPhase(supervisor.Running, time.Minute, "b")
		h.drain()
	})
}

// A power cut ends both: the one is started before the other again.
func TestStartedAgainAfterAPowerCut(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		text := head + experiment("b", `after = { a = "started" }`, "sleep=10h") + experiment("a", "", "sleep=10h")
		h := st.begin(text)
		h.awaitPhase(supervisor.Running, time.Minute, "b")
		time.Sleep(time.Minute)
		h.kill()
		fake.PowerCut()
		st.book.boot = "two"
		h = st.begin(text)
		h.awaitPhase(supervisor.Running, time.Minute, "a", "b")
		var order []string
		for _, c := range h.past("") {
			if c.To == supervisor.Starting {
				order = append(order, c.Experiment)
			}
		}
		if strings.Join(order, " ") != "a b" {
			st.Errorf("started in the order %v", order)
		}
		h.drain()
	})
}
