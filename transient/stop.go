package transient

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/godbus/dbus/v5"
)

// named wraps an error of an order about a unit.
func named(what, unit string, err error) error {
	if err == nil {
		return nil
	}
	if isNoUnit(err) {
		err = fmt.Errorf("%w: %w", ErrNoUnit, err)
	}
	return fmt.Errorf("cannot %s %s: %w", what, unit, err)
}

// Stop asks systemd to stop a unit: its stop signal, and SIGKILL when its stop
// timeout has passed. It does not wait for that; the end is an Ended. A frozen
// unit is thawed first, or it would not hear the signal.
func (m *Manager) Stop(ctx context.Context, unit string) error {
	return named("stop", unit, m.stop(ctx, unit))
}

func (m *Manager) stop(ctx context.Context, unit string) error {
	c, err := m.connection()
	if err != nil {
		return err
	}
	if err := m.thawIfFrozen(ctx, c, unit); err != nil {
		return err
	}
	// Before the call: the end can be there before its answer.
	m.mu.Lock()
	t := m.units[unitPath(unit)]
	before := false
	if t != nil && !t.ended {
		before, t.asked = t.asked, true
	}
	m.mu.Unlock()
	var job dbus.ObjectPath
	err = c.manager(ctx, "StopUnit", []any{unit, "replace"}, &job)
	if err != nil && !errors.Is(err, ErrUncertain) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if t != nil && !t.ended {
			t.asked = before
		}
	}
	return err
}

// Kill sends a signal to the main process of a unit, or to all its processes.
func (m *Manager) Kill(ctx context.Context, unit string, whom Whom, sig syscall.Signal) error {
	c, err := m.connection()
	if err != nil {
		return named("kill", unit, err)
	}
	if whom == Main {
		if handled, err := m.killScopeMain(unit, sig); handled {
			return named("kill", unit, err)
		}
	}
	err = c.manager(ctx, "KillUnit", []any{unit, string(whom), int32(sig)})
	if busErrorName(err) == "org.freedesktop.systemd1.NoSuchProcess" {
		err = fmt.Errorf("%w: %w", ErrNoUnit, err)
	}
	return named("kill", unit, err)
}

// Forget says that the caller has recorded the end of an invocation: the unit
// is reset if it failed, and the record deleted. What cannot be done now, for
// want of a connection or because of an error, is done after the next one was
// made.
func (m *Manager) Forget(ctx context.Context, u Unit) error {
	if !validInvocation(u.Invocation) {
		return fmt.Errorf("cannot forget %s: %q is no invocation", u.Name, u.Invocation)
	}
	m.mu.Lock()
	c, t := m.conn, m.units[unitPath(u.Name)]
	clean := t != nil && t.unit.Invocation == u.Invocation && t.ended && t.state.active == "inactive"
	m.unforgotten[u.Invocation] = u // until it is done
	m.mu.Unlock()
	switch {
	case clean:
		c = nil // systemd has nothing to reset
	case c == nil:
		return nil
	}
	if err := m.forget(ctx, c, u); err != nil {
		return fmt.Errorf("cannot forget %s: %w", u.Name, err)
	}
	return nil
}

// forget does what Forget says; c is nil if systemd has nothing to reset.
func (m *Manager) forget(ctx context.Context, c *conn, u Unit) error {
	if c != nil {
		if err := m.resetFailed(ctx, c, u); err != nil {
			return err
		}
	}
	err := os.Remove(recordFile(m.options.RecordDir, u.Invocation))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.told, u.Invocation)
	delete(m.unforgotten, u.Invocation)
	path := unitPath(u.Name)
	if t := m.units[path]; t != nil && t.ended && t.unit.Invocation == u.Invocation {
		delete(m.units, path)
	}
	return nil
}

// resetFailed makes systemd drop a failed unit if it is still of that
// invocation.
func (m *Manager) resetFailed(ctx context.Context, c *conn, u Unit) error {
	id, err := hex.DecodeString(u.Invocation)
	if err != nil {
		return err
	}
	var path dbus.ObjectPath
	err = c.manager(ctx, "GetUnitByInvocationID", []any{id}, &path)
	switch busErrorName(err) {
	case "org.freedesktop.systemd1.NoUnitForInvocationID", "org.freedesktop.systemd1.NoSuchUnit":
		return nil
	}
	if err != nil {
		return err
	}
	err = c.manager(ctx, "ResetFailedUnit", []any{u.Name})
	if isNoUnit(err) {
		return nil
	}
	return err
}

// OwnJob returns the type of the job on the unit that this process runs in:
// "stop" or "restart" while systemd is stopping it, "" if there is none.
func (m *Manager) OwnJob(ctx context.Context) (jobType string, err error) {
	c, err := m.connection()
	if err != nil {
		return "", fmt.Errorf("cannot ask for brainjar's own job: %w", err)
	}
	var path dbus.ObjectPath
	err = c.manager(ctx, "GetUnitByPID", []any{uint32(os.Getpid())}, &path)
	if busErrorName(err) == "org.freedesktop.systemd1.NoUnitForPID" {
		return "", nil
	}
	if err == nil {
		jobType, err = c.jobOf(ctx, path)
	}
	if err != nil {
		return "", fmt.Errorf("cannot ask for brainjar's own job: %w", err)
	}
	return jobType, nil
}

// jobRef is the Unit property Job, signature (uo).
type jobRef struct {
	ID   uint32 // 0: none
	Path dbus.ObjectPath
}

// jobOf returns the type of the job on a unit, "" if there is none.
func (c *conn) jobOf(ctx context.Context, unit dbus.ObjectPath) (jobType string, err error) {
	var job jobRef
	if err := c.get(ctx, unit, unitIface, "Job", &job); err != nil || job.ID == 0 {
		return "", err
	}
	err = c.get(ctx, job.Path, busName+".Job", "JobType", &jobType)
	if busErrorName(err) == "org.freedesktop.DBus.Error.UnknownObject" {
		return "", nil // it has ended between the two questions
	}
	return jobType, err
}
