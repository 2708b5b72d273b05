package supervisor

import (
	"context"
	"time"
)

// Clocks lowers the clocks of CPU and GPU and puts them back. Its methods block for
// I/O; the supervisor calls one at a time.
type Clocks interface {
	// Note looks how the clocks are while nothing lowers them, and returns how many
	// can be lowered.
	Note(ctx context.Context) (int, error)
	// Cap lowers the clocks to a share of what they were. That is written down
	// first. After an error some may be lowered.
	Cap(ctx context.Context, share float64) error
	// Restore puts back what was there before, also before an earlier process. An
	// error says that something is still to be put back.
	Restore(ctx context.Context) error
}

const (
	// slowShare is what is left of the clocks: the voltage falls with them, and the
	// power with its square.
	slowShare = 0.6
	// noteEvery is how often the clocks are looked at while the machine is cool.
	noteEvery = time.Minute
)

// clocks is how it stands with the clocks.
type clocks struct {
	known  bool // the last order to lower them, or to put them back, succeeded
	capped bool // they may be lowered
	busy   bool
	again  time.Time // when to try again
	failed string    // why that is
	noted  time.Time // when they were last looked at
}

// clocksFree reports whether no clock is lowered.
func (s *Supervisor) clocksFree() bool {
	c := &s.cooling.clocks
	return s.Clocks == nil || c.known && !c.capped && !c.busy
}

// tickClocks makes the clocks follow the stage. The first order puts back what an
// earlier brainjar may have left, or lowers them where the heat goes on.
func (s *Supervisor) tickClocks(now time.Time, next *time.Time) {
	c := &s.cooling.clocks
	if s.Clocks == nil || c.busy {
		return
	}
	allowed, stage := s.Config.Thermal.Clocks, s.inForce()
	want := allowed && stage >= Slow
	switch {
	case now.Before(c.again):
		*next = earlier(*next, c.again)
	case want && (!c.known || !c.capped):
		c.capped = true
		s.orderClocks("clocks cannot be lowered", func(ctx context.Context) error { return s.Clocks.Cap(ctx, slowShare) }, func() {})
	case !want && (!c.known || c.capped):
		s.orderClocks("clocks cannot be put back", s.Clocks.Restore, func() { c.capped = false })
	case allowed && !want && (c.noted.IsZero() || stage == Cool && now.Sub(c.noted) >= noteEvery):
		n := 0
		c.noted = now
		s.orderClocks("clocks cannot be read", func(ctx context.Context) (err error) {
			n, err = s.Clocks.Note(ctx)
			return err
		}, func() { s.governor.Clocks = n > 0 })
	}
	s.governor.Clocks = s.governor.Clocks && allowed
}

// orderClocks gives an order, and tries again later if it fails.
func (s *Supervisor) orderClocks(trouble string, order func(context.Context) error, then func()) {
	c := &s.cooling.clocks
	c.busy, c.known = true, false
	s.do(order, func(err error) {
		c.busy = false
		if s.ctx.Err() != nil {
			return
		}
		if err != nil {
			c.again = time.Now().Add(heatRetry)
			s.complain(&c.failed, trouble, err)
			return
		}
		c.known, c.failed, c.again = true, "", time.Time{}
		then()
	})
}
