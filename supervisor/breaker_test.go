package supervisor

import (
	"strings"
	"testing"
	"time"

	"brainjar/transient"
)

// Each step of a story is "SECOND EXPERIMENT WHAT": begin, ready, found, or the
// result of its run.
func TestBreaker(t *testing.T) {
	const open3 = "circuit breaker: 3 experiments failed within 60s of their start (a, b, c); `brainjar release --all` or a new start of brainjar resets it"
	for _, test := range []struct{ name, story, reason string }{
		{"different ones", "0 a begin, 0 a ready, 5 a exit-code, 6 b begin, 6 b ready, 9 b signal, 10 c begin, 10 c ready, 70 c oom-kill", open3},
		{"one, again and again", "0 a begin, 1 a exit-code, 2 a begin, 3 a exit-code, 4 a begin, 5 a exit-code", ""},
		{"too late", "0 a begin, 1 a exit-code, 2 b begin, 3 b exit-code, 4 c begin, 4 c ready, 65 c exit-code", ""},
		{"all that count", "0 a begin, 1 a start-failed, 2 b begin, 2 b ready, 3 b watchdog, 4 c begin, 4 c ready, 5 c probe", open3},
		{"late, but never ready", "0 a begin, 900 a timeout, 0 b begin, 900 b timeout, 901 c begin, 901 c start-failed", open3},
		{"ran longer than it may", "0 a begin, 1 a exit-code, 1 b begin, 2 b exit-code, 2 c begin, 2 c ready, 4 c timeout", ""},
		{"others' doing", "0 a begin, 1 a stopped, 1 b begin, 2 b heat, 2 c begin, 3 c memory, 3 d begin, 4 d lost, 5 e begin, 6 e gpu-memory", ""},
		{"saved and run again", "0 a begin, 1 a exit-code, 2 b begin, 3 b exit-code, 4 c begin, 4 c ready, 15 c checkpoint", ""},
		{"one works later", "0 a begin, 1 a exit-code, 2 b begin, 3 b exit-code, 4 d begin, 4 d ready, 5 d success, 6 c begin, 7 c exit-code", ""},
		{"one works that began before", "0 d begin, 0 d ready, 1 a begin, 1 a exit-code, 2 b begin, 3 b exit-code, 100 d success, 106 c begin, 107 c exit-code", open3},
		{"one lasts meanwhile", "0 a begin, 1 a exit-code, 2 b begin, 3 b exit-code, 4 d begin, 4 d ready, 70 c begin, 71 c exit-code", ""},
		{"one does not last long enough", "0 a begin, 1 a exit-code, 2 b begin, 3 b exit-code, 4 d begin, 4 d ready, 62 c begin, 63 c exit-code", open3},
		{"found running", "0 a found, 1 a exit-code, 0 b found, 1 b exit-code, 0 c found, 1 c exit-code", ""},
		{"goes on counting", "0 a begin, 0 b begin, 0 c begin, 0 d begin, 1 a signal, 2 b signal, 3 c signal, 4 d signal",
			"circuit breaker: 4 experiments failed within 60s of their start (a, b, c, d); `brainjar release --all` or a new start of brainjar resets it"},
		{"spread over hours", "0 a begin, 1 a signal, 1900 b begin, 1901 b signal, 3700 c begin, 3701 c signal", ""},
		{"in an hour", "0 a begin, 1 a signal, 1900 b begin, 1901 b signal, 3500 c begin, 3501 c signal", open3},
		{"stays open", "0 a begin, 1 a signal, 1 b begin, 2 b signal, 2 d begin, 2 d ready, 2 c begin, 3 c signal, 500 d success", open3},
	} {
		b := Breaker{Failures: 3, Within: time.Minute}
		tell(&b, test.story)
		if got := b.Reason(); got != test.reason {
			t.Errorf("%s: %q, want %q", test.name, got, test.reason)
		}
	}
}

func TestBreakerReset(t *testing.T) {
	b := Breaker{Failures: 2, Within: time.Minute}
	tell(&b, "0 a begin, 1 a signal")
	b.Reset()
	tell(&b, "2 b begin, 3 b signal")
	if b.Reason() != "" {
		t.Error("a failure from before the reset counts")
	}
	if opened := tell(&b, "4 a begin, 5 a signal"); opened != 1 || b.Reason() == "" {
		t.Errorf("opened %d times, %q", opened, b.Reason())
	}
	off := Breaker{Within: time.Minute}
	tell(&off, "0 a begin, 1 a signal, 2 b begin, 3 b signal")
	if off.Reason() != "" {
		t.Error("one that is off opens")
	}
}

// TestBreakerNamesFew: the reason is one line, however many have failed.
func TestBreakerNamesFew(t *testing.T) {
	b := Breaker{Failures: 1, Within: 90 * time.Second}
	for _, id := range strings.Split("abcdefghij", "") {
		tell(&b, "0 "+id+" begin")
	}
	for _, id := range strings.Split("abcdefghij", "") {
		tell(&b, "1 "+id+" signal")
	}
	if got := b.Reason(); !strings.Contains(got, "10 experiments failed within 90s of their start (a, b, c, d, e, 5 more)") {
		t.Error(got)
	}
}

// tell tells a breaker a story, and returns how often it opened.
func tell(b *Breaker, story string) (opened int) {
	zero := time.Now()
	for _, step := range strings.Split(story, ", ") {
		words := strings.Fields(step)
		second, _ := time.ParseDuration(words[0] + "s")
		run, ready := b.began[words[1]]
		c := Change{At: zero.Add(second), Experiment: words[1], From: Starting}
		if ready && !run.ready.IsZero() {
			c.From = Running
		}
		switch words[2] {
		case "begin":
			c.From, c.To = Queued, Starting
		case "ready":
			c.To = Running
		case "found":
			c.From, c.To = Idle, Running
		case "checkpoint":
			c.To, c.Ended = Queued, &transient.Outcome{Result: transient.ExitCode}
		default:
			c.To, c.Ended = Backoff, &transient.Outcome{Result: transient.Result(words[2])}
		}
		if b.Step(c) {
			opened++
		}
	}
	return opened
}
