package transient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// How long the processes of a unit have to stop on control groups v1: each
// round stops what was forked in the round before.
const (
	freezeRounds = 100
	freezeRound  = 10 * time.Millisecond
)

// Freeze suspends all processes of a unit until Thaw: by the kernel's freezer
// on control groups v2 (systemd 246), else by SIGSTOP, which the processes'
// parents and debuggers can see.
func (m *Manager) Freeze(ctx context.Context, unit string) error {
	return named("freeze", unit, m.freeze(ctx, unit))
}

func (m *Manager) freeze(ctx context.Context, unit string) error {
	c, err := m.connection()
	if err != nil {
		return err
	}
	return m.freezeGroup(ctx, c, unit, m.group(unit))
}

// freezeGroup freezes a unit, whose control group is g.
func (m *Manager) freezeGroup(ctx context.Context, c *conn, unit string, g group) (err error) {
	if m.hasFreezer() {
		err := c.manager(ctx, "FreezeUnit", []any{unit})
		if err == nil {
			m.setFrozen(unit, true)
		}
		return err
	}
	for range freezeRounds {
		if err := c.manager(ctx, "KillUnit", []any{unit, string(All), int32(syscall.SIGSTOP)}); err != nil {
			return err
		}
		if g.stopped() {
			m.setFrozen(unit, true)
			return nil
		}
		select {
		case <-time.After(freezeRound):
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			break
		}
	}
	undo := c.manager(context.WithoutCancel(ctx), "KillUnit", []any{unit, string(All), int32(syscall.SIGCONT)})
	return errors.Join(fmt.Errorf("not all of its processes stopped"), err, undo)
}

// Thaw lets a frozen unit go on. One that is not frozen goes on as well.
func (m *Manager) Thaw(ctx context.Context, unit string) error {
	c, err := m.connection()
	if err == nil {
		err = m.thaw(ctx, c, unit)
	}
	return named("thaw", unit, err)
}

func (m *Manager) thaw(ctx context.Context, c *conn, unit string) error {
	method, args := "KillUnit", []any{unit, string(All), int32(syscall.SIGCONT)}
	if m.hasFreezer() {
		method, args = "ThawUnit", []any{unit}
	}
	err := c.manager(ctx, method, args)
	if err != nil && isBusError(err) && !isNoUnit(err) && m.hasFreezer() { // it has a job, or is not active
		if frozen, failed := m.frozen(ctx, c, unit); failed == nil && !frozen {
			err = nil
		}
	}
	if err == nil {
		m.setFrozen(unit, false)
	}
	return err
}

// thawIfFrozen thaws a unit that must hear what comes next.
func (m *Manager) thawIfFrozen(ctx context.Context, c *conn, unit string) error {
	if frozen, err := m.frozen(ctx, c, unit); err != nil || !frozen {
		return err
	}
	return m.thaw(ctx, c, unit)
}

// frozen asks systemd where it knows: a person may have frozen the unit, of
// which there is no signal.
func (m *Manager) frozen(ctx context.Context, c *conn, unit string) (bool, error) {
	if m.hasFreezer() {
		var state string
		err := c.get(ctx, unitPath(unit), unitIface, "FreezerState", &state)
		return state == "frozen" || state == "freezing", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.units[unitPath(unit)]
	return t != nil && !t.ended && t.unit.Frozen, nil
}

// setFrozen notes and reports what this Manager did: systemd sends no signal.
func (m *Manager) setFrozen(unit string, frozen bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.units[unitPath(unit)]; t != nil {
		m.noteFrozen(t, frozen)
	}
}

// noteFrozen reports a freeze or a thaw, if it is one. The caller holds mu.
func (m *Manager) noteFrozen(t *tracked, frozen bool) {
	if t.started && !t.ended && t.unit.Frozen != frozen {
		t.unit.Frozen = frozen
		m.stream.put(Frozen{Unit: t.unit.Name, Frozen: frozen})
	}
}

// lookFrozen asks the kernel whether a unit is frozen: of what somebody else does,
// systemd sends a signal only from 256 on, and it can be older than what this Manager has
// done since. The caller holds mu.
func (m *Manager) lookFrozen(t *tracked) {
	if !m.host.hasFreezer() {
		return
	}
	if events, err := m.group(t.unit.Name).read("", "cgroup.events"); err == nil {
		m.noteFrozen(t, keyed(events, "frozen") == 1)
	}
}

func (m *Manager) hasFreezer() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.host.hasFreezer()
}

// hasFreezer reports whether systemd can freeze units here. On v1 it says that
// it can, and then cannot.
func (h Host) hasFreezer() bool { return h.Unified && h.Version >= 246 }

// stopped reports whether the group has processes and all of them are stopped.
func (g group) stopped() bool {
	pids, err := g.pids()
	if err != nil || len(pids) == 0 {
		return false
	}
	frozen := false
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		switch processState(b) {
		case 'T', 't':
			frozen = true
		case 'Z', 'X': // dead, which is not frozen
		default:
			return false
		}
	}
	return frozen
}

// processState reads the state from /proc/PID/stat, proc(5): the field after
// the name, which stands in parentheses and may hold anything.
func processState(stat []byte) byte {
	_, after, ok := bytes.Cut(stat[max(bytes.LastIndexByte(stat, ')'), 0):], []byte(") "))
	if !ok || len(after) == 0 {
		return '?'
	}
	return after[0]
}
