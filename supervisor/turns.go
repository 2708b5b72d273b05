package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"brainjar/transient"
)

// In the last stages of heat, what runs is frozen and goes on by turns. All freeze
// at the same time: what only some of them leave of a GPU, the others would take.
// This is no phase of an experiment: it runs, only slower.

// turnSlot is a quarter of the time in which experiments have one turn: short, so
// that whoever talks to them hardly notices.
const turnSlot = 500 * time.Millisecond

// leastWatchdog is the shortest watchdog with which an experiment is frozen: others
// would be taken for dead.
const leastWatchdog = 8 * turnSlot

// quartersFor is how many quarters of the time an experiment is frozen, in a stage
// that has so many: those of the lowest priority are the first, and have one more
// than the others.
func quartersFor(quarters int, lowest bool) int {
	if lowest {
		return quarters
	}
	return max(0, quarters-1)
}

// turns is how it stands with all of them.
type turns struct {
	since  time.Time // when the first of them began; zero: there are none
	orders int       // that systemd has not answered
}

// turn is the freezing of an experiment by the governor.
type turn struct {
	frozen bool // or it may be
	busy   bool
	again  time.Time // when to give the order again that failed
}

// takesTurns reports whether an experiment may be frozen against heat.
func (e *experiment) takesTurns() bool {
	return e.phase == Running && e.unit.Invocation != "" && !e.byHand &&
		(e.cfg.Watchdog == 0 || e.cfg.Watchdog >= leastWatchdog)
}

// tickTurns freezes and thaws what is due: the lowest priority is frozen first, the
// highest thawed first.
func (s *Supervisor) tickTurns(now time.Time, next *time.Time) {
	t := &s.cooling.turns
	quarters := s.inForce().quarters()
	if quarters == 0 {
		t.since = time.Time{}
	} else if t.since.IsZero() {
		t.since = now
	}
	if quarters == 0 && !s.turned() {
		return
	}
	slots := int(now.Sub(t.since) / turnSlot)
	var all []*experiment
	for _, e := range s.experiments {
		if e.turn != nil || e.takesTurns() && slices.Contains(s.cooling.record.Frozen, e.unit.Invocation) {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b *experiment) int { return cmp.Compare(a.cfg.Priority, b.cfg.Priority) })
	freezes := func(e *experiment) bool {
		return quarters > 0 && e.takesTurns() && slots%4 < quartersFor(quarters, e.cfg.Priority == all[0].cfg.Priority)
	}
	for _, e := range all {
		if freezes(e) && (e.turn == nil || !e.turn.frozen) {
			s.freezeTurn(e, now, next)
		}
	}
	for _, e := range slices.Backward(all) {
		if e.turn != nil && e.turn.frozen && !freezes(e) {
			s.thawTurn(e, now, next)
		}
	}
	if quarters > 0 {
		*next = earlier(*next, t.since.Add(time.Duration(slots+1)*turnSlot))
	}
}

// turned reports whether anything may be frozen by the governor.
func (s *Supervisor) turned() bool {
	return slices.ContainsFunc(s.experiments, func(e *experiment) bool { return e.turn != nil })
}

func (s *Supervisor) freezeTurn(e *experiment, now time.Time, next *time.Time) {
	if e.turn == nil {
		e.turn = &turn{}
	}
	if !s.mayTurn(e.turn, now, next) {
		return
	}
	e.turn.frozen = true
	e.probing.stretch++ // the answer to a check that is under way counts for nothing
	s.orderTurn(e, "freeze", s.Freezer.Freeze)
}

func (s *Supervisor) thawTurn(e *experiment, now time.Time, next *time.Time) {
	if s.mayTurn(e.turn, now, next) {
		s.orderTurn(e, "thaw", s.Freezer.Thaw)
	}
}

// mayTurn reports whether an order may be given now.
func (s *Supervisor) mayTurn(t *turn, now time.Time, next *time.Time) bool {
	if now.Before(t.again) {
		*next = earlier(*next, t.again)
		return false
	}
	return !t.busy && s.cooling.turns.orders < ordersAtOnce
}

// orderTurn gives an order. One to thaw that succeeds ends the turn.
func (s *Supervisor) orderTurn(e *experiment, name string, order func(context.Context, string) error) {
	t, unit, run := e.turn, e.unit.Name, e.run
	t.busy = true
	s.cooling.turns.orders++
	s.do(e.inTurn(func(ctx context.Context) error { return order(ctx, unit) }), func(err error) {
		s.cooling.turns.orders--
		t.busy = false
		if e.turn != t || e.run != run || s.ctx.Err() != nil {
			return // it was taken over, or has ended
		}
		switch {
		case err == nil && name == "thaw", errors.Is(err, transient.ErrNoUnit):
			e.turn = nil
		case err != nil:
			t.again = time.Now().Add(orderRetry)
			s.Log.Warn("order failed", "experiment", e.cfg.ID, "order", name, "err", err)
		}
	})
}

// inTurn makes an order to freeze or to thaw, or one that sets limits, for which systemd
// may have to thaw, wait for the one before.
func (e *experiment) inTurn(order func(context.Context) error) func(context.Context) error {
	place := e.order
	return func(ctx context.Context) error {
		select {
		case place <- struct{}{}:
			defer func() { <-place }()
			return order(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Freeze takes the CPU from an experiment that runs; Thaw gives it back.
func (s *Supervisor) Freeze(ctx context.Context, id string) error {
	frozen := make(chan error, 1)
	_, err := ask(ctx, s, func() (none struct{}, err error) {
		e := s.byID[id]
		switch {
		case e == nil:
			return none, fmt.Errorf("%w: %s", ErrUnknown, id)
		case e.phase != Running:
			return none, fmt.Errorf("%w: %s is %s", ErrNotRunning, id, e.phase)
		}
		s.freezeByHand(e, func(err error) { frozen <- err })
		return none, nil
	})
	if err != nil {
		return err
	}
	failed, err := receive(ctx, s, frozen)
	return cmp.Or(err, failed)
}

// freezeByHand freezes an experiment because a person wants that. The governor has
// no more to do with it, and what it froze is thawed before: systemd tells nothing of
// a unit that is frozen already.
func (s *Supervisor) freezeByHand(e *experiment, answer func(error)) {
	turned, unit := e.turn != nil, e.unit.Name
	e.turn, e.byHand = nil, true
	s.do(e.inTurn(func(ctx context.Context) error {
		if turned {
			if err := s.Freezer.Thaw(ctx, unit); err != nil {
				return err
			}
		}
		return s.Freezer.Freeze(ctx, unit)
	}), func(err error) {
		if err != nil {
			e.byHand = false
		}
		answer(err)
	})
}

// frozenByHeat reports whether the governor of an earlier brainjar froze a run, or
// meant to.
func (s *Supervisor) frozenByHeat(u transient.Unit) bool {
	return u.Frozen && slices.Contains(s.cooling.record.Frozen, u.Invocation)
}
