//go:build lab

package faults

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"brainjar/internal/config"
	"brainjar/internal/ledger"
	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient"
)

// The environment of a brainjar that kills itself: where, and at which time of
// passing there, as "place:3".
const dieVariable = "FAULTS_DIE"

// The places where a brainjar can die, between two things that belong together.
const (
	afterStart   = "after-start"   // systemd has the unit, the ledger does not know
	beforeEnd    = "before-end"    // systemd has said how a run ended, the ledger has not
	beforeForget = "before-forget" // the ledger has it, systemd and the record too
	beforeStart  = "before-start"  // the ledger knows that a run begins, systemd does not
)

// TestMain is also the recorder, the brainjar that kills itself, and what
// lab/power.test runs.
func TestMain(m *testing.M) {
	if code, handled := transient.Hidden(os.Args[1:]); handled {
		os.Exit(code)
	}
	if die := os.Getenv(dieVariable); die != "" {
		if err := mortal(os.Args[1], os.Args[2], os.Args[3], die); err != nil {
			fmt.Fprintln(os.Stderr, "brainjar:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 2 && (os.Args[1] == "give-orders" || os.Args[1] == "verify-orders") {
		var err error
		if os.Args[1] == "give-orders" {
			err = giveOrders(os.Args[2])
		} else {
			err = verifyOrders(os.Args[2], os.Args[3])
		}
		if err != nil {
			fmt.Println("FAILED:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// mortal is `brainjar run --state STATE --sysroot SYSROOT CONFIG`, put together from the same parts,
// but for the place where it kills itself.
func mortal(state, sysroot, path, die string) error {
	place, count, _ := strings.Cut(die, ":")
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	d := &death{place: place, left: n}
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	manager := transient.New(transient.Options{RecordDir: recordDir, Recorder: []string{program, "record"}, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	book := ledger.Open(ctx, filepath.Join(state, "brainjar.db"), ledger.Options{Log: log})
	past, err := book.Restore(ctx)
	if err != nil {
		return err
	}
	sampler := &sensors.Sampler{FS: sensors.FS(sysroot), Interval: cfg.Thermal.Interval, Log: log}
	readings := make(chan sensors.Reading)
	s := supervisor.New(supervisor.Supervisor{
		Config: cfg, Units: mortalUnits{manager, d}, House: manager, Groups: manager, Freezer: manager, Events: manager.Events(), Readings: readings,
		MemTotal: 64 << 30, Log: log, Ledger: mortalLedger{book, d}, Past: past, Boot: sensors.BootID(),
	})
	var background sync.WaitGroup
	defer background.Wait()
	defer cancel()
	background.Go(func() { book.Run(ctx) })
	background.Go(func() { _ = manager.Run(ctx) })
	background.Go(func() {
		_ = sampler.Run(ctx, func(r sensors.Reading) {
			select {
			case readings <- r:
			case <-ctx.Done():
			}
		})
	})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() { <-signals; s.Drain() }()
	return s.Run(ctx)
}

// recordDir is where `brainjar run` has the records of ended runs.
const recordDir = "/run/brainjar/ended"

// death is when a brainjar dies.
type death struct {
	place string
	mu    sync.Mutex
	left  int
}

// pass dies, if this is the place and the time.
func (d *death) pass(place string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if place != d.place {
		return
	}
	if d.left--; d.left == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

type mortalUnits struct {
	*transient.Manager
	death *death
}

func (m mortalUnits) Start(ctx context.Context, spec transient.Spec) error {
	m.death.pass(beforeStart)
	err := m.Manager.Start(ctx, spec)
	m.death.pass(afterStart)
	return err
}

func (m mortalUnits) Forget(ctx context.Context, u transient.Unit) error {
	m.death.pass(beforeForget)
	return m.Manager.Forget(ctx, u)
}

type mortalLedger struct {
	*ledger.Ledger
	death *death
}

func (m mortalLedger) Put(w ledger.Write, done func(error)) {
	if w.Run != nil && !w.Run.EndedAt.IsZero() {
		m.death.pass(beforeEnd)
	}
	m.Ledger.Put(w, done)
}
