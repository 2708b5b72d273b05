//go:build lab

package transient_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

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
