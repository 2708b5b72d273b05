//go:build lab

package transient_test

import (
	"context"
	"testing"
	"time"

	"brainjar/transient"
)

// What systemd and this kernel promise, they keep; and of trying it nothing is left.
func TestTry(t *testing.T) {
	began := time.Now()
	trials, err := transient.Try(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if len(trials) != 4 {
		t.Errorf("trials are %+v", trials)
	}
	for _, trial := range trials {
		t.Logf("%+v", trial)
		if !trial.Tried || !trial.Held {
			t.Errorf("%+v", trial)
		}
	}
	t.Logf("after %v", time.Since(began))
	if list := systemctl(t, "list-units", "--all", "--plain", "--no-legend", "brainjardoctor*"); list != "" {
		t.Errorf("units are left:\n%s", list)
	}
}

// Nothing is left either when nobody waits any more, at whatever moment; where systemd is too slow for
// that, it is told, and systemd ends it by itself.
func TestTryInterrupted(t *testing.T) {
	for _, after := range []time.Duration{10, 50, 150, 500} {
		ctx, cancel := context.WithTimeout(t.Context(), after*time.Millisecond)
		trials, err := transient.Try(ctx, false)
		cancel()
		for _, trial := range trials {
			if trial.Tried && !trial.Held {
				t.Errorf("%+v", trial)
			}
		}
		t.Logf("after %d ms: %+v %v", after, trials, err)
		if list := systemctl(t, "list-units", "--all", "--plain", "--no-legend", "brainjardoctor*"); err == nil && list != "" {
			t.Errorf("units are left:\n%s", list)
		}
		nothingLeft(t)
	}
}

func nothingLeft(t *testing.T) {
	t.Helper()
	left := func() string {
		return systemctl(t, "list-units", "--all", "--plain", "--no-legend", "--type", "service", "brainjardoctor*")
	}
	eventually(t, "the units of trials are gone", func() bool { return left() == "" })
}
