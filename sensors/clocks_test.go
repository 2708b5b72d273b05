package sensors

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
	"brainjar/sensors/sensorstest"
)

const (
	gpuCeiling = "sys/class/devfreq/17000000.ga10b/max_freq"
	cpuCeiling = "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"
)

// ceilings is what a tree's ceilings hold, as numbers.
func ceilings(t *testing.T, fs FS, files ...string) []string {
	t.Helper()
	var all []string
	for _, name := range files {
		content, err := os.ReadFile(fs.path(name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimSpace(string(content)))
	}
	return all
}

// set writes a file of a tree, as somebody else would.
func set(t *testing.T, fs FS, name, value string) {
	t.Helper()
	if err := os.WriteFile(fs.path(name), []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func clocksOf(t *testing.T, fs FS) []Clock {
	t.Helper()
	clocks, err := fs.Clocks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return clocks
}

func TestClocks(t *testing.T) {
	for board, want := range map[string]string{
		"agx-orin-jp5":   "17000000.ga10b 306 MHz 1.30 GHz 11, policy0 115 MHz 2.20 GHz 29, policy4 115 MHz 2.20 GHz 29, policy8 115 MHz 2.20 GHz 29",
		"orin-nano-jp6":  "17000000.gpu 306 MHz 1.02 GHz 8, policy0 115 MHz 1.73 GHz 22", // policy4 is off
		"thor-jp7":       "gpu-gpc-0 315 MHz 1.57 GHz 6, policy0 54 MHz 2.60 GHz 0",
		"x86-desktop":    "policy0 800 MHz 5.40 GHz 0",
		"raspberry-pi-5": "policy0 1.50 GHz 2.40 GHz 10",
		"nothing":        "",
	} {
		var got []string
		for _, c := range clocksOf(t, FS(sensorstest.Board(t, board))) {
			got = append(got, c.Name+" "+c.Least.String()+" "+c.Max.String()+" "+strconv.Itoa(len(c.Steps)))
			if isGPU := strings.HasPrefix(c.File, "sys/class/devfreq/"); isGPU != c.GPU {
				t.Errorf("%s: %s is a GPU's: %v", board, c.Name, c.GPU)
			}
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: clocks\n%s\nwant\n%s", board, strings.Join(got, ", "), want)
		}
	}
}

func TestPlanCaps(t *testing.T) {
	const MHz = quantity.Hertz(1e6)
	gpu := Clock{Name: "gpu", File: gpuCeiling, GPU: true, Min: 300 * MHz, Max: 1300 * MHz, Least: 300 * MHz, Steps: []quantity.Hertz{300 * MHz, 600 * MHz, 900 * MHz, 1300 * MHz}}
	cpu := Clock{Name: "cpu", File: cpuCeiling, Min: 800 * MHz, Max: 2000 * MHz, Least: 800 * MHz}
	capped := func(c Clock, now quantity.Hertz) Clock { c.Max = now; return c }
	held := []Cap{{"gpu", gpuCeiling, 1300 * MHz, 900 * MHz}}
	for _, test := range []struct {
		name  string
		clock Clock
		held  []Cap
		share float64
		want  []Cap
	}{
		{"to the step below", gpu, nil, 0.75, []Cap{{"gpu", gpuCeiling, 1300 * MHz, 900 * MHz}}},
		{"to a step exactly", gpu, nil, 900.0 / 1300, []Cap{{"gpu", gpuCeiling, 1300 * MHz, 900 * MHz}}},
		{"not below the slowest", gpu, nil, 0.1, []Cap{{"gpu", gpuCeiling, 1300 * MHz, 300 * MHz}}},
		{"without steps", cpu, nil, 0.75, []Cap{{"cpu", cpuCeiling, 2000 * MHz, 1500 * MHz}}},
		{"not below the slowest, without steps", cpu, nil, 0.1, []Cap{{"cpu", cpuCeiling, 2000 * MHz, 800 * MHz}}},
		{"nothing to give", capped(cpu, 800*MHz), nil, 0.5, nil},
		{"from cap to cap", capped(gpu, 900*MHz), held, 0.5, []Cap{{"gpu", gpuCeiling, 1300 * MHz, 600 * MHz}}},
		{"and back up", capped(gpu, 900*MHz), held, 0.9, []Cap{{"gpu", gpuCeiling, 1300 * MHz, 900 * MHz}}},
		{"rounded by the driver", capped(gpu, 899*MHz), held, 0.5, []Cap{{"gpu", gpuCeiling, 1300 * MHz, 600 * MHz}}},
		{"somebody raised it", capped(gpu, 1000*MHz), held, 0.95, []Cap{{"gpu", gpuCeiling, 1000 * MHz, 900 * MHz}}},
		{"somebody lowered it", capped(gpu, 600*MHz), held, 0.9, []Cap{{"gpu", gpuCeiling, 600 * MHz, 300 * MHz}}},
		{"held by another clock's cap", cpu, held, 0.5, []Cap{{"cpu", cpuCeiling, 2000 * MHz, 1000 * MHz}}},
	} {
		if got := PlanCaps([]Clock{test.clock}, test.held, test.share); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

// Caps are set in steps, written down, and put back by a later process, exactly.
func TestCapsAreRestored(t *testing.T) {
	fs := FS(sensorstest.Board(t, "agx-orin-jp5"))
	before := ceilings(t, fs, gpuCeiling, cpuCeiling)
	var written []byte
	var held []Cap
	for _, step := range []struct {
		share float64
		want  []string
	}{
		{0.75, []string{"918000000", "1651200"}},
		{0.5, []string{"612000000", "1036800"}},
		{0.01, []string{"306000000", "115200"}},
		{0.75, []string{"918000000", "1651200"}},
	} {
		held = PlanCaps(clocksOf(t, fs), held, step.share)
		var err error
		if written, err = json.Marshal(held); err != nil {
			t.Fatal(err)
		}
		if err := fs.ApplyCaps(t.Context(), held); err != nil {
			t.Fatal(err)
		}
		if got := ceilings(t, fs, gpuCeiling, cpuCeiling); !reflect.DeepEqual(got, step.want) {
			t.Errorf("at %v ceilings are %q, want %q", step.share, got, step.want)
		}
	}
	var remembered []Cap
	if err := json.Unmarshal(written, &remembered); err != nil {
		t.Fatal(err)
	}
	if left, err := fs.RestoreCaps(t.Context(), remembered); err != nil || len(left) > 0 {
		t.Errorf("left are %+v, %v", left, err)
	}
	if got := ceilings(t, fs, gpuCeiling, cpuCeiling); !reflect.DeepEqual(got, before) {
		t.Errorf("ceilings are %q afterwards, were %q", got, before)
	}
}

func TestRestoreLeavesWhatIsNotOurs(t *testing.T) {
	for _, test := range []struct {
		name string
		now  string
		want string
		left int
	}{
		{"our cap", "918000000", "1300500000", 0},
		{"our cap, rounded by the driver", "917999000", "1300500000", 0},
		{"planned, but brainjar died before", "1300500000", "1300500000", 0},
		{"a power mode that allows more", "1020000000", "1020000000", 0},
		{"the kernel cools", "510000000", "510000000", 1},
		{"garbage", "fast", "fast", 1},
	} {
		fs := FS(sensorstest.Board(t, "agx-orin-jp5"))
		set(t, fs, gpuCeiling, test.now)
		left, err := fs.RestoreCaps(t.Context(), []Cap{{"gpu", gpuCeiling, 1300500000, 918000000}})
		if got := ceilings(t, fs, gpuCeiling)[0]; got != test.want || len(left) != test.left || (err != nil) != (test.left > 0) {
			t.Errorf("%s: the ceiling is %s, left %+v, %v; want %s and %d left", test.name, got, left, err, test.want, test.left)
		}
	}
}

// A driver that takes the write and not the value, and one whose file is gone.
func TestCapsThatDoNotHold(t *testing.T) {
	fs := FS(sensorstest.Tree(t, "[sys/class/devfreq/x]\nmax_freq -> /dev/full\n[sys/class/devfreq/y]\nmax_freq -> /dev/null\n"))
	limit := func(name string) Cap { return Cap{name, "sys/class/devfreq/" + name + "/max_freq", 1300e6, 900e6} }
	err := fs.ApplyCaps(t.Context(), []Cap{limit("x"), limit("y"), limit("z")})
	for _, want := range []string{"cannot cap x: cannot write", "cannot cap y: it rises", "cannot cap z: cannot open"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q in it", err, want)
		}
	}
	if left, err := fs.RestoreCaps(t.Context(), []Cap{limit("z")}); len(left) != 1 || !errors.Is(err, unix.ENOENT) {
		t.Errorf("left are %v, %v", left, err)
	}
}

// What comes back from where caps were written down writes no other file.
func TestCapsWriteNothingElse(t *testing.T) {
	fs := FS(sensorstest.Board(t, "agx-orin-jp5"))
	for _, file := range []string{"etc/nvpmodel.conf", "../x/max_freq", "sys/class/devfreq/../../../max_freq", "/etc/passwd", ""} {
		forged := []Cap{{"gpu", file, 2e9, 1e9}}
		if err := fs.ApplyCaps(t.Context(), forged); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%q was written: %v", file, err)
		}
		if _, err := fs.RestoreCaps(t.Context(), forged); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%q was read: %v", file, err)
		}
	}
}

// A driver that hangs is given up, and while it hangs no second write follows.
func TestHungCeiling(t *testing.T) {
	fs := FS(sensorstest.Tree(t, "[sys/class/devfreq/x]\nmax_freq = <fifo>\n"))
	hung := []Cap{{"x", "sys/class/devfreq/x/max_freq", 2e9, 1e9}}
	for i := range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := fs.ApplyCaps(ctx, hung)
		left, errRestore := fs.RestoreCaps(ctx, hung)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errStuck) != (i == 1) {
			t.Errorf("call %d: %v", i, err)
		}
		if !errors.Is(errRestore, errStuck) || len(left) != 1 {
			t.Errorf("call %d: left are %v, %v", i, left, errRestore)
		}
	}
	// The read of the ceiling that follows is released too.
	path := filepath.Join(string(fs), "sys/class/devfreq/x/max_freq")
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := clockGate.do(t.Context(), func() {}); err != nil {
		t.Errorf("the gate stays shut: %v", err)
	}
}

// A driver that does not answer keeps nobody for ever who wants to know the clocks.
func TestHungClock(t *testing.T) {
	fs := FS(sensorstest.Tree(t, "[sys/class/devfreq/gpu-gpc-0]\nmax_freq = <fifo>\nmin_freq = 5\n"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if clocks, err := fs.Clocks(ctx); !errors.Is(err, context.DeadlineExceeded) || clocks != nil {
		t.Errorf("%+v, %v", clocks, err)
	}
	path := filepath.Join(string(fs), "sys/class/devfreq/gpu-gpc-0/max_freq")
	if err := os.WriteFile(path, []byte("7\n"), 0o600); err != nil { // which the read was waiting for
		t.Fatal(err)
	}
	if err := clockGate.do(t.Context(), func() {}); err != nil {
		t.Errorf("the gate stays shut: %v", err)
	}
}

func TestPinned(t *testing.T) {
	fs := FS(sensorstest.Board(t, "agx-orin-jp5"))
	if clocks := clocksOf(t, fs); Pinned(clocks) || Pinned(nil) {
		t.Errorf("pinned: %+v", clocks)
	}
	for _, c := range clocksOf(t, fs) {
		set(t, fs, strings.NewReplacer("max_freq", "min_freq").Replace(c.File), ceilings(t, fs, c.File)[0])
	}
	if clocks := clocksOf(t, fs); !Pinned(clocks) {
		t.Errorf("as jetson_clocks leaves them: %+v", clocks)
	}
}

func FuzzParseSteps(f *testing.F) {
	f.Add("306000000 408000000 510000000 ", int64(1))
	f.Add("2400000 1500000", int64(1000))
	f.Add("1e9 -5", int64(1))
	f.Fuzz(func(t *testing.T, text string, unit int64) {
		if unit != 1 {
			unit = 1000
		}
		var before quantity.Hertz
		for _, step := range parseSteps(text, unit) {
			if step <= before || step > mostHertz {
				t.Errorf("%q has the step %d behind %d", text, step, before)
			}
			before = step
		}
	})
}
