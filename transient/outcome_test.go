package transient

import (
	"errors"
	"syscall"
	"testing"
	"time"
)

// TestClassify: how an invocation ended, from what the witnesses say.
func TestClassify(t *testing.T) {
	yes, no := true, false
	exited := func(result string, status int) *facts {
		return &facts{result: result, code: cldExited, status: status, wasActive: true}
	}
	killed := func(result string, sig syscall.Signal) *facts {
		return &facts{result: result, code: cldKilled, status: int(sig), wasActive: true}
	}
	never := func(f *facts) *facts { f.wasActive = false; return f }
	timedOut := func(lasted, runtimeMax time.Duration) *facts {
		f := exited("timeout", 0)
		f.started, f.exited, f.limits = time.Unix(100, 0), time.Unix(100, 0).Add(lasted), &timeLimits{runtime: runtimeMax}
		return f
	}
	tests := []struct {
		name  string
		in    ending
		want  Outcome
		doubt bool
	}{
		{"success", ending{facts: exited("success", 0)}, Outcome{Result: Success}, false},
		{"exit code", ending{facts: exited("exit-code", 7)}, Outcome{Result: ExitCode, ExitCode: 7}, false},
		{"exit code of systemd's, after it was active", ending{facts: exited("exit-code", 203)}, Outcome{Result: ExitCode, ExitCode: 203}, false},
		{"the same at once", ending{facts: never(exited("exit-code", 203))}, Outcome{Result: ExitCode, ExitCode: 203}, true},
		{"the last of systemd's at once", ending{facts: never(exited("exit-code", 243))}, Outcome{Result: ExitCode, ExitCode: 243}, true},
		{"one of the program's own at once", ending{facts: never(exited("exit-code", 244))}, Outcome{Result: ExitCode, ExitCode: 244}, false},
		{"that it was active does not say that it ran", ending{facts: exited("exit-code", 203), early: true}, Outcome{Result: ExitCode, ExitCode: 203}, true},
		{"but it was seen to", ending{facts: exited("exit-code", 203), early: true, seen: true}, Outcome{Result: ExitCode, ExitCode: 203}, false},
		{"the record alone does not say so", ending{record: &record{ServiceResult: "exit-code", ExitCode: "exited", ExitStatus: "203", Active: time.Unix(1, 0)}, early: true},
			Outcome{Result: ExitCode, ExitCode: 203}, true},
		{"SIGTERM is a success to systemd", ending{facts: killed("success", syscall.SIGTERM)}, Outcome{Result: Signal, ExitCode: -1, Signal: syscall.SIGTERM}, false},
		{"core dump", ending{facts: &facts{result: "core-dump", code: cldDumped, status: int(syscall.SIGSEGV)}},
			Outcome{Result: Signal, ExitCode: -1, Signal: syscall.SIGSEGV, CoreDumped: true}, false},
		{"stop that the Manager asked for", ending{facts: killed("success", syscall.SIGTERM), asked: true},
			Outcome{Result: Stopped, ExitCode: -1, Signal: syscall.SIGTERM, StopRequested: true}, false},
		{"stop that a person asked for, exit code kept", ending{facts: exited("exit-code", 5), record: &record{StopRequested: &yes}},
			Outcome{Result: Stopped, ExitCode: 5, StopRequested: true}, false},
		{"no stop", ending{facts: exited("exit-code", 5), record: &record{StopRequested: &no}},
			Outcome{Result: ExitCode, ExitCode: 5}, false},
		{"killed at stop", ending{facts: killed("timeout", syscall.SIGKILL), asked: true},
			Outcome{Result: Stopped, ExitCode: -1, Signal: syscall.SIGKILL, StopRequested: true, KilledAtStop: true}, false},
		{"runtime max", ending{facts: killed("timeout", syscall.SIGTERM)},
			Outcome{Result: Timeout, ExitCode: -1, Signal: syscall.SIGTERM}, false},
		{"runtime max, and then SIGKILL", ending{facts: killed("timeout", syscall.SIGKILL)},
			Outcome{Result: Timeout, ExitCode: -1, Signal: syscall.SIGKILL, KilledAtStop: true}, false},
		{"the recorder was killed, not the program", ending{facts: timedOut(3*time.Second, 0)}, Outcome{Result: Success}, false},
		{"nor was its time over", ending{facts: timedOut(3*time.Second, 4*time.Second)}, Outcome{Result: Success}, false},
		{"its time was over", ending{facts: timedOut(4*time.Second, 4*time.Second)}, Outcome{Result: Timeout}, false},
		{"watchdog", ending{facts: killed("watchdog", syscall.SIGABRT)},
			Outcome{Result: Watchdog, ExitCode: -1, Signal: syscall.SIGABRT}, false},
		{"oom kill on v2", ending{facts: killed("oom-kill", syscall.SIGKILL)},
			Outcome{Result: OOMKill, ExitCode: -1, Signal: syscall.SIGKILL, OOMKills: 1}, false},
		{"oom kill on v1", ending{facts: killed("signal", syscall.SIGKILL), record: &record{OOMKills: 1, MemoryPeak: 64}},
			Outcome{Result: OOMKill, ExitCode: -1, Signal: syscall.SIGKILL, OOMKills: 1, MemoryPeak: 64}, false},
		{"a child's on v1", ending{facts: exited("exit-code", 1), record: &record{OOMKills: 3}},
			Outcome{Result: OOMKill, ExitCode: 1, OOMKills: 3}, false},
		{"no READY=1", ending{facts: never(exited("protocol", 0))}, Outcome{Result: ExitCode}, false},
		{"nothing was executed", ending{facts: &facts{result: "resources"}}, Outcome{Result: StartFailed, ExitCode: -1}, true},
		{"a limit does not hold", ending{facts: killed("success", syscall.SIGTERM), asked: true, refusal: "cpus is unlimited"},
			Outcome{Result: StartFailed, ExitCode: -1, Signal: syscall.SIGTERM}, false},
		{"nobody knows", ending{peak: 5}, Outcome{Result: Lost, ExitCode: -1, MemoryPeak: 5}, false},
		{"the record alone", ending{record: &record{ServiceResult: "exit-code", ExitCode: "exited", ExitStatus: "9", Active: time.Unix(1, 0), CPUTime: 3}},
			Outcome{Result: ExitCode, ExitCode: 9, CPUTime: 3}, false},
		{"a record that could not be trusted", ending{record: &record{OOMKills: 0, MemoryPeak: 7}}, Outcome{Result: Lost, ExitCode: -1, MemoryPeak: 7}, false},
		{"the record alone, of a signal", ending{record: &record{ServiceResult: "success", ExitCode: "killed", ExitStatus: "HUP"}},
			Outcome{Result: Signal, ExitCode: -1, Signal: syscall.SIGHUP}, false},
		{"the higher peak", ending{facts: exited("success", 0), peak: 9, record: &record{MemoryPeak: 5}},
			Outcome{Result: Success, MemoryPeak: 9}, false},
		{"a scope of another Manager", ending{facts: &facts{result: "success"}, scope: true}, Outcome{Result: Lost, ExitCode: -1}, false},
		{"a scope that was stopped", ending{facts: &facts{result: "success"}, scope: true, asked: true},
			Outcome{Result: Stopped, ExitCode: -1, StopRequested: true}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, doubt := classify(test.in)
			got.Started, got.Ended, got.Detail = time.Time{}, time.Time{}, ""
			if got != test.want || doubt != test.doubt {
				t.Errorf("got  %+v, %v\nwant %+v, %v", got, doubt, test.want, test.doubt)
			}
		})
	}
}

// TestSettle: what the journal says decides a doubt.
func TestSettle(t *testing.T) {
	ran := Outcome{Result: ExitCode, ExitCode: 203}
	if o := settle(ran, "", nil); o != ran {
		t.Errorf("no message: %+v", o)
	}
	if o := settle(ran, "Failed at step EXEC", nil); o.Result != StartFailed || o.ExitCode != -1 || o.Detail != "Failed at step EXEC" {
		t.Errorf("a message: %+v", o)
	}
	if o := settle(ran, "", errors.New("no journal")); o.Result != StartFailed || o.Detail == "" {
		t.Errorf("no journal: %+v", o)
	}
}

// TestParseJournal: two messages; what follows the exit is not about the program.
func TestParseJournal(t *testing.T) {
	const (
		other  = `{"MESSAGE":"Started","MESSAGE_ID":"39f53479d3a045ac8e11786248231fbf"}` + "\n"
		failed = `{"MESSAGE":"brainjar-x.service: Failed at step EXEC spawning /nope: No such file or directory","MESSAGE_ID":"641257651c1b4ec9a8624d7a40a9e1e7"}` + "\n"
		bytes  = `{"MESSAGE":[66,255],"MESSAGE_ID":"641257651c1b4ec9a8624d7a40a9e1e7"}` + "\n"
		exited = `{"MESSAGE":"brainjar-x.service: Main process exited","MESSAGE_ID":"98e322203f7a4ed290d09fe03c09fe15"}` + "\n"
	)
	for _, test := range []struct {
		in, text string
		complete bool
	}{
		{"", "", false},
		{"no JSON\n" + other, "", false},
		{other + exited, "", true},
		{other + failed + exited, "Failed at step EXEC spawning /nope: No such file or directory", true},
		{other + exited + failed, "", true}, // the recorder's
		{bytes, "systemd could not execute the program", false},
	} {
		if text, complete := parseJournal([]byte(test.in)); text != test.text || complete != test.complete {
			t.Errorf("%q: %q, %v, want %q, %v", test.in, text, complete, test.text, test.complete)
		}
	}
}
