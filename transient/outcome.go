package transient

import (
	"syscall"
	"time"

	"brainjar/internal/quantity"
)

// How a process ended, as ExecMainCode has it: si_code of waitid(2).
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

// systemd's own exit statuses for a process that failed before it executed the
// program, systemd.exec(5) "Process Exit Codes". Programs use them as well.
const (
	firstSpawnStatus = 200
	lastSpawnStatus  = 243
)

// facts is what systemd knows of the end of an invocation.
type facts struct {
	result    string // Result, such as "exit-code"
	code      int    // ExecMainCode; 0: no process ended
	status    int    // ExecMainStatus: exit code or signal
	wasActive bool   // it was active at some time of this invocation
	started   time.Time
	exited    time.Time // the main process; zero: unknown
	ended     time.Time
	limits    *timeLimits // nil: unknown
}

// timeLimits are the times after which systemd ends a unit by itself; 0: never.
type timeLimits struct{ start, runtime time.Duration }

// timedOut reports whether Result "timeout" is about the program. systemd says the
// same when the recorder is killed, because it took longer than the unit's stop
// timeout; then the main process has ended before its time was over.
func (f *facts) timedOut() bool {
	if f.result != "timeout" {
		return false
	}
	if f.limits == nil || f.code == 0 || f.exited.IsZero() || f.started.IsZero() {
		return true
	}
	limit := f.limits.start
	if f.wasActive {
		limit = f.limits.runtime
	}
	return limit > 0 && f.exited.Sub(f.started) >= limit-clockSlack
}

// clockSlack is by how much two time stamps of systemd may differ from what
// passed between them.
const clockSlack = 50 * time.Millisecond

// ending is all that is known of the end of an invocation. What is missing is
// nil or zero.
type ending struct {
	facts   *facts
	record  *record
	asked   bool           // this Manager was asked to stop it
	refusal string         // why this Manager stopped it right after its start
	peak    quantity.Bytes // highest use that this Manager read
	cpu     time.Duration  // last that this Manager read
	scope   bool           // the exit status of a scope's process may be unknown
	early   bool           // that it was active does not say that the program was executed
	seen    bool           // this Manager saw the program run
}

// classify says how an invocation ended. doubt is true where only the journal
// knows whether the program was executed at all: a failed start and a program
// that exits at once with a status between 200 and 243 look the same.
//
// What the process itself did (ExecMainCode, ExecMainStatus) comes before
// Result, in which death by SIGTERM, SIGHUP or SIGINT is a success; before
// both come the causes that systemd or the kernel had to end it.
func classify(e ending) (o Outcome, doubt bool) {
	o = Outcome{ExitCode: -1, MemoryPeak: e.peak, CPUTime: e.cpu, StopRequested: e.asked}
	f := e.facts
	if r := e.record; r != nil {
		if f == nil && r.ServiceResult != "" {
			known := r.facts()
			f = &known
		}
		o.OOMKills, o.MemoryPeak, o.CPUTime = r.OOMKills, max(o.MemoryPeak, r.MemoryPeak), r.CPUTime
		if r.StopRequested != nil {
			o.StopRequested = o.StopRequested || *r.StopRequested
		}
	}
	if f == nil {
		o.Result, o.Detail = Lost, "the unit is gone and nobody saw how it ended"
		return o, false
	}
	o.Started, o.Ended = f.started, f.ended
	switch f.code {
	case cldExited:
		o.ExitCode = f.status
	case cldKilled, cldDumped:
		o.Signal, o.CoreDumped = syscall.Signal(f.status), f.code == cldDumped
	}
	o.KilledAtStop = f.result == "timeout" && o.Signal == syscall.SIGKILL && (o.StopRequested || f.timedOut())
	o.Result, o.Detail = result(e, f, o)
	if e.refusal != "" {
		o.StopRequested = false // by this Manager, not by a person
	}
	if o.Result == OOMKill {
		o.OOMKills = max(o.OOMKills, 1)
	}
	ran := e.seen || f.wasActive && !e.early
	doubt = o.Result == StartFailed && e.refusal == "" ||
		o.Result == ExitCode && !ran && o.ExitCode >= firstSpawnStatus && o.ExitCode <= lastSpawnStatus
	return o, doubt
}

func result(e ending, f *facts, o Outcome) (r Result, detail string) {
	switch {
	case e.refusal != "":
		return StartFailed, e.refusal
	case f.result == "oom-kill" || o.OOMKills > 0:
		return OOMKill, ""
	case f.timedOut() && !o.StopRequested:
		if f.wasActive {
			return Timeout, "ran longer than runtime_max"
		}
		return Timeout, "it did not say that it was ready in time"
	case f.result == "watchdog":
		return Watchdog, ""
	case o.StopRequested:
		return Stopped, ""
	case f.code == 0 && e.scope:
		return Lost, "it was not brainjar's child, so its exit status is unknown"
	case f.code == 0:
		return StartFailed, "systemd could not start it: " + f.result
	case o.Signal != 0:
		return Signal, ""
	case f.result == "protocol":
		return ExitCode, "it ended without having said that it was ready"
	case o.ExitCode != 0:
		return ExitCode, ""
	}
	return Success, ""
}
