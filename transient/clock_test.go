package transient

import (
	"strings"
	"testing"
	"time"
)

// TestClock: times of one message keep their distances to the microsecond, and
// count on the clock that nobody can set.
func TestClock(t *testing.T) {
	c := readClock()
	if !c.at(0).IsZero() || !c.at(1<<63).IsZero() {
		t.Error("never is a time")
	}
	begin, end := c.at(c.usec-2_000_001), c.at(c.usec-1) // the machine may just have booted
	if d := end.Sub(begin); d != 2*time.Second {
		t.Errorf("%v between 1 and 2,000,001 µs ago", d)
	}
	if d := time.Since(begin); d < 2*time.Second || d > 12*time.Second {
		t.Errorf("2 s ago was %v ago", d)
	}
	// A wall clock that was set cannot be had here; a time that counts on the other
	// shows it, time.Time.String.
	if !strings.Contains(begin.String(), " m=") {
		t.Errorf("%v has no monotonic reading", begin)
	}
}
