package supervisor

import (
	"math"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	b := BackoffPolicy{Delay: 5 * time.Second, Factor: 2, Max: time.Minute}
	want := []time.Duration{5, 10, 20, 40, 60, 60}
	for i, w := range want {
		if got := b.For(i+1, 0.99); got != w*time.Second {
			t.Errorf("attempt %d: %v, want %v", i+1, got, w*time.Second)
		}
	}
	if got := b.For(0, 0.5); got != 5*time.Second {
		t.Errorf("attempt 0: %v, want the first delay", got)
	}
}

func TestBackoffJitter(t *testing.T) {
	b := BackoffPolicy{Delay: 10 * time.Second, Factor: 1, Jitter: 0.1}
	for random, want := range map[float64]time.Duration{0: 9 * time.Second, 0.5: 10 * time.Second} {
		if got := b.For(3, random); got != want {
			t.Errorf("random %v: %v, want %v", random, got, want)
		}
	}
	if got := b.For(1, math.Nextafter(1, 0)); got <= 10*time.Second || got > 11*time.Second {
		t.Errorf("the longest delay is %v, want up to 11s", got)
	}
}

// However large the numbers, a delay is never negative and never above Max.
func FuzzBackoff(f *testing.F) {
	f.Add(int64(time.Second), 2.0, int64(time.Minute), 0.1, 3, 0.5)
	f.Add(int64(math.MaxInt64), 1e300, int64(0), 1.0, 1<<30, 0.999)
	f.Fuzz(func(t *testing.T, delay int64, factor float64, limit int64, jitter float64, attempt int, random float64) {
		if delay < 0 || limit < 0 || factor < 1 || math.IsInf(factor, 0) || math.IsNaN(factor) ||
			jitter < 0 || jitter > 1 || random < 0 || random >= 1 || math.IsNaN(jitter) || math.IsNaN(random) {
			return
		}
		b := BackoffPolicy{time.Duration(delay), factor, time.Duration(limit), jitter}
		got := b.For(attempt, random)
		if got < 0 {
			t.Errorf("%+v attempt %d: negative delay %v", b, attempt, got)
		}
		if limit > 0 && float64(got) > float64(limit)*(1+jitter)*(1+1e-9) {
			t.Errorf("%+v attempt %d: %v is above the limit", b, attempt, got)
		}
	})
}
