package transient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"

	"brainjar/internal/quantity"
)

// tracked is a unit that the Manager knows, with its newest invocation. All of
// it is guarded by Manager.mu.
type tracked struct {
	unit        Unit
	times       *timeLimits
	stopSignal  syscall.Signal
	stopTimeout time.Duration
	program     string // that systemd executes; "": not known
	limits      Limits // asked for; what holds for a unit that was found
	force       bool   // Spec.AllowUnenforced
	notes       []string
	state       unitState
	service     serviceState
	said        string // the status text that was told last

	since    uint64   // monotonic µs: what began before is an older invocation
	began    uint64   // monotonic µs: when this invocation began
	begins   uint32   // the job that starts this invocation; 0: not seen
	order    *order   // the Start that waits for the unit
	executed bool     // its program was seen to run
	awaited  bool     // it is looked whether its program runs
	started  bool     // Started was sent for this invocation
	ended    bool     // Ended was sent for this invocation
	doubted  *Outcome // while the journal is asked whether it ended so
	asked    bool     // Stop was called
	refusal  string
	peak     quantity.Bytes
	cpu      time.Duration
	scope    *scopeProcess // of a scope that this Manager started
}

// errHung is the reason for giving up a connection that does not answer.
var errHung = errors.New("systemd does not answer")

// watch handles the signals of a connection, in their order, until it is lost.
func (m *Manager) watch(ctx context.Context, c *conn) error {
	ping := time.NewTimer(m.ping)
	defer ping.Stop()
	reloading := false
	for {
		select {
		case s, ok := <-c.signals:
			if !ok {
				return errors.New("systemd closed the connection")
			}
			if s.Name == managerIface+".Reloading" && len(s.Body) == 1 {
				reloading, _ = s.Body[0].(bool)
				if !reloading {
					if err := m.reconcile(ctx, c, false); err != nil {
						return err
					}
				}
				continue
			}
			if err := m.handle(ctx, c, s, reloading); err != nil {
				return err
			}
		case <-ping.C:
			if left := m.ping - c.socket.silent(); left > 0 {
				ping.Reset(left)
				continue
			}
			ping.Reset(m.ping)
			var version string
			if err := c.get(ctx, managerPath, managerIface, "Version", &version); err != nil {
				return fmt.Errorf("%w: %w", errHung, err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// handle takes one signal.
func (m *Manager) handle(ctx context.Context, c *conn, s *dbus.Signal, reloading bool) error {
	switch s.Name {
	case propsIface + ".PropertiesChanged":
		if s.Path == unitPath(Slice) {
			return m.lookSlice(ctx, c)
		}
		if !isExperiment(s.Path) || len(s.Body) < 2 {
			return nil
		}
		iface, _ := s.Body[0].(string)
		changed, _ := s.Body[1].(map[string]dbus.Variant)
		return m.changed(ctx, c, s.Path, iface, changed)
	case managerIface + ".JobRemoved":
		var id uint32
		var job dbus.ObjectPath
		var name, result string
		if dbus.Store(s.Body, &id, &job, &name, &result) == nil && strings.HasPrefix(name, Prefix) {
			m.jobRemoved(unitPath(name), job, result)
		}
	case managerIface + ".UnitRemoved":
		var name string
		var path dbus.ObjectPath
		// A reload removes and adds every unit, also those that run.
		if !reloading && dbus.Store(s.Body, &name, &path) == nil && strings.HasPrefix(name, Prefix) {
			return m.removed(ctx, c, path, name)
		}
	}
	return nil
}

// isExperiment reports whether an object may be the unit of an experiment: its
// path ends in the escaped suffix, and a timer beside it is none.
func isExperiment(path dbus.ObjectPath) bool {
	p := string(path)
	return strings.HasPrefix(p, unitPathPrefix) && (strings.HasSuffix(p, "_2eservice") || strings.HasSuffix(p, "_2escope"))
}

// changed takes new values of a unit's properties. Those of the Service or
// Scope interface come right before those of the Unit interface.
func (m *Manager) changed(ctx context.Context, c *conn, path dbus.ObjectPath, iface string, p values) error {
	m.mu.Lock()
	t := m.units[path]
	if t == nil {
		m.mu.Unlock()
		if iface == unitIface {
			return m.stranger(ctx, c, path, readUnitState(p))
		}
		return nil
	}
	defer m.mu.Unlock()
	switch iface {
	case serviceIface, scopeIface:
		t.service = readServiceState(p)
		if t.started && !t.ended {
			m.say(t, false)
		}
	case unitIface:
		s := readUnitState(p)
		m.apply(c, t, s, false)
		if s.frozen != t.unit.Frozen {
			m.lookFrozen(t)
		}
	}
	return nil
}

// stranger takes the new state of a unit that is not tracked: one that a
// person restarted after it was forgotten, or whose start was given up when
// systemd hung.
func (m *Manager) stranger(ctx context.Context, c *conn, path dbus.ObjectPath, s unitState) error {
	switch {
	case s.invocation == "":
		return nil
	case s.over():
		// After Forget this is the unit being reset, and there is no record.
		r, err := readRecord(m.options.RecordDir, s.invocation)
		if err == nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.recorded(r)
		}
		return nil
	}
	return m.examine(ctx, c, path)
}

// apply takes the state of a unit and sends what follows from it. The caller
// holds mu, and has set t.service before.
func (m *Manager) apply(c *conn, t *tracked, s unitState, found bool) {
	if s.invocation == "" || s.began < t.since {
		return // not yet started, or still the run before
	}
	if s.invocation != t.unit.Invocation {
		if t.unit.Invocation != "" {
			if s.began <= t.began {
				return
			}
			m.succeed(t)
		}
		t.unit.Invocation, t.began, t.begins = s.invocation, s.began, 0
	}
	if t.begins == 0 && s.active != "deactivating" {
		t.begins = s.job
	}
	t.state = s
	if t.order != nil {
		t.order.settle(nil)
	}
	if t.ended || t.doubted != nil {
		return
	}
	t.unit.MainPID, t.unit.Since = t.service.mainPID, s.entered
	if t.scope == nil && t.takenDown(s) {
		t.asked = true // whether or not the recorder sees it
	}
	if t.scope != nil {
		t.unit.MainPID = t.scope.child.pid
		m.applyScope(t, s)
		return
	}
	switch {
	case s.over() && m.told[s.invocation]:
		t.ended = true
	case s.over():
		f := s.facts(t.service)
		m.finish(t, &f)
	case !found && s.running() && !t.started && !m.hasExecuted(c, t):
	case s.running() && !t.started, found && s.active == "deactivating" && !t.started:
		m.begin(c, t, found)
	case found && s.active == "activating":
		m.stream.put(Started{Unit: t.unit, Found: true, Loading: true, StopSignal: t.stopSignal, StopTimeout: t.stopTimeout})
		m.say(t, true)
	}
}

// say tells the status text of a unit, unless that was told already.
func (m *Manager) say(t *tracked, found bool) {
	if text := t.service.text; text != t.said {
		t.said = text
		if text != "" {
			m.stream.put(Status{Unit: t.unit.Name, Text: text, Found: found})
		}
	}
}

// takenDown reports whether a job ends a unit, which is a stop: one that was active has
// no other when it goes, and one that was not has another than that of its start.
func (t *tracked) takenDown(s unitState) bool {
	switch {
	case s.job == 0 || s.active != "deactivating" && t.unit.Kind != Scope:
		return false
	case s.left > s.began:
		return true
	}
	return s.active == "deactivating" && t.begins != 0 && t.begins != s.job
}

// begin sends Started, after the limits were read back. A unit without the
// limits that somebody asked for is stopped instead.
func (m *Manager) begin(c *conn, t *tracked, found bool) {
	g := m.group(t.unit.Name)
	effective, err := g.limits(t.limits)
	warnings := t.notes
	if err != nil {
		warnings = append(warnings, err.Error())
	}
	// The limits of a unit that has ended meanwhile are gone with its group.
	if pids, err := g.pids(); !found && err == nil && len(pids) > 0 {
		written, implied := unmet(t.limits, effective, m.host)
		if len(written) > 0 && !t.force {
			t.refusal = refusal(written)
			m.stopRefused(c, t)
			return
		}
		warnings = append(append(warnings, implied...), written...)
	}
	t.started = true
	t.unit.Frozen = t.state.frozen
	if found && !m.host.Unified {
		t.unit.Frozen = m.group(t.unit.Name).stopped()
	}
	m.stream.put(Started{
		Unit: t.unit, Found: found, Effective: effective, Warnings: warnings, StopSignal: t.stopSignal, StopTimeout: t.stopTimeout,
	})
	m.say(t, found)
}

func refusal(unmet []string) string {
	return "stopped because a limit does not hold: " + strings.Join(unmet, ", ")
}

// stopRefused stops a unit that must not run as it does.
func (m *Manager) stopRefused(c *conn, t *tracked) {
	name := t.unit.Name
	m.log.Warn("unit stopped because a limit does not hold", "unit", name, "reason", t.refusal)
	m.spawn(func(ctx context.Context) {
		if err := c.manager(ctx, "StopUnit", []any{name, "replace"}); err != nil && ctx.Err() == nil {
			m.log.Error("cannot stop a unit without its limits", "unit", name, "err", err)
		}
	})
}

// succeed makes room for a newer invocation of the unit, which somebody else
// started: the one before has ended, whether that was seen or not.
func (m *Manager) succeed(t *tracked) {
	if !t.ended {
		m.finish(t, nil)
	}
	if t.doubted != nil {
		m.send(t, *t.doubted) // as it looked, without waiting for the journal
	}
	t.executed, t.awaited, t.started, t.ended, t.asked = false, false, false, false, false
	t.refusal, t.said, t.peak, t.cpu, t.unit.Frozen = "", "", 0, 0, false
}

// removed takes that systemd has forgotten a unit. The signal may be older than
// what reconcile has read since, and be about the run before: so systemd is asked
// before a run that has not ended counts as gone.
func (m *Manager) removed(ctx context.Context, c *conn, path dbus.ObjectPath, name string) error {
	m.mu.Lock()
	t := m.units[path]
	if t == nil || t.unit.Invocation == "" || t.ended || t.doubted != nil {
		m.mu.Unlock()
		return nil
	}
	invocation := t.unit.Invocation
	m.mu.Unlock()
	units, err := c.list(ctx, name)
	if err != nil {
		return fmt.Errorf("cannot ask for a unit that was removed: %w", err)
	}
	if len(units) > 0 && !units[0].stub() {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.units[path] != t || t.unit.Invocation != invocation || t.ended || t.doubted != nil:
	case t.scope != nil:
		m.scopeGone(t)
	default:
		m.finish(t, nil)
	}
	return nil
}
