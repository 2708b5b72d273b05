package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// PowerModes sets the power mode of the board. Set and Restore block for I/O; what is
// asked of them reaches the board one after the other, in the order of the calls.
type PowerModes interface {
	// Name returns how the board calls a mode, given by name or number, or an error
	// that names the modes there are. It does not block.
	Name(mode string) (string, error)
	// Set brings the board into a mode. What was there before is written down first.
	Set(ctx context.Context, mode string) error
	// Restore puts back what was there before, also before an earlier process. An
	// error says that this is still to be done.
	Restore(ctx context.Context) error
}

// restoring stands for the mode of a board on which that is being put back.
const restoring = "?"

// powerMode is how it stands with the board's power mode.
type powerMode struct {
	set     bool      // it may not be what it was
	putBack bool      // it was put back once, or there was nothing to put back
	busy    bool      // it is being put back
	again   time.Time // when to try that again
	failed  string    // why that is
}

// modeOf returns the power mode that an experiment asks for, as the board calls it; ""
// for none. One that the board does not have is left as it is: the start tells.
func (s *Supervisor) modeOf(mode string) string {
	if mode == "" || s.Board.PowerModes == nil {
		return mode
	}
	if name, err := s.Board.PowerModes.Name(mode); err == nil {
		return name
	}
	return mode
}

// askMode notes that the run of an experiment asks for its power mode.
func (s *Supervisor) askMode(e *experiment) {
	e.mode = s.modeOf(e.cfg.PowerMode)
	s.mode.set = s.mode.set || e.mode != ""
}

// modeInForce returns the power mode that something which runs has asked for, and what
// that is; "" if the mode is free.
func (s *Supervisor) modeInForce() (mode, by string) {
	if s.mode.busy {
		return restoring, ""
	}
	for _, e := range s.experiments {
		if e.phase.Active() && e.mode != "" {
			return e.mode, e.cfg.ID
		}
	}
	return "", ""
}

// setPowerMode sets the mode that a run asks for. It is called outside the loop.
func (b Board) setPowerMode(ctx context.Context, mode string) error {
	if mode == "" {
		return nil
	}
	if err := b.lacksMode(mode); err != nil {
		return err
	}
	return b.PowerModes.Set(ctx, mode)
}

// lacksMode returns why a power mode cannot be set here.
func (b Board) lacksMode(mode string) (err error) {
	switch {
	case mode == "":
		return nil
	case b.PowerModes == nil:
		err = errors.New("this machine has no power modes")
	default:
		_, err = b.PowerModes.Name(mode)
	}
	if err != nil {
		return fmt.Errorf("cannot set power_mode %s: %w", mode, err)
	}
	return nil
}

// tickPowerMode puts the power mode back to what it was when nothing that runs asks for
// one any more. The first time, that is what an earlier brainjar may have left.
func (s *Supervisor) tickPowerMode(now time.Time, next *time.Time) {
	p := &s.mode
	if s.Board.PowerModes == nil || !s.ready || p.busy || p.putBack && !p.set || s.modeAsked() {
		return
	}
	if now.Before(p.again) {
		*next = earlier(*next, p.again)
		return
	}
	p.busy = true
	s.do(s.Board.PowerModes.Restore, func(err error) {
		p.busy = false
		if s.ctx.Err() != nil {
			return
		}
		if err != nil {
			p.again = time.Now().Add(heatRetry)
			s.complain(&p.failed, "power mode cannot be put back", err)
			return
		}
		p.set, p.putBack, p.failed, p.again = false, true, "", time.Time{}
		s.cooling.clocks.noted = time.Time{}
	})
}

// modeAsked reports whether something that runs asks for a power mode.
func (s *Supervisor) modeAsked() bool {
	return slices.ContainsFunc(s.experiments, func(e *experiment) bool { return e.phase.Active() && e.mode != "" })
}

// modeFree reports whether nothing about the power mode is left to do before brainjar
// goes: it is as it was, or what runs on still asks for it.
func (s *Supervisor) modeFree() bool {
	p := &s.mode
	return s.Board.PowerModes == nil || !s.ready || !p.busy && (p.putBack && !p.set || s.modeAsked())
}

// otherMode says why an experiment cannot have its power mode; "" if it can.
func (h Headroom) otherMode(mode string) string {
	if mode == "" || h.Mode == "" || strings.EqualFold(mode, h.Mode) {
		return ""
	}
	if h.Mode == restoring {
		return fmt.Sprintf("needs power mode %s, the one from before is being put back", mode)
	}
	return fmt.Sprintf("needs power mode %s, %s has %s", mode, h.ModeBy, h.Mode)
}
