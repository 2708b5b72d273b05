//go:build lab

package transient_test

import (
	"errors"
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
