package transient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"syscall"
	"time"

	sddbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// A scope is a control group around processes that systemd did not start. So
// the Manager forks the program itself: a helper of the binary, which waits
// until it is inside, and then executes the program. The Manager is its parent
// and reaps it; another Manager, after this one, is not, and cannot say how it
// exited.

// scopeProcess is the program of a scope that this Manager started. It is
// guarded by Manager.mu.
type scopeProcess struct {
	child    *child
	reaped   bool
	stopping bool // by this Manager, for what the program left behind
	status   syscall.WaitStatus
	cpu      time.Duration
	oomKills int
	detail   string // why the program was not executed
	over     *facts // what systemd said of the scope's end
}

// startScope starts a spec of kind Scope.
func (m *Manager) startScope(ctx context.Context, c *conn, t *tracked, spec Spec, props []sddbus.Property) error {
	plan, err := m.scopePlan(spec)
	if err != nil {
		m.drop(t)
		return err
	}
	child, err := forkHelper(spec)
	if err != nil {
		m.drop(t)
		return err
	}
	m.mu.Lock()
	t.scope = &scopeProcess{child: child}
	m.mu.Unlock()
	if err := m.submit(ctx, c, t, scopeProperties(spec, props, child.pid)); err != nil {
		child.abandon()
		m.mu.Lock()
		defer m.mu.Unlock()
		t.scope.reaped, t.scope.detail = true, err.Error() // if there is a scope, it ends with the helper
		m.concludeScope(t)
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx == nil {
		child.abandon()
		return ErrDisconnected
	}
	m.spawn(func(ctx context.Context) { m.runScope(ctx, c, t, plan) })
	return nil
}

// scopeProperties adds what makes a scope: its process, and, as it has no
// environment, its identity in the description.
func scopeProperties(spec Spec, props []sddbus.Property, pid int) []sddbus.Property {
	props = slices.DeleteFunc(slices.Clone(props), func(p sddbus.Property) bool { return p.Name == "Description" })
	description := fmt.Sprintf("%s (run %d, attempt %d)", spec.Description, spec.Run, spec.Attempt)
	return append(props,
		sddbus.Property{Name: "Description", Value: dbus.MakeVariant(description)},
		sddbus.Property{Name: "PIDs", Value: dbus.MakeVariant([]uint32{uint32(pid)})})
}

// runScope lets the helper execute the program once it is confined, and waits
// for its end.
func (m *Manager) runScope(ctx context.Context, c *conn, t *tracked, plan scopePlan) {
	child := t.scope.child
	problem := m.confined(t, child.pid)
	if problem == "" {
		problem = child.execute(ctx, plan)
	}
	if ctx.Err() != nil {
		child.leave()
		return
	}
	m.mu.Lock()
	if t.scope.detail = problem; problem == "" {
		m.begin(c, t, false)
	} else {
		_ = syscall.Kill(child.pid, syscall.SIGKILL) // it may be about to execute the program
	}
	m.mu.Unlock()
	child.release()
	status, usage, err := child.wait(ctx)
	if err != nil {
		return // Run ends; the program goes on
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// On control groups v1 only the kernel's counter tells an OOM kill, and
	// systemd may have removed the group a moment ago: then it looks like
	// death by SIGKILL.
	g, p := m.group(t.unit.Name), t.scope
	p.oomKills = g.oomKills()
	if u, err := g.usage(); err == nil {
		t.peak, t.cpu = max(t.peak, u.MemoryPeak), u.CPUTime
	}
	p.reaped, p.status = true, status
	p.cpu = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	if pids, err := g.pids(); err == nil && len(pids) > 0 && p.over == nil {
		m.stopLeftovers(c, t)
	}
	m.concludeScope(t)
}

// confined checks that the process is where its limits are, and that they
// hold. It returns what is wrong.
func (m *Manager) confined(t *tracked, pid int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	want := m.group(t.unit.Name)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "the process is gone: " + err.Error()
	}
	if got := m.cgroups.ownGroup(b); path.Clean(got) != want.path {
		return fmt.Sprintf("systemd did not move the process into the scope: it is in %s", got)
	}
	effective, err := want.limits(t.limits)
	if err != nil {
		return err.Error()
	}
	if written, _ := unmet(t.limits, effective, m.host); len(written) > 0 && !t.force {
		return refusal(written)
	}
	return ""
}

// applyScope takes a new state of a scope that this Manager started. The
// caller holds mu.
func (m *Manager) applyScope(t *tracked, s unitState) {
	if s.job != 0 && s.left > s.began && !t.scope.stopping {
		t.asked = true // a job that takes an active scope down is a stop
	}
	if s.over() {
		f := s.facts(t.service)
		t.scope.over = &f
		m.concludeScope(t)
	}
}

// scopeGone takes that a scope is gone without its end having been seen.
func (m *Manager) scopeGone(t *tracked) {
	if t.scope.over == nil {
		t.scope.over = &facts{ended: time.Now()}
		m.concludeScope(t)
	}
}

// stopLeftovers ends what the program left behind in its scope, unless
// somebody is stopping it. The caller holds mu.
func (m *Manager) stopLeftovers(c *conn, t *tracked) {
	name := t.unit.Name
	m.spawn(func(ctx context.Context) {
		job, _ := c.jobOf(ctx, unitPath(name))
		m.mu.Lock()
		if job == "stop" || job == "restart" {
			t.asked = true
		} else {
			t.scope.stopping = true
		}
		ours := t.scope.stopping
		m.mu.Unlock()
		if !ours {
			return
		}
		err := c.manager(ctx, "StopUnit", []any{name, "replace"})
		if err != nil && !isNoUnit(err) && ctx.Err() == nil {
			m.log.Warn("scope with leftover processes cannot be stopped", "unit", name, "err", err)
		}
	})
}

// concludeScope sends Ended when both are over: the program, and the scope
// with all that it left behind. The caller holds mu.
func (m *Manager) concludeScope(t *tracked) {
	p := t.scope
	if !p.reaped || p.over == nil || t.ended {
		return
	}
	f := *p.over
	f.started, f.wasActive = t.unit.Since, true
	switch {
	case p.detail != "":
		t.refusal = p.detail
	case p.status.Exited():
		f.code, f.status = cldExited, p.status.ExitStatus()
	case p.status.CoreDump():
		f.code, f.status = cldDumped, int(p.status.Signal())
	default:
		f.code, f.status = cldKilled, int(p.status.Signal())
	}
	m.conclude(t, &f, &record{OOMKills: p.oomKills, CPUTime: max(t.cpu, p.cpu)})
}

// killScopeMain sends a signal to the program of a scope, of which systemd knows no main
// process; handled is false if it is no scope.
func (m *Manager) killScopeMain(unit string, sig syscall.Signal) (handled bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.units[unitPath(unit)]
	switch {
	case t == nil || t.unit.Kind != Scope:
		return false, nil
	case t.scope == nil: // another brainjar started it, or it was adopted
		return true, m.group(unit).killOldest(sig)
	case t.scope.reaped: // before that, the PID cannot be another process's
		return true, ErrNoUnit
	}
	err = syscall.Kill(t.scope.child.pid, sig)
	if errors.Is(err, syscall.ESRCH) {
		err = ErrNoUnit
	}
	return true, err
}

// adopt makes a scope around a process that runs already.
func (m *Manager) adopt(ctx context.Context, c *conn, t *tracked, spec Spec, props []sddbus.Property) error {
	if err := spec.Process.runs(); err != nil {
		m.drop(t)
		return err
	}
	return m.submit(ctx, c, t, scopeProperties(spec, props, spec.Process.PID))
}

// scopeIdentity reads back what scopeProperties wrote.
func scopeIdentity(name, description string) (experiment string, run, attempt int) {
	experiment = name[len(Prefix) : len(name)-len("."+string(Scope))]
	for at := len(description) - 1; at >= 0; at-- {
		if description[at] == '(' {
			if n, _ := fmt.Sscanf(description[at:], "(run %d, attempt %d)", &run, &attempt); n == 2 {
				return experiment, run, attempt
			}
			break
		}
	}
	return experiment, 0, 0
}

// scopePlan is what the helper is told to do, as JSON.
type scopePlan struct {
	Command     []string
	Environment []string
	Directory   string
	Connected   bool   // its output goes where it is to go already, not to the journal
	Identifier  string // in the journal
	Unit        string
	OpenFiles   uint64
	// OpenFilesImplied: nobody wrote OpenFiles, fewer will do.
	OpenFilesImplied bool
	Switch           bool // to the user below
	UID, GID         int
	Groups           []int
}

func (p scopePlan) encode() ([]byte, error) {
	b, err := json.Marshal(p)
	return append(b, '\n'), err
}
