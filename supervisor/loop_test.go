package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// onFake plays on a fake in simulated time.
func onFake(t *testing.T, do func(st stage, fake *transienttest.Fake)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		fake := transienttest.NewFake()
		do(stage{TB: t, dir: dir, program: "/usr/bin/program", open: func() systemd { return fake }}, fake)
	})
}

// A systemd that does not answer must not keep the loop from its other work.
func TestLoopGoesOnWhileSystemdHangs(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		h := st.begin(head + experiment("a", "", "sleep=1m", "exit=1") + experiment("b", "restart.delay = \"3s\"", "exit=1"))
		h.awaitPhase(supervisor.Running, time.Second, "a")
		fake.Hang(true)
		time.Sleep(4 * time.Second) // b's delay has passed, its start hangs
		begin := time.Now()
		if s := h.status("b"); s.Phase != supervisor.Starting {
			st.Errorf("b is %s", s.Phase)
		}
		if waited := time.Since(begin); waited != 0 {
			st.Errorf("an answer took %v", waited)
		}
		fake.Hang(false)
		h.awaitPhase(supervisor.Failed, 5*time.Minute, "b")
		h.drain()
	})
}

// A start that systemd refuses is a failed run like any other.
func TestRefusedStart(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		fake.FailStart("brainjar-a.service", errors.Join(errors.New("writable path /data is missing"), errors.New("so is /more")))
		h := st.begin(head + experiment("a", "restart.max_restarts = 2", "sleep=1m"))
		h.awaitPhase(supervisor.Failed, time.Minute, "a")
		ends := h.ends("a")
		if len(ends) != 3 || ends[0].Result != transient.StartFailed || !strings.Contains(h.status("a").Reason, "writable path /data is missing; so is /more") {
			st.Errorf("%+v, reason %q", ends, h.status("a").Reason)
		}
		h.drain()
	})
}

// Smaller experiments may pass a bigger one for ten minutes, no longer.
func TestPlaceIsKept(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		text := head + experiment("base", `memory_max = "600M"`, "sleep=30m") +
			experiment("big", "memory_max = \"800M\"", "sleep=1m")
		for i := range 30 {
			text += experiment(fmt.Sprintf("s%02d", i), fmt.Sprintf("memory_max = \"300M\"\npriority = %d", -i), "sleep=3m")
		}
		h := st.begin(text)
		h.awaitPhase(supervisor.Succeeded, time.Hour, "big")
		var began, big time.Time
		late := 0
		for _, c := range h.past("") {
			switch {
			case c.To != supervisor.Starting:
			case c.Experiment == "base":
				began = c.At
			case c.Experiment == "big":
				big = c.At
			case big.IsZero() && c.At.Sub(began) > 10*time.Minute:
				late++
			}
		}
		if late > 0 {
			st.Errorf("%d experiments passed the big one after ten minutes", late)
		}
		if wait := big.Sub(began); wait < 29*time.Minute || wait > 31*time.Minute {
			st.Errorf("the big one began after %v, want when base had ended", wait)
		}
		if !strings.Contains(h.logged(), "the place of big is kept") {
			st.Errorf("the reason was not told")
		}
		h.drain()
	})
}

// A program that asks to be run again after saving its work is never given up.
func TestCheckpointCode(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		h := st.begin(head + experiment("a", "", "sleep=1m", "exit=85"))
		time.Sleep(20*time.Minute + 30*time.Second)
		if n, s := len(h.ends("a")), h.status("a"); n != 20 || s.Attempt != 0 || s.Phase != supervisor.Running {
			st.Errorf("%d runs, %+v", n, s)
		}
		h.drain()
	})
}

// Policy "always" runs a successful experiment again, uncounted.
func TestAlways(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		h := st.begin(head + experiment("a", "restart.policy = \"always\"\nrestart.delay = \"30s\"", "sleep=30s", "exit=0"))
		time.Sleep(10*time.Minute + 10*time.Second)
		if n, s := len(h.ends("a")), h.status("a"); n != 10 || s.Attempt != 0 {
			st.Errorf("%d runs, %+v", n, s)
		}
		h.drain()
	})
}

// systemd stops brainjar's own unit before any experiment's: then only signals
// end them, and the time limits are brainjar's to keep.
func TestDrainWhileSystemdWaits(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		fake.SetOwnJob("stop")
		h := st.begin(head + experiment("meek", "", "on=TERM:sleep=500ms,exit=0", "sleep=1h") + experiment("stubborn", "", "ignore=TERM", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Second, "meek", "stubborn")
		if took := h.drain(); took < time.Second || took > 2*time.Second {
			st.Errorf("took %v, want the stop_timeout of 1s", took)
		}
		if end := h.ends("meek"); len(end) != 1 || end[0].Result != transient.Stopped || end[0].ExitCode != 0 {
			st.Errorf("meek: %+v", end)
		}
		if end := h.ends("stubborn"); len(end) != 1 || end[0].Result != transient.Stopped || !end[0].KilledAtStop {
			st.Errorf("stubborn: %+v", end)
		}
	})
}

// A restart of brainjar's own unit leaves experiments alone.
func TestRestartLeavesExperiments(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		fake.SetOwnJob("restart")
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Second, "a")
		h.drain()
		if got := fake.Running(); len(got) != 1 {
			st.Errorf("running: %v", got)
		}
	})
}

// What cannot be stopped is named, and brainjar does not wait for ever.
func TestDrainGivesUp(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Second, "a")
		fake.Hang(true)
		begin := time.Now()
		h.Drain()
		<-h.over
		if h.err == nil || !strings.Contains(h.err.Error(), "cannot stop a") {
			st.Errorf("error %v", h.err)
		}
		if took := time.Since(begin); took > 30*time.Second {
			st.Errorf("took %v", took)
		}
		fake.Hang(false)
	})
}

// tired is a systemd that stops one unit after the other.
type tired struct {
	systemd
	turn chan struct{} // has one place
}

func (s *tired) Stop(ctx context.Context, unit string) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	time.Sleep(4 * time.Second)
	return s.systemd.Stop(ctx, unit)
}

// A drain goes on for as long as runs end, however many there are.
func TestDrainOfMany(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		text := head
		for i := range 8 {
			text += experiment(fmt.Sprintf("e%d", i), "", "sleep=1h")
		}
		st.open = func() systemd { return &tired{systemd: fake, turn: make(chan struct{}, 1)} }
		h := st.begin(text)
		h.await("all run", time.Minute, func() bool { return strings.Count(h.logged(), "phase=running") == 8 })
		if took := h.drain(); took < 30*time.Second || took > 35*time.Second {
			st.Errorf("took %v", took)
		}
		for i := range 8 {
			if end := h.ends(fmt.Sprintf("e%d", i)); len(end) != 1 || end[0].KilledAtStop {
				st.Errorf("e%d: %+v", i, end)
			}
		}
	})
}

// The budget is on the slice before anything starts.
func TestBudgetIsOnTheSlice(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Second, "a")
		if got := fake.SliceLimits().MemoryMax; got != quantity.GiB {
			st.Errorf("the slice has MemoryMax %s, want 1G", got)
		}
		h.drain()
	})
}

// The supervisor tells its service manager that it is ready, what it does, that
// it is alive, and that it stops.
func TestNotify(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		var told []string
		s := supervisor.New(supervisor.Supervisor{
			Config: st.parse(head + experiment("a", "", "sleep=1h")), Units: fake, House: fake, Groups: fake, Events: fake.Events(),
			MemTotal: quantity.GiB, Notify: func(line string) { told = append(told, line) }, Watchdog: 10 * time.Second,
		})
		ctx, cancel := context.WithCancel(st.Context())
		defer cancel()
		go func() { _ = fake.Run(ctx) }()
		time.AfterFunc(time.Minute+time.Second, s.Drain)
		if err := s.Run(ctx); err != nil {
			st.Fatal(err)
		}
		all := strings.Join(told, "\n")
		for _, want := range []string{"READY=1", "STATUS=1 of 8 running, 0 waiting, 0 failed", "STOPPING=1\nEXTEND_TIMEOUT_USEC="} {
			if !strings.Contains(all, want) {
				st.Errorf("%q was not told:\n%s", want, all)
			}
		}
		if n := strings.Count(all, "WATCHDOG=1"); n != 6 {
			st.Errorf("%d signs of life in a minute, want 6", n)
		}
	})
}

// Days of crashes, waits and ends leave nothing behind.
func TestNothingGrows(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		text := head
		for i := range 300 { // they crash, wait for room and for their delays, end, and save
			text += experiment(fmt.Sprintf("e%d", i), "restart = { policy = \"always\", delay = \"1m\", max_restarts = 100000 }\nmemory_max = \"16M\"",
				fmt.Sprintf("sleep=%dm", i%7+1), fmt.Sprintf("exit=%d", []int{0, 85, 1}[i%3]))
		}
		cfg := st.parse(text)
		s := supervisor.New(supervisor.Supervisor{
			Config: cfg, Units: fake, House: fake, Groups: fake, Events: fake.Events(), MemTotal: quantity.GiB, Ledger: shredder{},
		})
		ctx, cancel := context.WithCancel(st.Context())
		defer cancel()
		go func() { _ = fake.Run(ctx) }()
		over := make(chan error)
		go func() { over <- s.Run(ctx) }()
		measure := func() (heap uint64, goroutines int) {
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc, runtime.NumGoroutine()
		}
		time.Sleep(time.Hour)
		heap, goroutines := measure()
		time.Sleep(24 * time.Hour)
		laterHeap, laterGoroutines := measure()
		if laterGoroutines > goroutines+8 {
			st.Errorf("%d goroutines became %d", goroutines, laterGoroutines)
		}
		if laterHeap > heap+heap/2+1<<20 {
			st.Errorf("%d bytes of heap became %d", heap, laterHeap)
		}
		if n := fake.Records(); n > 8 {
			st.Errorf("%d ends were not forgotten", n)
		}
		s.Drain()
		if err := <-over; err != nil {
			st.Error(err)
		}
	})
}

// shredder is a ledger that keeps nothing.
type shredder struct{}

func (shredder) Put(_ ledger.Write, done func(error)) {
	if done != nil {
		go done(nil)
	}
}

func (shredder) Counted(context.Context, string) (bool, error) { return false, nil }
func (shredder) State() ledger.State                           { return ledger.State{} }

func (shredder) HasRun(context.Context, string, int) (bool, error) { return false, nil }

func (shredder) LastRun(context.Context, string) (int, error) { return 0, nil }

// budgetless is a house whose slice takes no limits at first.
type budgetless struct {
	supervisor.House
	refusals int
}

func (b *budgetless) SetSlice(ctx context.Context, l transient.Limits) (transient.Limits, error) {
	if b.refusals--; b.refusals >= 0 {
		return transient.Limits{}, errors.New("no memory controller")
	}
	return b.House.SetSlice(ctx, l)
}

// Without its budget nothing starts, and setting it is tried again.
func TestBudgetIsTriedAgain(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		s := supervisor.New(supervisor.Supervisor{
			Config: st.parse(head + experiment("a", "", "sleep=1h")), Units: fake, House: &budgetless{fake, 3}, Groups: fake, Events: fake.Events(),
			MemTotal: quantity.GiB,
		})
		ctx, cancel := context.WithCancel(st.Context())
		defer cancel()
		go func() { _ = fake.Run(ctx) }()
		over := make(chan error)
		go func() { over <- s.Run(ctx) }()
		time.Sleep(25 * time.Second)
		all, err := s.Report(ctx)
		if err != nil || all.Experiments[0].Phase != supervisor.Queued || !strings.Contains(all.Experiments[0].Reason, "no memory controller") {
			st.Errorf("after 25s: %+v, %v", all, err)
		}
		time.Sleep(10 * time.Second)
		if all, err = s.Report(ctx); err != nil || all.Experiments[0].Phase != supervisor.Running {
			st.Errorf("after 35s: %+v, %v", all, err)
		}
		s.Drain()
		if err := <-over; err != nil {
			st.Error(err)
		}
	})
}

// slow is a systemd that takes its time to answer a start, and counts how many
// wait for it.
type slow struct {
	systemd
	now, most atomic.Int32
}

func (s *slow) Start(ctx context.Context, spec transient.Spec) error {
	now := s.now.Add(1)
	defer s.now.Add(-1)
	s.most.Store(max(s.most.Load(), now))
	time.Sleep(20 * time.Millisecond)
	return s.systemd.Start(ctx, spec)
}

// However many experiments may start, systemd is asked for a few at a time.
func TestStartsAreSpread(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		text := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 1000", 1)
		text = strings.Replace(text, `memory_budget = "1G"`, `memory_budget = "64G"`, 1)
		for i := range 300 {
			text += experiment(fmt.Sprintf("e%d", i), "", "sleep=1h")
		}
		counted := &slow{systemd: fake}
		st.open = func() systemd { return counted }
		h := st.begin(text)
		h.await("all run", time.Minute, func() bool { return strings.Count(h.logged(), "phase=running") == 300 })
		if most := counted.most.Load(); most < 2 || most > 8 {
			st.Errorf("%d starts under way at once", most)
		}
		h.drain()
	})
}
