package supervisor_test

import (
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// A brainjar that is killed while it ends a run: the next one goes on with that, for
// the same cause, whether systemd had been told or not.
func TestEndGoesOn(t *testing.T) {
	for _, tc := range []struct {
		name, keys string
		steps      []string
		asked      bool // by a person; else it is too hot
		want       supervisor.Phase
	}{
		{"asked, while it saves", "checkpoint_signal = \"SIGUSR1\"", []string{"on=USR1:sleep=10h", "sleep=10h"}, true, supervisor.Stopped},
		{"asked, while systemd stops it", "", []string{"ignore=TERM", "sleep=10h"}, true, supervisor.Stopped},
		{"heat, while it saves", "checkpoint_signal = \"SIGUSR1\"", []string{"on=USR1:sleep=10h", "sleep=10h"}, false, supervisor.Running},
		{"heat, while systemd stops it", "", []string{"ignore=TERM", "sleep=10h"}, false, supervisor.Running},
	} {
		t.Run(tc.name, func(t *testing.T) {
			onFake(t, func(st stage, fake *transienttest.Fake) {
				st.book = newBook()
				text := head + experiment("a", "stop_timeout = \"10s\"\ncheckpoint_timeout = \"10s\"\n"+tc.keys, tc.steps...)
				first := st.begin(text)
				first.awaitPhase(supervisor.Running, time.Second, "a")
				if tc.asked {
					if err := first.Supervisor.Stop(st.Context(), "a"); err != nil {
						st.Fatal(err)
					}
				} else {
					first.feel(86)
				}
				first.awaitPhase(supervisor.Stopping, time.Second, "a")
				time.Sleep(time.Second)
				first.cancel()
				<-first.over
				st.first = hot(60)
				second := st.begin(text)
				second.await("it has ended", time.Minute, func() bool { return len(second.ends("a")) == 1 })
				want := supervisor.ResultHeat
				if tc.asked {
					want = "stopped"
				}
				if end := second.ends("a")[0]; end.Result != want {
					st.Errorf("ended with %+v", end)
				}
				time.Sleep(time.Minute)
				if s := second.status("a"); s.Phase != tc.want {
					st.Errorf("it is %s: %s", s.Phase, s.Reason)
				}
				second.drain()
			})
		})
	}
}
