//go:build lab

package transient_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"brainjar/transient"
)

// TestFoundBetween: what is not ready yet, and what is being stopped, is found
// before Synced as well, or it would be started a second time; and a person's
// stop of a scope that was found is one.
func TestFoundBetween(t *testing.T) {
	first := newBench(t, transient.Options{})
	first.synced(1)
	up := filepath.Join(t.TempDir(), "up")
	loading := first.spec("loading", "on=USR1:ready", "write="+up+":yes", "sleep=1h")
	loading.Ready, loading.ReadyTimeout = transient.ReadyNotify, patience
	stopping := first.spec("stopping", "ignore=TERM", "status=deaf", "sleep=1h")
	stopping.StopTimeout = patience
	scope := first.spec("scope", "sleep=1h")
	scope.Kind = transient.Scope
	first.start(loading)
	first.start(stopping)
	first.started(first.start(scope))
	await(first, "Status", 1, anyOf[transient.Status])
	eventually(t, "the program that loads", func() bool { _, err := os.Stat(up); return err == nil })
	first.die()
	systemctl(t, "stop", "--no-block", stopping.Unit())
	eventually(t, "the stop", func() bool {
		return systemctl(t, "show", "--property=ActiveState", stopping.Unit()) == "ActiveState=deactivating"
	})

	second := newBench(t, transient.Options{})
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
	for _, spec := range []transient.Spec{loading, stopping, scope} {
		if e := found[spec.Unit()]; !e.Found || e.Loading != (spec.Ready == transient.ReadyNotify) || e.Unit.Run != spec.Run {
			t.Errorf("%s before Synced: %+v", spec.Unit(), e)
		}
	}
	if err := second.Kill(t.Context(), loading.Unit(), transient.Main, syscall.SIGUSR1); err != nil {
		t.Error(err)
	}
	ready := await(second, "Started", 2, func(e transient.Started) bool { return e.Unit.Name == loading.Unit() })
	if ready.Loading || ready.Unit.Invocation != found[loading.Unit()].Unit.Invocation {
		t.Errorf("once it is ready: %+v", ready)
	}
	systemctl(t, "stop", loading.Unit(), scope.Unit())
	if err := second.Kill(t.Context(), stopping.Unit(), transient.All, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	for _, spec := range []transient.Spec{loading, stopping, scope} {
		if o := second.ended(spec.Unit()).Outcome; o.Result != transient.Stopped || !o.StopRequested {
			t.Errorf("%s: %+v", spec.Unit(), o)
		}
	}
	second.forget()
}

// TestTakenName: a unit that somebody else started while a Start of the same name
// was on its way is found, though the signals of its start were taken for those of
// an earlier run; and its end is told.
func TestTakenName(t *testing.T) {
	p := newProxy(t)
	b := newBench(t, transient.Options{Address: p.address})
	b.synced(1)
	other := newBench(t, transient.Options{})
	other.synced(1)
	theirs := other.spec("taken", "on=USR1:exit=9", "status=set", "sleep=1h")
	mine := theirs
	mine.Run++
	free := p.delay()
	defer free()
	other.start(theirs)
	await(other, "a status", 1, func(e transient.Status) bool { return e.Text == "set" })
	answer := make(chan error, 1)
	go func() { answer <- b.Start(t.Context(), mine) }()
	time.Sleep(300 * time.Millisecond) // a Start that is later than this has it easier
	free()
	if err := <-answer; !errors.Is(err, transient.ErrExists) {
		t.Errorf("Start: %v", err)
	}
	unit := theirs.Unit()
	if e := b.started(unit); !e.Found || e.Unit.Run != theirs.Run || e.Unit.Invocation != other.started(unit).Unit.Invocation {
		t.Errorf("found %+v", e)
	}
	if err := other.Kill(t.Context(), unit, transient.Main, syscall.SIGUSR1); err != nil {
		t.Error(err)
	}
	if e := b.ended(unit); e.Unit.Run != theirs.Run || e.Outcome.ExitCode != 9 {
		t.Errorf("ended %+v", e)
	}
	other.ended(unit)
	other.forget()
}

// TestFoundStatus: the status of a unit that is found was there before, for all that is
// known; the next is a new one.
func TestFoundStatus(t *testing.T) {
	first := newBench(t, transient.Options{})
	first.synced(1)
	spec := first.spec("status", "on=USR1:status=new", "status=old", "sleep=1h")
	unit := first.start(spec)
	await(first, "a status", 1, func(e transient.Status) bool { return e.Text == "old" && !e.Found })
	first.die()

	second := newBench(t, transient.Options{})
	second.synced(1)
	if err := second.Kill(t.Context(), unit, transient.Main, syscall.SIGUSR1); err != nil {
		t.Error(err)
	}
	await(second, "a new status", 1, func(e transient.Status) bool { return e.Text == "new" })
	told := all(second, func(e transient.Status) bool { return e.Unit == unit })
	if want := []transient.Status{{Unit: unit, Text: "old", Found: true}, {Unit: unit, Text: "new"}}; !slices.Equal(told, want) {
		t.Errorf("told %+v, want %+v", told, want)
	}
	if err := second.Stop(t.Context(), unit); err != nil {
		t.Error(err)
	}
	second.ended(unit)
	second.forget()
}
