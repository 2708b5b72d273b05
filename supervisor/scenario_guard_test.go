package supervisor_test

import (
	"context"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// breakerHead is head with a circuit breaker.
var breakerHead = strings.Replace(head, "max_concurrent = 8", "max_concurrent = 8\nbreaker = { failures = 3, within = \"60s\" }", 1)

// Three that fail hold all further starts, until a person says so; what runs,
// runs on.
func breakerOpens(st stage) {
	const policy = "restart.delay = \"1s\""
	h := st.begin(breakerHead + experiment("good", "", "sleep=1h") +
		experiment("a", policy, "sleep=50ms", "exit=3") + experiment("b", policy, "sleep=50ms", "kill=SEGV") +
		"[experiments.c]\ncommand = [\"/nonexistent/program\"]\n" + policy + "\n" +
		experiment("late", "after = { c = \"ended\" }\n", "sleep=1h"))
	h.await("the breaker is open", 10*time.Second, func() bool { return strings.Contains(h.logged(), "nothing is started any more") })
	const why = "circuit breaker: 3 experiments failed within 60s of their start ("
	for _, id := range []string{"a", "b", "c"} {
		h.await(id+" is held", 10*time.Second, func() bool {
			s := h.status(id)
			return s.Phase == supervisor.Queued && strings.HasPrefix(s.Reason, why) && strings.HasSuffix(s.Reason, "); `brainjar release --all` or a new start of brainjar resets it")
		})
	}
	if s := h.status("good"); s.Phase != supervisor.Running {
		st.Errorf("good is %s", s.Phase)
	}
	runs := len(h.ends(""))
	if err := h.ReleaseAll(context.Background()); err != nil {
		st.Fatal(err)
	}
	h.await("starts go on", 10*time.Second, func() bool { return len(h.ends("")) > runs })
	h.drain()
}

// Who stops the slice ends everything: what waits, for room or for its next try, does not
// start by itself, before a person says so.
func sliceStopped(st stage) {
	text := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 2", 1)
	h := st.begin(text + experiment("a", `restart.policy = "always"`, "sleep=1h") + experiment("b", "", "sleep=1h") +
		experiment("c", "", "sleep=1h") + experiment("d", "priority = -1", "sleep=1h"))
	h.awaitPhase(supervisor.Running, 10*time.Second, "a", "b")
	const why = "brainjar.slice was stopped; `brainjar release --all`, an order to start or `systemctl start brainjar.slice` lets starts go on"
	over := func(running ...string) {
		st.Helper()
		h.stopSlice()
		h.awaitPhase(supervisor.Stopped, 10*time.Second, running...)
		time.Sleep(6 * time.Second) // longer than the delay after a start that systemd refuses
		if r := h.report(); r.Hold != why || r.SlotsUsed != 0 {
			st.Errorf("hold %q, %d run", r.Hold, r.SlotsUsed)
		}
		if s := h.status("d"); s.Phase != supervisor.Queued || s.Reason != why || s.Run != 0 {
			st.Errorf("d is %s in run %d: %s", s.Phase, s.Run, s.Reason)
		}
	}
	over("a", "b")
	h.must(h.Supervisor.Start(h.ctx(), "a"))
	h.awaitPhase(supervisor.Running, 10*time.Second, "a", "c")
	over("a", "c")
	h.startSlice()
	h.awaitPhase(supervisor.Running, 10*time.Second, "d")
	h.drain()
}

// stopSlice is a person's systemctl stop, startSlice its start.
func (h *house) stopSlice() {
	if fake, ok := h.systemd.(*transienttest.Fake); ok {
		fake.StopSlice()
	} else {
		h.must(exec.Command("systemctl", "stop", "--no-block", transient.Slice).Run())
	}
}

func (h *house) startSlice() {
	if fake, ok := h.systemd.(*transienttest.Fake); ok {
		fake.StartSlice()
	} else {
		h.must(exec.Command("systemctl", "start", transient.Slice).Run())
	}
}

// A unit that belongs to nobody takes its room, and is left alone, also by a
// drain.
func orphanKept(st stage) {
	keep := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 1\nkeep_orphans = true", 1)
	first := st.begin(keep + experiment("old", "", "sleep=1h"))
	first.awaitPhase(supervisor.Running, 10*time.Second, "old")
	first.leave()
	second := st.begin(keep + experiment("new", "", "sleep=1h"))
	second.await("new waits for the slot", 10*time.Second, func() bool { return second.status("new").Reason == "1 of 1 running" })
	second.drain()
	if _, err := second.Usage("brainjar-old.service"); err != nil {
		st.Errorf("the one that is kept: %v", err)
	}
	third := st.begin(keep + experiment("new", "", "sleep=1h"))
	third.await("old is found", 10*time.Second, func() bool { return strings.Contains(third.logged(), "it is left running") })
	third.awaitReady()
	if err := third.systemd.Kill(context.Background(), "brainjar-old.service", transient.All, syscall.SIGKILL); err != nil {
		st.Fatal(err)
	}
	third.awaitPhase(supervisor.Running, 10*time.Second, "new")
	third.drain()
	if n := strings.Count(third.logged(), "owns a unit that runs"); n != 1 {
		st.Errorf("told %d times of an orphan", n)
	}
}

// A drain that comes while an orphan still ends waits for it.
func orphanDrained(st stage) {
	text := strings.Replace(head, `stop_timeout = "1s"`, `stop_timeout = "10s"`, 1)
	first := st.begin(text + experiment("old", "", "on=TERM:sleep=1s,exit=0", "sleep=1h"))
	first.awaitPhase(supervisor.Running, 10*time.Second, "old")
	st.settle()
	first.leave()
	second := st.begin(text + experiment("new", "", "sleep=1h"))
	second.awaitPhase(supervisor.Running, 10*time.Second, "new")
	if took := second.drain(); took > stretched(5*time.Second) {
		st.Errorf("took %v", took)
	}
	if _, err := second.Usage("brainjar-old.service"); err == nil {
		st.Errorf("something is left running")
	}
	if !strings.Contains(second.logged(), "not configured ended") || strings.Contains(second.logged(), "killing") {
		st.Errorf("the orphan did not end by itself")
	}
}

// Checks that fail end a run, gracefully, and that is a failure of it.
func probeFails(st stage) {
	const probe = "probe = { exec = [\"PROGRAM\", \"workload\", \"print=nobody there in run {run}\", \"exit=4\"], every = \"2s\", failures = 2 }\n"
	h := st.begin(head +
		experiment("sick", probe+"restart.max_restarts = 1\ncheckpoint_signal = \"SIGUSR1\"", "on=USR1:exit=0", "sleep=1h") +
		experiment("hangs", strings.Replace(strings.Replace(probe, "print=nobody there in run {run}", "sleep=1h", 1), "failures = 2", "failures = 1", 1)+"restart.policy = \"no\"", "sleep=1h") +
		experiment("well", strings.NewReplacer("exit=4", "exit=0", "failures = 2", "failures = 9").Replace(probe), "sleep=1h"))
	h.awaitPhase(supervisor.Failed, 30*time.Second, "sick", "hangs")
	ends := h.ends("sick")
	if len(ends) != 2 || ends[0].Result != supervisor.ResultProbe || ends[0].ExitCode != 0 {
		st.Errorf("sick ended with %+v", ends)
	}
	if s := h.status("sick"); s.Reason != "probe failed 2 times in a row: exited with code 4: nobody there in run 2; gave up after 1 restart" {
		st.Errorf("reason %q", s.Reason)
	}
	if s := h.status("hangs"); !strings.HasPrefix(s.Reason, "probe failed: no answer") || s.LastResult != supervisor.ResultProbe {
		st.Errorf("reason %q, result %s", s.Reason, s.LastResult)
	}
	if s := h.status("well"); s.Phase != supervisor.Running || s.Run != 1 {
		st.Errorf("well is %s in run %d: %s", s.Phase, s.Run, s.Reason)
	}
	h.drain()
}

// A run may last so long, and is told a little before.
func runtimeMaxEnds(st stage) {
	h := st.begin(head +
		experiment("told", "runtime_max = \"4s\"\nruntime_warning = \"3s\"\ncheckpoint_signal = \"SIGUSR1\"", "on=USR1:exit=0", "sleep=1h") +
		experiment("deaf", "runtime_max = \"2s\"\nrestart.policy = \"no\"", "sleep=1h"))
	h.awaitPhase(supervisor.Succeeded, 20*time.Second, "told")
	end := h.ends("told")[0]
	if lasted := end.Ended.Sub(end.Started); lasted < 900*time.Millisecond || lasted > stretched(3*time.Second) {
		st.Errorf("told lasted %v, want a second and a little", lasted)
	}
	h.awaitPhase(supervisor.Failed, 20*time.Second, "deaf")
	if s := h.status("deaf"); s.LastResult != transient.Timeout || s.Reason != "ran longer than runtime_max" {
		st.Errorf("deaf: %s, %q", s.LastResult, s.Reason)
	}
	h.drain()
}

// One that falls silent is killed, and tried again.
func watchdogEnds(st stage) {
	h := st.begin(head + experiment("silent", "watchdog = \"2s\"\nready = \"notify\"\nrestart.max_restarts = 1",
		"ready", "ping", "sleep=500ms", "ping", "sleep=500ms", "ping", "sleep=1h"))
	h.awaitPhase(supervisor.Failed, 30*time.Second, "silent")
	for _, end := range h.ends("silent") {
		if end.Result != transient.Watchdog || end.Ended.Sub(end.Started) < 2900*time.Millisecond {
			st.Errorf("ended with %+v", end)
		}
	}
	if s := h.status("silent"); s.Reason != "missed its watchdog; gave up after 1 restart" || s.Run != 2 {
		st.Errorf("run %d, reason %q", s.Run, s.Reason)
	}
	h.drain()
}

// Heat that comes back again and again holds what it stops, until a person
// releases it.
func requeuesEnd(st stage) {
	h := st.begin(head + experiment("a", "max_requeues = 1", "sleep=1h"))
	for i := range 2 {
		h.awaitPhase(supervisor.Running, 10*time.Second, "a")
		h.feel(86)
		h.await("it was stopped", 10*time.Second, func() bool { return len(h.ends("a")) == i+1 })
		h.cool()
	}
	h.awaitPhase(supervisor.Held, 10*time.Second, "a")
	if s := h.status("a"); s.Reason != "stopped for heat more than once, which is enough: tj-thermal 86.0 °C, critical is 85 °C (`brainjar release a`)" {
		st.Errorf("reason %q", s.Reason)
	}
	if err := h.Release(context.Background(), "a"); err != nil {
		st.Fatal(err)
	}
	h.awaitPhase(supervisor.Running, 10*time.Second, "a")
	h.feel(86)
	h.awaitPhase(supervisor.Queued, 10*time.Second, "a") // counted from nothing
	h.drain()
}
