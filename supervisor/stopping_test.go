package supervisor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// slowFreezer is a systemd that takes its time to freeze a unit.
type slowFreezer struct{ *transienttest.Fake }

func (s slowFreezer) Freeze(ctx context.Context, unit string) error {
	time.Sleep(3 * time.Second)
	return s.Fake.Freeze(ctx, unit)
}

// One that is being frozen when it is to end hears that it is to save its work.
func TestStopWhileItFreezes(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.open = func() systemd { return slowFreezer{fake} }
		keys := "checkpoint_signal = \"SIGUSR1\"\ncheckpoint_timeout = \"1m\""
		h := st.begin(head + experiment("a", keys, "on=USR1:sleep=5s,exit=0", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		frozen := make(chan error, 1)
		go func() { frozen <- h.Supervisor.Freeze(h.ctx(), "a") }()
		time.Sleep(time.Second)
		begin := time.Now()
		h.must(h.Supervisor.Stop(h.ctx(), "a"))
		h.awaitPhase(supervisor.Stopped, 2*time.Minute, "a")
		if took := time.Since(begin); took > 10*time.Second || h.ends("a")[0].Signal != 0 {
			st.Errorf("took %v: %+v", took, h.ends("a"))
		}
		h.must(<-frozen)
		h.drain()
	})
}

// A start or a restart that was acknowledged while the run was being ended for its health
// check follows that end, whatever else would have.
func TestStartWhileItIsEnded(t *testing.T) {
	for name, order := range map[string]func(*supervisor.Supervisor, context.Context, string) error{
		"start": (*supervisor.Supervisor).Start, "restart": (*supervisor.Supervisor).Restart,
	} {
		onFake(t, func(st stage, fake *transienttest.Fake) {
			st.book = newBook()
			keys := "restart.policy = \"no\"\nstop_timeout = \"10s\"\nprobe = { http = \"http://localhost/\", every = \"5s\", timeout = \"1s\", failures = 1 }"
			text := head + experiment("a", keys, "ignore=TERM", "sleep=1h")
			h := st.begin(text)
			h.awaitPhase(supervisor.Running, time.Minute, "a")
			fake.SetHealth("brainjar-a.service", context.DeadlineExceeded)
			h.awaitPhase(supervisor.Stopping, time.Minute, "a")
			h.must(order(h.Supervisor, h.ctx(), "a"))
			fake.SetHealth("brainjar-a.service", nil)
			h.kill() // what was acknowledged outlives brainjar
			h = st.begin(text)
			time.Sleep(time.Minute)
			if s := h.status("a"); s.Phase != supervisor.Running || s.Run != 2 {
				st.Errorf("%s: %+v", name, s)
			}
			h.drain()
		})
	}
}

// One that a person stops with systemctl before systemd has begun with it is stopped: no
// run has failed, and none follows.
func TestStoppedBeforeItBegan(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		fake.FailStart("brainjar-a.service", transient.ErrStopped)
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		h.awaitPhase(supervisor.Stopped, time.Minute, "a")
		fake.FailStart("brainjar-a.service", nil)
		time.Sleep(10 * time.Minute)
		if s := h.status("a"); s.Phase != supervisor.Stopped || s.Run != 0 || !strings.Contains(s.Reason, "stopped by somebody else") {
			st.Errorf("%+v", s)
		}
		h.must(h.Supervisor.Start(h.ctx(), "a"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		h.drain()
	})
}

// A disk that does not answer when brainjar is stopped keeps it no longer than its time,
// and what has ended is not said to be still there.
func TestDrainWithoutLedger(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		st.book.mu.Lock()
		st.book.dead = true
		st.book.mu.Unlock()
		if took := h.drain(); took > 30*time.Second || len(h.ends("a")) != 1 {
			st.Errorf("took %v, %d ends", took, len(h.ends("a")))
		}
	})
}

// What a person froze with systemctl is shown as frozen, and hears that it is to save its
// work and to end, also if nobody has seen that it is frozen and systemd waits for brainjar.
func TestFrozenBySomebodyElse(t *testing.T) {
	const saves = "stop_timeout = \"20s\"\ncheckpoint_signal = \"SIGUSR1\"\ncheckpoint_timeout = \"1m\""
	text := head + experiment("saves", saves, "on=USR1:sleep=5s,exit=7", "sleep=10h") + experiment("ends", "stop_timeout = \"20s\"", "on=TERM:exit=7", "sleep=10h")
	freeze := func(fake *transienttest.Fake) {
		fake.FreezeUnseen("brainjar-saves.service")
		fake.FreezeUnseen("brainjar-ends.service")
	}
	saved := func(st stage, h *house) {
		st.Helper()
		for _, id := range []string{"saves", "ends"} {
			if end := h.ends(id); len(end) != 1 || end[0].ExitCode != 7 {
				st.Errorf("%s ended with %+v", id, end)
			}
		}
	}
	for _, job := range []string{"", "stop"} {
		onFake(t, func(st stage, fake *transienttest.Fake) {
			fake.SetOwnJob(job)
			h := st.begin(text)
			h.awaitPhase(supervisor.Running, time.Second, "saves", "ends")
			freeze(fake)
			if took := h.drain(); took > 10*time.Second {
				st.Errorf("a drain took %v", took)
			}
			saved(st, h)
		})
	}
	onFake(t, func(st stage, fake *transienttest.Fake) {
		h := st.begin(text)
		h.awaitPhase(supervisor.Running, time.Second, "saves", "ends")
		time.Sleep(time.Minute)
		freeze(fake)
		h.report()
		h.awaitPhase(supervisor.Frozen, time.Second, "saves", "ends")
		if s := h.status("saves"); s.Reason != "frozen by somebody else, not through brainjar" {
			st.Errorf("reason %q", s.Reason)
		}
		h.must(h.Supervisor.Stop(h.ctx(), "saves"))
		h.must(h.Supervisor.Stop(h.ctx(), "ends"))
		h.awaitPhase(supervisor.Stopped, 10*time.Second, "saves", "ends")
		saved(st, h)
		h.drain()
	})
}

// deafened is a systemd whose connection is gone when it is to thaw for the first time.
type deafened struct {
	*transienttest.Fake
	thaws int
}

func (d *deafened) Thaw(ctx context.Context, unit string) error {
	if d.thaws++; d.thaws == 1 {
		return transient.ErrDisconnected
	}
	return d.Fake.Thaw(ctx, unit)
}

// A thaw that did not get through is ordered again: a signal alone would not be heard.
func TestThawIsOrderedAgain(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.open = func() systemd { return &deafened{Fake: fake} }
		h := st.begin(head + experiment("a", "checkpoint_signal = \"SIGUSR1\"\ncheckpoint_timeout = \"1m\"", "on=USR1:exit=7", "sleep=10h"))
		h.awaitPhase(supervisor.Running, time.Second, "a")
		fake.FreezeUnseen("brainjar-a.service")
		if took := h.drain(); took > 5*time.Second {
			st.Errorf("a drain took %v", took)
		}
		if end := h.ends("a"); len(end) != 1 || end[0].ExitCode != 7 {
			st.Errorf("ended with %+v", end)
		}
	})
}

// A run ends as its unit was started, whatever is configured since: that comes with the next.
func TestStopAsItWasStarted(t *testing.T) {
	text := func(keys string) string {
		return head + experiment("slow", keys, "on=TERM:sleep=40s,exit=0", "ignore=INT", "sleep=10h")
	}
	before, after := text(`stop_timeout = "1m"`), text("stop_timeout = \"2s\"\nstop_signal = \"SIGINT\"")
	for name, change := range map[string]func(st stage, h *house) *house{
		"reloaded": func(_ stage, h *house) *house {
			h.rewrite(after)
			plan, err := h.Reload(h.ctx(), false)
			h.must(err)
			if words := plan.Steps[0].Words; words != "takes effect with its next run: stop_signal, stop_timeout" {
				h.Errorf("plan: %q", words)
			}
			return h
		},
		"changed while brainjar was away": func(st stage, h *house) *house {
			h.kill()
			h = st.begin(after)
			h.awaitPhase(supervisor.Running, time.Minute, "slow")
			return h
		},
	} {
		for _, job := range []string{"", "stop"} {
			t.Run(name+" "+job, func(t *testing.T) {
				onFake(t, func(st stage, fake *transienttest.Fake) {
					st.book = newBook()
					h := st.begin(before)
					h.awaitPhase(supervisor.Running, time.Minute, "slow")
					h = change(st, h)
					fake.SetOwnJob(job)
					took := h.drain()
					if end := h.ends("slow"); len(end) != 1 || end[0].Signal != 0 || end[0].KilledAtStop || took < 40*time.Second || took > 50*time.Second {
						st.Errorf("after %v: %+v", took, end)
					}
				})
			})
		}
	}
}
