//go:build lab

package supervisor_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"brainjar/sensors/sensorstest"
)

// heatHead is what the configuration of a brainjar begins with that feels a board of
// the test's own.
var heatHead = strings.Replace(shippedHead, "enabled = false", "zones = [\"tj-*\"]\nclocks = true", 1)

// burners are four experiments that burn CPU and save their work when they are told
// to, and one that comes and goes.
func burners() string {
	text := heatHead
	for i := range 4 {
		text += fmt.Sprintf("[experiments.burn%d]\ncommand = [\"/bin/sh\", \"-c\", \"trap 'exit 7' USR1; while :; do :; done\"]\ncheckpoint_signal = \"SIGUSR1\"\n", i)
	}
	return text + "[experiments.loops]\ncommand = [\"/bin/sleep\", \"0.3\"]\nrestart.policy = \"always\"\n"
}

// board is the board that brainjar feels: an Orin with one CPU, so that quotas show
// also where others use the machine, and with the memory of this machine.
type board struct {
	testing.TB
	dir string
}

func newBoard(t testing.TB) board {
	t.Helper()
	b := board{t, sensorstest.Board(t, "orin-nano-jp6")}
	text, err := os.ReadFile("/proc/meminfo")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(b.dir, "proc/meminfo"), text, 0o600))
	must(t, os.WriteFile(filepath.Join(b.dir, "proc/stat"), []byte("cpu  1 0 1 1 0 0 0 0 0 0\ncpu0 1 0 1 1 0 0 0 0 0 0\nbtime 1700000000\n"), 0o600))
	b.heat(60)
	return b
}

// heat sets the temperature of the junction.
func (b board) heat(celsius int) {
	b.Helper()
	path := filepath.Join(b.dir, "sys/class/thermal/thermal_zone8/temp")
	must(b, os.WriteFile(path+".new", fmt.Appendln(nil, celsius*1000), 0o600))
	must(b, os.Rename(path+".new", path))
}

// clocks are the ceilings of the GPU, in Hz, and of the CPUs, in kHz.
func (b board) clocks() string {
	b.Helper()
	var all []string
	for _, name := range []string{"sys/class/devfreq/17000000.gpu/max_freq", "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"} {
		text, err := os.ReadFile(filepath.Join(b.dir, name))
		must(b, err)
		all = append(all, strings.TrimSpace(string(text)))
	}
	return strings.Join(all, " ")
}

const freeClocks, slowClocks = "1020000000 1728000", "612000000 1036800"

// sliceFile is a file of the slice's control group, in whichever hierarchy has it.
func sliceFile(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		for _, root := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/unified/", "/sys/fs/cgroup/*/"} {
			if found, _ := filepath.Glob(root + "brainjar.slice/" + name); len(found) > 0 {
				text, err := os.ReadFile(found[0])
				must(t, err)
				return strings.TrimSpace(string(text))
			}
		}
	}
	t.Fatalf("the slice has none of %v", names)
	return ""
}

// sliceQuota is the quota of the slice in CPUs, as the kernel has it; 0: none.
func sliceQuota(t testing.TB) float64 {
	t.Helper()
	quota, period, both := strings.Cut(sliceFile(t, "cpu.max", "cpu.cfs_quota_us"), " ")
	if !both {
		period = sliceFile(t, "cpu.cfs_period_us")
	}
	q, err := strconv.ParseFloat(quota, 64)
	if err != nil || q < 0 {
		return 0
	}
	p, err := strconv.ParseFloat(period, 64)
	must(t, err)
	return q / p
}

// sliceCPU is the CPU time of all experiments so far, in seconds.
func sliceCPU(t testing.TB) float64 {
	t.Helper()
	var usec float64
	_, err := fmt.Sscanf(sliceFile(t, "cpu.stat"), "usage_usec %f", &usec)
	must(t, err)
	return usec / 1e6
}

// burn is how many CPUs the experiments use, over a while.
func burn(t testing.TB, while time.Duration) float64 {
	t.Helper()
	before, begin := sliceCPU(t), time.Now()
	time.Sleep(while)
	return (sliceCPU(t) - before) / time.Since(begin).Seconds()
}

// stage waits until the governor is at a stage that begins so.
func (b *shipped) stage(name string) {
	b.Helper()
	b.await("stage "+name, 30*time.Second, func() bool {
		log := b.logged()
		at := strings.LastIndex(log, " stage=")
		return at >= 0 && strings.HasPrefix(strings.Trim(log[at+len(" stage="):], "\""), name)
	})
}

// A night in which it becomes too hot, and cool again: 60, 76, 80, 86, 60 °C.
func TestLongHeat(t *testing.T) {
	orin, state := newBoard(t), t.TempDir()
	b := ship(t, state, burners(), "--sysroot", orin.dir)
	b.ready()
	b.await("all run", 20*time.Second, func() bool { return strings.Count(b.logged(), " running    burn") == 4 })
	var base float64
	b.await("the machine has time for them", time.Minute, func() bool {
		base = burn(t, 3*time.Second)
		return base > 0.2
	})
	t.Logf("cool: %.2f CPUs", base)
	held := 0
	for _, s := range []struct {
		name           string
		celsius        int
		quota, running float64 // of the CPUs; of the time
	}{
		{"hold", 76, 0, 1}, {"clocks", 76, 0, 1}, {"quota 75 %", 76, 0.75, 1}, {"quota 50 %", 80, 0.5, 1}, {"quota 25 %", 80, 0.25, 1},
		{"freeze 1/4", 80, 0.25, 0.75}, {"freeze 2/4", 80, 0.25, 0.5}, {"freeze 3/4", 80, 0.25, 0.25},
	} {
		orin.heat(s.celsius)
		b.stage(s.name)
		orin.heat(72)
		clocks := map[bool]string{true: freeClocks, false: slowClocks}[s.name == "hold"]
		b.await(fmt.Sprintf("%s is in force", s.name), 5*time.Second, func() bool {
			return math.Abs(sliceQuota(t)-s.quota) < 0.01 && orin.clocks() == clocks
		})
		got := burn(t, 4*time.Second)
		if most := s.quota * s.running; s.quota > 0 && got > most*1.2+0.03 {
			t.Errorf("%s: they use %.2f CPUs, at most %.2f are theirs", s.name, got, most)
		}
		t.Logf("%s: %.2f CPUs", s.name, got)
		if s.name == "hold" {
			held = len(b.history(state, "loops"))
		}
	}
	if n := len(b.history(state, "loops")); n != held || !strings.Contains(b.logged(), "waiting    loops") {
		t.Errorf("loops had %d runs when starts were held, and has %d", held, n)
	}
	if n := strings.Count(b.logged(), " frozen "); n > 0 {
		t.Errorf("%d changes of a phase were told", n)
	}
	orin.heat(86)
	begin := time.Now()
	b.await("all are stopped", 10*time.Second, func() bool { return strings.Count(b.logged(), " queued     burn") == 4 })
	took := time.Since(begin)
	if limit := stretched(2*time.Second + 2*time.Second); took > limit { // two intervals, and what a stop may take
		t.Errorf("all stopped after %v", took)
	}
	t.Logf("at 86 °C all had stopped after %v: %s", took.Round(time.Millisecond), b.statusLine())
	for i := range 4 {
		runs := b.whole(state, fmt.Sprintf("burn%d", i))
		if len(runs) != 1 || *runs[0].Result != "heat" || runs[0].ExitCode == nil || *runs[0].ExitCode != 7 {
			t.Errorf("burn%d had not saved its work: %+v", i, runs)
		}
	}
	orin.heat(60)
	b.stage("cool")
	b.await("all run again", 20*time.Second, func() bool { return strings.Count(b.logged(), " running    burn") == 8 })
	b.await("so does what comes and goes", 20*time.Second, func() bool { return len(b.history(state, "loops")) > held+1 })
	if got, clocks := sliceQuota(t), orin.clocks(); got != 0 || clocks != freeClocks {
		t.Errorf("a quota of %.2f CPUs is left, clocks %s", got, clocks)
	}
	t.Logf("cool again: %.2f CPUs", burn(t, 3*time.Second))
	out, err := run(shippedBinary(t), "events", "-n", "1000")
	if err != nil || !strings.Contains(out, "quota 25 %: tj-thermal 80.0 °C") || !strings.Contains(out, "stop: tj-thermal 86.0 °C") {
		t.Errorf("the events do not tell it: %v\n%s", err, out)
	}
	b.drain(20 * time.Second)
}

// A brainjar that is killed in the heat leaves the machine cooled, and its
// experiments to the next one, which goes on cooling, or undoes it if it is cool.
func TestLongHeatKilled(t *testing.T) {
	orin, state := newBoard(t), t.TempDir()
	b := ship(t, state, burners(), "--sysroot", orin.dir)
	b.ready()
	b.await("all run", 20*time.Second, func() bool { return strings.Count(b.logged(), " running    burn") == 4 })
	before := burnerInvocations(t)
	for _, s := range []struct {
		until string
		then  int // °C
		quota float64
	}{{"quota 50 %", 80, 0.5}, {"freeze 2/4", 80, 0.25}, {"quota 50 %", 60, 0.5}, {"freeze 3/4", 60, 0.25}} {
		orin.heat(80)
		b.stage(s.until)
		orin.heat(72)
		b.await("quota and clocks are in force", 10*time.Second, func() bool {
			return math.Abs(sliceQuota(t)-s.quota) < 0.01 && orin.clocks() == slowClocks
		})
		if strings.HasPrefix(s.until, "freeze") {
			b.await("they are frozen", 10*time.Second, func() bool { return stoppedBurners(t) == 4 })
		}
		b.kill()
		orin.heat(s.then)
		b = ship(t, state, burners(), "--sysroot", orin.dir)
		b.ready()
		if s.then > 75 {
			for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				if got := sliceQuota(t); got == 0 || got > s.quota+0.01 || orin.clocks() != slowClocks {
					t.Fatalf("killed at %s, and still hot: quota %.2f, clocks %s", s.until, got, orin.clocks())
				}
			}
			b.stage("freeze")
			orin.heat(60)
		}
		b.stage("cool")
		b.await("all is undone", 10*time.Second, func() bool {
			return sliceQuota(t) == 0 && orin.clocks() == freeClocks && stoppedBurners(t) == 0
		})
		time.Sleep(2 * time.Second) // a cycle of turns
		if n := stoppedBurners(t); n > 0 {
			t.Errorf("killed at %s: %d are frozen when it is cool", s.until, n)
		}
	}
	if after := burnerInvocations(t); after != before {
		t.Errorf("they ran as\n%s\nand run as\n%s", before, after)
	}
	b.drain(20 * time.Second)
}

func burnerInvocations(t *testing.T) string {
	t.Helper()
	out, err := run("systemctl", "show", "--state=running", "-p", "InvocationID", "--value", "brainjar-burn*.service")
	must(t, err)
	return strings.Join(slices.Sorted(slices.Values(strings.Fields(out))), " ")
}

// stoppedBurners counts the experiments whose processes do not get the CPU, by the
// kernel's freezer or by SIGSTOP.
func stoppedBurners(t *testing.T) (n int) {
	t.Helper()
	for i := range 4 {
		unit := fmt.Sprintf("brainjar-burn%d.service/", i)
		if strings.Contains(sliceFile(t, unit+"cgroup.events"), "frozen 1") {
			n++
			continue
		}
		pid, _, _ := strings.Cut(sliceFile(t, unit+"cgroup.procs"), "\n")
		stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
		must(t, err)
		if _, after, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(after, "T") {
			n++
		}
	}
	return n
}
