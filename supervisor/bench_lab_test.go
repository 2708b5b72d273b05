//go:build lab

package supervisor_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"brainjar/internal/quantity"
	"brainjar/supervisor"
	"brainjar/transient"
)

// What one experiment costs, beside the D-Bus calls that it needs anyway. It
// prints its own table: the figures are compared with each other, not with a
// clock, because machines differ.

const (
	benchRuns     = 200
	benchInFlight = 4
)

// benchTurns is how often both take their turn: BRAINJAR_BENCH_TURNS, or 3.
func benchTurns(b *testing.B) int {
	text := os.Getenv("BRAINJAR_BENCH_TURNS")
	if text == "" {
		return 3
	}
	turns, err := strconv.Atoi(text)
	if err != nil || turns < 1 {
		b.Fatalf("BRAINJAR_BENCH_TURNS is %q, which is no number of turns", text)
	}
	return turns
}

// BenchmarkThroughput runs `true` 200 times through brainjar, through a
// bare loop of the same calls, and through one of units with nothing but
// ExecStart, in turns.
func BenchmarkThroughput(b *testing.B) {
	recorder := benchRecorder(b)
	var ours, bare, least []float64
	turns := benchTurns(b)
	for range turns {
		quiet(b)
		ours = append(ours, benchShipped(b))
		quiet(b)
		bare = append(bare, benchBare(b, recorder, false))
		quiet(b)
		least = append(least, benchBare(b, recorder, true))
	}
	ratios := make([]float64, turns)
	for i := range ratios {
		ratios[i] = ours[i] / bare[i]
	}
	fmt.Printf("\n%d experiments `true`, %d in flight, median of %d turns:\n", benchRuns, benchInFlight, turns)
	fmt.Printf("  brainjar                     %6.1f /s\n", median(ours))
	fmt.Printf("  the same D-Bus calls, bare   %6.1f /s\n", median(bare))
	fmt.Printf("  nothing but ExecStart, bare  %6.1f /s\n", median(least))
	fmt.Printf("  ratio to the same calls      %6.2f   (of each turn: %.2f)\n", median(ratios), ratios)
	fmt.Printf("  record mode and sandbox cost %6.1f ms a run\n", 1000*(1/median(bare)-1/median(least)))
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(0, "ns/op")
}

// quiet waits until the machine has cleared away what the measurement before left to
// systemd, the journal and the kernel, which else is paid by the next one. On a machine
// that others keep busy it gives up.
func quiet(b *testing.B) {
	b.Helper()
	for range 40 {
		idle, all := processors(b)
		time.Sleep(250 * time.Millisecond)
		idleThen, allThen := processors(b)
		if float64(idleThen-idle) > 0.95*float64(allThen-all) {
			return
		}
	}
	b.Log("the machine is busy with something else")
}

// processors reads the first line of proc(5) stat, in ticks: what all processors were
// idle, and all of their time.
func processors(b *testing.B) (idle, all int) {
	b.Helper()
	stat, err := os.ReadFile("/proc/stat")
	must(b, err)
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, field := range strings.Fields(line)[1:] {
		ticks, err := strconv.Atoi(field)
		must(b, err)
		all += ticks
		if i == 3 || i == 4 { // idle, iowait
			idle += ticks
		}
	}
	return idle, all
}

// benchRecorder is the shipped binary, which is what records ends in earnest.
func benchRecorder(b *testing.B) []string {
	return []string{shippedBinary(b), "record"}
}

// benchShipped is what people run: with its ledger, its socket, and a board that it
// feels every second.
func benchShipped(b *testing.B) float64 {
	text := strings.NewReplacer("max_concurrent = 8", fmt.Sprintf("max_concurrent = %d", benchInFlight),
		`stop_timeout = "2s"`, `stop_timeout = "30s"`, // a busy machine's recorder needs its time
		`user = "nobody"`, "").Replace(heatHead)
	for i := range benchRuns {
		text += fmt.Sprintf("[experiments.e%03d]\ncommand = [\"/bin/true\"]\n", i)
	}
	s := ship(b, b.TempDir(), text, "--sysroot", newBoard(b).dir)
	s.ready()
	s.await("all have succeeded", 5*time.Minute, func() bool { return strings.Count(s.logged(), " succeeded  e") == benchRuns })
	took := time.Since(s.readyAt)
	s.drain(10 * time.Second)
	return benchRuns / took.Seconds()
}

func benchBare(b *testing.B, recorder []string, execStart bool) float64 {
	specs := make([]transient.Spec, benchRuns)
	var limit quantity.Bytes
	for i := range specs {
		specs[i] = transient.Spec{
			Experiment: fmt.Sprintf("bare%03d", i), Run: 1, Kind: transient.Service, Description: "bare",
			Command: []string{"/bin/true"}, DynamicUser: true,
			Limits:    transient.Limits{MemoryMax: 32 << 20, MemorySwapMax: &limit, TasksMax: 512, Implied: []string{"memory_swap_max"}},
			OpenFiles: 65536, Ready: transient.ReadyExec, StopSignal: syscall.SIGTERM, StopTimeout: 30 * time.Second,
			Sandbox: transient.SandboxDefault,
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	begin := time.Now()
	outcomes, err := transient.Bare(ctx, specs, filepath.Join(b.TempDir(), "ended"), recorder, benchInFlight, execStart)
	if err != nil || len(outcomes) != benchRuns {
		b.Fatalf("%d of %d ended: %v", len(outcomes), benchRuns, err)
	}
	return benchRuns / time.Since(begin).Seconds()
}

// BenchmarkDecision measures the time from the death of a process to the
// supervisor's decision about it.
func BenchmarkDecision(b *testing.B) {
	const experiments = 100
	dir := b.TempDir()
	text := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 200", 1)
	text = strings.Replace(text, `memory_budget = "1G"`, `memory_budget = "8G"`, 1)
	for i := range experiments {
		text += fmt.Sprintf("[experiments.e%03d]\ncommand = [\"/bin/sleep\", \"1h\"]\nrestart.policy = \"no\"\n", i)
	}
	cfg := (stage{TB: b, dir: dir}).parse(text)
	m := transient.New(transient.Options{RecordDir: filepath.Join(dir, "ended"), Recorder: benchRecorder(b)})
	changes := make(chan supervisor.Change, 16*experiments)
	s := supervisor.New(supervisor.Supervisor{
		Config: cfg, Units: m, House: m, Groups: m, Events: m.Events(), MemTotal: 64 << 30,
		Observe: func(c supervisor.Change) { changes <- c },
	})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	over := make(chan error, 2)
	go func() { over <- m.Run(ctx) }()
	go func() { over <- s.Run(ctx) }()
	await := func(phase supervisor.Phase) supervisor.Change {
		for {
			select {
			case c := <-changes:
				if c.To == phase {
					return c
				}
			case <-ctx.Done():
				b.Fatalf("nothing became %s in time", phase)
			}
		}
	}
	for range experiments {
		await(supervisor.Running)
	}
	all, err := s.Report(ctx)
	if err != nil {
		b.Fatal(err)
	}
	var delays []float64
	for _, e := range all.Experiments {
		begin := time.Now()
		if err := syscall.Kill(e.Unit.MainPID, syscall.SIGKILL); err != nil {
			b.Fatal(err)
		}
		delays = append(delays, float64(await(supervisor.Failed).At.Sub(begin).Microseconds())/1000)
	}
	slices.Sort(delays)
	fmt.Printf("\nfrom a process's end to brainjar's decision, %d ends: median %.1f ms, p99 %.1f ms\n",
		experiments, median(delays), delays[len(delays)*99/100])
	b.ReportMetric(median(delays), "ms")
	b.ReportMetric(0, "ns/op")
	s.Drain()
	<-over
	cancel()
	<-over
}

// BenchmarkIdle measures what brainjar itself costs while 0, 100 and 500
// experiments sleep, and it feels a board.
func BenchmarkIdle(b *testing.B) {
	fmt.Printf("\nbrainjar itself, while experiments sleep:\n")
	for _, n := range []int{0, 100, 500} {
		rss, cpu := benchIdle(b, n)
		fmt.Printf("  %3d experiments: %5.1f MB resident, %.2f %% of a CPU\n", n, rss, cpu)
		b.ReportMetric(rss, fmt.Sprintf("MB@%d", n))
	}
	b.ReportMetric(0, "ns/op")
}

func benchIdle(b *testing.B, n int) (megabytes, percent float64) {
	const window = 20 * time.Second
	text := "[supervisor]\nmax_concurrent = 1000\nmemory_budget = \"16G\"\n[memory]\nreserve = \"0M\"\n[defaults]\nmemory_max = \"16M\"\n"
	for i := range n {
		text += fmt.Sprintf("[experiments.e%03d]\ncommand = [\"/bin/sleep\", \"1h\"]\n", i)
	}
	s := ship(b, b.TempDir(), text, "--sysroot", newBoard(b).dir)
	s.await(fmt.Sprintf("%d run", n), 2*time.Minute, func() bool {
		time.Sleep(200 * time.Millisecond)
		return liveUnits(b) == n
	})
	time.Sleep(3 * time.Second) // what the starts left to do
	pid := s.cmd.Process.Pid
	before := cpuTime(b, pid)
	time.Sleep(window)
	used, resident := cpuTime(b, pid)-before, residentMB(b, pid)
	s.drain(2 * time.Minute)
	return resident, 100 * used.Seconds() / window.Seconds()
}

// liveUnits counts the units that run.
func liveUnits(b *testing.B) int {
	out, err := exec.Command("systemctl", "list-units", "--plain", "--no-legend", "--state=running", "brainjar-*.service").Output()
	if err != nil {
		b.Fatal(err)
	}
	return strings.Count(string(out), "\n")
}

// cpuTime reads utime and stime of proc(5) stat, in ticks of 10 ms.
func cpuTime(b testing.TB, pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func residentMB(b testing.TB, pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return float64(kb) / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
