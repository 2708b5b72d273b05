package supervisor

import (
	"context"
	"fmt"
	"math"
	"time"

	"brainjar/internal/quantity"
	"brainjar/transient"
)

// sliceRetry is the time between attempts to set the limits of the slice.
const sliceRetry = 10 * time.Second

// slice is how it stands with the limits of the slice that holds all experiments.
type slice struct {
	tried  bool             // they were set since systemd was last heard of; before, nothing starts
	err    string           // why they do not hold; "" if they do
	again  time.Time        // when to try again
	busy   bool             // systemd has not answered yet
	stale  bool             // and its answer will be out of date
	quota  quantity.Percent // that was asked for last; 0: none
	braked bool             // a quota may be in force
}

// setSlice puts the memory budget on the slice, as the hard wall behind admission,
// and the quota of the present heat. Where no memory limit can be enforced at all,
// admission counts it alone, and each experiment's own limit decides whether that
// may start.
func (s *Supervisor) setSlice() {
	sl := &s.slice
	sl.tried = false
	if sl.busy {
		sl.stale = true
		return
	}
	limits := transient.Limits{MemoryMax: s.budget, CPUQuota: s.quota()}
	sl.busy, sl.stale, sl.quota = true, false, limits.CPUQuota
	sl.braked = sl.braked || sl.quota > 0
	var warnings []string
	s.do(func(ctx context.Context) (err error) {
		host, err := s.House.Host(ctx)
		if err == nil {
			warnings, err = s.limitSlice(ctx, host, limits)
		}
		return err
	}, func(err error) {
		sl.busy = false
		if sl.stale {
			s.setSlice()
			return
		}
		sl.tried = true
		if s.ctx.Err() != nil {
			return
		}
		for _, w := range warnings {
			s.warnOnce(w)
		}
		s.sliceSet(err)
	})
}

// limitSlice sets those of the limits that can be enforced here, and says what
// cannot.
func (s *Supervisor) limitSlice(ctx context.Context, host transient.Host, l transient.Limits) (warnings []string, err error) {
	memory, cpu := host.Unenforced("memory_max"), host.Unenforced("cpu_quota")
	if memory != "" {
		l.MemoryMax = 0
		warnings = append(warnings, "memory_budget is counted, but no wall: "+memory)
	}
	if cpu != "" && l.CPUQuota > 0 {
		l.CPUQuota = 0
		warnings = append(warnings, "heat cannot be met with a quota of the CPUs: "+cpu)
	}
	if memory != "" && cpu != "" {
		return warnings, nil
	}
	_, err = s.House.SetSlice(ctx, l)
	return warnings, err
}

// sliceSet takes systemd's answer.
func (s *Supervisor) sliceSet(err error) {
	sl := &s.slice
	before := sl.err
	sl.err = ""
	if err == nil {
		sl.braked = sl.quota > 0
		return
	}
	sl.again = time.Now().Add(sliceRetry)
	sl.err = fmt.Sprintf("cannot set the memory budget on %s: %v", transient.Slice, err)
	if sl.err != before {
		s.Log.Error("nothing can start without the memory budget", "unit", transient.Slice, "err", err)
	}
}

// tickSlice sets the limits again that could not be set, or that are to be others.
func (s *Supervisor) tickSlice(now time.Time, next *time.Time) {
	sl := &s.slice
	switch {
	case !sl.tried || sl.busy: // that comes with the answer, or with a connection
	case sl.quota != s.quota():
		s.setSlice()
	case sl.err == "":
	case now.Before(sl.again):
		*next = earlier(*next, sl.again)
	default:
		s.setSlice()
	}
}

// quota is what all experiments together may have of the CPUs now: percent of one
// CPU; 0: all that there is.
func (s *Supervisor) quota() quantity.Percent {
	share := s.inForce().quota()
	if share == 1 {
		return 0
	}
	return quantity.Percent(math.Round(share * 100 * float64(s.cooling.cpus)))
}

// sliceStopped is the reason why nothing starts after that.
const sliceStopped = transient.Slice + " was stopped; `brainjar release --all`, an order to start or `systemctl start " + transient.Slice + "` lets starts go on"

// eventSlice is the kind of the events of the slice.
const eventSlice = "slice"

// halt takes that somebody ended everything by stopping the slice: then nothing is to
// start by itself, though there is room now. Or it takes that this is over, because
// somebody says so or has started the slice again.
func (s *Supervisor) halt(halted bool) {
	if s.halted == halted {
		return
	}
	s.halted = halted
	if halted {
		s.Log.Warn("nothing is started any more", "reason", sliceStopped)
		s.note(eventSlice, "", 0, sliceStopped)
		return
	}
	s.Log.Info("starts go on", "unit", transient.Slice)
	s.note(eventSlice, "", 0, "starts go on")
}
