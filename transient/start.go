package transient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	sddbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// order is a Start that waits to learn whether there is a unit. It is guarded
// by Manager.mu.
type order struct {
	done    chan struct{} // closed once it is settled
	settled bool
	err     error
	lost    error // why its call has no answer
	job     dbus.ObjectPath
	results map[dbus.ObjectPath]string // of the jobs on the unit that ended meanwhile
}

func newOrder() *order {
	return &order{done: make(chan struct{}), results: make(map[dbus.ObjectPath]string)}
}

// settle answers the Start; the first answer counts.
func (o *order) settle(err error) {
	if !o.settled {
		o.settled, o.err, o.results = true, err, nil
		close(o.done)
	}
}

// Start creates the unit of a spec. When it returns nil, the unit exists, and
// Started or Ended or both come on the stream, or have come already. When it
// returns an error, there is no unit and no event will come; only after
// ErrUncertain that is not known, and shows in the events that follow the next
// connection. ErrExists: a unit of that name is running, which somebody else has
// started; its events come.
//
// After a lost connection Start waits for the next one, to find out, but it
// never takes longer than startCalls calls may: then it is ErrUncertain too.
func (m *Manager) Start(ctx context.Context, spec Spec) error {
	ctx, cancel := m.startLimit(ctx)
	defer cancel()
	if err := m.start(ctx, spec); err != nil {
		return fmt.Errorf("cannot start %s: %w", spec.Unit(), err)
	}
	return nil
}

// startCalls is how long a start may take, in time limits of a call.
const startCalls = 4

// startLimit bounds a start. A call that is under way then has no answer, and
// its connection is closed, as after its own limit: the next one shows what
// became of it.
func (m *Manager) startLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, startCalls*m.options.CallTimeout, errNoAnswer)
}

func (m *Manager) start(ctx context.Context, spec Spec) error {
	c, err := m.connection()
	if err != nil {
		return err
	}
	host, err := m.Host(ctx)
	if err != nil {
		return err
	}
	var command []string
	err = m.inspect(ctx, spec.Unit(), func() (err error) {
		if err = m.prepareRecords(); err != nil {
			return fmt.Errorf("%w: %w", ErrNotNow, err)
		}
		if err = errors.Join(CheckNamed(spec), prepareLog(spec.LogFile)); err == nil {
			command, err = resolveCommand(spec)
		}
		return err
	})
	if err != nil {
		return err
	}
	spec.Command = command
	if err := m.ensureSlice(ctx); err != nil {
		return err
	}
	props, warnings, err := properties(spec, host, m.recorder(spec))
	if err != nil {
		return err
	}
	t, err := m.expect(c, spec, warnings)
	if err != nil {
		return err
	}
	switch {
	case spec.Process != nil:
		return m.adopt(ctx, c, t, spec, props)
	case spec.Kind == Scope:
		return m.startScope(ctx, c, t, spec, props)
	case spec.Streams != nil:
		return m.submitStreams(ctx, c, t, spec, props)
	}
	return m.submit(ctx, c, t, props)
}

// inspect looks at what a unit's spec names in file systems, for no longer than a call
// may take. One that hangs keeps look for ever; it is left behind then, and as there
// is one at a time for each unit, these do not pile up.
func (m *Manager) inspect(ctx context.Context, unit string, look func() error) error {
	ctx, cancel := context.WithTimeout(ctx, m.options.CallTimeout)
	defer cancel()
	hangs := func() error {
		return fmt.Errorf("its paths could not be looked at: %w: %w", ErrUncertain, ctx.Err())
	}
	mine := make(chan struct{})
	for {
		m.mu.Lock()
		other := m.inspecting[unit]
		if other == nil {
			m.inspecting[unit] = mine
		}
		m.mu.Unlock()
		if other == nil {
			break
		}
		select {
		case <-other:
		case <-ctx.Done():
			return hangs()
		}
	}
	var err error
	go func() {
		err = look()
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.inspecting, unit)
		close(mine)
	}()
	select {
	case <-mine:
		return err
	case <-ctx.Done():
		return hangs()
	}
}

// recorder returns the command that records the end of a spec's run.
func (m *Manager) recorder(spec Spec) []string {
	if len(m.options.Recorder) == 0 {
		return nil
	}
	scope := "system"
	if m.options.User {
		scope = "user"
	}
	command := append(slices.Clone(m.options.Recorder), m.options.RecordDir, scope,
		spec.Experiment, strconv.Itoa(spec.Run), strconv.Itoa(spec.Attempt))
	if len(spec.EnvironmentFiles) > 0 {
		command = append(command, distrustEnvironment)
	}
	return command
}

// expect tracks a unit that is about to be created over a connection. If that
// one is lost from here on, the next one settles what became of the unit.
func (m *Manager) expect(c *conn, spec Spec, warnings []string) (*tracked, error) {
	path := unitPath(spec.Unit())
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != c {
		return nil, fmt.Errorf("the connection was lost before systemd was asked: %w", ErrUncertain)
	}
	if t := m.units[path]; t != nil && !t.ended {
		return nil, ErrExists
	}
	t := &tracked{
		unit: Unit{
			Name: spec.Unit(), Experiment: spec.Experiment,
			Run: spec.Run, Attempt: spec.Attempt, Kind: spec.Kind,
		},
		times:      &timeLimits{start: spec.ReadyTimeout, runtime: spec.RuntimeMax},
		stopSignal: spec.StopSignal, stopTimeout: spec.StopTimeout,
		limits: spec.Limits, force: spec.AllowUnenforced, notes: warnings,
		program: spec.Command[0], since: monotonic(), order: newOrder(),
	}
	m.units[path] = t
	return t, nil
}

// drop stops tracking a unit that was never created. One that somebody else started
// meanwhile, and that was taken for it, stays: its end is still to come.
func (m *Manager) drop(t *tracked) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if path := unitPath(t.unit.Name); m.units[path] == t && t.unit.Invocation == "" {
		delete(m.units, path)
	}
}

// submit asks systemd for the unit and waits until it is known to exist.
func (m *Manager) submit(ctx context.Context, c *conn, t *tracked, props []sddbus.Property) error {
	return m.submitOver(ctx, c, c, t, props)
}

// submitOver asks over another connection than the one on which the events come.
func (m *Manager) submitOver(ctx context.Context, c, over *conn, t *tracked, props []sddbus.Property) error {
	job, err := m.create(ctx, over, t.unit.Name, props)
	m.mu.Lock()
	switch {
	case errors.Is(err, ErrUncertain):
		if over != c {
			c.close() // the next one shows what became of the unit
		}
		t.order.lost = err
	case err != nil:
		m.mu.Unlock()
		m.drop(t)
		if errors.Is(err, ErrExists) {
			m.meet(ctx, c, t.unit.Name)
		}
		if notNow(err) {
			err = fmt.Errorf("%w: %w", ErrNotNow, err)
		}
		return err
	default:
		t.order.job = dbus.ObjectPath(strings.Clone(string(job)))
		m.decide(t)
	}
	m.mu.Unlock()
	err = m.wait(ctx, t.order)
	switch {
	case !errors.Is(err, errNoInvocation):
		return err
	case m.lives(ctx, c, t.unit.Name):
		return fmt.Errorf("%w: %w", ErrUncertain, err)
	case !errors.Is(err, errCanceled):
		return err
	case c.shutsDown(ctx):
		return fmt.Errorf("%w: %w", ErrNotNow, err)
	}
	return ErrStopped
}

// meet makes the acquaintance of a unit that somebody else started: its signals may
// have come while a Start had its place, and were taken for those of an earlier run.
func (m *Manager) meet(ctx context.Context, c *conn, name string) {
	if err := m.examine(ctx, c, unitPath(name)); err != nil && ctx.Err() == nil {
		m.log.Warn("unit cannot be read", "unit", name, "err", err) // a new connection will show it
	}
}

// errNoInvocation: the job that was to start a unit is over, and no invocation was
// seen.
var errNoInvocation = errors.New("systemd's job is over, and the unit was not started")

// errCanceled: another job took the place of the one that was to start a unit.
var errCanceled = fmt.Errorf("%w: canceled", errNoInvocation)

// shutsDown reports whether systemd is stopping everything, or may be.
func (c *conn) shutsDown(ctx context.Context) bool {
	var state string
	err := c.get(ctx, managerPath, managerIface, "SystemState", &state)
	return err != nil || state == "stopping"
}

// lives reports whether a unit is there, or may be: around a daemon-reload the news
// of a job can come before those of its unit.
func (m *Manager) lives(ctx context.Context, c *conn, name string) bool {
	units, err := c.list(ctx, name)
	return err != nil || len(units) > 0 && units[0].lives()
}

// wait waits until an order is settled.
func (m *Manager) wait(ctx context.Context, o *order) error {
	select {
	case <-o.done:
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !o.settled {
		return fmt.Errorf("%w: %w", ErrUncertain, ctx.Err())
	}
	return o.err
}

// create calls StartTransientUnit. A unit of that name that is left over from
// the run before is cleared away: systemd needs a moment for that.
func (m *Manager) create(ctx context.Context, c *conn, name string, props []sddbus.Property) (job dbus.ObjectPath, err error) {
	const tries = 9
	delay := 5 * time.Millisecond
	for try := 1; ; try++ {
		args := []any{name, "fail", props, []sddbus.PropertyCollection{}}
		err = c.manager(ctx, "StartTransientUnit", args, &job)
		if busErrorName(err) != "org.freedesktop.systemd1.UnitExists" || try == tries {
			return job, err
		}
		if err := m.clearLeftover(ctx, c, name); err != nil {
			return "", err
		}
		select {
		case <-time.After(delay):
			delay *= 2
		case <-ctx.Done():
			return "", fmt.Errorf("%w: what is left of the run before does not go: %w", ErrExists, ctx.Err())
		}
	}
}

// clearLeftover resets a failed unit; an inactive one systemd clears away by
// itself, and one that runs is an error.
func (m *Manager) clearLeftover(ctx context.Context, c *conn, name string) error {
	var state string
	if err := c.get(ctx, unitPath(name), unitIface, "ActiveState", &state); err != nil {
		return err
	}
	switch state {
	case "failed":
		err := c.manager(ctx, "ResetFailedUnit", []any{name})
		if err != nil && !isNoUnit(err) {
			return err
		}
	case "inactive":
	default:
		return fmt.Errorf("%w: it is %s", ErrExists, state)
	}
	return nil
}

// jobRemoved takes the end of a job. It says whether a unit was created, not
// how its program ended.
func (m *Manager) jobRemoved(path, job dbus.ObjectPath, result string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.units[path]
	if t == nil || t.order == nil || t.order.settled {
		return
	}
	t.order.results[dbus.ObjectPath(strings.Clone(string(job)))] = strings.Clone(result)
	m.decide(t)
}

// decide settles an order whose job is over without an invocation: systemd
// reports an invocation before the end of its job. The caller holds mu.
func (m *Manager) decide(t *tracked) {
	o := t.order
	result, over := o.results[o.job]
	if !over || o.settled || t.unit.Invocation != "" {
		return
	}
	err := fmt.Errorf("%w: %s", errNoInvocation, result)
	if result == "canceled" {
		err = errCanceled
	}
	o.settle(err)
	if path := unitPath(t.unit.Name); m.units[path] == t {
		delete(m.units, path)
	}
}

// notNow reports whether an answer to StartTransientUnit is about the machine
// and not about the unit. NoSuchUnit is what comes when the unit's file could
// not be written.
func notNow(err error) bool {
	switch busErrorName(err) {
	case "org.freedesktop.systemd1.TransactionIsDestructive", "org.freedesktop.systemd1.ShuttingDown", "org.freedesktop.systemd1.NoSuchUnit":
		return true
	}
	return false
}

// isNoUnit reports whether systemd says that there is no such unit.
func isNoUnit(err error) bool {
	return busErrorName(err) == "org.freedesktop.systemd1.NoSuchUnit"
}
