package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"brainjar/internal/config"
	"brainjar/internal/control"
	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
	"brainjar/internal/runlog"
	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient"
)

func newRun(stderr io.Writer) *cobra.Command {
	var b brainjar
	var verbose bool
	cmd := &cobra.Command{
		Use:   "run CONFIG",
		Short: "Run the experiments of a configuration, in the foreground",
		Long: `Run the experiments of a configuration, in the foreground.

Each experiment becomes a transient systemd unit in brainjar.slice. SIGTERM or
SIGINT ends all of them gracefully and then brainjar; a second one kills them.
SIGUSR2 ends only brainjar: experiments run on, and the next brainjar finds
them. SIGHUP reads the configuration again, as brainjar reload does. Exit
codes: 0 everything ended as it should, 1 failed, 3 no systemd to talk to, 78
the configuration has errors.`,
		Args: wants("CONFIG"),
		RunE: func(_ *cobra.Command, args []string) error {
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			log, flush := newLog(stderr, level)
			defer flush()
			b.log = log
			b.stderr = stderr
			return b.run(args[0])
		},
	}
	cmd.Flags().BoolVar(&b.user, "user", false, "use your own service manager instead of the system's")
	stateFlag(cmd, &b.state)
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log more")
	cmd.Flags().StringVar(&b.sysroot, "sysroot", "", "directory that holds the sys and proc of the sensors")
	_ = cmd.Flags().MarkHidden("sysroot")
	return cmd
}

// brainjar is `brainjar run`: the wiring of everything.
type brainjar struct {
	user    bool
	state   string // directory
	sysroot string
	log     *slog.Logger
	stderr  io.Writer
	logs    *runlog.Logs   // of experiments with log = "file"
	signals chan os.Signal // from the first moment on: a stop that comes early is no kill
	feels   machine
	changes atomic.Int64 // of phases, so far
}

// socketName is the name of the control socket in the runtime directory.
const socketName = "control.sock"

func (b *brainjar) run(path string) error {
	b.signals = make(chan os.Signal, 4)
	signal.Ignore(syscall.SIGPIPE) // a reader of the log that goes away is not a reason to die
	signal.Notify(b.signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(b.signals)
	fs := sensors.FS(b.sysroot)
	cfg, memTotal, err := load(path, unified(fs))
	if err != nil {
		return err
	}
	runtimeDir, err := b.runtimeDir()
	if err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(runtimeDir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	state, err := stateDir(b.state, b.user)
	if err != nil {
		return err
	}
	host, err := b.probe()
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find brainjar's own binary, which records how runs end: %w", err)
	}
	manager := transient.New(transient.Options{
		User:      b.user,
		RecordDir: filepath.Join(runtimeDir, "ended"),
		Recorder:  []string{program, "record"},
		Log:       b.log,
	})
	book, past := b.remember(state, openLimit)
	b.logs = runlog.New(filepath.Join(state, logsName), b.log)
	sampler := &sensors.Sampler{FS: fs, Interval: cfg.Thermal.Interval, Disk: "/", Log: b.log}
	readings := make(chan sensors.Reading)
	hub := control.NewHub(past.LastEvent)
	settings := supervisor.Supervisor{
		Config: cfg, Units: manager, House: manager, Groups: manager, Freezer: manager, Prober: manager, Events: manager.Events(), Readings: readings,
		MemTotal: memTotal, Log: b.log, UserManager: b.user,
		Ledger: book, Past: past, Logs: b.logs, Boot: sensors.BootID(), Board: boardOf(fs, state, b.log),
		Notify: notifier(), Watchdog: watchdogInterval(), Noted: hub.Note,
		Observe: func(c supervisor.Change) { b.changes.Add(1); hub.Change(c) },
	}
	b.heatFiles(&settings, runtimeDir)
	b.feels.fs, b.feels.caps = sensors.FS(b.sysroot), filepath.Join(runtimeDir, clocksName)
	s := supervisor.New(settings)
	listener, err := control.Listen(filepath.Join(runtimeDir, socketName), !b.user)
	if err != nil {
		return err
	}
	defer listener.Close()
	if !b.user && listener.Group < 0 {
		b.log.Info("only root can use the control socket, there is no such group", "group", control.GroupName)
	}
	server := &control.Server{
		Supervisor: s, Hub: hub, Listener: listener, History: control.Ledger{Path: filepath.Join(state, ledgerName)},
		Logs:    control.Output{Files: b.logs, Ledger: filepath.Join(state, ledgerName), User: b.user},
		Sensors: b.feels.get, Version: Version, Log: b.log,
	}
	debug.SetGCPercent(gcPercent)
	runtime.GOMAXPROCS(processors)
	b.log.Info("brainjar runs", "version", Version, "config", path, "experiments", len(cfg.Experiments),
		"at_once", cfg.Supervisor.MaxConcurrent, "memory_budget", cfg.Budget(memTotal), "host", host)
	return b.supervise(s, server, manager, sampler, readings, book)
}

// openLimit is how long brainjar waits for a ledger that is slow to read before it begins
// without: what is there is then not known. For a disk that does not answer at all it
// waits, for without its past it would start things twice; and it says so.
const openLimit = 10 * time.Second

// remember opens the ledger and reads what brainjar must know of its earlier life.
func (b *brainjar) remember(dir string, limit time.Duration) (*ledger.Ledger, ledger.Past) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	slow := time.AfterFunc(limit, func() {
		b.log.Error("brainjar waits for the disk of its ledger, which does not answer: it cannot know yet what ran before", "state", dir)
	})
	defer slow.Stop()
	book := ledger.Open(ctx, filepath.Join(dir, ledgerName), ledger.Options{Log: b.log})
	past, err := book.Restore(ctx)
	if err != nil {
		b.log.Error("ledger cannot be read, what ran before is not known", "err", err)
	}
	return book, past
}

// probe makes sure that there is a service manager before anything begins.
func (b *brainjar) probe() (transient.Host, error) {
	ctx, cancel := context.WithTimeout(context.Background(), probeLimit)
	defer cancel()
	host, err := transient.Probe(ctx, b.user)
	if err != nil {
		return host, &failure{err, ExitUnreachable, "brainjar runs experiments as units of systemd, which must be running here"}
	}
	return host, nil
}

// supervise runs everything until the supervisor has ended, then ends the rest.
func (b *brainjar) supervise(s *supervisor.Supervisor, server *control.Server, manager *transient.Manager, sampler *sensors.Sampler, readings chan sensors.Reading, book *ledger.Ledger) error {
	ctx, cancel := context.WithCancel(context.Background())
	var background sync.WaitGroup
	defer background.Wait()
	defer cancel()
	background.Go(func() { book.Run(ctx) })
	background.Go(func() { b.logs.Run(ctx, s.LogTerms) })
	gone := make(chan error, 1)
	background.Go(func() {
		if err := manager.Run(ctx); err != nil && ctx.Err() == nil {
			gone <- &failure{err, ExitUnreachable, "experiments that ran run on"}
			s.Leave()
		}
	})
	background.Go(func() {
		_ = sampler.Run(ctx, func(r sensors.Reading) {
			b.feels.keep(r)
			select {
			case readings <- r:
			case <-ctx.Done():
			}
		})
	})
	background.Go(func() { b.shed(ctx) })
	background.Go(func() { b.obey(ctx, s) })
	background.Go(func() {
		if err := server.Run(ctx); err != nil {
			b.log.Error("brainjar cannot be asked any more, it goes on", "err", err)
		}
	})
	err := s.Run(ctx)
	select {
	case lost := <-gone:
		return lost
	default:
		return err
	}
}

// oneRequest is the time within which the same signal twice is one request:
// timeout(1) signals the process, and then its group.
const oneRequest = 200 * time.Millisecond

// reload reads the configuration again, and says what is wrong with it.
func (b *brainjar) reload(ctx context.Context, s *supervisor.Supervisor) {
	ctx, cancel := context.WithTimeout(ctx, reloadLimit)
	defer cancel()
	plan, err := s.Reload(ctx, false)
	if err != nil {
		b.log.Error("configuration is not reloaded, the old one holds", "err", err)
		return
	}
	for _, w := range plan.Warnings {
		b.log.Warn("reload", "reason", w)
	}
}

// reloadLimit is how long a reload may take.
const reloadLimit = time.Minute

// obey turns signals into orders.
func (b *brainjar) obey(ctx context.Context, s *supervisor.Supervisor) {
	var background sync.WaitGroup
	defer background.Wait()
	var last os.Signal
	var at time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-b.signals:
			if sig == last && time.Since(at) < oneRequest {
				continue
			}
			last, at = sig, time.Now()
			switch sig {
			case syscall.SIGUSR2:
				b.log.Info("leaving, experiments run on")
				s.Leave()
			case syscall.SIGHUP:
				background.Go(func() { b.reload(ctx, s) })
			default:
				s.Drain()
			}
		}
	}
}

// load reads the configuration and refuses what could never run on a machine
// with this one's memory, which it returns too.
func load(path string, unified bool) (cfg *config.Config, memTotal quantity.Bytes, err error) {
	memTotal, err = sensors.MemTotal()
	if err != nil {
		return nil, 0, fmt.Errorf("cannot find out how much memory this machine has: %w", err)
	}
	cfg, err = config.Load(path)
	if err != nil {
		var problems config.Errors
		if errors.As(err, &problems) {
			return nil, 0, problems
		}
		hint := ""
		if errors.Is(err, fs.ErrPermission) {
			hint = "run it with sudo: who may read the configuration is up to its owner"
		}
		return nil, 0, &failure{err, ExitConfig, hint}
	}
	if problems := cfg.Fit(memTotal, unified); len(problems) > 0 {
		return nil, 0, problems
	}
	return cfg, memTotal, nil
}

// runtimeDir makes and returns the directory for what must not outlive a boot.
func (b *brainjar) runtimeDir() (string, error) {
	dir := "/run/brainjar"
	switch {
	case b.user:
		base := os.Getenv("XDG_RUNTIME_DIR")
		if base == "" {
			return "", &failure{errors.New("cannot find your service manager: XDG_RUNTIME_DIR is not set"), ExitUnreachable,
				"log in through systemd-logind, or run as root without --user"}
		}
		dir = filepath.Join(base, "brainjar")
	case os.Geteuid() != 0:
		return "", &failure{errors.New("cannot use the system's service manager without being root"), ExitFailed,
			"run as root, or use your own service manager with --user"}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as systemd makes a RuntimeDirectory
		return "", fmt.Errorf("cannot make the runtime directory: %w", err)
	}
	return dir, nil
}

// lock keeps a second brainjar from managing the same units. The kernel gives
// the lock back however this process ends.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, &failure{fmt.Errorf("cannot run twice: another brainjar holds %s", path), ExitFailed,
			"stop that one first, or look at what it does"}
	}
	return func() { _ = f.Close() }, nil
}

// watchdogInterval is how often systemd wants to hear from brainjar, with room
// to spare; 0 if it does not.
func watchdogInterval() time.Duration { return watchdogEvery() / 3 }
