package supervisor

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"brainjar/transient"
)

// handle takes one event of the units.
func (s *Supervisor) handle(ev transient.Event) {
	switch ev := ev.(type) {
	case transient.Started:
		s.started(ev)
	case transient.Ended:
		s.noteEnd(ev)
	case transient.Status:
		if e := s.byUnit(ev.Unit); e != nil && !ev.Found && strings.Contains(ev.Text, checkpointDone) {
			s.saved(e)
		}
	case transient.Frozen:
		s.frozen(ev)
	case transient.SliceStopped:
		s.halt(ev.Stopped)
	case transient.Synced:
		s.sync()
	case transient.Disconnected:
		s.synced = false
		s.Log.Warn("systemd is out of reach, experiments run on", "err", ev.Err)
	}
}

func (s *Supervisor) byUnit(unit string) *experiment {
	for _, e := range s.experiments {
		if e.unit.Name == unit {
			return e
		}
	}
	return nil
}

// sync is called when all that exists is known: now the budget can be set, and
// what the ledger says can be compared with it.
func (s *Supervisor) sync() {
	s.synced = true
	s.setSlice()
	s.endOrphans()
	if !s.ready {
		s.learn()
	}
}

// warnOnce tells what this machine cannot enforce: that is about the machine,
// not about the experiment that showed it first.
func (s *Supervisor) warnOnce(warning string) {
	if !s.warned[warning] {
		s.warned[warning] = true
		s.Log.Warn("not enforced here", "reason", warning)
	}
}

// started takes a unit that runs: the one that was asked for, one that ran
// already when brainjar came, or one that somebody else restarted.
func (s *Supervisor) started(ev transient.Started) {
	e := s.byID[ev.Unit.Experiment]
	if e == nil || s.orphaned(ev.Unit.Invocation) { // whose experiment may have come back meanwhile
		s.foundOrphan(ev)
		return
	}
	if e.unit.Invocation == ev.Unit.Invocation && e.phase.Active() && (e.phase != Starting || ev.Loading) {
		return // told again after a reconnection
	}
	e.answered = true
	if ev.Effective.MemoryMax > e.cfg.MemoryMax {
		e.holds = ev.Effective.MemoryMax // it was started with more than is configured now
	}
	lost, unwanted := e.lostStart(ev.Unit), e.phase == Stopped && e.lateStart(ev.Unit)
	run := s.number(e, ev.Unit)
	expected := lost || e.phase == Starting && run == e.run
	if !expected && !e.phase.Active() { // these are of the run before
		e.cause, e.gpu = NoCause, gpuUse{}
	}
	if e.phase.Over() { // somebody has begun it anew
		e.came = time.Time{}
	}
	e.run = run
	e.ends = ends{cmp.Or(ev.StopSignal, e.cfg.StopSignal), cmp.Or(ev.StopTimeout, e.cfg.StopTimeout)}
	e.unit, e.uses = ev.Unit, measured{}
	e.warnLater(ev.Found)
	s.beginFigures(e, ev.Unit)
	if ev.Found {
		e.gpu = s.gpuFound(ev.Unit.Invocation)
		s.askMode(e)
		s.updateFound(e, ev)
	}
	for _, w := range ev.Warnings {
		s.warnOnce(w)
	}
	if e.mode != "" {
		s.cooling.clocks.noted = time.Time{} // the mode that is set for it moves their ceilings
	}
	switch {
	case e.phase == Stopping:
		if e.stop.step == stopAwaitUnit { // it was to end before it had begun
			s.checkpoint(e)
		}
		s.keep(e, nil)
		return
	case ev.Loading:
		e.attempt = ev.Unit.Attempt
		if e.phase.Allows(Starting) {
			s.move(e, Starting, "found starting")
		}
	case expected:
		s.move(e, Running, "", limitAttrs(ev)...)
	case ev.Found:
		e.attempt = ev.Unit.Attempt
		s.move(e, Running, "found running", limitAttrs(ev)...)
	default: // an invocation of somebody else's, with the number of an earlier one
		s.move(e, Running, "started by somebody else, not through brainjar", limitAttrs(ev)...)
	}
	switch {
	case e.phase == Running && s.frozenByHeat(ev.Unit):
		e.turn = &turn{frozen: true}
	case ev.Unit.Frozen:
		s.move(e, Frozen, "found frozen")
	}
	switch {
	case s.leaving.ending:
		s.end(e, CauseLeave, "brainjar is stopping")
	case unwanted:
		s.end(e, CauseAsked, stopAsked)
	}
	s.endOn(e)
}

// limitAttrs shows the unit and its limits as they are in force.
func limitAttrs(ev transient.Started) []slog.Attr {
	attrs := []slog.Attr{slog.Int("attempt", ev.Unit.Attempt), slog.String("unit", ev.Unit.Name), slog.Int("pid", ev.Unit.MainPID)}
	l := ev.Effective
	if l.MemoryMax > 0 {
		attrs = append(attrs, slog.String("memory_max", l.MemoryMax.String()))
	}
	if l.CPUQuota > 0 {
		attrs = append(attrs, slog.String("cpu_quota", l.CPUQuota.String()))
	}
	if l.TasksMax > 0 {
		attrs = append(attrs, slog.Uint64("tasks_max", l.TasksMax))
	}
	return attrs
}

// frozen takes a freeze or a thaw, whoever asked for it.
func (s *Supervisor) frozen(ev transient.Frozen) {
	e := s.byUnit(ev.Unit)
	switch {
	case e == nil:
	case ev.Frozen && e.phase == Running && e.turn == nil:
		reason := ""
		if !e.byHand {
			reason = "frozen by somebody else, not through brainjar"
		}
		s.move(e, Frozen, reason)
	case !ev.Frozen && e.phase == Frozen:
		s.move(e, Running, "thawed")
	}
}

// noteEnd takes the end of a run. Those that come before all is known wait for
// that; one of a run that somebody else began, and of whose start brainjar did not
// hear, is written and decides nothing.
func (s *Supervisor) noteEnd(ev transient.Ended) {
	e := s.byID[ev.Unit.Experiment]
	switch {
	case !s.ready && (e == nil || e.phase == Idle):
		s.away = append(s.away, ev)
	case e == nil || s.orphaned(ev.Unit.Invocation):
		s.bystander(ev)
	case e.ownsEnd(ev.Unit):
		s.take(e, ev)
	case !s.ready:
		s.away = append(s.away, ev)
	case e.lostStart(ev.Unit):
		e.run, e.unit = s.number(e, ev.Unit), ev.Unit
		s.move(e, Running, "systemd had started it all the same")
		s.take(e, ev)
	default:
		s.writeEnd(ev, s.number(e, ev.Unit))
	}
}

// ownsEnd reports whether the end of u is the end of the run that the
// experiment has now.
func (e *experiment) ownsEnd(u transient.Unit) bool {
	if e.unit.Invocation == "" {
		return e.phase.Active() && u.Run == e.run
	}
	return e.phase.Active() && u.Invocation == e.unit.Invocation
}

// lostStart reports whether u is the unit of a start that was taken for lost, and
// whose turn has not come again.
func (e *experiment) lostStart(u transient.Unit) bool {
	return (e.phase == Backoff || e.phase == Queued) && e.lateStart(u)
}

// lateStart reports whether u is the unit of a start that was given up.
func (e *experiment) lateStart(u transient.Unit) bool {
	return e.unit.Invocation == "" && e.unit.Run == u.Run && u.Run > e.lastRun()
}

// take makes the end of a run that of its experiment.
func (s *Supervisor) take(e *experiment, ev transient.Ended) {
	e.run, e.attempt = s.number(e, ev.Unit), ev.Unit.Attempt
	e.unit = ev.Unit
	if e.figures.invocation != ev.Unit.Invocation {
		e.figures = s.recallFigures(ev.Unit.Invocation)
	}
	if now, ended := time.Now(), ev.Outcome.Ended; e.past != nil && Phase(e.past.Phase) == Running && !ended.IsZero() {
		e.ranAt = ago(now, ended, now)
	}
	s.closeRow(ev.Unit.Invocation)
	s.ended(e, ev.Outcome, s.settleEnd(ev.Unit))
	s.progress()
}

// forget lets what is left of a run be cleared away, now that it is noted.
func (s *Supervisor) forget(u transient.Unit) {
	s.command(func(ctx context.Context) error { return s.Units.Forget(ctx, u) }, func(err error) {
		if err != nil && s.ctx.Err() == nil {
			s.Log.Warn("cannot clear away an ended unit", "unit", u.Name, "err", err)
		}
	})
}

// ended decides what follows a run. then is called when that is on disk.
func (s *Supervisor) ended(e *experiment, o transient.Outcome, then func(error)) {
	s.closeFigures(e, o)
	lasted := o.Ended.Sub(o.Started)
	if o.Started.IsZero() || o.Ended.IsZero() {
		lasted = 0
	}
	o.KilledAtStop = o.KilledAtStop || e.stop.late && o.Signal == syscall.SIGKILL
	policy := restartPolicy(e.cfg)
	next := Judge(Ending{
		Outcome: o, Cause: e.stop.cause, Why: e.stop.why, Lasted: lasted,
		Attempt: e.attempt, Requeues: e.requeues, Random: s.Random(),
	}, policy)
	e.last, e.attempt, e.requeues = next.Result, next.Attempt, next.Requeues
	e.due = time.Now().Add(next.Delay)
	o.Result = next.Result
	if next.Phase == Held {
		next.Reason += howToRelease(e)
	}
	c := Change{To: next.Phase, Reason: next.Reason, Ended: &o}
	if next.InPlace {
		c.place = e.placeKept()
	}
	cause := e.stop.cause
	s.change(e, c, then, resultAttrs(o, e.cfg.MemoryMax)...)
	s.onceMore(e, cause)
}
