package sensors

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
	"brainjar/sensors/sensorstest"
)

// spoil gives every file of a tree that matches a pattern another content; "" makes
// it vanish, "<fifo>" makes it hang.
func spoil(t *testing.T, fs FS, pattern, content string) {
	t.Helper()
	files, err := filepath.Glob(fs.path(pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing to spoil in %s: %v", pattern, err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		switch content {
		case "":
		case "<fifo>":
			err = unix.Mkfifo(file, 0o600)
		default:
			err = os.WriteFile(file, []byte(content+"\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// numbersOf are the values that a reading tells as numbers, by their place in its
// JSON: what is not among them was told as null, or not at all.
func numbersOf(t *testing.T, r Reading) map[string]float64 {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]float64)
	var walk func(place string, node any)
	walk = func(place string, node any) {
		switch n := node.(type) {
		case float64:
			found[place] = n
		case map[string]any:
			for key, child := range n {
				walk(place+"."+key, child)
			}
		case []any:
			for i, child := range n {
				walk(place+"."+string(rune('0'+i)), child)
			}
		}
	}
	walk("", tree)
	return found
}

// Whatever a file holds instead of its value, nothing else in the reading changes,
// what hung on the file is null and nowhere 0, and it is a problem if it ought to be.
func TestEverySourceFailsAlone(t *testing.T) {
	for _, test := range []struct {
		board, file string
		gone        []string // places that lose their number
		source      string   // that tells of it
	}{
		{"agx-orin-jp5", "sys/class/thermal/thermal_zone8/temp", []string{".zones.8.celsius"}, "thermal_zone8"},
		{"agx-orin-jp5", "sys/class/thermal/cooling_device4/cur_state", []string{".cooling.4.level"}, "cooling_device4"},
		{"agx-orin-jp5", "sys/class/hwmon/hwmon3/in1_input", []string{".rails.0.millivolts", ".rails.0.milliwatts", ".power.milliwatts"}, "hwmon3"},
		{"agx-orin-jp5", "sys/class/hwmon/hwmon4/curr2_input", []string{".rails.3.milliamps", ".rails.3.milliwatts", ".power.milliwatts"}, "hwmon4"},
		{"agx-orin-jp5", "sys/class/hwmon/hwmon2/pwm1", []string{".fans.1.duty_percent"}, "hwmon2"},
		{"agx-orin-jp5", "sys/class/hwmon/hwmon1/rpm", []string{".fans.0.rpm"}, "hwmon1"},
		{"agx-orin-jp5", "sys/class/hwmon/hwmon0/oc3_event_cnt", []string{".over_current.2.events"}, "hwmon0"},
		{"agx-orin-jp5", "sys/class/devfreq/17000000.ga10b/device/load", []string{".gpus.0.load_percent"}, "17000000.ga10b"},
		{"agx-orin-jp5", "sys/class/devfreq/17000000.ga10b/cur_freq", []string{".gpus.0.clock_hertz"}, "17000000.ga10b"},
		{"agx-orin-jp5", "sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq", []string{".cpu_clocks.1.clock_hertz"}, "policy4"},
		{"agx-orin-jp5", "sys/kernel/debug/bpmp/debug/clk/emc/rate", []string{".emc_hertz"}, "emc"},
		{"orin-nano-jp6", "sys/class/hwmon/hwmon1/in1_input", []string{".rails.0.millivolts", ".rails.0.milliwatts", ".power.milliwatts"}, "hwmon1"},
		{"thor-jp7", "sys/class/hwmon/hwmon5/power1_input", []string{".rails.3.milliwatts", ".power.milliwatts"}, "hwmon5"},
		{"x86-amd", "sys/class/hwmon/hwmon0/temp2_input", []string{".zones.0.celsius"}, "hwmon0"},
		{"x86-amd", "sys/class/hwmon/hwmon1/device/gpu_busy_percent", []string{".gpus.0.load_percent"}, "hwmon1"},
		{"x86-desktop", "proc/pressure/cpu", []string{".pressure.cpu.some_percent", ".pressure.cpu.full_percent"}, "pressure"},
	} {
		s := machine(t, test.board)
		s.Disk = ""
		sound := once(t, s)
		want := numbersOf(t, sound)
		for _, place := range test.gone {
			if _, was := want[place]; !was {
				t.Fatalf("%s %s: %s is no number of the sound board", test.board, test.file, place)
			}
			delete(want, place)
		}
		for content, failing := range map[string]bool{"garbage": true, "-99999999999999": true, "99999999999999999999": true, "EIO": true, "EACCES": true, "EAGAIN": false} {
			spoil(t, s.FS, test.file, content)
			r := once(t, s)
			got := numbersOf(t, r)
			if !reflect.DeepEqual(got, want) && !onlyIdle(test.file, content) {
				t.Errorf("%s: %s holds %s: %s", test.board, test.file, content, changed(got, want))
			}
			if told := strings.Contains(" "+sources(r)+" ", " "+test.source+" "); told != failing && !onlyIdle(test.file, content) {
				t.Errorf("%s: %s holds %s: problems of %q", test.board, test.file, content, sources(r))
			}
		}
	}
}

// changed tells where two maps differ.
func changed(got, want map[string]float64) string {
	var b strings.Builder
	for place, n := range got {
		if w, ok := want[place]; !ok || w != n {
			fmt.Fprintf(&b, "%s is %v, want %v (%v); ", place, n, w, ok)
		}
	}
	for place := range want {
		if _, ok := got[place]; !ok {
			fmt.Fprintf(&b, "%s is missing; ", place)
		}
	}
	return b.String()
}

// onlyIdle says whether a value is a driver's way to say that it does nothing, or,
// of a counter, just a number.
func onlyIdle(file, content string) bool {
	return content == "-99999999999999" && (strings.HasSuffix(file, "cur_state") || strings.HasSuffix(file, "event_cnt"))
}

// getStuck takes a round in which sources begin to hang. Those after it wait for
// the sound ones alone, however slow this machine is.
func getStuck(t *testing.T, s *sampling) {
	t.Helper()
	s.timeout = 300 * time.Millisecond
	s.round(t.Context())
	s.rest(t.Context(), time.After(300*time.Millisecond))
	s.timeout = 30 * time.Second
}

// Files that hang, all of a kind at once: the reading comes within the limit, the
// rest of it is there, and what hangs is failed.
func TestWholeKindsHang(t *testing.T) {
	for _, test := range []struct {
		pattern string
		lost    func(r Reading) bool
		sources int
	}{
		{"sys/class/hwmon/*/curr1_input", func(r Reading) bool {
			return r.Power.Power.State == Failed && len(r.Rails) == 4 && r.Rails[0].Power.State == Failed && r.Rails[2].Millivolts.State == Failed &&
				r.Rails[3].Power.State == OK // of the other chip, whose first channel is not connected and not read
		}, 1},
		{"sys/class/thermal/cooling_device*/cur_state", func(r Reading) bool { return len(r.Cooling) == 5 && r.Cooling[4].Level.State == Failed }, 5},
		{"sys/class/devfreq/*/cur_freq", func(r Reading) bool { return len(r.GPUs) == 1 && r.GPUs[0].Load.State == Failed }, 1},
		{"sys/devices/system/cpu/cpufreq/*/scaling_cur_freq", func(r Reading) bool { return len(r.CPUClocks) == 3 && r.CPUClocks[2].Clock.State == Failed }, 3},
		{"sys/devices/system/cpu/online", func(r Reading) bool { return r.OfflineCPUs.State == Failed }, 1},
		{"sys/kernel/debug/nvmap/iovmm/clients", func(r Reading) bool { return r.GPUMemory.State == Failed && len(r.GPUMemory.Clients) == 0 }, 1},
		{"sys/kernel/debug/bpmp/debug/clk/emc/rate", func(r Reading) bool { return r.EMC.State == Failed }, 1},
	} {
		s := machine(t, "agx-orin-jp5")
		s.Disk, s.SourceTimeout = "", 30*time.Second
		sampling := s.begin(t.Context())
		if r, ok := sampling.round(t.Context()); !ok || len(r.Problems) != 0 {
			t.Fatalf("%s: the sound board has problems: %v", test.pattern, r.Problems)
		}
		spoil(t, s.FS, test.pattern, "<fifo>")
		getStuck(t, sampling)
		for i := range 3 {
			r, ok := sampling.round(t.Context())
			if !ok || !test.lost(r) || len(r.Problems) != test.sources || r.Memory.State != OK || r.Board.SoC != Orin {
				t.Errorf("%s, round %d: problems %v", test.pattern, i, r.Problems)
			}
		}
	}
}

// A chip that hangs from the start has not even told what it is. The rest of the
// rails is then no total, and a machine that has no other thermometer is blind.
func TestChipsHangFromTheStart(t *testing.T) {
	for _, test := range []struct {
		board, pattern string
		rails          int
		power          BoardPower
	}{
		{"agx-orin-jp5", "sys/class/hwmon/hwmon3/in2_input", 1, BoardPower{Value[quantity.Milliwatts]{State: Failed}, sumOfRails}},
		{"agx-orin-jp5", "sys/class/hwmon/hwmon3/name", 1, BoardPower{Value[quantity.Milliwatts]{State: Failed}, sumOfRails}},
		{"orin-nano-jp6", "sys/class/hwmon/hwmon3/rpm", 3, BoardPower{known[quantity.Milliwatts](9250), "VDD_IN"}},
		{"orin-nano-jp6", "sys/class/hwmon/hwmon1/in1_input", 0, BoardPower{}},
		{"x86-amd", "sys/class/hwmon/hwmon?/temp1_input", 0, BoardPower{}},
	} {
		s := machine(t, test.board)
		spoil(t, s.FS, test.pattern, "<fifo>")
		sampling := s.begin(t.Context())
		getStuck(t, sampling)
		r, ok := sampling.round(t.Context())
		if !ok || r.Power != test.power || len(r.Rails) != test.rails || !r.EverHadZone || len(r.Problems) == 0 {
			t.Errorf("%s %s: power %+v of %d rails, ever a zone: %v, problems %v", test.board, test.pattern, r.Power, len(r.Rails), r.EverHadZone, r.Problems)
		}
	}
}

// Counters of over-current are compared from reading to reading.
func TestOverCurrentRecently(t *testing.T) {
	s := machine(t, "agx-orin-jp5")
	sampling := s.begin(t.Context())
	sampling.timeout = time.Minute
	for i, step := range []struct {
		oc3    string
		recent Value[int64]
	}{
		{"27390", Value[int64]{}}, {"27390", known[int64](0)}, {"27395", known[int64](5)},
		{"EIO", Value[int64]{}}, {"27400", Value[int64]{}}, {"27401", known[int64](1)}, {"3", Value[int64]{}},
	} {
		spoil(t, s.FS, "sys/class/hwmon/hwmon0/oc3_event_cnt", step.oc3)
		r, _ := sampling.round(t.Context())
		if got := r.OverCurrent[2].Recent; got != step.recent {
			t.Errorf("step %d: %+v recently, want %+v", i, got, step.recent)
		}
		if got := r.OverCurrent[0].Recent; i > 0 && got != known[int64](0) {
			t.Errorf("step %d: oc1 %+v recently", i, got)
		}
	}
}

// A GPU may get its clock only when it is used, and chips change their numbers.
func TestThingsAppearAndMove(t *testing.T) {
	s := machine(t, "agx-orin-jp5")
	sampling := s.begin(t.Context())
	sampling.timeout = time.Minute
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(s.FS.path(from), s.FS.path(to)); err != nil {
			t.Fatal(err)
		}
	}
	move("sys/class/devfreq", "sys/class/hidden")
	before, _ := sampling.round(t.Context())
	move("sys/class/hidden", "sys/class/devfreq")
	move("sys/class/hwmon/hwmon3", "sys/class/hwmon/hwmon9") // the first power monitor
	move("sys/class/hwmon/hwmon1", "sys/class/hwmon/hwmon3") // the tachometer in its place
	after, _ := sampling.round(t.Context())
	if len(before.GPUs) != 0 || len(after.GPUs) != 1 {
		t.Errorf("GPUs are %+v, then %+v", before.GPUs, after.GPUs)
	}
	if after.Power != before.Power || len(after.Rails) != 4 || len(after.Fans) != 2 || after.Fans[1].RPM != known[int64](1636) || len(after.Problems) != 0 {
		t.Errorf("power %+v, rails %+v, fans %+v, problems %v", after.Power, after.Rails, after.Fans, after.Problems)
	}
}

func TestThrottled(t *testing.T) {
	r := once(t, machine(t, "agx-orin-jp5"))
	if got := r.Throttled(); len(got) != 1 || got[0] != "oc3-throttle-alert" { // the fan turns too, and throttles nothing
		t.Errorf("throttled by %q", got)
	}
}

func TestBoardPower(t *testing.T) {
	rail := func(name string, state State, mW quantity.Milliwatts) Rail {
		return Rail{Name: name, Power: Value[quantity.Milliwatts]{state, mW}}
	}
	for _, test := range []struct {
		name  string
		rails []Rail
		want  BoardPower
	}{
		{"none", nil, BoardPower{}},
		{"input", []Rail{rail("VDD_SOC", OK, 5), rail("VDD_IN", OK, 9)}, BoardPower{known[quantity.Milliwatts](9), "VDD_IN"}},
		{"Thor's input", []Rail{rail("VDD_GPU", OK, -3), rail("VIN", OK, 9)}, BoardPower{known[quantity.Milliwatts](9), "VIN"}},
		{"input that failed is not guessed", []Rail{rail("VDD_SOC", OK, 5), rail("VDD_IN", Failed, 0)}, BoardPower{Value[quantity.Milliwatts]{State: Failed}, "VDD_IN"}},
		{"sum", []Rail{rail("A", OK, 5), rail("B", OK, 7)}, BoardPower{known[quantity.Milliwatts](12), "sum of rails"}},
		{"sum with one that is not measured", []Rail{rail("A", OK, 5), rail("B", Absent, 0)}, BoardPower{From: "sum of rails"}},
		{"sum with one that failed", []Rail{rail("A", OK, 5), rail("B", Failed, 0)}, BoardPower{Value[quantity.Milliwatts]{State: Failed}, "sum of rails"}},
	} {
		if got := boardPower(test.rails); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

// A tree that is no tree is refused; what it holds is not taken for empty.
func TestTreesAreChecked(t *testing.T) {
	for _, tree := range []string{"no file", "[a]\nb c", "[a]\nx = 1\n[a/x]\ny = 2"} {
		if err := sensorstest.Write(t.TempDir(), tree); err == nil {
			t.Errorf("%q was unpacked", tree)
		}
	}
	if err := sensorstest.Unpack(t.TempDir(), "abacus"); err == nil {
		t.Error("there is no such board")
	}
	if math.IsNaN(numbersOf(t, Reading{})[".cpu.count"]) {
		t.Error("a count is no number")
	}
}
