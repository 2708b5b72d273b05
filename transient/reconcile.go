package transient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// listedUnit is one element of what ListUnitsByPatterns returns.
type listedUnit struct {
	Name, Description, Load, Active, Sub, Following string
	Path                                            dbus.ObjectPath
	JobID                                           uint32
	JobType                                         string
	JobPath                                         dbus.ObjectPath
}

// stub reports whether a unit does not exist, and is listed only because systemd
// was asked about it.
func (u listedUnit) stub() bool { return u.Active == "inactive" && u.JobID == 0 }

// lives reports whether a unit has processes, or is about to: a job that stops one that
// has none starts nothing.
func (u listedUnit) lives() bool {
	idle := u.Active == "inactive" || u.Active == "failed"
	return !idle || u.Active == "inactive" && u.JobID != 0 && u.JobType != "stop"
}

// reconcile compares what is tracked with what is there, after a connection
// was made and after systemd was reloaded: what runs and is not known is
// reported as found, what has ended meanwhile as ended. On a new connection,
// what became of the starts that were under way on the old one is settled.
func (m *Manager) reconcile(ctx context.Context, c *conn, isNew bool) error {
	if err := m.lookSlice(ctx, c); err != nil {
		return err
	}
	list, err := m.listAll(ctx, c, isNew)
	if err != nil {
		return fmt.Errorf("cannot list the units: %w", err)
	}
	there := make(map[dbus.ObjectPath]bool, len(list))
	jobs := make(map[dbus.ObjectPath]dbus.ObjectPath)
	var unknown []dbus.ObjectPath
	for _, u := range list {
		if u.stub() {
			continue
		}
		there[u.Path] = true
		if u.JobType == "start" {
			jobs[u.Path] = u.JobPath
		}
		if !m.unchanged(ctx, c, u) {
			unknown = append(unknown, u.Path)
		}
	}
	if err := m.examineAll(ctx, c, unknown); err != nil {
		return err
	}
	records, err := m.records()
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		m.recorded(r)
	}
	for path, t := range m.units {
		switch {
		case t.ended || t.doubted != nil:
		case t.unit.Invocation == "" && jobs[path] != "":
			t.order.job = dbus.ObjectPath(strings.Clone(string(jobs[path]))) // it has begun, and signals will tell
		case t.unit.Invocation == "" && isNew:
			t.order.settle(fmt.Errorf("the connection was lost before systemd started it: %w", errors.Join(ErrUncertain, t.order.lost)))
			delete(m.units, path)
		case t.unit.Invocation == "" || there[path]:
		case t.scope != nil:
			m.scopeGone(t)
		default:
			m.finish(t, nil)
		}
	}
	if !isNew {
		m.forgetAgain(c)
	}
	return nil
}

// listAll lists the units of experiments. On a new connection it waits for those that
// somebody else has ordered to start: systemd begins with them when no messages wait,
// and until then they have no invocation. One that cannot begin is not waited for
// longer than a call may take; signals will tell.
func (m *Manager) listAll(ctx context.Context, c *conn, isNew bool) ([]listedUnit, error) {
	limit := time.After(c.limit)
	for delay := 5 * time.Millisecond; ; delay = min(2*delay, 200*time.Millisecond) {
		list, err := c.list(ctx, Prefix+"*.service", Prefix+"*.scope")
		if err != nil || !isNew || !slices.ContainsFunc(list, m.aboutToStart) {
			return list, err
		}
		select {
		case <-time.After(delay):
		case <-limit:
			return list, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// aboutToStart reports whether a listed unit waits for its start, which is not one of
// this Manager's.
func (m *Manager) aboutToStart(u listedUnit) bool {
	if u.JobType != "start" || u.Active != "inactive" && u.Active != "failed" {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.units[u.Path]
	return t == nil || t.order == nil || t.order.settled
}

// unchanged reports whether a listed unit is running and known to: asking for
// one property is much cheaper than for all.
func (m *Manager) unchanged(ctx context.Context, c *conn, u listedUnit) bool {
	m.mu.Lock()
	t := m.units[u.Path]
	known := t != nil && t.started && !t.ended && u.Active == "active"
	m.mu.Unlock()
	if !known {
		return false
	}
	var id []byte
	err := c.get(ctx, u.Path, unitIface, "InvocationID", &id)
	m.mu.Lock()
	defer m.mu.Unlock()
	return err == nil && fmt.Sprintf("%x", id) == t.unit.Invocation
}

// examinedAtOnce is how many units are examined at once: systemd writes the next
// answers while the last are read here.
const examinedAtOnce = 4

// examineAll examines units, in any order.
func (m *Manager) examineAll(ctx context.Context, c *conn, paths []dbus.ObjectPath) error {
	next, errs := make(chan dbus.ObjectPath), make([]error, examinedAtOnce)
	var workers sync.WaitGroup
	for i := range errs {
		workers.Go(func() {
			for path := range next {
				if errs[i] == nil {
					errs[i] = m.examine(ctx, c, path)
				}
			}
		})
	}
	for _, path := range paths {
		next <- path
	}
	close(next)
	workers.Wait()
	return errors.Join(errs...)
}

// examine reads all there is to know of a unit, and takes it for an
// experiment's if it is a transient one in the slice.
func (m *Manager) examine(ctx context.Context, c *conn, path dbus.ObjectPath) error {
	err := m.examineUnit(ctx, c, path)
	if err != nil && isBusError(err) {
		m.log.Warn("unit cannot be read", "path", path, "err", err) // but systemd answers
		return nil
	}
	return err
}

func (m *Manager) examineUnit(ctx context.Context, c *conn, path dbus.ObjectPath) error {
	unit, err := c.getAll(ctx, path, unitIface)
	if err != nil {
		return fmt.Errorf("cannot read a unit: %w", err)
	}
	p := values(unit)
	name := text(p, "Id")
	kind, iface := Service, serviceIface
	if strings.HasSuffix(name, "."+string(Scope)) {
		kind, iface = Scope, scopeIface
	}
	state := readUnitState(p)
	if !property[bool](p, "Transient") || state.invocation == "" {
		return nil
	}
	service, err := c.getAll(ctx, path, iface)
	if err != nil {
		return fmt.Errorf("cannot read a unit: %w", err)
	}
	if state.over() {
		// If somebody has started it again between the two answers, they are not about
		// the same run.
		again, err := c.getAll(ctx, path, unitIface)
		if err != nil {
			return fmt.Errorf("cannot read a unit: %w", err)
		}
		if later := readUnitState(again); later.invocation != "" && later.began != state.began {
			return m.examineUnit(ctx, c, path)
		}
	}
	if property[string](service, "Slice") != Slice {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.units[path]
	if t == nil || t.order == nil && t.unit.Invocation != state.invocation {
		experiment, run, attempt := identity(property[[]string](service, "Environment"))
		if kind == Scope {
			experiment, run, attempt = scopeIdentity(name, text(p, "Description"))
		}
		if UnitName(experiment, kind) != name {
			m.log.Warn("unit is not one of brainjar's, although it is in its slice", "unit", name)
			return nil
		}
		if t == nil {
			t = &tracked{unit: Unit{Name: name, Kind: kind, Experiment: experiment}}
			m.units[unitPath(name)] = t
		}
		t.unit.Run, t.unit.Attempt = run, attempt
		t.times = readTimeLimits(service)
		t.stopSignal, t.stopTimeout = syscall.Signal(property[int32](service, "KillSignal")), timeLimit(service, "TimeoutStopUSec")
	}
	found := t.order == nil
	t.service = readServiceState(service)
	m.apply(c, t, state, found)
	return nil
}

// readTimeLimits reads the time limits of a unit that was found.
func readTimeLimits(p values) *timeLimits {
	return &timeLimits{start: timeLimit(p, "TimeoutStartUSec"), runtime: timeLimit(p, "RuntimeMaxUSec")}
}

func timeLimit(p values, name string) time.Duration {
	usec := property[uint64](p, name)
	if usec > math.MaxInt64/1000 { // "infinity"
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// forgetAgain does what Forget could not do: there was no connection, or it
// failed. The caller holds mu.
func (m *Manager) forgetAgain(c *conn) {
	if len(m.unforgotten) == 0 {
		return
	}
	units := slices.Collect(maps.Values(m.unforgotten))
	m.spawn(func(ctx context.Context) {
		for _, u := range units {
			if err := m.forget(ctx, c, u); err != nil && ctx.Err() == nil {
				m.log.Warn("end of a run cannot be forgotten", "unit", u.Name, "err", err)
			}
		}
	})
}

// records reads the record files, and clears away what a recorder left
// unfinished.
func (m *Manager) records() ([]*record, error) {
	entries, err := os.ReadDir(m.options.RecordDir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the records: %w", err)
	}
	var records []*record
	for _, entry := range entries {
		invocation, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok {
			if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > 2*recorderLimit {
				_ = os.Remove(filepath.Join(m.options.RecordDir, entry.Name()))
			}
			continue
		}
		r, err := readRecord(m.options.RecordDir, invocation)
		if err != nil {
			m.log.Warn("record of a run cannot be read", "invocation", invocation, "err", err)
			continue
		}
		records = append(records, r)
	}
	return records, nil
}
