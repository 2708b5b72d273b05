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
	nothingLeft(t)
}

// Nothing is left either when nobody waits any more, at whatever moment.
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
		nothingLeft(t)
	}
}

func nothingLeft(t *testing.T) {
	t.Helper()
	if left := systemctl(t, "list-units", "--all", "--plain", "--no-legend", "brainjardoctor*"); left != "" {
		t.Errorf("units are left:\n%s", left)
	}
}
