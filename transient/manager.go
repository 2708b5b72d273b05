package transient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// Options say which service manager a Manager works with, and how.
type Options struct {
	User bool // the user's service manager instead of the system's

	// RecordDir holds one record file for each ended invocation until it is
	// forgotten. It belongs to the Manager's user alone, and is made if missing.
	RecordDir string
	// Recorder is the command of the hidden record mode, such as
	// {"/usr/bin/brainjar", "record"}; the Manager adds its arguments.
	Recorder []string

	Log *slog.Logger

	// Address is the D-Bus address of the service manager, of the form
	// unix:path=SOCKET; "" is its private socket, where no message bus is
	// between.
	Address string
	// CallTimeout is for how long systemd may be silent while a call waits; 0 is
	// 25 s, as D-Bus itself has it. Then the connection counts as lost. While
	// systemd is heard, a call may take three times as long.
	CallTimeout time.Duration
}

// How a connection is kept.
const (
	defaultCallTimeout = 25 * time.Second
	pingInterval       = 20 * time.Second // a connection that is silent is asked whether it lives
	minRedial          = 100 * time.Millisecond
	maxRedial          = 5 * time.Second
)

// Manager turns Specs into transient units, and what happens to units into
// Events. All its methods may be called from several goroutines, while Run
// runs.
type Manager struct {
	options Options
	log     *slog.Logger
	stream  *stream
	ping    time.Duration
	cgroups cgroups
	journal func(ctx context.Context, invocation string, user bool) (string, error)

	background sync.WaitGroup // what Run waits for

	mu     sync.Mutex // guards what follows
	ctx    context.Context
	conn   *conn         // nil while there is none, or before it is reconciled
	synced chan struct{} // closed at the next Synced
	host   Host
	root   string // the manager's own control group
	slice  *Limits
	state  sliceState
	units  map[dbus.ObjectPath]*tracked
	told   map[string]bool // invocations whose end was sent, and not forgotten

	unforgotten map[string]Unit          // by invocation: Forget has yet to succeed
	inspecting  map[string]chan struct{} // by unit: closed when its paths were looked at
	checking    map[string]bool          // by unit: the program of a check runs
}

// New returns a Manager. It does nothing before Run.
func New(o Options) *Manager {
	if o.Address == "" {
		o.Address = privateAddress(o.User)
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = defaultCallTimeout
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Manager{
		options: o,
		log:     log,
		stream:  newStream(),
		ping:    pingInterval,
		journal: spawnFailure,
		synced:  make(chan struct{}),
		units:   make(map[dbus.ObjectPath]*tracked),
		told:    make(map[string]bool),

		unforgotten: make(map[string]Unit),
		inspecting:  make(map[string]chan struct{}),
		checking:    make(map[string]bool),
	}
}

// Events returns the one ordered stream of events. It is never closed.
func (m *Manager) Events() <-chan Event { return m.stream.out }

// Run keeps the connection to the service manager and delivers events until
// ctx ends. Units go on when it returns; nothing else does.
func (m *Manager) Run(ctx context.Context) error {
	groups, err := readCgroups()
	if err != nil {
		return err
	}
	if err := m.prepareRecords(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	m.mu.Lock()
	m.cgroups, m.ctx = groups, ctx
	m.mu.Unlock()
	m.background.Go(func() { m.stream.run(ctx) })
	defer m.background.Wait()
	defer func() {
		cancel()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.ctx = nil
	}()

	redial, lost := minRedial, false
	for ctx.Err() == nil {
		c, err := dial(ctx, m.options.Address, m.options.CallTimeout, askVersion)
		if err == nil {
			var synced bool
			if synced, err = m.serve(ctx, c, &lost); synced {
				redial = minRedial
			}
		}
		if ctx.Err() != nil {
			break
		}
		if !lost {
			lost = true
			m.log.Warn("no connection to systemd", "err", err)
			m.stream.put(Disconnected{Err: err})
		}
		select {
		case <-time.After(redial):
			redial = min(2*redial, maxRedial)
		case <-ctx.Done():
		}
	}
	return nil
}

// prepareRecords makes the directory of the records, also when somebody has removed it.
func (m *Manager) prepareRecords() error {
	dir := m.options.RecordDir
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("cannot keep records in %q: not an absolute path", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the directory of the records: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory wants its x bit
		return fmt.Errorf("cannot protect the directory of the records: %w", err)
	}
	return nil
}

// serve works with one connection until it is lost, and says whether it came to be of use.
func (m *Manager) serve(ctx context.Context, c *conn, lost *bool) (synced bool, err error) {
	stop := context.AfterFunc(ctx, c.close)
	defer stop()
	defer c.close()
	if err := m.prepareRecords(); err != nil {
		return false, err
	}
	if err := m.detect(ctx, c); err != nil {
		return false, err
	}
	if err := m.reconcile(ctx, c, true); err != nil {
		return false, err
	}
	m.mu.Lock()
	m.conn = c
	m.forgetAgain(c)
	m.stream.put(Synced{})
	close(m.synced)
	m.synced = make(chan struct{})
	m.mu.Unlock()
	if *lost {
		*lost = false
		m.log.Info("connected to systemd again", "version", c.version)
	}
	defer func() {
		m.mu.Lock()
		m.conn = nil
		m.mu.Unlock()
	}()
	return true, m.watch(ctx, c)
}

// connection returns the connection to use for a call.
func (m *Manager) connection() (*conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn == nil {
		return nil, ErrDisconnected
	}
	return m.conn, nil
}

// spawn does something beside the watching of signals. It ends with Run. The
// caller holds mu.
func (m *Manager) spawn(do func(ctx context.Context)) {
	if ctx := m.ctx; ctx != nil {
		m.background.Go(func() { do(ctx) })
	}
}

// detect finds out what the service manager and the machine can do.
func (m *Manager) detect(ctx context.Context, c *conn) error {
	host, root, err := detectHost(ctx, c, m.options.User, m.cgroups)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.root, m.host = root, host
	return nil
}

// Host says what the service manager and the machine can do.
func (m *Manager) Host(ctx context.Context) (Host, error) {
	m.mu.Lock()
	synced, known := m.synced, m.host.Version > 0
	host := m.host
	m.mu.Unlock()
	if known {
		return host, nil
	}
	select {
	case <-synced:
		return m.Host(ctx)
	case <-ctx.Done():
		return Host{}, errors.Join(ErrDisconnected, ctx.Err())
	}
}
