package supervisor_test

import (
	"strings"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
)

// The next brainjar finds what runs, and leaves it alone.
func adoption(st stage) {
	text := head + experiment("a", "", "sleep=1h") + experiment("b", "", "sleep=1h")
	first := st.begin(text)
	first.awaitPhase(supervisor.Running, 10*time.Second, "a", "b")
	before := first.status("a").Unit
	first.leave()
	second := st.begin(text)
	second.awaitPhase(supervisor.Running, 10*time.Second, "a", "b")
	after := second.status("a").Unit
	if after.Invocation != before.Invocation || after.MainPID != before.MainPID || after.Run != before.Run {
		st.Errorf("before %+v\nafter %+v", before, after)
	}
	second.drain()
	if end := second.ends("a"); len(end) != 1 || end[0].Result != transient.Stopped {
		st.Errorf("ended with %+v", end)
	}
}

// A run that ended while no brainjar was there is counted once, with its code.
func endedWhileAway(st stage) {
	text := head + experiment("a", `restart.delay = "1h"`+"\n"+`restart.max_delay = "1h"`, "sleep=1s", "exit=3")
	first := st.begin(text)
	first.awaitPhase(supervisor.Running, 10*time.Second, "a")
	first.leave()
	time.Sleep(2 * time.Second) // it ends meanwhile
	second := st.begin(text)
	second.awaitPhase(supervisor.Backoff, 10*time.Second, "a")
	if end := second.ends("a"); len(end) != 1 || end[0].ExitCode != 3 || end[0].Result != transient.ExitCode {
		st.Errorf("ended with %+v", end)
	}
	if s := second.status("a"); s.Attempt != 1 || s.Run != 1 {
		st.Errorf("run %d, attempt %d; want 1 and 1", s.Run, s.Attempt)
	}
	second.drain()
	third := st.begin(text)
	third.awaitPhase(supervisor.Running, 10*time.Second, "a") // the end was forgotten
	third.drain()
}

// A unit whose experiment is not configured any more is ended gracefully.
func unknownUnit(st stage) {
	first := st.begin(head + experiment("old", "", "sleep=1h"))
	first.awaitPhase(supervisor.Running, 10*time.Second, "old")
	first.leave()
	second := st.begin(head + experiment("new", "", "sleep=1h"))
	second.awaitPhase(supervisor.Running, 10*time.Second, "new")
	second.await("old has ended", 10*time.Second, func() bool {
		return strings.Contains(second.logged(), "run of an experiment that is not configured ended")
	})
	second.drain()
}
