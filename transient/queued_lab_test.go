//go:build lab

package transient_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"brainjar/transient"
)

// TestFoundQueued: systemd takes an order to start a unit, and starts it when no
// messages wait any more. What a brainjar that died has ordered is found by the next
// one before Synced, or it would be started a second time: also what systemd had not
// even read when it died.
func TestFoundQueued(t *testing.T) {
	t.Run("taken", func(t *testing.T) {
		found := dieStarting(t, func(_ *bench, specs []transient.Spec) {
			for _, spec := range specs {
				eventually(t, "an order that systemd has taken", func() bool { return taken(t, spec) })
			}
		})
		if found != 4 {
			t.Errorf("%d units were found, want 4", found)
		}
	})
	for range 3 {
		t.Run("on its way", func(t *testing.T) {
			dieStarting(t, func(b *bench, _ []transient.Spec) {
				time.Sleep(time.Duration(b.rand.IntN(300)) * time.Millisecond)
			})
		})
	}
}

// TestStoppedBeforeItBegan: a start that somebody takes back before systemd has begun with
// it is a stop, not the experiment's failure.
func TestStoppedBeforeItBegan(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	quiet := keepBusy(t)
	const tries = 20 // where systemd is fast it may have begun when it is told to stop
	for i := range tries {
		spec := b.spec(fmt.Sprint("queued", i), "sleep=1h")
		started := make(chan error, 1)
		go func() { started <- b.Start(t.Context(), spec) }()
		eventually(t, "an order that systemd has taken", func() bool { return taken(t, spec) })
		systemctl(t, "stop", "--no-block", spec.Unit())
		err := <-started
		if errors.Is(err, transient.ErrStopped) {
			break
		}
		if err != nil {
			t.Errorf("%v, want ErrStopped", err)
			break
		}
		if o := b.ended(spec.Unit()).Outcome; o.Result != transient.Stopped && !o.StopRequested {
			t.Errorf("stopped when it had begun: %+v", o)
		}
		if i == tries-1 {
			t.Error("no start was ever stopped before systemd had begun with it")
		}
	}
	quiet()
	b.forget()
}

// taken reports whether systemd has taken the order to start a unit: that waits for its
// turn or, where systemd is fast, has had it.
func taken(t *testing.T, spec transient.Spec) bool {
	return systemctl(t, "show", "--property=Job,InvocationID", "--value", spec.Unit()) != ""
}

// dieStarting lets a Manager die while it starts units, when the time has come, and
// another one come. It returns how many units that one heard of, and fails
// if it heard of one only after Synced.
func dieStarting(t *testing.T, await func(*bench, []transient.Spec)) int {
	dir := t.TempDir()
	first := newBench(t, transient.Options{RecordDir: dir})
	first.synced(1)
	var specs []transient.Spec
	for i := range 4 {
		specs = append(specs, first.spec(fmt.Sprint(i), "sleep=1h"))
	}
	quiet := keepBusy(t)
	for _, spec := range specs {
		go func() { _ = first.Start(t.Context(), spec) }()
	}
	await(first, specs)
	first.die()

	second := newBench(t, transient.Options{RecordDir: dir})
	time.AfterFunc(2*time.Second, quiet)
	second.synced(1)
	quiet()
	systemctl(t, "is-system-running", "--wait") // no job is left
	synced, known := false, make(map[string]bool)
	second.mu.Lock()
	events := slices.Clone(second.events)
	second.mu.Unlock()
	for _, e := range events {
		switch e := e.(type) {
		case transient.Synced:
			synced = true
		case transient.Started:
			if synced && !known[e.Unit.Invocation] {
				t.Errorf("first heard of after Synced: %+v", e)
			}
			known[e.Unit.Invocation] = true
		}
	}
	for _, spec := range specs {
		if len(all(second, func(e transient.Started) bool { return e.Unit.Name == spec.Unit() })) > 0 {
			systemctl(t, "stop", spec.Unit())
			second.ended(spec.Unit())
		}
	}
	second.forget() // also fails if a unit is there that nobody heard of
	return len(known)
}

// keepBusy gives systemd always another message to answer, until quiet is called.
func keepBusy(t *testing.T) (quiet func()) {
	t.Helper()
	c, err := dbus.Dial("unix:path=/run/systemd/private")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth([]dbus.Auth{dbus.AuthExternal("0")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	const waiting = 10
	answers := make(chan *dbus.Call, waiting)
	ask := func() {
		c.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1").Go(
			"org.freedesktop.systemd1.Manager.ListUnitFiles", 0, answers) // which takes it a while
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for range waiting {
			ask()
		}
		for {
			select {
			case <-answers:
				ask()
			case <-stop:
				return
			}
		}
	}()
	quiet = sync.OnceFunc(func() { close(stop); <-stopped })
	t.Cleanup(quiet)
	return quiet
}
