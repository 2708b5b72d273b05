package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
	"brainjar/supervisor"
	"brainjar/transient"
)

// whyLines is how many of the last lines of output an answer shows, and whyLimit how
// long they may take.
const (
	whyLines = 10
	whyLimit = 3 * time.Second
)

// getWhy explains why an experiment stands where it does.
func (s *Server) getWhy(_ http.ResponseWriter, q *http.Request) (any, error) {
	st, err := s.find(q)
	if err != nil {
		return nil, err
	}
	id := st.Config.ID
	everything, err := s.Supervisor.Report(q.Context())
	if err != nil {
		return nil, err
	}
	w := Why{Experiment: experimentOf(st)}
	var last *lastRun
	if s.History != nil {
		s.settle(q.Context())
		for run, err := range s.History.Runs(q.Context(), ledger.Query{Experiments: []string{id}, Limit: 1}) {
			if err == nil {
				w.LastRun, last = append(json.RawMessage(nil), run...), new(lastRun)
				_ = json.Unmarshal(run, last)
			}
		}
	}
	w.Sentences, w.Advice = explain(w.Experiment, s.statusOf(everything).Supervisor, last, time.Now())
	if s.Logs != nil && st.Run > 0 {
		ctx, cancel := context.WithTimeout(q.Context(), whyLimit)
		defer cancel()
		for line, err := range s.Logs.Lines(ctx, LogQuery{Experiments: []string{id}, Run: st.Run, Lines: whyLines}) {
			if err != nil {
				break
			}
			w.Log = append(w.Log, line.Message)
		}
	}
	return w, nil
}

// settleLimit is how long an answer waits for the ledger to have what just happened.
const settleLimit = time.Second

// settle waits until the ledger has what just happened, or that has taken too long.
func (s *Server) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	_ = s.Supervisor.Written(ctx) // then the answer says what the ledger has
}

// lastRun is what an explanation needs of a row of the ledger.
type lastRun struct {
	Run        int            `json:"run"`
	Attempt    int            `json:"attempt"`
	StartedAt  time.Time      `json:"started_at"`
	EndedAt    time.Time      `json:"ended_at"`
	Result     string         `json:"result"`
	Reason     string         `json:"reason"`
	ExitCode   *int           `json:"exit_code"`
	Signal     string         `json:"signal"`
	MemoryMax  quantity.Bytes `json:"memory_max"`
	MemoryPeak quantity.Bytes `json:"memory_peak"`
	Tainted    string         `json:"tainted"`
}

// explain says in sentences where an experiment stands and why, and what would have
// to change.
func explain(e Experiment, s Supervisor, last *lastRun, now time.Time) (sentences, advice []string) {
	id := e.Experiment
	say := func(format string, args ...any) { sentences = append(sentences, fmt.Sprintf(format, args...)) }
	advise := func(format string, args ...any) { advice = append(advice, fmt.Sprintf(format, args...)) }
	since := now.Sub(e.Since).Round(time.Second)
	switch supervisor.Phase(e.Phase) {
	case supervisor.Idle:
		say("%s is not wanted: nobody has started it, and it does not start with brainjar.", id)
		advise("`brainjar start %s` starts it, `brainjar enable %s` lets it start with brainjar", id, id)
	case supervisor.Queued:
		if e.Reason == "" {
			say("%s is about to be started.", id)
			break
		}
		say("%s has waited for %s: %s.", id, now.Sub(e.QueuedAt).Round(time.Second), e.Reason)
		if words := waiting(e, s); words != "" {
			advise("%s", words)
		}
	case supervisor.Starting:
		say("%s is being started, for %s now.", id, since)
	case supervisor.Running:
		say("%s runs: run %d, since %s (%s), process %d.", id, e.Run, e.StartedAt.Local().Format(time.DateTime), now.Sub(e.StartedAt).Round(time.Second), e.PID)
		if e.MemoryPeak != nil && *e.MemoryPeak > e.MemoryMax/10*9 {
			say("Its memory has come close to the limit: peak %s of %s.", *e.MemoryPeak, e.MemoryMax)
		}
	case supervisor.Frozen:
		say("%s is frozen since %s: its processes do not get the CPU.", id, since)
		advise("`brainjar thaw %s` lets it go on", id)
	case supervisor.Stopping:
		say("%s is being stopped, for %s now: %s.", id, since, e.Reason)
		advise("`brainjar kill %s` ends it at once", id)
	case supervisor.Backoff:
		say("%s failed and is started again in %s (restart %d of %d): %s.", id, max(0, e.DueAt.Sub(now)).Round(time.Second), e.Attempt, e.MaxRestarts, e.Reason)
		advise("`brainjar start %s` starts it now, `brainjar stop %s` ends the attempts", id, id)
	case supervisor.Held:
		say("%s is held: %s.", id, strings.TrimSuffix(e.Reason, " (`brainjar release "+id+"`)"))
		advise("`brainjar release %s` queues it again", id)
	case supervisor.Succeeded:
		say("%s has succeeded: %s.", id, e.Reason)
	case supervisor.Failed:
		say("%s has failed: %s.", id, e.Reason)
		advise("`brainjar start %s` tries again, with its count of restarts begun anew", id)
	case supervisor.Stopped:
		say("%s was stopped: %s.", id, e.Reason)
		advise("`brainjar start %s` starts it again", id)
	}
	if len(e.NeedsRestart) > 0 {
		say("Its configuration has changed since it was started: %s.", strings.Join(e.NeedsRestart, ", "))
		advise("`brainjar restart %s` makes that take effect", id)
	}
	if last != nil && !last.EndedAt.IsZero() && e.Phase != string(supervisor.Running) {
		words, more := ending(*last)
		sentences = append(sentences, words)
		advice = append(more, advice...)
	}
	return sentences, advice
}

// waiting says what would have to change for an experiment that waits.
func waiting(e Experiment, s Supervisor) string {
	why := e.Reason
	switch {
	case s.Hold != "" && why == s.Hold && strings.Contains(why, "release --all"):
		return "`brainjar release --all` lets starts go on"
	case s.Hold != "" && why == s.Hold:
		return "nothing is started until that has passed"
	case strings.HasPrefix(why, "after "):
		other, _, _ := strings.Cut(strings.TrimPrefix(why, "after "), ":")
		return "`brainjar why " + other + "` says more of that one"
	case strings.Contains(why, " running") && strings.Contains(why, " of "):
		return "it starts when one of those that run has ended; supervisor.max_concurrent is how many may"
	case strings.Contains(why, " left"):
		return "it starts when others have ended, or with a smaller memory_max; supervisor.memory_budget is what all have together"
	case strings.Contains(why, "available"):
		return "it starts when the machine has that much memory free, or with a smaller memory_max; memory.reserve is what stays free"
	}
	return ""
}

// ending says how the latest run ended, and what to do about it.
func ending(r lastRun) (words string, advice []string) {
	words = fmt.Sprintf("Run %d ended at %s", r.Run, r.EndedAt.Local().Format(time.DateTime))
	if !r.StartedAt.IsZero() {
		words += fmt.Sprintf(" after %s", r.EndedAt.Sub(r.StartedAt).Round(time.Second))
	}
	words += " with result " + r.Result
	switch transient.Result(r.Result) {
	case transient.OOMKill:
		words += fmt.Sprintf(": killed at memory_max %s", r.MemoryMax)
		if r.MemoryPeak > 0 {
			words += fmt.Sprintf(", peak %s", r.MemoryPeak)
		}
		advice = append(advice, fmt.Sprintf("try memory_max = %q", moreThan(r.MemoryMax)))
	case transient.ExitCode:
		if r.ExitCode != nil {
			words += fmt.Sprintf(" (%d)", *r.ExitCode)
		}
	case transient.Signal:
		words += fmt.Sprintf(" (%s)", r.Signal)
	case transient.Timeout:
		advice = append(advice, "it ran longer than runtime_max: raise that, or let it save its work at checkpoint_signal")
	case transient.StartFailed:
		advice = append(advice, "look at command, user and working_directory; `brainjar check` finds what is missing")
	}
	if r.Tainted != "" {
		words += "; its measurements are tainted: " + r.Tainted
	}
	return words + ".", advice
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
