package supervisor_test

import (
	"errors"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// What a drain has ended comes back with the next brainjar. Who stops it, while brainjar
// still leaves or when it waits again, has stopped it for good.
func TestStopOfWhatWasDrained(t *testing.T) {
	for name, stopped := range map[string]func(st stage, text string, first *house){
		"nobody": nil,
		"while brainjar leaves": func(st stage, _ string, first *house) {
			first.Drain()
			first.awaitPhase(supervisor.Stopped, time.Minute, "a")
			first.must(first.Supervisor.Stop(first.ctx(), "a"))
			<-first.over
		},
		"queued again": func(st stage, text string, first *house) {
			first.drain()
			st.first = hot(86)
			second := st.begin(text)
			second.awaitPhase(supervisor.Queued, time.Minute, "a")
			second.awaitReady()
			second.must(second.Supervisor.Stop(second.ctx(), "a"))
			second.drain()
		},
		"queued again, and held": func(st stage, text string, first *house) {
			first.drain()
			st.first = hot(86)
			second := st.begin(text)
			second.awaitReady()
			second.must(second.Hold(second.ctx(), "a", ""))
			second.must(second.Supervisor.Stop(second.ctx(), "a"))
			second.kill()
		},
	} {
		t.Run(name, func(t *testing.T) {
			onFake(t, func(st stage, _ *transienttest.Fake) {
				st.book = newBook()
				text := head + experiment("a", "", "sleep=10h") + experiment("slow", "", "ignore=TERM", "sleep=10h")
				first := st.begin(text)
				first.awaitPhase(supervisor.Running, time.Second, "a", "slow")
				want := supervisor.Stopped
				if stopped != nil {
					stopped(st, text, first)
				} else {
					first.drain()
					want = supervisor.Running
				}
				st.first = hot(60)
				last := st.begin(text)
				last.awaitPhase(supervisor.Running, time.Minute, "slow")
				time.Sleep(time.Minute)
				if a := last.status("a"); a.Phase != want {
					st.Errorf("it is %s: %s", a.Phase, a.Reason)
				}
				last.drain()
			})
		})
	}
}

// A brainjar that stops waits for its ledger, but not for long: what could not be written
// is kept for the next one.
func TestStopWhileLedgerIsBroken(t *testing.T) {
	for name, c := range map[string]struct {
		broken   time.Duration
		kept     int
		min, max time.Duration
	}{
		"for a moment": {2 * time.Second, 0, 2 * time.Second, 4 * time.Second},
		"for good":     {time.Hour, 1, 4 * time.Second, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			onFake(t, func(st stage, fake *transienttest.Fake) {
				b := newBook()
				st.book = b
				h := st.begin(head + experiment("a", "", "sleep=1h"))
				h.awaitPhase(supervisor.Running, time.Minute, "a")
				b.breaks(errors.New("no space left on device"))
				time.AfterFunc(c.broken, func() { b.breaks(nil) })
				if took := h.drain(); took < c.min || took > c.max {
					st.Errorf("it took %v", took)
				}
				if n := fake.Records(); n != c.kept {
					st.Errorf("%d records, want %d", n, c.kept)
				}
			})
		})
	}
}
