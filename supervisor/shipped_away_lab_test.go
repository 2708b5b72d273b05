//go:build lab

package supervisor_test

import (
	"testing"
	"time"
)

// What exits with 3 while brainjar is dead has its code and its place in the
// count of restarts in the ledger, and the delay that belongs to it.
func TestShippedEndWhileDead(t *testing.T) {
	state := t.TempDir()
	text := shippedHead + `
[experiments.dies]
command = ["/bin/sh", "-c", "sleep 1; exit 3"]
restart = { delay = "1s", factor = 3.0, max_delay = "1m", max_restarts = 2 }
`
	b := ship(t, state, text)
	b.ready()
	b.await("the second run", 20*time.Second, func() bool {
		runs := b.history(state, "dies")
		return len(runs) == 2 && runs[1].StartedAt != nil
	})
	b.kill()
	b.await("its end", 20*time.Second, func() bool { return property(t, "dies", "ActiveState") == "failed" })
	if runs := b.history(state, "dies"); len(runs) != 2 || runs[1].EndedAt != nil {
		t.Fatalf("while brainjar was dead the ledger became %+v", runs)
	}
	b = ship(t, state, text)
	b.ready()
	learnt := time.Now()
	var runs []pastRun
	b.await("the third run", 20*time.Second, func() bool {
		runs = b.history(state, "dies")
		return len(runs) == 3 && runs[2].EndedAt != nil
	})
	for i, r := range runs {
		if r.Attempt != i || r.ExitCode == nil || *r.ExitCode != 3 {
			t.Errorf("run %d: %+v", i+1, r)
		}
	}
	if wait := runs[2].StartedAt.Sub(learnt); wait < 2800*time.Millisecond || wait > 3*time.Second+stretched(time.Second) {
		t.Errorf("the third run came %v after the end of the second was known, want 3s", wait)
	}
	b.drain(20 * time.Second)
	if n := len(b.whole(state, "dies")); n != 3 {
		t.Errorf("%d runs, want 3: no more than 2 restarts", n)
	}
}
