package supervisor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"brainjar/internal/config"
	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// What is over is not run once more because it was held and released.
func TestHoldOfWhatIsOver(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		h := st.begin(head + experiment("good", "", "exit=0") + experiment("bad", `restart.policy = "no"`, "exit=1"))
		h.awaitPhase(supervisor.Succeeded, time.Minute, "good")
		h.awaitPhase(supervisor.Failed, time.Minute, "bad")
		h.must(h.Hold(h.ctx(), "good", ""))
		h.must(h.Hold(h.ctx(), "bad", ""))
		h.must(h.ReleaseAll(h.ctx()))
		time.Sleep(time.Minute)
		if good, bad := h.status("good"), h.status("bad"); good.Run != 1 || good.Hold != "" || bad.Run != 1 || bad.Phase != supervisor.Failed {
			st.Errorf("good %+v\nbad %+v", good, bad)
		}
		h.must(h.Hold(h.ctx(), "bad", "not now"))
		h.rewrite(head + experiment("good", "", "exit=0") + experiment("bad", `restart.policy = "no"`, "exit=2"))
		_, err := h.Reload(h.ctx(), false)
		h.must(err)
		h.awaitPhase(supervisor.Held, time.Minute, "bad")
		h.drain()
	})
}

// What is disabled does not come back with brainjar, whether it was stopped with it or
// lost with the machine.
func TestDisabledStaysAway(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		text := head + experiment("a", "", "sleep=1h")
		h := st.begin(text)
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		no := false
		h.must(h.Enable(h.ctx(), "a", &no))
		h.drain()
		h = st.begin(text)
		time.Sleep(time.Minute)
		if a := h.status("a"); a.Phase != supervisor.Stopped || a.Run != 1 {
			st.Errorf("after a drain: %+v", a)
		}
		h.must(h.Supervisor.Start(h.ctx(), "a"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		h.kill()
		fake.PowerCut()
		st.book.boot = "two"
		h = st.begin(text)
		time.Sleep(time.Minute)
		if a := h.status("a"); a.Phase != supervisor.Stopped || a.Run != 2 || a.LastResult != transient.Lost {
			st.Errorf("after a power cut: %+v", a)
		}
		h.drain()
	})
}

// In a pipeline each of whose stages waits for all of the one before there are more ways
// than could be walked: what cannot start is found in no time all the same.
func TestBlockedPipeline(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		text := head + experiment("s0", `restart.policy = "no"`, "sleep=1m", "exit=1")
		for i := 1; i < 40; i++ {
			text += experiment(fmt.Sprintf("s%d", i), fmt.Sprintf("after = [\"s%d\"]\nmatrix = { n = [1, 2, 3] }", i-1), "exit=0")
		}
		h := st.begin(text)
		h.awaitPhase(supervisor.Running, time.Second, "s0")
		for _, failed := range []bool{false, true} {
			for _, s := range h.report().Experiments {
				if s.Blocked != (failed && s.Phase == supervisor.Queued) {
					st.Errorf("s0 has failed: %v; %s is blocked: %v", failed, s.Config.ID, s.Blocked)
				}
			}
			time.Sleep(2 * time.Minute)
		}
		h.drain()
	})
}

// One that is submitted again may not wait for what waits for it.
func TestCircleOfSubmissions(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		h := st.begin(head + experiment("x", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "x")
		submit := func(id, after string) error {
			keys := config.Keys{"command": []any{st.program, "workload", "sleep=1h"}, "after": []any{after}}
			return h.Submit(h.ctx(), id, supervisor.Submission{Keys: keys})
		}
		h.must(submit("a", "x"))
		h.must(submit("b", "a"))
		h.must(submit("c", "b"))
		h.must(h.Supervisor.Stop(h.ctx(), "a"))
		if err := submit("a", "c"); err == nil || !strings.Contains(err.Error(), "waits for itself: a -> c -> b -> a") {
			st.Errorf("a after c: %v", err)
		}
		if s := h.status("a"); s.Phase != supervisor.Stopped {
			st.Errorf("a is %s", s.Phase)
		}
		h.must(submit("a", "x"))
		h.drain()
	})
}

// What a program submits after somebody stopped the slice waits like all others; a new
// brainjar starts it.
func TestSubmitAfterSliceStopped(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		fake.StopSlice()
		h.awaitPhase(supervisor.Stopped, time.Minute, "a")
		keys := config.Keys{"command": []any{st.program, "workload", "sleep=1h"}}
		h.must(h.Submit(h.ctx(), "b", supervisor.Submission{Keys: keys}))
		time.Sleep(time.Hour)
		if s := h.status("b"); s.Phase != supervisor.Queued || !strings.HasPrefix(s.Reason, "brainjar.slice was stopped; ") {
			st.Errorf("b is %s: %s", s.Phase, s.Reason)
		}
		events := 0
		for _, ev := range st.book.events {
			if ev.Kind == "slice" {
				events++
			}
		}
		if events != 1 {
			st.Errorf("%d events", events)
		}
		h.leave()
		h = st.begin(head + experiment("a", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "b")
		if s := h.status("a"); s.Phase != supervisor.Stopped {
			st.Errorf("a is %s", s.Phase)
		}
		h.drain()
	})
}
