package sensors

import (
	"context"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rounds makes a function that takes one reading of the board with the most
// sensors, all of which are there.
func rounds(tb testing.TB) func() {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	tb.Cleanup(cancel)
	s := machine(tb, "agx-orin-jp5")
	sampling := s.begin(ctx)
	sampling.timeout = time.Minute
	return func() {
		r, ok := sampling.round(ctx)
		if !ok || len(r.Zones) != 11 || len(r.Rails) != 4 || len(r.Problems) != 0 {
			tb.Fatalf("%d zones, %d rails, problems %v", len(r.Zones), len(r.Rails), r.Problems)
		}
	}
}

// A round allocates a bounded amount, the same in the thousandth as in the first:
// what is known of a machine does not grow with time.
func TestRoundsDoNotGrow(t *testing.T) {
	round := rounds(t)
	round()
	early := testing.AllocsPerRun(50, round)
	heap := liveHeap()
	goroutines := runtime.NumGoroutine()
	for range 500 {
		round()
	}
	late := testing.AllocsPerRun(50, round)
	if late > early*1.1 || early > 3000 {
		t.Errorf("%v allocations a round at first, %v later; 3000 are the most", early, late)
	}
	if grown := liveHeap() - heap; grown > 256<<10 {
		t.Errorf("500 rounds left %d bytes behind", grown)
	}
	if n := runtime.NumGoroutine(); n > goroutines+5 {
		t.Errorf("%d goroutines, were %d", n, goroutines)
	}
}

// liveHeap is how much memory is in use, in bytes.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// A round costs less than 5 ms of CPU: half of many do. An emulator, BRAINJAR_EMULATOR,
// makes rounds dear, and some of them very; there the cheapest counts.
func TestRoundIsCheap(t *testing.T) {
	round := rounds(t)
	costs := make([]time.Duration, 100)
	for i := range costs {
		before := cpuTime(t)
		round()
		costs[i] = cpuTime(t) - before
	}
	slices.Sort(costs)
	cost, most := costs[len(costs)/2], 5*time.Millisecond
	if os.Getenv("BRAINJAR_EMULATOR") != "" {
		cost, most = costs[0], 20*most
	}
	t.Logf("%v of CPU a round; of %d the cheapest %v, the dearest %v", cost, len(costs), costs[0], costs[len(costs)-1])
	if cost > most {
		t.Errorf("a round costs %v of CPU, %v are the most", cost, most)
	}
}

// cpuTime is what this process has used of the CPUs.
func cpuTime(tb testing.TB) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func BenchmarkRoundAGXOrin(b *testing.B) {
	round := rounds(b)
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		round()
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/1e6, "cpu-ms/op")
}
