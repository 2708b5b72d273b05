package supervisor_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// While the connection is gone nothing starts; what ended meanwhile is counted
// once when it is back.
func TestReconnection(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		h := st.begin(head + experiment("a", "restart.max_restarts = 1", "sleep=1m", "exit=3"))
		h.awaitPhase(supervisor.Running, time.Second, "a")
		fake.Disconnect(errors.New("dbus went away"))
		time.Sleep(2 * time.Minute)
		if n := len(h.ends("a")); n != 0 {
			st.Errorf("%d ends without a connection", n)
		}
		fake.Reconnect()
		h.awaitPhase(supervisor.Failed, 5*time.Minute, "a")
		if n, starts := len(h.ends("a")), fake.Starts("brainjar-a.service"); n != 2 || starts != 2 {
			st.Errorf("%d ends of %d starts, want 2 of 2", n, starts)
		}
		if !strings.Contains(h.logged(), "systemd is out of reach") {
			st.Errorf("the loss was not reported")
		}
		h.drain()
	})
}

// A stop that could not be ordered is ordered again: nothing is killed that was
// never asked to end.
func TestStopIsOrderedAgain(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		text := strings.Replace(head, `stop_timeout = "1s"`, `stop_timeout = "20s"`, 1)
		h := st.begin(text + experiment("a", "", "on=TERM:exit=7", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Second, "a")
		fake.Disconnect(errors.New("daemon-reexec"))
		time.AfterFunc(3*time.Second, fake.Reconnect)
		if took := h.drain(); took > 6*time.Second {
			st.Errorf("took %v", took)
		}
		if end := h.ends("a"); len(end) != 1 || end[0].ExitCode != 7 {
			st.Errorf("ended with %+v", end)
		}
	})
}

// Of several runs that ended while brainjar was away, the latest counts.
func TestLatestRunCounts(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		now := time.Now()
		for _, run := range []int{4, 6, 5} {
			fake.PlantEnded(transient.Unit{Experiment: "a", Run: run, Attempt: run - 4},
				transient.Outcome{Result: transient.ExitCode, ExitCode: 3, Started: now, Ended: now.Add(time.Duration(run))})
		}
		h := st.begin(head + experiment("a", "restart.delay = \"1m\"", "sleep=1h"))
		h.awaitPhase(supervisor.Backoff, time.Second, "a")
		if s := h.status("a"); s.Run != 6 || s.Attempt != 3 || len(h.ends("a")) != 1 {
			st.Errorf("%+v after %d ends", s, len(h.ends("a")))
		}
		h.awaitPhase(supervisor.Running, 10*time.Minute, "a")
		if s := h.status("a"); s.Run != 7 {
			st.Errorf("run %d, want 7", s.Run)
		}
		if n := fake.Records(); n != 0 {
			st.Errorf("%d records were not forgotten", n)
		}
		h.drain()
	})
}

// A start that systemd did not answer is not the experiment's failure.
func TestLostStartIsNotCounted(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		fake.FailStart("brainjar-a.service", fmt.Errorf("gone: %w", transient.ErrUncertain))
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		h.await("a waits", time.Minute, func() bool {
			return strings.Contains(h.logged(), "systemd did not start it")
		})
		if n, s := len(h.ends("a")), h.status("a"); n != 0 || s.Attempt != 0 {
			st.Errorf("%d ends, attempt %d", n, s.Attempt)
		}
		fake.FailStart("brainjar-a.service", nil)
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		h.drain()
	})
}

// What keeps systemd from starting anything for an hour is not told hundreds of times;
// when it is over, the start does not take long.
func TestLostStartsBecomeFewer(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		fake.FailStart("brainjar-a.service", transient.ErrNotNow)
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		time.Sleep(time.Hour)
		fake.FailStart("brainjar-a.service", nil)
		h.awaitPhase(supervisor.Running, time.Minute+time.Second, "a")
		if n := len(h.past("a")); n < 30 || n > 200 {
			st.Errorf("%d changes of its phase", n)
		}
		h.drain()
	})
}

// A unit that is found while its program is still loading is not started again.
func TestFoundLoading(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		spec := transient.Spec{
			Experiment: "a", Run: 4, Attempt: 2, Kind: transient.Service, Ready: transient.ReadyNotify,
			Command: transienttest.Command("x", "sleep=1m", "ready", "sleep=1h"),
		}
		if err := fake.Plant(spec, time.Now()); err != nil {
			st.Fatal(err)
		}
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		time.Sleep(30 * time.Second)
		if s := h.status("a"); s.Phase != supervisor.Starting || s.Run != 4 || s.Attempt != 2 {
			st.Errorf("%+v", s)
		}
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		if n := fake.Starts("brainjar-a.service"); n != 0 {
			st.Errorf("it was started %d times", n)
		}
		h.drain()
	})
}

// One that is found loading after a reconnection, while its experiment waits, is that
// experiment's run.
func TestFoundLoadingInBackoff(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		h := st.begin(head + experiment("a", `restart = { delay = "10s", max_restarts = 5 }`, "exit=3"))
		h.awaitPhase(supervisor.Backoff, time.Minute, "a")
		fake.Disconnect(errors.New("gone"))
		spec := transient.Spec{
			Experiment: "a", Run: 1, Kind: transient.Service, Ready: transient.ReadyNotify,
			Command: transienttest.Command("x", "sleep=30s", "ready", "sleep=30s", "exit=4"),
		}
		h.must(fake.Plant(spec, time.Now()))
		fake.Reconnect()
		h.awaitPhase(supervisor.Starting, time.Second, "a")
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		h.awaitPhase(supervisor.Backoff, time.Minute, "a")
		h.drain()
		if ends := fmt.Sprint(st.book.ends("a")); ends != "[1:exit-code 3 2:exit-code 4]" {
			st.Error(ends)
		}
		if strings.Contains(h.logged(), "level=ERROR") {
			st.Error(h.logged())
		}
	})
}

// The end of a run that somebody else began, and of whose start nobody heard, has a
// number of its own in the ledger, whatever the experiment does meanwhile.
func TestStrangersEndIsWritten(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		for _, code := range []int{4, 5} {
			fake.Disconnect(errors.New("gone"))
			fake.PlantEnded(transient.Unit{Experiment: "a", Run: 1}, transient.Outcome{Result: transient.ExitCode, ExitCode: code, Started: time.Now(), Ended: time.Now()})
			fake.Reconnect()
			h.await("the record is gone", time.Minute, func() bool { return fake.Records() == 0 })
		}
		if s := h.status("a"); s.Phase != supervisor.Running || s.Run != 1 {
			st.Errorf("%+v", s)
		}
		if err := h.systemd.Kill(st.Context(), "brainjar-a.service", transient.Main, syscall.SIGKILL); err != nil {
			st.Fatal(err)
		}
		h.await("it runs again", time.Minute, func() bool { return h.status("a").Run > 1 && h.status("a").Phase == supervisor.Running })
		h.drain()
		if ends := fmt.Sprint(st.book.ends("a")); ends != "[1:signal 2:exit-code 4 3:exit-code 5 4:stopped]" {
			st.Error(ends)
		}
	})
}

// A restart of brainjar's own unit that comes while the connection is being made anew, as
// at an upgrade of systemd itself, leaves experiments alone too.
func TestRestartWithoutConnection(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		fake.SetOwnJob("restart")
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Second, "a")
		fake.Disconnect(errors.New("daemon-reexec"))
		time.AfterFunc(3*time.Second, fake.Reconnect)
		if took := h.drain(); took > 5*time.Second || len(fake.Running()) != 1 {
			st.Errorf("took %v, running: %v", took, fake.Running())
		}
	})
}

// A connection that is lost while brainjar still looks up what was counted: what happened
// while it was away is taken once.
func TestLookedUpTwice(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		st.book.slow = 5 * time.Second
		fake.PlantEnded(transient.Unit{Experiment: "a", Run: 1}, transient.Outcome{Result: transient.ExitCode, ExitCode: 3, Started: time.Now(), Ended: time.Now()})
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		time.Sleep(time.Second)
		fake.Disconnect(errors.New("daemon-reexec"))
		fake.Reconnect()
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		time.Sleep(time.Minute)
		h.mu.Lock()
		ready := strings.Count(strings.Join(h.told, "\n"), "READY=1")
		h.mu.Unlock()
		if ready != 1 {
			st.Errorf("ready %d times", ready)
		}
		h.drain()
		if ends := fmt.Sprint(st.book.ends("a")); ends != "[1:exit-code 3 2:stopped]" {
			st.Error(ends)
		}
	})
}
