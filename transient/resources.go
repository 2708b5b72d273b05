package transient

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"brainjar/internal/quantity"
)

// How long systemd may take to write to the kernel what it has accepted.
const (
	settleTime = time.Second
	settleStep = 5 * time.Millisecond
)

// group returns the control group of a unit in the slice. The caller holds mu.
func (m *Manager) group(unit string) group {
	return group{m.cgroups, path.Join("/", m.root, Slice, unit)}
}

func (m *Manager) lockedGroup(unit string) group {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.group(unit)
}

// SetLimits changes the limits of a running unit to exactly these, and returns
// those that hold then, as the kernel says. It is an error if one that
// somebody wrote does not hold.
func (m *Manager) SetLimits(ctx context.Context, unit string, l Limits) (Limits, error) {
	m.mu.Lock()
	t, host := m.units[unitPath(unit)], m.host
	force := t != nil && t.force
	gone := t == nil || t.ended
	m.mu.Unlock()
	if gone {
		return Limits{}, named("set the limits of", unit, ErrNoUnit)
	}
	// From systemd 256 on, limits set on a frozen unit do not reach the kernel.
	refreeze := false
	if host.Version >= 256 {
		var err error
		if refreeze, err = m.thawForLimits(ctx, unit); err != nil {
			return Limits{}, err
		}
	}
	effective, err := m.setLimits(ctx, unit, l, host, force)
	if refreeze {
		err = errors.Join(err, m.Freeze(ctx, unit))
	}
	if err == nil {
		m.mu.Lock()
		t.limits = l
		m.mu.Unlock()
	}
	return effective, named("set the limits of", unit, err)
}

// thawForLimits thaws a unit and reports whether it was frozen.
func (m *Manager) thawForLimits(ctx context.Context, unit string) (frozen bool, err error) {
	c, err := m.connection()
	if err == nil {
		frozen, err = m.frozen(ctx, c, unit)
	}
	if err == nil && frozen {
		err = m.thaw(ctx, c, unit)
	}
	return frozen, named("thaw", unit, err)
}

// setLimits changes the limits of a unit, and reads them back.
func (m *Manager) setLimits(ctx context.Context, unit string, l Limits, host Host, force bool) (Limits, error) {
	if err := m.sendLimits(ctx, unit, l, host, force); err != nil {
		return Limits{}, err
	}
	return m.readBack(ctx, m.lockedGroup(unit), l, host, force)
}

// sendLimits gives systemd the limits of a unit or of the slice.
func (m *Manager) sendLimits(ctx context.Context, unit string, l Limits, host Host, force bool) error {
	c, err := m.connection()
	if err != nil {
		return err
	}
	if err := checkLeast(l); err != nil {
		return err
	}
	props, warnings, err := liveLimits(l, host, force)
	if err != nil {
		return err
	}
	for _, warning := range warnings {
		m.log.Warn("limit not set", "unit", unit, "reason", warning)
	}
	return c.manager(ctx, "SetUnitProperties", []any{unit, true, props})
}

// readBack waits until the limits that were asked for hold, and returns those
// that do. A group that does not exist has none.
func (m *Manager) readBack(ctx context.Context, g group, l Limits, host Host, force bool) (Limits, error) {
	deadline := time.Now().Add(settleTime)
	for {
		effective, err := g.limits(l)
		if err != nil {
			return Limits{}, err
		}
		written, _ := unmet(l, effective, host)
		if len(written) == 0 || force {
			return effective, nil
		}
		if time.Now().After(deadline) {
			return effective, fmt.Errorf("systemd accepted it, but %s", strings.Join(written, ", "))
		}
		select {
		case <-time.After(settleStep):
		case <-ctx.Done():
			return Limits{}, ctx.Err()
		}
	}
}

// SetSlice sets the budget of all experiments together, and returns the limits
// that hold then: none as long as no unit has run. It is remembered, and
// checked again before each start.
func (m *Manager) SetSlice(ctx context.Context, l Limits) (Limits, error) {
	host, err := m.Host(ctx)
	if err != nil {
		return Limits{}, named("set the limits of", Slice, err)
	}
	m.mu.Lock()
	m.slice = &l
	m.mu.Unlock()
	effective, err := m.setSlice(ctx, l, host)
	return effective, named("set the limits of", Slice, err)
}

// setSlice sets all limits, but one of the memory that would kill what runs: then the
// one before stays, and that is an error.
func (m *Manager) setSlice(ctx context.Context, l Limits, host Host) (effective Limits, err error) {
	g, asked := m.sliceGroup(), l.MemoryMax
	if host.Unenforced(limitMemoryMax) == "" {
		l.MemoryMax = g.bearable(asked)
	}
	if err := m.sendLimits(ctx, Slice, l, host, false); err != nil {
		return Limits{}, err
	}
	if g.populated() { // else systemd tells the kernel when the first unit starts
		effective, err = m.readBack(ctx, g, l, host, false)
	}
	if err == nil && l.MemoryMax != asked {
		err = fmt.Errorf("what runs uses more than %s, and would be killed", asked)
	}
	return effective, err
}

// bearable is a limit for the memory of the group; the one that is in force, as long as
// more is used than that: the kernel would choose whom to kill.
func (g group) bearable(limit quantity.Bytes) quantity.Bytes {
	u, err := g.usage()
	if err != nil || limit == 0 || u.Memory-u.Cache < limit {
		return limit
	}
	now, err := g.limits(Limits{})
	if err != nil || now.MemoryMax > 0 && now.MemoryMax <= limit {
		return limit
	}
	return now.MemoryMax
}

func (m *Manager) sliceGroup() group {
	m.mu.Lock()
	defer m.mu.Unlock()
	return group{m.cgroups, path.Join("/", m.root, Slice)}
}

// ensureSlice sets the budget again if somebody took it away.
func (m *Manager) ensureSlice(ctx context.Context) error {
	m.mu.Lock()
	budget, host := m.slice, m.host
	m.mu.Unlock()
	if budget == nil {
		return nil
	}
	g := m.sliceGroup()
	if effective, err := g.limits(*budget); err == nil && g.populated() {
		if written, _ := unmet(*budget, effective, host); len(written) == 0 {
			return nil
		}
	}
	if _, err := m.setSlice(ctx, *budget, host); err != nil {
		return fmt.Errorf("the budget does not hold: %w", err)
	}
	return nil
}

// populated reports whether the group has groups in it: a slice, units.
func (g group) populated() bool {
	entries, err := os.ReadDir(g.dir("name=systemd", g.path))
	return err == nil && slices.ContainsFunc(entries, fs.DirEntry.IsDir)
}

// Processes returns the PIDs of the processes of a unit.
func (m *Manager) Processes(unit string) ([]int, error) {
	pids, err := m.lockedGroup(unit).pids()
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrNoUnit, err)
	}
	return pids, named("list the processes of", unit, err)
}

// Usage reads what a unit uses now from its control group. The peak is the
// kernel's where it keeps one, else the highest use that was read. That somebody else
// froze or thawed the unit is noticed here.
func (m *Manager) Usage(unit string) (Usage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.group(unit).usage()
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrNoUnit, err)
	}
	if err != nil {
		return Usage{}, named("read the usage of", unit, err)
	}
	if t := m.units[unitPath(unit)]; t != nil && !t.ended {
		t.peak, t.cpu = max(t.peak, u.MemoryPeak), u.CPUTime
		u.MemoryPeak = t.peak
		m.lookFrozen(t)
	}
	return u, nil
}
