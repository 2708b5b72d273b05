package supervisor_test

import (
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
