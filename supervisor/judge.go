package supervisor

import (
	"fmt"
	"slices"
	"time"

	"brainjar/transient"
)

// The results that brainjar adds to those of systemd, for stops that it
// decided on itself.
const (
	ResultHeat      transient.Result = "heat"
	ResultMemory    transient.Result = "memory"
	ResultGPUMemory transient.Result = "gpu-memory" // it used more than its gpu_memory
	ResultProbe     transient.Result = "probe"      // its health check failed: a failure like any other
)

// checkpointMinimum is how long a run must have lasted for a checkpoint code
// to be believed: a program that exits with it at once would restart for ever.
const checkpointMinimum = 10 * time.Second

// Cause is why brainjar itself ended a run.
type Cause string

// The causes. NoCause means that brainjar did not.
const (
	NoCause        Cause = ""
	CauseAsked     Cause = "asked" // a person or a program asked for it through brainjar
	CauseLeave     Cause = "leave" // brainjar itself is being stopped
	CauseHeat      Cause = "heat"
	CauseMemory    Cause = "memory"
	CauseGPUMemory Cause = "gpu-memory"
	CauseProbe     Cause = "probe" // its health check failed

	causeRestart Cause = "restart" // CauseAsked, of one that is to be queued again; only in the ledger
)

// result is what a run that ended for this cause is recorded as.
func (c Cause) result() transient.Result {
	switch c {
	case CauseHeat:
		return ResultHeat
	case CauseMemory:
		return ResultMemory
	case CauseGPUMemory:
		return ResultGPUMemory
	case CauseProbe:
		return ResultProbe
	default:
		return transient.Stopped
	}
}

// requeues reports whether what was ended for it waits for its turn again.
func (c Cause) requeues() bool { return c == CauseHeat || c == CauseMemory || c == CauseGPUMemory }

// RestartPolicy says what happens after a run.
type RestartPolicy struct {
	OnFailure, OnSuccess bool // which ends are followed by another run
	Backoff              BackoffPolicy
	MaxRestarts          int           // in a row, then the experiment has failed
	ResetAfter           time.Duration // a run that lasted this long clears the count

	SuccessCodes    []int
	FatalCodes      []int // fail at once, no restart would help
	CheckpointCodes []int // the program saved its work and asks to be run again
	MaxRequeues     int   // after heat, memory or gpu-memory, then it is held
}

// Ending is a run that is over, as Judge needs to know it.
type Ending struct {
	Outcome  transient.Outcome
	Cause    Cause
	Why      string // brainjar ended it, in words
	Lasted   time.Duration
	Attempt  int // restarts in a row before this run
	Requeues int // times in a row that heat or memory sent it back to the queue
	Random   float64
}

// Next is what follows a run.
type Next struct {
	Result   transient.Result
	Phase    Phase
	InPlace  bool          // where it is queued, at the place that it had: the end was not its doing
	Delay    time.Duration // how long Backoff lasts
	Attempt  int           // for the next run
	Requeues int
	Reason   string
}

// Judge decides what follows a run. It knows no clock and no systemd.
func Judge(e Ending, p RestartPolicy) Next {
	next := Next{Result: e.Outcome.Result, Attempt: e.Attempt}
	if p.ResetAfter > 0 && e.Lasted >= p.ResetAfter && e.Cause != CauseLeave { // which goes on where it stood
		next.Attempt = 0
	}
	how := Describe(e.Outcome)
	switch e.Cause {
	case CauseHeat, CauseMemory, CauseGPUMemory:
		next.Result = e.Cause.result()
		next.Requeues = e.Requeues + 1
		next.Phase, next.InPlace, next.Reason = Queued, e.Cause != CauseGPUMemory, fmt.Sprintf("stopped for %s, requeued (%d of %d)", e.Cause, next.Requeues, p.MaxRequeues)
		if next.Requeues > p.MaxRequeues {
			next.Phase, next.InPlace, next.Reason = Held, false, fmt.Sprintf("stopped for %s more than %s, which is enough", e.Cause, Times(p.MaxRequeues))
		}
		if e.Why != "" {
			next.Reason += ": " + e.Why
		}
		return next
	case CauseAsked, CauseLeave:
		next.Result = e.Cause.result()
		if e.Cause == CauseLeave {
			next.Requeues = e.Requeues
		}
		next.Phase, next.Reason = Stopped, how
		return next
	case CauseProbe:
		next.Result = e.Cause.result()
		return afterFailure(e, p, next, e.Why)
	}
	if e.Outcome.StopRequested {
		next.Result = transient.Stopped
		next.Phase, next.Reason = Stopped, stoppedOutside
		return next
	}
	exited := e.Outcome.ExitCode >= 0 && (e.Outcome.Result == transient.Success || e.Outcome.Result == transient.ExitCode)
	switch code := e.Outcome.ExitCode; {
	case exited && slices.Contains(p.SuccessCodes, code) && !neverReady(e.Outcome):
		next.Result, next.Attempt = transient.Success, 0
		if !p.OnSuccess {
			next.Phase, next.Reason = Succeeded, how
			return next
		}
		next.Phase, next.Delay = Backoff, p.Backoff.For(1, e.Random)
		next.Reason = fmt.Sprintf("%s; runs again in %s", how, round(next.Delay))
		return next
	case exited && slices.Contains(p.FatalCodes, code):
		next.Result = transient.ExitCode
		next.Phase, next.Reason = Failed, how+", which is fatal: not tried again"
		return next
	case exited && slices.Contains(p.CheckpointCodes, code) && e.Lasted >= checkpointMinimum:
		next.Result = transient.ExitCode
		next.Phase, next.InPlace, next.Reason = Queued, true, how+": checkpoint saved, runs again"
		return next
	case exited:
		next.Result = transient.ExitCode // also 0, where success_codes does not name it
	}
	return afterFailure(e, p, next, how)
}

// stoppedOutside is the reason of what was stopped with systemctl.
const stoppedOutside = "stopped by somebody else, not through brainjar: not started again"

// neverReady reports whether a program exited with 0 without having said
// READY=1, as its configuration promised: systemd calls that a failure.
func neverReady(o transient.Outcome) bool {
	return o.Result == transient.ExitCode && o.ExitCode == 0
}

// afterFailure restarts after a growing delay, until it was tried too often.
func afterFailure(e Ending, p RestartPolicy, next Next, how string) Next {
	switch {
	case !p.OnFailure:
		next.Phase, next.Reason = Failed, how
	case next.Attempt >= p.MaxRestarts:
		next.Phase, next.Reason = Failed, fmt.Sprintf("%s; gave up after %s", how, count(p.MaxRestarts, "restart"))
	default:
		next.Attempt++
		next.Phase, next.Delay = Backoff, p.Backoff.For(next.Attempt, e.Random)
		next.Reason = fmt.Sprintf("%s; restart %d of %d in %s", how, next.Attempt, p.MaxRestarts, round(next.Delay))
	}
	return next
}
