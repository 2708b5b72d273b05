package supervisor

import (
	"math"
	"time"
)

// BackoffPolicy is how long to wait before each restart.
type BackoffPolicy struct {
	Delay  time.Duration // before the first restart
	Factor float64       // each further delay is this times the one before, at least 1
	Max    time.Duration // no delay is longer, jitter apart
	Jitter float64       // share of the delay by which it may be longer or shorter, 0 to 1
}

// For returns the wait before restart number attempt, counted from 1:
// Delay × Factor^(attempt-1), at most Max, then moved by up to ±Jitter.
// random is a number in [0, 1) and is what the jitter comes from.
func (b BackoffPolicy) For(attempt int, random float64) time.Duration {
	delay := float64(b.Delay) * math.Pow(b.Factor, float64(max(attempt, 1)-1))
	if limit := float64(b.Max); b.Max > 0 && delay > limit {
		delay = limit
	}
	delay *= 1 + b.Jitter*(2*random-1)
	if delay >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(delay)
}

// earlier is the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
