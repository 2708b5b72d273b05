//go:build lab

package transient_test

import (
	"errors"
	"fmt"
	"testing"

	"brainjar/transient"
)

// TestStartIntoStop: a start while somebody stops the slice is systemd's
// refusal, not the experiment's failure.
func TestStartIntoStop(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	stubborn := b.spec("stubborn", "ignore=TERM", "status=deaf", "sleep=1h")
	unit := b.start(stubborn)
	b.started(unit)
	await(b, "Status", 1, anyOf[transient.Status])
	systemctl(t, "stop", "--no-block", transient.Slice)
	err := b.Start(t.Context(), b.spec("late", "exit=0"))
	if !errors.Is(err, transient.ErrNotNow) {
		t.Errorf("a start into the stop: %v, want ErrNotNow", err)
	}
	b.ended(unit)
	b.forget()
}

// TestSliceStopped: that somebody stops the slice is told before the first unit ends, also
// to the next connection while it lasts; and that it is started again, by a person or by
// the next unit. That no unit is left is no stop.
func TestSliceStopped(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	b.ended(b.start(b.spec("short", "exit=0")))
	stops := func(n int, stopped bool) {
		t.Helper()
		await(b, "SliceStopped", n, func(e transient.SliceStopped) bool { return e.Stopped == stopped })
	}
	for i, restart := range []func(){
		func() { systemctl(t, "start", transient.Slice) },
		func() { b.started(b.start(b.spec("next", "sleep=1h"))) },
	} {
		unit := b.start(b.spec(fmt.Sprint("long", i), "on=TERM:sleep=1s,exit=3", "status=set", "sleep=1h"))
		await(b, "a status", i+1, anyOf[transient.Status])
		if n := len(all(b, func(e transient.SliceStopped) bool { return e.Stopped })); n != i {
			t.Errorf("stopped %d times before the stop", n)
		}
		systemctl(t, "stop", "--no-block", transient.Slice)
		stops(i+1, true)
		if ends := all(b, func(e transient.Ended) bool { return e.Unit.Name == unit }); len(ends) > 0 {
			t.Error("told after the end of a unit")
		}
		second := newBench(t, transient.Options{})
		await(second, "SliceStopped", 1, func(e transient.SliceStopped) bool { return e.Stopped })
		second.die()
		if o := b.ended(unit).Outcome; o.Result != transient.Stopped || o.ExitCode != 3 {
			t.Errorf("%+v", o)
		}
		eventually(t, "the slice is inactive", func() bool {
			return systemctl(t, "show", "--property=ActiveState", transient.Slice) == "ActiveState=inactive"
		})
		restart()
		stops(i+1, false)
	}
	systemctl(t, "stop", transient.Slice)
	b.ended(b.spec("next").Unit())
	b.forget()
}
