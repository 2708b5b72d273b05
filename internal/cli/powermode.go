package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"brainjar/sensors"
)

// modeName is the file of the state directory that tells which power mode the board was
// in. It is not one of the boot: nvpmodel sets at each boot what was set last.
const modeName = "power-mode.json"

// boardMode is the power mode of this board, as the supervisor sets it. What was there
// before is in the file before that.
type boardMode struct {
	fs    sensors.FS
	path  string
	modes []sensors.PowerMode
	log   *slog.Logger

	turn chan struct{} // holds one change of the mode
}

// modeRecord is what the file holds.
type modeRecord struct {
	Before sensors.PowerMode  `json:"before"`
	Set    sensors.PowerMode  `json:"set"`            // or about to be
	From   *sensors.PowerMode `json:"from,omitempty"` // what it is while Set is about to be; nil: that was done
}

// brought says whether brainjar has brought the board into a mode, or found it there.
func (r modeRecord) brought(now sensors.PowerMode) bool {
	return r.Set == now || r.From != nil && *r.From == now
}

// newBoardMode returns the power mode of a board, or nil where there are none and
// nothing is left to put back.
func newBoardMode(fs sensors.FS, state string, log *slog.Logger) *boardMode {
	modes, err := fs.PowerModes()
	m := &boardMode{fs: fs, path: filepath.Join(state, modeName), modes: modes, log: log, turn: make(chan struct{}, 1)}
	if errors.Is(err, sensors.ErrNoPowerModes) {
		if _, err := os.Stat(m.path); err != nil {
			return nil
		}
	} else if err != nil {
		log.Warn("power modes are not known", "err", err)
	}
	return m
}

// Name returns how the board calls a mode.
func (m *boardMode) Name(mode string) (string, error) {
	found, err := sensors.FindPowerMode(m.modes, mode)
	return found.Name, err
}

// Set brings the board into a mode.
func (m *boardMode) Set(ctx context.Context, mode string) error {
	return m.change(ctx, func() error { return m.set(ctx, mode) })
}

func (m *boardMode) set(ctx context.Context, mode string) error {
	wanted, err := sensors.FindPowerMode(m.modes, mode)
	if err != nil {
		return fmt.Errorf("cannot set power mode: %w", err)
	}
	now, err := m.fs.PowerMode(ctx)
	if err != nil {
		return fmt.Errorf("cannot set power mode %s: %w", wanted.Name, err)
	}
	var record modeRecord
	if err := readJSON(m.path, &record); err != nil {
		m.log.Warn("which power mode was there before is not known, the present one is taken for it", "err", err)
		record = modeRecord{}
	}
	if record == (modeRecord{}) || !record.brought(now) {
		record.Before = now
	}
	if now == wanted {
		return nil
	}
	record.Set, record.From = wanted, &now
	if err := writeJSON(m.path, record); err != nil {
		return fmt.Errorf("cannot set power mode %s: %w", wanted.Name, err)
	}
	if _, err := m.fs.SetPowerMode(ctx, wanted.Name); err != nil {
		return err
	}
	record.From = nil
	if err := writeJSON(m.path, record); err != nil {
		m.log.Warn("that the power mode is set cannot be written down", "mode", wanted.Name, "err", err)
	}
	clocks, err := m.fs.Clocks(ctx)
	m.log.Info("power mode set", "mode", wanted.Name, "before", record.Before.Name, "clocks_pinned", err == nil && sensors.Pinned(clocks))
	return nil
}

// Restore puts back the mode that was there before the first Set.
func (m *boardMode) Restore(ctx context.Context) error {
	return m.change(ctx, func() error { return m.restore(ctx) })
}

// restore puts back what is in the file, if the board is still as brainjar has set it:
// what somebody else has set meanwhile is theirs.
func (m *boardMode) restore(ctx context.Context) error {
	var record modeRecord
	if err := readJSON(m.path, &record); err != nil {
		return discard(m.path, err)
	}
	if record == (modeRecord{}) {
		return nil
	}
	now, err := m.fs.PowerMode(ctx)
	if err != nil {
		return err
	}
	if record.brought(now) && now != record.Before {
		if _, err := m.fs.SetPowerMode(ctx, record.Before.Name); err != nil {
			return err
		}
		m.log.Info("power mode put back", "mode", record.Before.Name, "before", now.Name)
	}
	if err := os.Remove(m.path); err != nil {
		return fmt.Errorf("cannot forget the power mode from before: %w", err)
	}
	return nil
}

// change makes one change of the mode at a time.
func (m *boardMode) change(ctx context.Context, do func() error) error {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
		return do()
	case <-ctx.Done():
		return fmt.Errorf("cannot change the power mode: %w", ctx.Err())
	}
}
