package transienttest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"brainjar/transient"
)

// runFake runs a fake until the returned function is called.
func runFake(t *testing.T, f *Fake) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// next returns the next event, which must be an E and come within days.
func next[E transient.Event](t *testing.T, f *Fake) E {
	t.Helper()
	select {
	case e := <-f.Events():
		typed, ok := e.(E)
		if !ok {
			t.Fatalf("next event is %#v, want %T", e, typed)
		}
		return typed
	case <-time.After(100 * time.Hour):
		var none E
		t.Fatalf("no %T within 100 hours", none)
		return none
	}
}

func spec(id string, steps ...string) transient.Spec {
	return transient.Spec{
		Experiment: id, Run: 1, Kind: transient.Service,
		Command: Command("/bin/test", steps...), StopTimeout: 5 * time.Second,
	}
}

func TestFakeUnitsOutliveTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake()
		stop := runFake(t, f)
		next[transient.Synced](t, f)
		for _, s := range []transient.Spec{spec("long", "sleep=48h"), spec("short", "sleep=1h", "exit=7")} {
			if err := f.Start(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			next[transient.Started](t, f)
		}
		stop()
		time.Sleep(2 * time.Hour) // the short one ends unseen

		for range 2 { // unforgotten, the end is reported by each Run
			stop = runFake(t, f)
			found := next[transient.Started](t, f)
			if !found.Found || found.Unit.Experiment != "long" || found.Unit.Since.IsZero() {
				t.Errorf("found %+v", found)
			}
			ended := next[transient.Ended](t, f)
			if ended.Outcome.Result != transient.ExitCode || ended.Outcome.ExitCode != 7 {
				t.Errorf("ended with %+v", ended.Outcome)
			}
			if want := time.Hour; ended.Outcome.Ended.Sub(ended.Outcome.Started) != want {
				t.Errorf("lasted %v, want %v", ended.Outcome.Ended.Sub(ended.Outcome.Started), want)
			}
			next[transient.Synced](t, f)
			stop()
		}
		stop = runFake(t, f)
		defer stop()
		next[transient.Started](t, f)
		if err := f.Forget(t.Context(), next[transient.Ended](t, f).Unit); err != nil {
			t.Fatal(err)
		}
		next[transient.Synced](t, f)

		f.Disconnect(errors.New("bus gone"))
		next[transient.Disconnected](t, f)
		if err := f.Stop(t.Context(), "brainjar-long.service"); err == nil {
			t.Error("stopped a unit without a connection")
		}
		f.Reconnect()
		next[transient.Started](t, f)
		next[transient.Synced](t, f)
		if got := next[transient.Ended](t, f).Outcome.Result; got != transient.Success {
			t.Errorf("long ended with %q", got)
		}
	})
}

func TestFakeHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake()
		stop := runFake(t, f)
		defer stop()
		next[transient.Synced](t, f)
		f.Hang(true)
		begin := time.Now()
		err := f.Start(t.Context(), spec("a", "exit=0"))
		if !errors.Is(err, transient.ErrUncertain) || time.Since(begin) != callLimit {
			t.Errorf("a hanging start: %v after %v", err, time.Since(begin))
		}
		time.AfterFunc(time.Second, func() { f.Hang(false) })
		if err := f.Start(t.Context(), spec("a", "exit=0")); err != nil {
			t.Errorf("after the hang: %v", err)
		}
		next[transient.Started](t, f)
		next[transient.Ended](t, f)
	})
}

func TestFakeFailStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake()
		stop := runFake(t, f)
		defer stop()
		next[transient.Synced](t, f)
		broken := errors.New("no space left")
		f.FailStart("brainjar-a.service", broken)
		if err := f.Start(t.Context(), spec("a", "sleep=1s")); !errors.Is(err, broken) {
			t.Errorf("start: %v, want %v", err, broken)
		}
		if err := f.Start(t.Context(), spec("b", "sleep=1s")); err != nil {
			t.Errorf("another unit: %v", err)
		}
		f.FailStart("brainjar-a.service", nil)
		if err := f.Start(t.Context(), spec("a", "sleep=1s")); err != nil {
			t.Errorf("when it works again: %v", err)
		}
		if n := f.Starts("brainjar-a.service"); n != 1 {
			t.Errorf("%d starts, want 1", n)
		}
	})
}

func TestFakeFinishPlantAndPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake()
		since := time.Now().Add(-time.Hour)
		if err := f.Plant(spec("old", "sleep=9h"), since); err != nil {
			t.Fatal(err)
		}
		f.PlantEnded(transient.Unit{Experiment: "gone", Run: 3}, transient.Outcome{Result: transient.OOMKill, OOMKills: 1})
		stop := runFake(t, f)
		if got := next[transient.Started](t, f); !got.Found || !got.Unit.Since.Equal(since) {
			t.Errorf("planted: %+v", got)
		}
		if got := next[transient.Ended](t, f); got.Unit.Run != 3 || got.Outcome.Result != transient.OOMKill {
			t.Errorf("planted end: %+v", got)
		}
		next[transient.Synced](t, f)
		f.Finish("brainjar-old.service", transient.Outcome{Result: transient.Lost, ExitCode: -1})
		if got := next[transient.Ended](t, f).Outcome.Result; got != transient.Lost {
			t.Errorf("finished as %q", got)
		}
		if err := f.Start(t.Context(), spec("new", "sleep=9h")); err != nil {
			t.Fatal(err)
		}
		next[transient.Started](t, f)
		stop()
		f.PowerCut()
		defer runFake(t, f)()
		next[transient.Synced](t, f)
		if n := len(f.Running()) + f.Records(); n != 0 {
			t.Errorf("%d units and records after a power cut", n)
		}
	})
}

// TestFakeDoesNotGrow: after days of restarts nothing is left of them.
func TestFakeDoesNotGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake()
		defer runFake(t, f)()
		next[transient.Synced](t, f)
		const experiments, runs = 20, 500
		begin := time.Now()
		var goroutines int
		for run := range runs {
			for i := range experiments {
				s := spec(fmt.Sprintf("e%d", i), "fork", "alloc=1G", "sleep=10m", "exit=1")
				s.Run, s.RuntimeMax, s.Watchdog = run, time.Hour, time.Hour
				if err := f.Start(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			for ended := 0; ended < experiments; {
				if e, ok := (<-f.Events()).(transient.Ended); ok {
					ended++
					if err := f.Forget(t.Context(), e.Unit); err != nil {
						t.Fatal(err)
					}
				}
			}
			synctest.Wait()
			if run == 0 {
				goroutines = runtime.NumGoroutine()
			}
		}
		if n := runtime.NumGoroutine(); n > goroutines+experiments { // the runtime has some of its own, now and then
			t.Errorf("%d goroutines, after the first run there were %d", n, goroutines)
		}
		if n := len(f.Running()) + f.Records(); n != 0 {
			t.Errorf("%d units and records are left", n)
		}
		if took := time.Since(begin); took != runs*10*time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// The status of a unit that is found is told again, as one that was there; what it says
// once more is not.
func TestFakeFoundStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake()
		if err := f.Plant(spec("a", "status=old", "sleep=1m", "status=old", "status=new", "sleep=1h"), time.Now()); err != nil {
			t.Fatal(err)
		}
		defer runFake(t, f)()
		next[transient.Started](t, f)
		if s := next[transient.Status](t, f); s.Text != "old" || !s.Found {
			t.Errorf("%+v", s)
		}
		next[transient.Synced](t, f)
		if s := next[transient.Status](t, f); s.Text != "new" || s.Found {
			t.Errorf("%+v", s)
		}
	})
}
