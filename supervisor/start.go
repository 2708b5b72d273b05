package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"brainjar/sensors"
	"brainjar/transient"
)

// admit starts what may start, and notes for the rest why it waits.
func (s *Supervisor) admit(now time.Time, next *time.Time) {
	if !s.synced || !s.slice.tried {
		return // nobody knows yet what runs, or whether the budget holds
	}
	var waiting []*experiment
	var candidates []Candidate
	for _, e := range s.experiments {
		if e.phase != Queued {
			continue
		}
		waiting = append(waiting, e)
		candidates = append(candidates, Candidate{
			ID: e.cfg.ID, Priority: e.cfg.Priority, Came: e.came, ScarceSince: e.scarceSince,
			Demand: Demand{Memory: s.demand(e), GPU: e.cfg.GPUMemory, Mode: s.modeOf(e.cfg.PowerMode), Waits: s.unmet(e), Hot: s.ownHold(e)},
		})
	}
	if len(waiting) == 0 {
		return
	}
	for i, v := range Schedule(candidates, s.headroom(), now) {
		if v.OK() {
			if s.launching < ordersAtOnce {
				s.start(waiting[i])
			}
			continue // its turn comes with the next answer
		}
		s.wait(waiting[i], v, now)
		if at := waiting[i].scarceSince.Add(keepPlaceAfter); v.Scarce() && at.After(now) {
			*next = earlier(*next, at)
		}
	}
}

// wait notes why an experiment may not start. Each question that it fails on is
// logged once, not each time that a number in the words changes.
func (s *Supervisor) wait(e *experiment, v Verdict, now time.Time) {
	why := string(v.Check)
	if v.Check == CheckDependency {
		why = v.Reason // these words change with the phase of another, seldom
	}
	if !slices.Contains(e.told, why) {
		e.told = append(e.told, why)
		s.Log.Info("waiting", "experiment", e.cfg.ID, "for", v.Check, "reason", v.Reason)
	}
	e.reason, e.waits = v.Reason, v.Check
	switch {
	case v.Check == CheckHold: // nobody passes anybody meanwhile
	case !v.Scarce() && v.Check != CheckPlace:
		e.scarceSince = time.Time{}
	case e.scarceSince.IsZero():
		e.scarceSince = now
	}
}

// headroom adds up what there is to give.
func (s *Supervisor) headroom() Headroom {
	h := Headroom{Hold: s.holdReason(), Slots: s.Config.Supervisor.MaxConcurrent, Budget: s.budget}
	var claims []Claim
	var onGPU []GPUClaim
	for _, o := range s.orphans {
		h.SlotsUsed++
		h.BudgetUsed += o.holds
		claims = append(claims, Claim{May: o.holds, Uses: o.uses.claim()})
	}
	for _, e := range s.experiments {
		if !e.phase.Active() {
			continue
		}
		h.SlotsUsed++
		h.BudgetUsed += s.demand(e)
		gpu := GPUClaim{Claim{May: e.cfg.GPUMemory, Uses: e.gpu.now}, e.gpu.known, e.gpu.before}
		claims, onGPU = append(claims, Claim{May: e.memoryMax(), Uses: e.uses.claim()}), append(onGPU, gpu)
		if s.Board.Unified { // where nobody tells it, this counts what it uses twice
			claims = append(claims, gpu.Claim)
		}
	}
	h.Mode, h.ModeBy = s.modeInForce()
	if s.cards.known && !s.Board.Unified {
		h.GPUKnown, h.GPU = true, s.cards.free(onGPU)
	}
	if s.memory.State == sensors.OK {
		h.AvailableKnown = true
		h.Available = Unclaimed(s.memory.Available, s.Config.Memory.Reserve, claims)
	}
	return h
}

// holdReason says why nothing at all may start, or "".
func (s *Supervisor) holdReason() string {
	switch {
	case s.leaving.how != stay:
		return "brainjar is stopping"
	case s.halted:
		return sliceStopped
	case s.slice.err != "":
		return s.slice.err
	case s.Readings != nil && !s.felt && time.Now().Before(s.feelBy):
		return "the sensors are being read for the first time"
	case s.heat.Reason != "":
		return s.heat.Reason
	}
	return s.breaker.Reason()
}

// start begins the next run: that is written, and then systemd is asked for its
// unit.
func (s *Supervisor) start(e *experiment) {
	e.run = e.nextRun()
	kind := transient.Kind(e.cfg.Kind)
	e.unit = transient.Unit{Name: transient.UnitName(e.cfg.ID, kind), Experiment: e.cfg.ID, Run: e.run, Attempt: e.attempt, Kind: kind}
	e.figures = figures{}
	e.uses, e.gpu, e.holds, e.answered, e.outdated = measured{}, gpuUse{before: s.cards.used}, 0, false, nil
	e.cause, e.place, e.savedAt = NoCause, place{}, time.Time{}
	e.command, e.begun = toJSON(e.cfg.CommandFor(e.run, e.attempt)), begunWith(e.cfg)
	e.ends = ends{e.cfg.StopSignal, e.cfg.StopTimeout}
	s.askMode(e)
	s.launching++
	run := e.run
	s.change(e, Change{To: Starting}, func(error) { s.launch(e, run) })
}

// launch asks systemd for the unit of a run that has been written.
func (s *Supervisor) launch(e *experiment, run int) {
	if e.run != run || e.phase != Starting {
		s.launching--
		if e.run == run && e.phase == Stopping && e.unit.Invocation == "" {
			s.notBegun(e, "it had not begun")
		}
		return
	}
	order := launch{cfg: e.cfg, run: run, attempt: e.attempt, last: e.last, userManager: s.UserManager}
	if e.submission != nil {
		order.process = e.submission.Process
	}
	if e.attended.streams != nil {
		var err error
		if order.streams, err = e.attended.streams.duplicate(); err != nil {
			s.do(func(context.Context) error { return err }, func(err error) { s.startAnswered(e, run, err) })
			return
		}
	}
	var gpu granted
	mode, looking := e.mode, e.looking
	s.do(func(ctx context.Context) error {
		defer order.streams.Close()
		spec, err := look(ctx, looking, func() (transient.Spec, error) {
			spec, err := order.spec()
			if err == nil {
				spec.LogFile, err = s.logFile(order)
			}
			return spec, err
		})
		if err == nil {
			gpu, err = order.grantGPU(ctx, s.Board, &spec)
		}
		if err == nil {
			err = s.Board.setPowerMode(ctx, mode)
		}
		if err != nil {
			return err
		}
		return s.Units.Start(ctx, spec)
	}, func(err error) {
		if err == nil {
			s.tellGrant(e, run, gpu)
		}
		s.startAnswered(e, run, err)
	})
}

// lookLimit is how long file systems may take to answer what a start asks of them.
const lookLimit = 10 * time.Second

// look looks at file systems for a start. One that hangs keeps do for ever; it is left
// behind then, and as it keeps its place, of which each experiment has one, these do not
// pile up.
func look[T any](ctx context.Context, place chan struct{}, do func() (T, error)) (seen T, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	type answer struct {
		seen T
		err  error
	}
	answers := make(chan answer, 1)
	select {
	case place <- struct{}{}:
		go func() {
			defer func() { <-place }()
			seen, err := do()
			answers <- answer{seen, err}
		}()
	case <-ctx.Done():
	}
	select {
	case a := <-answers:
		return a.seen, a.err
	case <-ctx.Done():
		return seen, fmt.Errorf("its paths could not be looked at: %w: %w", transient.ErrUncertain, ctx.Err())
	}
}

// startAnswered takes systemd's answer to a start. If there is a unit, events
// say what becomes of it; if there is none, the run ended before it began.
func (s *Supervisor) startAnswered(e *experiment, run int, err error) {
	s.launching--
	if e.run != run || !e.phase.Active() || errors.Is(err, context.Canceled) {
		return
	}
	switch {
	case err == nil, e.unit.Invocation != "": // events were faster: whoever asked for it, this run has a unit
		e.answered = true
		if e.phase == Stopping && e.stop.step == stopAwaitUnit {
			s.terminate(e)
		}
	case errors.Is(err, transient.ErrStopped):
		s.notBegun(e, stoppedOutside)
	case slices.ContainsFunc(uncounted, func(cause error) bool { return errors.Is(err, cause) }):
		s.startLost(e, err)
	default:
		reasons := strings.ReplaceAll(err.Error(), "\n", "; ") // of several errors.Join makes lines
		s.ended(e, transient.Outcome{Result: transient.StartFailed, ExitCode: -1, Detail: reasons}, nil)
	}
}

// uncounted are the failures to start that are not the experiment's.
var uncounted = []error{transient.ErrUncertain, transient.ErrDisconnected, transient.ErrExists, transient.ErrNotNow}

// lostStartBackoff is the wait after a start that systemd did not begin: one that lasts, such as
// for a disk that is full, must not fill the history.
var lostStartBackoff = BackoffPolicy{Delay: 5 * time.Second, Factor: 2, Max: time.Minute}

// startLost lets an experiment wait that systemd never got to start: systemd
// failed, not the experiment, so it is not counted.
func (s *Supervisor) startLost(e *experiment, err error) {
	if e.phase == Stopping {
		s.notBegun(e, "it had not begun")
		return
	}
	e.run = e.lastRun() // the number is still free
	e.lost++
	e.due = time.Now().Add(lostStartBackoff.For(e.lost, 0))
	had := e.placeNow()
	s.move(e, Backoff, "systemd did not start it: "+err.Error())
	e.place = had
}

// notBegun ends a run that was to end before systemd had begun with it, or had even been
// asked for it.
func (s *Supervisor) notBegun(e *experiment, reason string) {
	e.run = e.lastRun()
	if e.stop.cause.requeues() {
		s.queueAt(e, e.placeNow(), reason)
		return
	}
	cause := e.stop.cause
	s.move(e, Stopped, reason)
	s.onceMore(e, cause)
}
