package transient

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock translates systemd's …Monotonic properties into times that can be compared
// and subtracted whatever becomes of the wall clock meanwhile: a board without a
// battery learns the date only when it has a network. Shown to people, they are
// what the wall clock, as it is set now, said then.
type clock struct {
	now  time.Time
	usec uint64 // CLOCK_MONOTONIC of now
}

func readClock() clock { return clock{time.Now(), monotonic()} }

// at is the time of a property in µs; 0, "never", is the zero time.
func (c clock) at(usec uint64) time.Time {
	if usec == 0 || usec > 1<<53 {
		return time.Time{}
	}
	return c.now.Add(time.Duration(int64(usec)-int64(c.usec)) * time.Microsecond)
}

// monotonic is CLOCK_MONOTONIC in µs, the clock of systemd's …Monotonic
// properties.
func monotonic() uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return uint64(now.Nano() / 1000)
}
