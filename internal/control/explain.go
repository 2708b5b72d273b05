package control

import (
	"fmt"
	"strings"
	"time"

	"brainjar/internal/quantity"
	"brainjar/supervisor"
	"brainjar/transient"
)

// lastRun is what an explanation needs of a row of the ledger.
type lastRun struct {
	Run        int            `json:"run"`
	StartedAt  time.Time      `json:"started_at"`
	EndedAt    time.Time      `json:"ended_at"`
	Result     string         `json:"result"`
	ExitCode   *int           `json:"exit_code"`
	Signal     string         `json:"signal"`
	Reason     string         `json:"reason"`
	MemoryMax  quantity.Bytes `json:"memory_max"`
	MemoryPeak quantity.Bytes `json:"memory_peak"`
	figures
}

// explanation is a text about one experiment that is being written.
type explanation struct {
	sentences, advice []string
}

func (x *explanation) say(format string, args ...any) {
	x.sentences = append(x.sentences, fmt.Sprintf(format, args...))
}

func (x *explanation) advise(format string, args ...any) {
	x.advice = append(x.advice, fmt.Sprintf(format, args...))
}

// explain says in sentences where an experiment stands and why, and what would have
// to change. last is its latest run, nil if that is not known.
func explain(e Experiment, s Supervisor, last *lastRun, now time.Time) (sentences, advice []string) {
	var x explanation
	phase := supervisor.Phase(e.Phase)
	x.standing(e, s, now)
	if len(e.NeedsRestart) > 0 {
		x.say("Its configuration has changed since it was started: %s.", strings.Join(e.NeedsRestart, ", "))
		x.advise("`brainjar restart %s` makes that take effect", e.Experiment)
	}
	if last != nil && !last.EndedAt.IsZero() && !phase.Active() {
		x.ending(e, *last)
	}
	if last != nil && last.Run == e.Run && phase.Active() {
		x.felt(last.figures, "So far it")
	}
	return x.sentences, x.advice
}

// standing says where an experiment stands.
func (x *explanation) standing(e Experiment, s Supervisor, now time.Time) {
	id, since := e.Experiment, lasted(now.Sub(e.Since))
	switch supervisor.Phase(e.Phase) {
	case supervisor.Idle:
		x.say("%s is not wanted: nobody has started it, and it does not start with brainjar.", id)
		x.advise("`brainjar start %s` starts it, `brainjar enable %s` lets it start with brainjar", id, id)
	case supervisor.Queued:
		x.waiting(e, s, now)
	case supervisor.Starting:
		x.say("%s is being started, for %s now.", id, since)
	case supervisor.Running:
		x.say("%s runs: run %d, for %s, process %d.", id, e.Run, lasted(now.Sub(e.StartedAt)), e.PID)
		if e.MemoryPeak != nil && *e.MemoryPeak > e.MemoryMax/10*9 {
			x.say("Its memory has come close to the limit: peak %s of %s.", *e.MemoryPeak, e.MemoryMax)
		}
	case supervisor.Frozen:
		x.say("%s has been frozen for %s: its processes do not get the CPU.", id, since)
		x.advise("`brainjar thaw %s` lets it go on", id)
	case supervisor.Stopping:
		x.say("%s is being stopped, for %s now: %s.", id, since, e.Reason)
		x.advise("`brainjar kill %s` ends it at once", id)
	case supervisor.Backoff:
		how, _, _ := strings.Cut(e.Reason, "; ")
		x.say("%s starts again in %s: %s.", id, lasted(max(0, e.DueAt.Sub(now))), how)
		if e.Attempt > 0 {
			x.say("That is restart %d of %d.", e.Attempt, e.MaxRestarts)
		}
		x.advise("`brainjar start %s` starts it now, `brainjar stop %s` lets it be", id, id)
	case supervisor.Held:
		x.say("%s is held: %s.", id, strings.TrimSuffix(e.Reason, " (`brainjar release "+id+"`)"))
		x.advise("`brainjar release %s` queues it again", id)
	case supervisor.Succeeded:
		x.say("%s has succeeded: %s.", id, e.Reason)
	case supervisor.Failed:
		x.say("%s has failed: %s.", id, e.Reason)
		x.advise("`brainjar start %s` tries again, with its count of restarts begun anew", id)
	case supervisor.Stopped:
		x.say("%s was stopped: %s.", id, e.Reason)
		x.advise("`brainjar start %s` starts it again", id)
	}
}

// waiting says what an experiment waits for, and what would have to change.
func (x *explanation) waiting(e Experiment, s Supervisor, now time.Time) {
	if e.WaitsFor == "" {
		x.say("%s is about to be started.", e.Experiment)
		return
	}
	x.say("%s has waited for %s: %s.", e.Experiment, lasted(now.Sub(e.QueuedAt)), e.Reason)
	switch supervisor.Check(e.WaitsFor) {
	case supervisor.CheckHold:
		switch {
		case strings.HasPrefix(s.Hold, "circuit breaker"):
			x.advise("look at those that failed, then `brainjar release --all`")
		case strings.Contains(s.Hold, "brainjar release --all"): // it says what to do
		default:
			x.advise("nothing is started until that has passed")
		}
	case supervisor.CheckDependency:
		if words, ok := strings.CutPrefix(e.Reason, "after "); ok {
			other, _, _ := strings.Cut(words, ":")
			x.advise("`brainjar why %s` says more of that one", other)
		}
	case supervisor.CheckSlots:
		x.advise("it starts when one of those that run has ended; max_concurrent of [supervisor] is how many may run")
	case supervisor.CheckBudget:
		x.advise("it starts when others have ended, or with a smaller memory_max; memory_budget of [supervisor] is what all have together")
	case supervisor.CheckMemory:
		x.advise("it starts when the machine has that much memory to give, or with a smaller memory_max; reserve of [memory] is what stays free")
	case supervisor.CheckGPUMemory:
		x.advise("it starts when the GPU has that much memory to give, or with a smaller gpu_memory")
	case supervisor.CheckPowerMode:
		x.advise("it starts when nothing runs in another power mode")
	case supervisor.CheckPlace:
		x.advise("it starts after that one; a higher priority would let it pass")
	}
}

// ending says how the latest run ended, and what to do about it.
func (x *explanation) ending(e Experiment, r lastRun) {
	words := fmt.Sprintf("Run %d ended at %s", r.Run, r.EndedAt.Local().Format(time.DateTime))
	if !r.StartedAt.IsZero() {
		words += " after " + lasted(r.EndedAt.Sub(r.StartedAt))
	}
	words += " with result " + r.Result
	var advice string
	wrote := true // there may be output that says more
	switch transient.Result(r.Result) {
	case transient.OOMKill:
		words += fmt.Sprintf(": killed at memory_max %s", r.MemoryMax)
		if r.MemoryPeak > 0 {
			words += fmt.Sprintf(", peak %s", r.MemoryPeak)
		}
		if more := moreThan(r.MemoryMax); e.Submitted {
			advice = fmt.Sprintf("try memory_max = %q: `brainjar set %s memory_max=%s`", more, e.Experiment, more)
		} else {
			advice = fmt.Sprintf("try memory_max = %q, in its file or by `brainjar set %s memory_max=%s`", more, e.Experiment, more)
		}
	case transient.ExitCode:
		if r.ExitCode != nil {
			words += fmt.Sprintf(": code %d", *r.ExitCode)
		}
	case transient.Signal:
		words += ": " + r.Signal
	case transient.Timeout:
		advice = "raise runtime_max, or ready_timeout if it was not ready in time; what is saved at checkpoint_signal is not lost"
	case transient.Watchdog:
		advice = "it must send WATCHDOG=1 more often than watchdog says, or that must be longer"
	case transient.StartFailed:
		wrote, advice = false, "look at command, user and working_directory"
		if keys := keysIn(r.Reason); len(keys) > 0 {
			advice = "look at " + strings.Join(keys, ", ")
		}
	case supervisor.ResultGPUMemory:
		advice = "raise gpu_memory, or let it use less, such as a smaller context or batch"
	case supervisor.ResultProbe:
		advice = "look at what its probe checks"
	default:
		wrote = false
	}
	x.say("%s.", words+r.tainted())
	x.felt(r.figures, "It")
	if wrote {
		x.advice = append([]string{fmt.Sprintf("`brainjar logs %s --run %d` shows what it wrote", e.Experiment, r.Run)}, x.advice...)
	}
	if advice != "" {
		x.advice = append([]string{advice}, x.advice...)
	}
}

// lasted is a duration as a sentence has it.
func lasted(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < 48*time.Hour:
		return d.Round(time.Second).String()
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// moreThan is a quarter more than a limit, in the largest unit that fits it well.
func moreThan(limit quantity.Bytes) string {
	more := limit + limit/4
	for _, u := range []quantity.Bytes{quantity.GiB, quantity.MiB} {
		if more >= 4*u {
			return ((more + u - 1) / u * u).String()
		}
	}
	return more.String()
}
