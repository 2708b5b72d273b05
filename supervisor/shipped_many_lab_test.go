//go:build lab

package supervisor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// many is how many experiments run at once, how many are configured, and within
// what time a new brainjar must have found all that run. An emulated machine gets
// fewer, and much time.
func many() (running, configured int, limit time.Duration) {
	if os.Getenv("BRAINJAR_LAB") == "vm" {
		return 40, 150, 30 * time.Second
	}
	return 300, 1000, time.Second
}

// A brainjar that comes back finds hundreds that run within a second, and holds no
// more open files for them.
func TestLongMany(t *testing.T) {
	running, configured, limit := many()
	state := t.TempDir()
	text := strings.NewReplacer("max_concurrent = 8", fmt.Sprintf("max_concurrent = %d", running), `memory_budget = "1G"`, `memory_budget = "16G"`,
		`stop_timeout = "2s"`, `stop_timeout = "30s"`). // a busy machine's recorders need their time
		Replace(shippedHead)
	for i := range configured {
		text += fmt.Sprintf("[experiments.e%04d]\ncommand = [\"/bin/sleep\", \"1h\"]\nsandbox = \"off\"\n", i)
	}
	alone := ship(t, t.TempDir(), shippedHead+"[experiments.none]\ncommand = [\"/bin/true\"]\nautostart = false\n")
	alone.ready()
	time.Sleep(2 * time.Second)
	none := alone.weigh()
	alone.drain(10 * time.Second)

	b := ship(t, state, text)
	all := fmt.Sprintf("%d of %d running, %d waiting, 0 failed", running, running, configured-running)
	b.await(all, 3*time.Minute, func() bool { return b.statusLine() == all })
	t.Logf("%d started in %v", running, time.Since(b.begun).Round(time.Millisecond))
	b.await("systemd runs them all", time.Minute, func() bool { return len(invocations(t)) == running })
	before := invocations(t)
	some := b.weigh()
	// Others may use the machine: then what counts is how long it took its CPUs.
	took, work := time.Hour, time.Hour
	for try := 0; try < 5 && took > limit && work > 2*limit; try++ {
		b.kill()
		systemd := cpuTime(t, 1)
		b = ship(t, state, text)
		took = b.ready()
		work = cpuTime(t, b.cmd.Process.Pid) + cpuTime(t, 1) - systemd
		t.Logf("%d of %d adopted, ready %v after the start of the process; CPU time of brainjar and systemd %v", running, configured, took.Round(time.Millisecond), work)
	}
	if took > limit && work > 2*limit {
		t.Errorf("READY=1 never came within %v, or within %v of CPU time", limit, 2*limit)
	}
	b.await(all, 30*time.Second, func() bool { return b.statusLine() == all })
	after := b.weigh()
	if now := invocations(t); len(now) != running || !slices.Equal(now, before) {
		t.Errorf("%d ran and %d run; the same invocations: %v", len(before), len(now), slices.Equal(now, before))
	}
	t.Logf("nothing runs: %v; %d run: %v; adopted: %v", none, running, some, after)
	for _, w := range []weight{some, after} {
		if w.files > none.files+10 {
			t.Errorf("%d open files, %d when nothing runs", w.files, none.files)
		}
	}
}

// invocations are those of all experiments that run, sorted.
func invocations(t *testing.T) []string {
	t.Helper()
	out, err := run("systemctl", "show", "--state=running", "-p", "InvocationID", "--value", "brainjar-e*.service")
	must(t, err)
	return slices.Sorted(slices.Values(strings.Fields(out)))
}

// weight is what a brainjar takes of the machine.
type weight struct {
	files    int // open
	resident float64
}

func (w weight) String() string {
	return fmt.Sprintf("%d open files, %.1f MB resident", w.files, w.resident)
}

func (b *shipped) weigh() weight {
	b.Helper()
	pid := b.cmd.Process.Pid
	files, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(pid), "fd"))
	must(b, err)
	return weight{len(files), residentMB(b, pid)}
}
