package supervisor_test

import (
	"context"
	"strings"
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
		order      func(*supervisor.Supervisor, context.Context, string) error // of a person; nil: it is too hot
		want       supervisor.Phase
	}{
		{"asked, while it saves", "checkpoint_signal = \"SIGUSR1\"", []string{"on=USR1:sleep=10h", "sleep=10h"}, (*supervisor.Supervisor).Stop, supervisor.Stopped},
		{"asked, while systemd stops it", "", []string{"ignore=TERM", "sleep=10h"}, (*supervisor.Supervisor).Stop, supervisor.Stopped},
		{"heat, while it saves", "checkpoint_signal = \"SIGUSR1\"", []string{"on=USR1:sleep=10h", "sleep=10h"}, nil, supervisor.Running},
		{"heat, while systemd stops it", "", []string{"ignore=TERM", "sleep=10h"}, nil, supervisor.Running},
		{"restart, while it saves", "checkpoint_signal = \"SIGUSR1\"", []string{"on=USR1:sleep=10h", "sleep=10h"}, (*supervisor.Supervisor).Restart, supervisor.Running},
		{"restart, while systemd stops it", "", []string{"ignore=TERM", "sleep=10h"}, (*supervisor.Supervisor).Restart, supervisor.Running},
	} {
		t.Run(tc.name, func(t *testing.T) {
			onFake(t, func(st stage, fake *transienttest.Fake) {
				st.book = newBook()
				text := head + experiment("a", "stop_timeout = \"10s\"\ncheckpoint_timeout = \"10s\"\n"+tc.keys, tc.steps...)
				first := st.begin(text)
				first.awaitPhase(supervisor.Running, time.Second, "a")
				if tc.order != nil {
					if err := tc.order(first.Supervisor, st.Context(), "a"); err != nil {
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
				if tc.order != nil {
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

// One that is to be started again runs again though brainjar is killed before that,
// after whichever of its writes; and what waits for its slot waits on. That is done
// once: who then stops the unit has stopped it.
func TestRestartGoesOn(t *testing.T) {
	text := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 1", 1) +
		experiment("a", "", "sleep=10h") + experiment("b", "after = { a = \"started\" }", "sleep=10h")
	for at := range 5 {
		onFake(t, func(st stage, _ *transienttest.Fake) {
			b := newBook()
			st.book = b
			h := st.begin(text)
			h.awaitPhase(supervisor.Running, time.Second, "a")
			h.awaitPhase(supervisor.Queued, time.Second, "b")
			died := make(chan struct{})
			if at > 0 {
				b.mu.Lock()
				b.dieAt, b.die = b.writes+at, func() { close(died) }
				b.mu.Unlock()
			}
			if err := h.Restart(h.ctx(), "a"); err != nil && at == 0 {
				st.Fatal(err)
			}
			if at > 0 {
				<-died
				h.kill()
				b.mu.Lock()
				b.dead, b.dieAt = false, 0
				b.mu.Unlock()
				h = st.begin(text)
			}
			time.Sleep(time.Minute)
			if a, b := h.status("a"), h.status("b"); a.Phase != supervisor.Running || a.Run != 2 || a.Attempt != 0 || b.Run != 0 {
				st.Errorf("killed after write %d: a is %s: %s, run %d, attempt %d; b is %s", at, a.Phase, a.Reason, a.Run, a.Attempt, b.Phase)
			}
			h.must(h.systemd.Stop(h.ctx(), "brainjar-a.service"))
			time.Sleep(time.Minute)
			if a := h.status("a"); a.Phase != supervisor.Stopped || a.Run != 2 {
				st.Errorf("killed after write %d, then stopped by somebody: a is %s: %s, run %d", at, a.Phase, a.Reason, a.Run)
			}
			h.drain()
		})
	}
}

// What an experiment said when it saved its work once, is not taken for the checkpoint
// that it is told to make when a new brainjar goes on with its end.
func TestOldCheckpointIsNoNew(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		text := head + experiment("a", "stop_timeout = \"1s\"\ncheckpoint_timeout = \"1m\"\ncheckpoint_signal = \"SIGUSR1\"",
			"on=USR1:sleep=20s,exit=7", "status=BRAINJAR_CHECKPOINT=1 step 400", "sleep=10h")
		first := st.begin(text)
		first.awaitPhase(supervisor.Running, time.Second, "a")
		first.must(first.Supervisor.Stop(first.ctx(), "a"))
		first.kill()
		second := st.begin(text)
		second.awaitPhase(supervisor.Stopped, time.Minute, "a")
		if end := second.ends("a"); len(end) != 1 || end[0].ExitCode != 7 {
			st.Errorf("ended with %+v", end)
		}
		second.drain()
	})
}
