package supervisor

import (
	"context"
	"encoding/json"
	"time"

	"brainjar/internal/ledger"
	"brainjar/transient"
)

// Ledger keeps what must outlive brainjar. A change that must not be forgotten
// is written first, and acted on once it is on disk:
//
//   - that a run begins, before systemd is asked for its unit;
//   - how it ended, before what systemd and the recorder still have of it is
//     cleared away, and before another run begins.
//
// So whenever brainjar dies, either the ledger knows, or systemd and the record
// still do.
type Ledger interface {
	// Put writes a change and does not wait for it. done, if not nil, is called
	// from another goroutine: when this and all earlier writes are on disk, or
	// with what keeps them from there. They are tried again then.
	Put(w ledger.Write, done func(error))
	// Counted reports whether the end of an invocation was written.
	Counted(ctx context.Context, invocation string) (bool, error)
	// HasRun reports whether a run of an experiment with that number was written, or
	// may have been.
	HasRun(ctx context.Context, experiment string, run int) (bool, error)
	// LastRun returns the highest number of a run that an experiment has had.
	LastRun(ctx context.Context, experiment string) (int, error)
	// State returns how the ledger itself is. It does not wait for the disk.
	State() ledger.State
}

// write puts a change into the ledger and goes on with then, in the loop, when
// it is on disk or cannot be put there: experiments do not wait for a disk that
// is full.
func (s *Supervisor) write(w ledger.Write, then func(error)) {
	switch {
	case s.Ledger == nil && then != nil:
		then(nil)
	case s.Ledger == nil:
	case then == nil:
		s.Ledger.Put(w, nil)
	default:
		s.calls++
		s.Ledger.Put(w, func(err error) {
			select {
			case s.inbox <- func() { s.calls--; then(err) }:
			case <-s.done:
			}
		})
	}
}

// Written returns when everything that has happened so far is on disk.
func (s *Supervisor) Written(ctx context.Context) error {
	return s.carryOut(ctx, func(written func(error)) error {
		s.write(ledger.Write{}, written)
		return nil
	})
}

// keep writes how an experiment stands, where its phase did not change, and goes
// on with then.
func (s *Supervisor) keep(e *experiment, then func(error)) {
	s.write(ledger.Write{Wanted: s.wanted(e), Run: s.runRow(e, Change{To: e.phase})}, then)
}

// entry is what a change of phase means for the ledger. The experiment is as
// after the change.
func (s *Supervisor) entry(e *experiment, c Change) ledger.Write {
	return ledger.Write{
		Event: &ledger.Event{
			ID: c.ID, At: c.At, Experiment: c.Experiment, Run: c.Run, Kind: eventPhase,
			From: string(c.From), To: string(c.To), Reason: c.Reason,
		},
		Wanted: s.wanted(e),
		Run:    s.runRow(e, c),
	}
}

// eventID is the id of an event that happens now. Ids ascend, also from one brainjar
// to the next and when the clock is set back: microseconds since 1970, or one more
// than the last.
func (s *Supervisor) eventID(now time.Time) int64 {
	s.lastEvent = max(s.lastEvent+1, now.UnixMicro())
	return s.lastEvent
}

// note writes an event that is not a change of a phase.
func (s *Supervisor) note(kind, id string, run int, reason string) {
	now := time.Now()
	e := ledger.Event{ID: s.eventID(now), At: now, Experiment: id, Run: run, Kind: kind, Reason: reason}
	s.Noted(e)
	s.write(ledger.Write{Event: &e}, nil)
}

// eventPhase is the kind of the events that are changes of a phase.
const eventPhase = "phase"

func (s *Supervisor) wanted(e *experiment) *ledger.Wanted {
	w := &ledger.Wanted{
		Experiment: e.cfg.ID, Phase: string(e.phase), Reason: e.reason, Since: e.since,
		Run: e.run, Attempt: e.attempt, Requeues: e.requeues,
		Invocation: e.unit.Invocation, Unit: e.unit.Name, Cause: string(e.cause), LastResult: string(e.last),
		ScarceSince: e.scarceSince, Hold: e.hold, Enabled: e.enabled, Boot: s.Boot,
		Definition: e.definition, QueuedAt: e.came, RanAt: e.ranAt,
	}
	if e.again && e.cause == CauseAsked {
		w.Cause = string(causeRestart)
	}
	if e.submission != nil {
		w.Submitted = toJSON(e.submission)
	}
	if !e.overrides.none() {
		w.Overrides = toJSON(e.overrides)
	}
	if e.phase.Active() {
		w.Definition += e.begun.String()
	}
	if e.phase == Backoff {
		w.DueAt = e.due
	}
	return w
}

// runRow is the row of the run that an experiment has, once systemd has given it
// an invocation, or it has ended without.
func (s *Supervisor) runRow(e *experiment, c Change) *ledger.Run {
	if c.Ended == nil && (!c.To.Active() || e.unit.Invocation == "") {
		return nil
	}
	r := &ledger.Run{
		Experiment: e.cfg.ID, Run: e.run, Attempt: e.unit.Attempt,
		Invocation: e.unit.Invocation, Unit: e.unit.Name,
		Command: e.command, Limits: toJSON(limitsOf(e)),
		QueuedAt: e.queuedAt, StartedAt: e.unit.Since, MemoryMax: e.memoryMax(), GPUMemoryPeak: e.gpu.peak, Boot: s.Boot,
	}
	if e.figures.invocation == e.unit.Invocation {
		r.Figures = e.figures.row()
	}
	if c.Ended != nil {
		endRow(r, *c.Ended, c.Reason, c.At)
		r.Figures = s.judged(e.figures, r)
	}
	return r
}

// endRow adds to the row of a run how it ended.
func endRow(r *ledger.Run, o transient.Outcome, reason string, now time.Time) {
	if !o.Started.IsZero() {
		r.StartedAt = o.Started
	}
	r.EndedAt = o.Ended
	if r.EndedAt.IsZero() {
		r.EndedAt = now
	}
	if r.EndedAt.Round(0).Before(r.StartedAt.Round(0)) { // the clock was set back, and nobody knows how long it lasted
		r.StartedAt = r.EndedAt
	}
	r.Result, r.Reason = string(o.Result), reason
	if o.ExitCode >= 0 {
		r.ExitCode = &o.ExitCode
	}
	if o.Signal != 0 {
		r.Signal = signalName(o.Signal)
	}
	r.OOMKills, r.MemoryPeak, r.CPUSeconds = o.OOMKills, o.MemoryPeak, o.CPUTime.Seconds()
}

// limitsOf are the limits that a run was given, by the names of the
// configuration: bytes, percent of a CPU, counts.
func limitsOf(e *experiment) map[string]any {
	l := limits(e.cfg)
	all := map[string]any{"memory_max": e.memoryMax(), "tasks_max": l.TasksMax}
	if l.MemoryHigh > 0 {
		all["memory_high"] = l.MemoryHigh
	}
	if l.MemorySwapMax != nil {
		all["memory_swap_max"] = *l.MemorySwapMax
	}
	if l.CPUQuota > 0 {
		all["cpu_quota"] = l.CPUQuota
	}
	if l.CPUWeight > 0 {
		all["cpu_weight"] = l.CPUWeight
	}
	if len(l.CPUs) > 0 {
		all["cpus"] = l.CPUs
	}
	if l.IOWeight > 0 {
		all["io_weight"] = l.IOWeight
	}
	return all
}

// toJSON writes what is known to be writable.
func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

const (
	// unwrittenRetry is the time between questions whether the ledger works again.
	unwrittenRetry = 5 * time.Second
	// lastRetry is that time while brainjar stops. Asked sooner, the ledger answers
	// without trying.
	lastRetry = 1500 * time.Millisecond
	// lastWrites is how long brainjar waits for the ledger once nothing runs any more.
	lastWrites = 4 * time.Second
)

// maxUnwritten is how many ends wait for the ledger before the oldest is let go:
// each is a file in the runtime directory.
const maxUnwritten = 1000

// settleEnd lets what is left of a run be cleared away once its end is on disk.
func (s *Supervisor) settleEnd(u transient.Unit) func(error) {
	return func(err error) {
		if err == nil {
			s.forget(u)
			s.forgetWritten(len(s.unwritten))
			return
		}
		if len(s.unwritten) == 0 {
			s.askedLedger = time.Now()
		}
		s.unwritten = append(s.unwritten, u)
		if len(s.unwritten) > maxUnwritten {
			s.forget(s.unwritten[0])
			s.unwritten = s.unwritten[1:]
		}
	}
}

// writeAgain asks whether the ends that waited are on disk: all earlier writes
// are when a later one is.
func (s *Supervisor) writeAgain(now time.Time, next *time.Time) {
	if len(s.unwritten) == 0 {
		return
	}
	retry := unwrittenRetry
	if s.leaving.ending {
		retry = lastRetry
	}
	if due := s.askedLedger.Add(retry); now.Before(due) {
		*next = earlier(*next, due)
		return
	}
	s.askedLedger = now
	n := len(s.unwritten)
	s.write(ledger.Write{}, func(err error) {
		if err == nil {
			s.forgetWritten(min(n, len(s.unwritten)))
		}
	})
}

// forgetWritten lets go of the first n ends that had waited for the ledger.
func (s *Supervisor) forgetWritten(n int) {
	for _, u := range s.unwritten[:n] {
		s.forget(u)
	}
	s.unwritten = append([]transient.Unit(nil), s.unwritten[n:]...)
}

// written reports whether no end waits for the ledger any more, or the time for that,
// which begins with the first question, is over.
func (s *Supervisor) written() bool {
	if len(s.unwritten) == 0 {
		return true
	}
	now := time.Now()
	if s.leaving.writeBy.IsZero() {
		s.leaving.writeBy = now.Add(lastWrites)
	}
	if now.Before(s.leaving.writeBy) {
		return false
	}
	s.Log.Warn("not all ends are in the ledger, what is left of those runs is kept for the next brainjar", "runs", len(s.unwritten))
	s.unwritten = nil
	return true
}

// ledgerTrouble says what is wrong with the ledger, or "".
func (s *Supervisor) ledgerTrouble() string {
	if s.Ledger == nil {
		return ""
	}
	state := s.Ledger.State()
	switch {
	case state.Err != nil:
		return "ledger: " + state.Err.Error()
	case state.SetAside > 0:
		return "a damaged ledger was set aside, see the log"
	}
	return ""
}
