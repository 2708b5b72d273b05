package cli

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
)

// waiting has one slot, and experiments that end when they are told to.
const waiting = `
[supervisor]
max_concurrent = 1
[defaults]
memory_max = "64M"
autostart = false
restart = { policy = "no" }
[experiments.long]
command = ["x", "workload", "on=USR1:exit=0", "on=USR2:sleep=200ms,exit=3", "sleep=1h"]
[experiments.next]
command = ["x", "workload", "sleep=1h"]
[experiments.broken]
command = ["/nonexistent/program"]
[experiments.flaky]
command = ["/nonexistent/program"]
restart = { policy = "on-failure", delay = "1h", max_delay = "1h" }
[experiments.quick]
command = ["true"]
[experiments.after_broken]
command = ["true"]
after = ["broken"]
[experiments.after_that]
command = ["true"]
after = { after_broken = "ended" }
[experiments.deaf]
command = ["x", "workload", "ignore=TERM", "sleep=1h"]
stop_timeout = "1s"
`

// What waits for one that failed for good, now or later, does not wait without end in
// the foreground, and nothing is left of it.
func TestExecIsBlocked(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, waiting)
	d.run("start", "broken").is(t, ExitFailed)
	blocked := d.start("exec", "--id", "x", "--memory-max", "16M", "--after", "after_that", "--", "true")
	d.awaitPhase(t, "x", supervisor.Queued)
	d.run("start", "after_broken", "after_that").is(t, ExitNotAdmitted)
	within(t.Fatalf, 10*time.Second, blocked).is(t, exitExecFailed, "x: it cannot start: after after_that: queued")
	d.run("start", "long").is(t, 0)
	later := d.start("exec", "--id", "y", "--memory-max", "16M", "--after", "long", "--", "true")
	d.awaitPhase(t, "y", supervisor.Queued)
	d.run("kill", "--signal", "USR2", "long").is(t, 0)
	within(t.Fatalf, 10*time.Second, later).is(t, exitExecFailed, "y: it cannot start: after long: failed (exited with code 3)")
	d.run("status", "x", "y").is(t, ExitUnknown, "no experiment x", "no experiment y")
}

func TestStartWaits(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, waiting)
	d.run("start", "long").is(t, 0, "long: running", "run 1, pid ")
	d.run("start", "long").is(t, 0, "long: running", "run 1")
	queued := d.start("start", "next")
	d.awaitPhase(t, "next", supervisor.Queued)
	d.run("start", "next", "--timeout", "50ms").is(t, ExitNotAdmitted, "next: queued: 1 of 1 running", "the order holds", "brainjar why next")
	d.run("start", "next", "--no-wait").is(t, 0, "next: queued")
	d.run("stop", "long").is(t, 0, "long: stopped: ")
	within(t.Fatalf, 10*time.Second, queued).is(t, 0, "next: queued: 1 of 1 running", "next: running")
	d.run("stop", "--all").is(t, 0, "next: stopped")
	d.run("stop", "--all").is(t, 0, "nothing to stop")
	d.run("start", "quick").is(t, 0, "quick: ", "(run 1")
	d.run("start", "broken").is(t, ExitFailed, "broken has not been started", "failed")
	d.run("start", "flaky").is(t, ExitFailed, "flaky has not been started: backoff", "restart 1 of 3 in")
	d.run("stop", "flaky").is(t, 0, "flaky: stopped")
	d.fake.FailStart("brainjar-deaf.service", fmt.Errorf("the unit is running already: %w", transient.ErrExists))
	d.run("start", "deaf", "--timeout", "200ms").is(t, ExitNotAdmitted, "deaf: backoff: systemd did not start it: ", "running already")
	d.run("stop", "deaf").is(t, 0, "deaf: stopped")
	d.fake.FailStart("brainjar-deaf.service", nil)
	d.run("start", "deaf").is(t, 0)
	d.run("stop", "deaf", "--timeout", "100ms").is(t, ExitFailed, "deaf: not done within 100ms; the order holds")
	d.run("stop", "deaf").is(t, 0, "deaf: stopped: did not end within its stop_timeout, killed")
}

func TestRestartWaits(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, waiting)
	d.run("start", "long").is(t, 0, "run 1")
	d.run("restart", "long").is(t, 0, "long: running", "run 2")
	d.run("restart", "--all").is(t, 0, "long: running", "run 3")
	d.run("restart", "quick", "--no-wait").is(t, 0, "quick: queued")
	d.run("freeze", "long").is(t, 0, "long: frozen")
	d.run("freeze", "long").is(t, ExitFailed, "long is frozen")
	d.run("thaw", "--all").is(t, 0, "long: running")
	d.run("thaw", "--all").is(t, 0, "nothing to thaw")
	d.run("kill", "long", "--signal", "USR2").is(t, 0, "long")
	d.run("wait", "long", "quick").is(t, ExitAwaited, "long: failed: exited with code 3", "quick: succeeded")
	d.run("kill", "long").is(t, ExitFailed, "not running")
	d.run("kill", "long", "--whom", "nobody").is(t, ExitUsage)
	d.run("kill", "long", "--signal", "NONSENSE").is(t, ExitUsage, "NONSENSE")
}

func TestWait(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, waiting)
	d.run("start", "long").is(t, 0)
	d.run("wait", "long", "--timeout", "50ms").is(t, ExitFailed, "long has not ended in time")
	d.run("wait", "long", "--timeout", "50ms", "-o", "json").is(t, ExitFailed, "[]")
	d.run("wait", "nobody", "long").is(t, ExitUnknown, "no experiment nobody")
	d.run("wait", "lomg").is(t, ExitUnknown, "no experiment lomg", "hint: did you mean long?")
	d.run("wait").is(t, ExitUsage, "which experiments")
	waits := d.start("wait", "long", "-o", "json")
	d.run("kill", "long", "-s", "SIGUSR1").is(t, 0)
	within(t.Fatalf, 10*time.Second, waits).is(t, 0, `"phase": "succeeded"`, `"last_result": "success"`)
	d.run("wait", "next", "long").is(t, ExitAwaited, "next: idle", "long: succeeded")
	d.run("wait", "--all").is(t, 0, "long: succeeded")
	d.run("start", "after_broken", "after_that", "--no-wait").is(t, 0)
	waits = d.start("wait", "after_that")
	d.run("start", "broken", "--no-wait").is(t, 0)
	d.run("wait", "broken").is(t, ExitAwaited, "broken: failed")
	within(t.Fatalf, 20*time.Second, waits).is(t, ExitAwaited, "after_that: queued: after after_broken: queued")
	d.run("start", "after_broken").is(t, ExitNotAdmitted, "after_broken has not been started: queued: after broken: failed")
	d.run("status", "-o", "json", "after_that").is(t, 0, `"blocked": true`)
}

// What waits goes on when brainjar is started again, and learns what happened
// meanwhile; it gives up when brainjar stays away.
func TestWaitOverRestart(t *testing.T) {
	hasten(t, 2*time.Second)
	d := newDaemon(t, waiting)
	d.run("start", "long").is(t, 0)
	d.awaitClients(t, 0)
	waits := d.start("wait", "long")
	follows := d.start("events", "-f", "-n", "0", "-o", "json")
	d.awaitClients(t, 3)
	d.run("kill", "long", "-s", "USR2").is(t, 0)
	d.end()
	for len(d.fake.Running()) > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	d.begin()
	within(t.Fatalf, 10*time.Second, waits).is(t, ExitAwaited, "long: failed: exited with code 3")
	follows.awaitWords(t, `"to":"failed"`)
	d.end()
	events := within(t.Fatalf, 10*time.Second, follows)
	events.is(t, ExitUnreachable, `"to":"failed"`, "gave up after")
	if n := strings.Count(events.out, `"to":"failed"`); n != 1 {
		t.Errorf("the end is told %d times:\n%s", n, events.out)
	}
	d.begin()
}

// Ctrl-C ends the waiting alone.
func TestInterrupted(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, waiting)
	d.run("start", "long").is(t, 0)
	start := d.start("start", "next")
	start.awaitWords(t, "next: queued: 1 of 1 running")
	waits := d.start("wait", "next")
	waits.awaitWords(t, "next: queued: 1 of 1 running")
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil { // which both of them hear
		t.Fatal(err)
	}
	within(t.Fatalf, 10*time.Second, start).is(t, ExitInterrupted, "error: interrupted: what was ordered holds")
	within(t.Fatalf, 10*time.Second, waits).is(t, ExitInterrupted, "error: interrupted")
	d.run("status", "next").is(t, 0, "queued")
}

func TestWaitGivesUp(t *testing.T) {
	hasten(t, 200*time.Millisecond)
	d := newDaemon(t, waiting)
	d.run("start", "long").is(t, 0)
	d.awaitClients(t, 0)
	waits := d.start("wait", "long")
	d.awaitClients(t, 2)
	d.end()
	within(t.Fatalf, 10*time.Second, waits).is(t, ExitUnreachable, "gave up after 200ms", "hint: ")
	d.run("status").is(t, ExitUnreachable, "brainjar does not answer on", "hint: is it running?")
	d.begin()
}
