//go:build lab

package transient_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"brainjar/transient"
)

// TestFoundQueued: systemd takes an order to start a unit, and starts it when no
// messages wait any more. What a brainjar that died has ordered is found by the next
// one before Synced, or it would be started a second time.
func TestFoundQueued(t *testing.T) {
	first := newBench(t, transient.Options{})
	first.synced(1)
	var specs []transient.Spec
	for i := range 4 {
		specs = append(specs, first.spec(fmt.Sprint(i), "sleep=1h"))
	}
	quiet := keepBusy(t)
	for _, spec := range specs {
		go func() { _ = first.Start(t.Context(), spec) }()
	}
	for _, spec := range specs {
		eventually(t, "a job that waits", func() bool {
			return systemctl(t, "show", "--property=Job", "--value", spec.Unit()) != ""
		})
	}
	first.die()

	second := newBench(t, transient.Options{})
	time.AfterFunc(2*time.Second, quiet)
	second.synced(1)
	second.mu.Lock()
	found := make(map[string]transient.Started)
	for _, e := range second.events {
		if _, ok := e.(transient.Synced); ok {
			break
		}
		if e, ok := e.(transient.Started); ok {
			found[e.Unit.Name] = e
		}
	}
	second.mu.Unlock()
	for _, spec := range specs {
		if e := found[spec.Unit()]; !e.Found || e.Unit.Run != spec.Run || e.Unit.Invocation == "" {
			t.Errorf("%s before Synced: %+v", spec.Unit(), e)
		}
		second.started(spec.Unit())
		systemctl(t, "stop", spec.Unit())
		second.ended(spec.Unit())
	}
	second.forget()
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
	var once bool
	quiet = func() {
		if !once {
			once = true
			close(stop)
			<-stopped
		}
	}
	t.Cleanup(quiet)
	return quiet
}
