package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/supervisor"
)

// The files of the runtime directory that tell the next brainjar what this one did
// against heat. They go with the boot, as what they tell does.
const (
	heatName   = "heat.json"
	clocksName = "clocks.json"
)

// heatFiles wires up the supervisor with what it does against heat.
func (b *brainjar) heatFiles(s *supervisor.Supervisor, dir string) {
	s.Clocks = &clockCaps{fs: sensors.FS(b.sysroot), path: filepath.Join(dir, clocksName), log: b.log}
	path := filepath.Join(dir, heatName)
	if err := readJSON(path, &s.PastHeat); err != nil {
		b.log.Error("what was done against heat before is not known", "err", err)
		s.PastHeat = supervisor.HeatRecord{}
	}
	s.KeepHeat = func(_ context.Context, r supervisor.HeatRecord) error { return writeJSON(path, r) }
}

// clockCaps are the clocks of this machine, as the supervisor lowers them. Each cap
// is in the file before it is set.
type clockCaps struct {
	fs   sensors.FS
	path string
	log  *slog.Logger

	cool map[string]quantity.Hertz // ceilings when they were last noted, by file
}

// Note remembers the ceilings, which in the heat the kernel's own cooling may show
// lower than they are set, and returns how many clocks have something to give.
func (c *clockCaps) Note(ctx context.Context) (int, error) {
	clocks, err := c.fs.Clocks(ctx)
	if err != nil && len(clocks) > 0 {
		c.log.Warn("some clocks cannot be read", "err", err)
	} else if err != nil {
		return 0, err
	}
	c.cool = make(map[string]quantity.Hertz, len(clocks))
	for _, clock := range clocks {
		c.cool[clock.File] = clock.Max
	}
	return len(sensors.PlanCaps(clocks, nil, 0.5)), nil
}

// Cap brings the clocks down to a share of what they were before any cap. A clock
// that something else holds lower is left alone.
func (c *clockCaps) Cap(ctx context.Context, share float64) error {
	held, err := c.held()
	if err != nil {
		return err
	}
	clocks, unread := c.fs.Clocks(ctx)
	now := make(map[string]quantity.Hertz, len(clocks))
	for i, clock := range clocks {
		now[clock.File] = clock.Max
		clocks[i].Max = max(clock.Max, c.cool[clock.File])
	}
	var caps []sensors.Cap
	for _, planned := range sensors.PlanCaps(clocks, held, share) {
		if now[planned.File] >= planned.Limit {
			caps = append(caps, planned)
		}
	}
	if err := writeJSON(c.path, merge(caps, held)); err != nil {
		return err
	}
	return errors.Join(unread, c.fs.ApplyCaps(ctx, caps))
}

// Restore puts back what is in the file, and leaves there what could not be.
func (c *clockCaps) Restore(ctx context.Context) error {
	held, err := c.held()
	if err != nil || len(held) == 0 {
		return err
	}
	left, err := c.fs.RestoreCaps(ctx, held)
	if len(left) == 0 {
		return errors.Join(err, os.Remove(c.path))
	}
	return errors.Join(err, writeJSON(c.path, left))
}

// held are the caps that were set, by this brainjar or one before.
func (c *clockCaps) held() (held []sensors.Cap, err error) {
	if err := readJSON(c.path, &held); err != nil {
		return nil, discard(c.path, err)
	}
	return held, nil
}

// merge adds to the caps those that are held on other clocks.
func merge(caps, held []sensors.Cap) []sensors.Cap {
	all := append([]sensors.Cap{}, caps...)
	for _, h := range held {
		known := false
		for _, c := range caps {
			known = known || c.File == h.File
		}
		if !known {
			all = append(all, h)
		}
	}
	return all
}
