package sensors

import (
	"math"
	"testing"
	"time"

	"brainjar/internal/quantity"
)

func TestUsage(t *testing.T) {
	before := cpuTimes{
		"cpu0": {User: 10, Idle: 100},
		"cpu1": {System: 10, Idle: 100, Iowait: 50},
		"cpu2": {User: 500, Idle: 500},
	}
	for _, test := range []struct {
		name   string
		before cpuTimes
		now    cpuTimes
		want   CPU
	}{
		{"first sample", nil, before, CPU{Absent, 0, 3}},
		{"no time passed", before, before, CPU{Absent, 0, 3}},
		{"one of two busy", before, cpuTimes{
			"cpu0": {User: 14, Idle: 100},
			"cpu1": {System: 10, Idle: 102, Iowait: 52},
		}, CPU{OK, 100, 2}},
		{"guest time is user time already", before, cpuTimes{
			"cpu0": {User: 14, Guest: 4, Idle: 104},
		}, CPU{OK, 50, 1}},
		{"a CPU came", before, cpuTimes{
			"cpu0": {User: 11, Idle: 103},
			"cpu7": {User: 9000, Idle: 1},
		}, CPU{OK, 50, 2}},
		{"iowait steps back", before, cpuTimes{
			"cpu1": {System: 12, Idle: 100, Iowait: 49},
		}, CPU{OK, 100, 1}},
		{"all were replaced", before, cpuTimes{"cpu9": {User: 1}}, CPU{Absent, 0, 1}},
	} {
		got := usage(test.before, test.now)
		if got.State != test.want.State || got.Count != test.want.Count || math.Abs(float64(got.Used-test.want.Used)) > 1e-9 {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

// Whatever the counters say, the use is between nothing and all of the CPUs.
func FuzzUsage(f *testing.F) {
	f.Add(10.0, 20.0, 11.0, 21.0)
	f.Add(10.0, 20.0, 9.0, 30.0)
	f.Fuzz(func(t *testing.T, user, idle, userNow, idleNow float64) {
		for _, seconds := range []float64{user, idle, userNow, idleNow} {
			if math.IsNaN(seconds) || seconds < 0 || seconds > 1e15 {
				return // no counter of the kernel
			}
		}
		got := usage(cpuTimes{"cpu0": {User: user, Idle: idle}}, cpuTimes{"cpu0": {User: userNow, Idle: idleNow}})
		if got.State == Failed || !(got.Used >= 0 && got.Used <= 100) {
			t.Errorf("%v %v to %v %v: %+v", user, idle, userNow, idleNow, got)
		}
	})
}

// A Sampler of this machine sees the CPU that the test itself burns.
func TestCPUUseOfThisMachine(t *testing.T) {
	s := &Sampler{Interval: time.Second}
	readings, _ := collect(t, s, 2, func(i int) {
		if i == 1 {
			for start := time.Now(); time.Since(start) < 250*time.Millisecond; {
			}
		}
	})
	first, second := readings[0].CPU, readings[1].CPU
	if first.State != Absent || second.State != OK {
		t.Fatalf("got %+v and %+v, want absent, then ok", first, second)
	}
	if most := quantity.Percent(100 * second.Count); second.Used <= 0 || second.Used > most {
		t.Errorf("used %v of %v while the test was busy", second.Used, most)
	}
}
