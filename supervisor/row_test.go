package supervisor

import (
	"testing"
	"time"

	"brainjar/internal/ledger"
	"brainjar/transient"
)

// No run ends before it began, although the clock was set back while it ran: if
// systemd says how long it lasted, that counts, else nothing is made up.
func TestEndRowAfterClockWasSetBack(t *testing.T) {
	began := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	now := began.Add(-24 * time.Hour)
	for name, test := range map[string]struct {
		outcome transient.Outcome
		lasted  time.Duration
	}{
		"known":   {transient.Outcome{Started: now.Add(-time.Hour), Ended: now}, time.Hour},
		"unknown": {transient.Outcome{Result: transient.Lost}, 0},
	} {
		r := ledger.Run{StartedAt: began}
		endRow(&r, test.outcome, "", now)
		if lasted := r.EndedAt.Sub(r.StartedAt); lasted != test.lasted || !r.EndedAt.Equal(now) {
			t.Errorf("%s: from %v to %v", name, r.StartedAt, r.EndedAt)
		}
	}
}
