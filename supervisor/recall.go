package supervisor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"brainjar/internal/ledger"
	"brainjar/transient"
)

// What the ledger remembers meets what systemd has: a unit that runs is adopted
// (started), an end that nobody has counted is counted (learn), and for the rest
// holds what was written last (recall).

// remember takes over the rows of the ledger, before anything is known of what
// became of them.
func (s *Supervisor) remember(past ledger.Past) {
	s.resubmit(past)
	s.lastEvent = past.LastEvent
	now := time.Now()
	for _, e := range s.experiments {
		e.counted = past.LastRun[e.cfg.ID]
		e.run = e.counted
	}
	for i := range past.Wanted {
		w := &past.Wanted[i]
		e := s.byID[w.Experiment]
		if e == nil {
			continue
		}
		e.past = w
		s.recallOverrides(e, w.Overrides)
		e.run, e.attempt, e.requeues = w.Run, w.Attempt, w.Requeues
		if w.Invocation != "" || !Phase(w.Phase).Active() { // else no run has the number, as far as is known
			e.counted = max(e.counted, w.Run)
		}
		e.begun = readBegun(w.Definition)
		if !w.RanAt.IsZero() {
			e.ranAt = ago(now, w.RanAt, now)
		}
		e.last, e.hold, e.enabled = transient.Result(w.LastResult), w.Hold, w.Enabled
		e.unit = transient.Unit{
			Name: w.Unit, Experiment: w.Experiment, Run: w.Run, Attempt: w.Attempt,
			Invocation: w.Invocation, Kind: transient.Kind(e.cfg.Kind),
		}
	}
	s.restorePlaces()
	s.open = past.Open
}

// restorePlaces gives everything its place in the queue, on this process's clock,
// whatever has become of the machine's.
func (s *Supervisor) restorePlaces() {
	var waiting []*experiment
	for _, e := range s.experiments {
		if e.past != nil && !e.past.QueuedAt.IsZero() {
			waiting = append(waiting, e)
		}
	}
	slices.Reverse(waiting)
	slices.SortStableFunc(waiting, func(a, b *experiment) int { return b.past.QueuedAt.Compare(a.past.QueuedAt) })
	now := time.Now()
	last := now
	for _, e := range waiting { // from the newest
		last = ago(now, e.past.QueuedAt, last.Add(-1))
		e.came = last
		if !e.past.ScarceSince.IsZero() {
			e.past.ScarceSince = ago(now, e.past.ScarceSince, now)
		}
	}
}

// ago puts a time of the wall clock on the clock of now, not after latest.
func ago(now, then, latest time.Time) time.Time {
	return earlier(latest, now.Add(-max(0, now.Round(0).Sub(then))))
}

// learn finds out which of the ends that systemd and the records tell of were
// counted before brainjar died, and then goes on to serve.
func (s *Supervisor) learn() {
	slices.SortStableFunc(s.away, func(a, b transient.Ended) int {
		return cmp.Or(cmp.Compare(a.Unit.Run, b.Unit.Run), a.Outcome.Ended.Compare(b.Outcome.Ended))
	})
	away := slices.Clone(s.away)
	counted, free := make([]bool, len(away)), make([]bool, len(away))
	s.do(func(ctx context.Context) error {
		for i, ev := range away {
			if s.Ledger == nil {
				break
			}
			known, err := s.Ledger.Counted(ctx, ev.Unit.Invocation)
			given := known
			if err == nil && !known {
				given, err = s.Ledger.HasRun(ctx, ev.Unit.Experiment, ev.Unit.Run)
			}
			if err != nil {
				return fmt.Errorf("cannot look up a run: %w", err)
			}
			counted[i], free[i] = known, !given
		}
		return nil
	}, func(err error) {
		if s.ready {
			return // it was asked again after a reconnection, and that was answered
		}
		if err != nil {
			s.Log.Error("ledger cannot be read", "err", err)
		}
		for i := range away {
			counted[i] = counted[i] || s.byRow(away[i].Unit)
		}
		if len(s.away) > len(away) { // more have come meanwhile
			s.learn()
			return
		}
		for i, ev := range away {
			if free[i] && !counted[i] {
				s.keepNumber(ev.Unit)
			}
		}
		s.serve(away, counted)
	})
}

// keepNumber lets a run that ended unwritten have the number that its unit carried, which
// no run in the ledger has: later ones may be there.
func (s *Supervisor) keepNumber(u transient.Unit) {
	e := s.byID[u.Experiment]
	switch {
	case e == nil || u.Run < 1 || s.openRun(u.Invocation) != nil:
		return // it has another, or none
	case e.past != nil && e.past.Run == u.Run:
		return // the row of the experiment tells whose it is
	}
	if _, owned := e.owners[u.Run]; !owned {
		e.own(u.Run, u.Invocation)
	}
}

// byRow reports whether an experiment's own row says that the end of this
// invocation was counted.
func (s *Supervisor) byRow(u transient.Unit) bool {
	e := s.byID[u.Experiment]
	return e != nil && e.past != nil && e.past.Invocation == u.Invocation && !Phase(e.past.Phase).Active()
}

// serve takes what happened while brainjar was away; from then on it is ready.
func (s *Supervisor) serve(away []transient.Ended, counted []bool) {
	s.away = nil
	latest := make(map[*experiment]transient.Ended)
	for i, ev := range away {
		e := s.byID[ev.Unit.Experiment]
		switch {
		case counted[i]:
			s.forget(ev.Unit)
		case e == nil:
			s.bystander(ev)
		default:
			if other, ok := latest[e]; ok {
				if s.number(e, other.Unit) > s.number(e, ev.Unit) {
					other, ev = ev, other
				}
				s.writeEnd(other, s.number(e, other.Unit))
			}
			latest[e] = ev
		}
	}
	for _, e := range s.experiments {
		ev, ok := latest[e]
		switch {
		case ok && (e.phase != Idle || e.past != nil && e.past.Run > s.number(e, ev.Unit)):
			s.writeEnd(ev, s.number(e, ev.Unit)) // a newer one has begun, or was written: this decides nothing any more
		case ok:
			if e.past != nil && Phase(e.past.Phase) == Stopping && e.past.Invocation == ev.Unit.Invocation {
				e.recallCause()
				e.stop.cause, e.stop.why = e.cause, e.past.Reason
			}
			s.take(e, ev)
		}
		if e.phase == Idle {
			s.recall(e)
		}
		e.past, e.owners, e.counted = nil, nil, e.lastRun()
	}
	s.loseRest()
	s.ready, s.open = true, nil
	s.Notify("READY=1")
}

// writeEnd writes how a run ended that no experiment has any more.
func (s *Supervisor) writeEnd(ev transient.Ended, run int) {
	felt := s.recallFigures(ev.Unit.Invocation)
	s.closeRow(ev.Unit.Invocation)
	r := &ledger.Run{
		Experiment: ev.Unit.Experiment, Run: run, Attempt: ev.Unit.Attempt,
		Invocation: ev.Unit.Invocation, Unit: ev.Unit.Name, Boot: s.Boot,
	}
	endRow(r, ev.Outcome, Describe(ev.Outcome), time.Now())
	r.Figures = s.judged(felt, r)
	s.write(ledger.Write{Run: r}, s.settleEnd(ev.Unit))
}

// closeRow strikes an invocation from those whose end is not known.
func (s *Supervisor) closeRow(invocation string) {
	s.open = slices.DeleteFunc(s.open, func(r ledger.Run) bool { return r.Invocation == invocation })
}

// loseRest writes of the runs whose end nobody knows that they are lost.
func (s *Supervisor) loseRest() {
	for _, r := range s.open {
		if e := s.byID[r.Experiment]; e != nil && e.phase.Active() && e.unit.Invocation == r.Invocation {
			continue
		}
		if s.orphaned(r.Invocation) {
			continue
		}
		lost := transient.Outcome{Result: transient.Lost, ExitCode: -1}
		row := ledger.Run{Experiment: r.Experiment, Run: r.Run, Attempt: r.Attempt}
		endRow(&row, lost, s.lostReason(r.Boot), time.Now())
		row.Figures = s.judged(figuresIn(r), &row)
		s.write(ledger.Write{Run: &row}, nil)
	}
}

func (s *Supervisor) orphaned(invocation string) bool {
	for _, o := range s.orphans {
		if o.found.Unit.Invocation == invocation {
			return true
		}
	}
	return false
}

// lostReason says why nobody knows how a run ended that began in that boot.
func (s *Supervisor) lostReason(boot string) string {
	if boot != s.Boot {
		return "lost: power: the machine went down while it ran"
	}
	return Describe(transient.Outcome{Result: transient.Lost})
}

// recall makes an experiment stand as the ledger says: systemd knows nothing of
// it.
func (s *Supervisor) recall(e *experiment) {
	p := e.past
	if p == nil {
		if e.autostart() && s.leaving.how == stay {
			s.want(e)
		}
		return
	}
	e.recallCause()
	switch phase := Phase(p.Phase); phase {
	case Starting, Running, Frozen, Stopping:
		s.recallRun(e)
	case Queued:
		s.requeue(e, p.Reason)
	case Backoff:
		s.recallBackoff(e)
	case Held, Succeeded, Failed, Stopped:
		if phase == Stopped && e.cause == CauseLeave && !e.disabled() {
			s.queueAt(e, e.placeKept(), ranWhenStopped)
			return
		}
		if phase == Stopped && e.again {
			e.again, e.attempt = false, 0
			s.queueAt(e, e.placeKept(), restartAsked)
			return
		}
		if definitionOf(e.cfg).changed(p.Definition, phase) {
			e.attempt, e.requeues = 0, 0
			s.move(e, Queued, fmt.Sprintf("its configuration has changed since run %d %s", e.run, phase))
			return
		}
		e.phase, e.since, e.reason = phase, p.Since, p.Reason
		s.Log.Info("stays as it was", "experiment", e.cfg.ID, "phase", phase, "run", e.run, "reason", e.reason)
	default: // idle, or written by a version that knew more
		if e.autostart() && s.leaving.how == stay {
			s.want(e)
		}
	}
}

// endOn goes on with the end of a run that a brainjar which died had begun: what it
// was to end for is then also what it is recorded to have ended for.
func (s *Supervisor) endOn(e *experiment) {
	if p := e.past; p != nil && Phase(p.Phase) == Stopping && p.Invocation == e.unit.Invocation && p.Cause != "" {
		e.recallCause()
		s.end(e, e.cause, p.Reason)
	}
}

// recallCause takes over why brainjar ended the latest run, and whether another one
// was to follow.
func (e *experiment) recallCause() {
	e.cause = Cause(e.past.Cause)
	if e.cause == causeRestart {
		e.cause, e.again = CauseAsked, true
	}
}

// ranWhenStopped is the reason of what comes back after a drain.
const ranWhenStopped = "it ran when brainjar was stopped"

// requeue lets an experiment wait on, at the place that it had.
func (s *Supervisor) requeue(e *experiment, reason string) {
	now := time.Now()
	s.queueAt(e, place{e.came, ago(now, e.past.Since, now), e.past.ScarceSince}, reason)
}

// recallRun is recall for an experiment that had a run, of which nothing is
// left.
func (s *Supervisor) recallRun(e *experiment) {
	p := e.past
	restarted := p.Boot != s.Boot
	switch begun := p.Invocation != "" || restarted; { // or systemd was never asked, for it has told all that it was
	case !begun && Phase(p.Phase) == Starting:
		e.run, e.cause = e.lastRun(), NoCause
		s.requeue(e, "")
		return
	case !begun && Phase(p.Phase) == Stopping:
		e.stop.cause = e.cause
		s.notBegun(e, "it had not begun")
		return
	}
	lost := transient.Outcome{Result: transient.Lost, ExitCode: -1, Ended: time.Now()}
	e.figures = s.recallFigures(p.Invocation)
	s.closeRow(p.Invocation)
	e.stop.cause, e.stop.why = e.cause, p.Reason
	switch {
	case !restarted:
		s.ended(e, lost, nil)
	case e.cause == CauseAsked && !e.again, e.disabled():
		e.last = transient.Lost
		s.change(e, Change{To: Stopped, Reason: s.lostReason(p.Boot), Ended: &lost}, nil)
	default:
		e.last, e.stop.cause, e.again = transient.Lost, NoCause, false
		s.change(e, Change{To: Queued, Reason: s.lostReason(p.Boot), Ended: &lost, place: e.placeKept()}, nil)
	}
}

// recallBackoff goes on with a delay where it stood. A clock that was set
// meanwhile makes it no longer than it may be.
func (s *Supervisor) recallBackoff(e *experiment) {
	r := e.cfg.Restart
	longest := time.Duration(float64(max(r.Delay, r.MaxDelay)) * (1 + r.Jitter))
	left := min(max(0, time.Until(e.past.DueAt)), longest)
	e.due = time.Now().Add(left)
	s.move(e, Backoff, e.past.Reason)
}

// bystander takes the end of a run whose experiment is not configured.
func (s *Supervisor) bystander(ev transient.Ended) {
	s.Log.Info("run of an experiment that is not configured ended", "experiment", ev.Unit.Experiment, "unit", ev.Unit.Name, "result", ev.Outcome.Result)
	s.orphanGone(ev.Unit)
	run := ev.Unit.Run
	if r := s.openRun(ev.Unit.Invocation); r != nil {
		run = r.Run
	}
	s.writeEnd(ev, run)
}
