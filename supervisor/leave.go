package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"brainjar/transient"
)

// departing is how brainjar itself is to end.
type departing int

const (
	stay  departing = iota
	drain           // end every experiment, gracefully, then go
	leave           // go at once, experiments run on
)

// departure is brainjar's own end, once it was asked for.
type departure struct {
	how     departing
	by      time.Time // when to give up on what has not ended
	blocked bool      // systemd waits for brainjar to stop before it stops any experiment
	ending  bool      // experiments are being ended
	writeBy time.Time // when to give up on the ledger, which has to tell how they ended
	killed  bool      // a second request came: everything was killed
}

// drainMargin is how much longer than the slowest experiment's own limits a
// drain may take, and how long after an end the next one may come: systemd ends
// hundreds one after the other.
const drainMargin = 10 * time.Second

// Drain ends every experiment gracefully and then lets Run return; nothing
// starts any more. Called again, it kills what has not ended. If systemd
// restarts brainjar's own unit, experiments are left running instead.
func (s *Supervisor) Drain() { s.order(s.drain) }

// Leave lets Run return at once; experiments run on, and the next brainjar
// finds them.
func (s *Supervisor) Leave() { s.order(func() { s.leaving.how = leave }) }

func (s *Supervisor) drain() {
	now := time.Now()
	if s.leaving.how != stay {
		s.hurry(now)
		return
	}
	s.leaving.how = drain
	s.leaving.by = now.Add(s.slowest() + drainMargin)
	var job string
	s.do(func(ctx context.Context) (err error) {
		job, err = s.ownJob(ctx)
		return err
	}, func(err error) {
		if err != nil {
			s.Log.Warn("cannot ask systemd why brainjar stops", "err", err)
		}
		s.drainFor(job)
	})
}

// ownJob asks for the job of brainjar's own unit, also over a connection that is being
// made anew: until there is one, nothing could be ended either.
func (s *Supervisor) ownJob(ctx context.Context) (job string, err error) {
	for until := time.Now().Add(drainMargin / 2); ; {
		job, err = s.House.OwnJob(ctx)
		again := errors.Is(err, transient.ErrDisconnected) || errors.Is(err, transient.ErrUncertain)
		if !again || time.Now().After(until) {
			return job, err
		}
		select {
		case <-time.After(ownJobRetry):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// ownJobRetry is the wait before that is asked again.
const ownJobRetry = 200 * time.Millisecond

// drainFor begins to drain, knowing the job of brainjar's own unit.
func (s *Supervisor) drainFor(job string) {
	if job == "restart" && !s.leaving.killed {
		s.Log.Info("restarting, experiments run on")
		s.leaving.how = leave
		return
	}
	s.leaving.blocked = job == "stop"
	s.leaving.by = time.Now().Add(s.slowest() + drainMargin)
	s.Log.Info("stopping", "running", s.active(), "limit", round(time.Until(s.leaving.by)))
	s.Notify("STOPPING=1")
	s.extend()
	s.leaving.ending = true
	for _, e := range s.experiments {
		s.end(e, CauseLeave, "brainjar is stopping")
	}
	s.drainOrphans()
}

// progress gives a drain more time, because a run has ended.
func (s *Supervisor) progress() {
	if by := time.Now().Add(drainMargin); s.leaving.ending && by.After(s.leaving.by) {
		s.leaving.by = by
		s.extend()
	}
}

// extend tells the service manager for how long brainjar may take to stop.
func (s *Supervisor) extend() {
	s.Notify(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (time.Until(s.leaving.by) + drainMargin).Microseconds()))
}

// hurry kills whatever still runs: somebody asked a second time.
func (s *Supervisor) hurry(now time.Time) {
	if s.leaving.how != drain || s.leaving.killed {
		return
	}
	s.leaving.killed = true
	s.leaving.by = now.Add(drainMargin)
	s.Log.Warn("stopping at once", "running", s.active())
	for _, e := range s.experiments {
		if !e.phase.Active() {
			continue
		}
		s.end(e, CauseLeave, "brainjar is stopping at once")
		s.killNow(e)
	}
	s.drainOrphans()
}

// departed reports whether Run is over, and what could not be stopped.
func (s *Supervisor) departed() (bool, error) {
	switch {
	case s.leaving.how == leave:
		return s.undone(), nil
	case s.leaving.how != drain:
		return false, nil
	case s.active() == 0 && len(s.endingOrphans()) == 0 && s.calls == 0 && s.ready:
		if written, undone := s.written(), s.undone(); !written || !undone {
			return false, nil
		}
		s.Log.Info("stopped")
		return true, nil
	case time.Now().Before(s.leaving.by):
		return false, nil
	}
	if !s.ready {
		return true, errors.New("cannot stop what runs: systemd did not tell in time what that is; see `systemctl status brainjar.slice`")
	}
	left := s.endingOrphans()
	for _, e := range s.experiments {
		if e.phase.Active() {
			left = append(left, e.cfg.ID)
		}
	}
	if len(left) == 0 {
		s.Log.Warn("stopped, though not all that was asked for has been answered")
		return true, nil
	}
	return true, fmt.Errorf("cannot stop %s: still there after all their time limits; see `systemctl status brainjar.slice`", strings.Join(left, ", "))
}

// slowest is the longest that anything which is to end may take for it.
func (s *Supervisor) slowest() time.Duration {
	var longest time.Duration
	if len(s.endingOrphans()) > 0 {
		longest = s.Config.Supervisor.StopTimeout + stopMargin
	}
	for _, e := range s.experiments {
		if !e.phase.Active() {
			continue
		}
		limit := e.ends.timeout
		if e.cfg.CheckpointSignal != 0 {
			limit += e.cfg.CheckpointTimeout
		}
		longest = max(longest, limit)
	}
	return longest
}

func (s *Supervisor) active() int {
	n := 0
	for _, e := range s.experiments {
		if e.phase.Active() {
			n++
		}
	}
	return n
}
