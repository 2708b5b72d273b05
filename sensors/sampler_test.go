package sensors

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// machine returns a Sampler of one of the machines in testdata.
func machine(name string) *Sampler {
	return &Sampler{FS: FS(filepath.Join("testdata", name)), Disk: "testdata", readFile: readFixture}
}

// readFixture reads a file; one that holds the name of an error fails with it.
func readFixture(path string) ([]byte, error) {
	value, err := readFile(path)
	switch strings.TrimSpace(string(value)) {
	case "EAGAIN":
		return nil, unix.EAGAIN
	case "ENODATA":
		return nil, unix.ENODATA
	}
	return value, err
}

// once takes one reading of a machine, and has patience with a busy one.
func once(t *testing.T, s *Sampler) Reading {
	t.Helper()
	s.SourceTimeout = time.Minute
	reading, err := s.Once(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return reading
}

// sources returns the names of what failed.
func sources(r Reading) string {
	var names []string
	for _, problem := range r.Problems {
		names = append(names, problem.Source)
	}
	return strings.Join(names, " ")
}

func TestMachines(t *testing.T) {
	for _, test := range []struct {
		machine  string
		zones    string // those that are ok, in order
		absent   int
		problems string
		hottest  string
		celsius  quantity.Celsius
		memory   Memory
		cpus     int
	}{{
		machine: "agx-orin-jp5",
		zones:   "CPU-therm SOC0-therm SOC1-therm SOC2-therm tj-therm Tdiode_tegra Tboard_tegra",
		absent:  4,
		hottest: "tj-therm", celsius: 41.656,
		memory: Memory{OK, 30 * quantity.GiB, 24 * quantity.GiB, 15 * quantity.GiB, 15 * quantity.GiB},
		cpus:   12,
	}, {
		machine: "orin-nano-jp6",
		zones:   "cpu-thermal gpu-thermal soc0-thermal soc1-thermal soc2-thermal tj-thermal",
		absent:  3,
		hottest: "soc1-thermal", celsius: 50.781, // as hot as tj-thermal, and before it
		memory: Memory{OK, 7620 * quantity.MiB, 2 * quantity.GiB, 3810 * quantity.MiB, 3 * quantity.GiB},
		cpus:   6,
	}, {
		machine:  "x86-desktop",
		zones:    "acpitz@thermal_zone0 acpitz@thermal_zone1 x86_pkg_temp",
		problems: "thermal_zone3",
		hottest:  "x86_pkg_temp", celsius: 46,
		memory: Memory{OK, 62.5 * 1024 * quantity.MiB, 48 * quantity.GiB, 0, 0},
		cpus:   16,
	}} {
		t.Run(test.machine, func(t *testing.T) {
			r := once(t, machine(test.machine))
			var names []string
			absent := 0
			for _, zone := range r.Zones {
				switch zone.State {
				case OK:
					names = append(names, zone.Name)
				case Absent:
					absent++
				case Failed: // named by the problems
				}
				if (zone.State == Failed) != (zone.Err != nil) {
					t.Errorf("%s is %v with error %v", zone.Name, zone.State, zone.Err)
				}
			}
			if got := strings.Join(names, " "); got != test.zones || absent != test.absent {
				t.Errorf("zones %q and %d absent, want %q and %d", got, absent, test.zones, test.absent)
			}
			if got := sources(r); got != test.problems {
				t.Errorf("problems of %q, want %q", got, test.problems)
			}
			if hottest, ok := r.Hottest([]string{"*"}); !ok || hottest.Name != test.hottest || hottest.Temperature != test.celsius {
				t.Errorf("hottest %q %v", hottest.Name, hottest.Temperature)
			}
			if r.Memory != test.memory {
				t.Errorf("memory %+v, want %+v", r.Memory, test.memory)
			}
			if r.CPU.State != Absent || r.CPU.Count != test.cpus {
				t.Errorf("first use of the CPUs is %+v, want absent and %d", r.CPU, test.cpus)
			}
			if r.Disk.State != OK || r.Disk.Total == 0 || r.Disk.Available > r.Disk.Total {
				t.Errorf("disk %+v", r.Disk)
			}
			if !r.EverHadZone {
				t.Error("the machine has zones, but never had one")
			}
		})
	}
}

// The machine that runs the test has memory and CPUs, whatever else.
func TestThisMachine(t *testing.T) {
	r := once(t, &Sampler{Disk: "/"})
	if r.Memory.State != OK || r.Disk.State != OK || r.CPU.Count == 0 {
		t.Errorf("got %+v", r)
	}
	if total, err := MemTotal(); total != r.Memory.Total || err != nil {
		t.Errorf("MemTotal is %v, %v; the reading says %v", total, err, r.Memory.Total)
	}
}

// A machine without any sensor has no zones and no heat, and says what it
// could not read. Nothing is 0 and ok.
func TestMachineWithNothing(t *testing.T) {
	r := once(t, &Sampler{FS: FS(t.TempDir()), Disk: "testdata/none"})
	if got, want := sources(r), "cpu memory disk"; got != want {
		t.Errorf("problems of %q, want %q", got, want)
	}
	if r.CPU.State != Failed || r.Memory.State != Failed || r.Disk.State != Failed {
		t.Errorf("got %+v", r)
	}
	if r.EverHadZone || len(r.Zones) > 0 {
		t.Errorf("found zones: %+v", r.Zones)
	}
	if zone, ok := r.Hottest([]string{"*"}); ok {
		t.Errorf("%v is the hottest of no zones", zone)
	}
}

// Where zones cannot even be looked for, the machine is blind: it may have
// some.
func TestZonesThatCannotBeListed(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "sys/class"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "sys/class/thermal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := once(t, &Sampler{FS: FS(root)})
	if got, want := sources(r), "cpu memory thermal"; got != want || !r.EverHadZone {
		t.Errorf("problems of %q, ever %v; want %q and true", got, r.EverHadZone, want)
	}
}

func TestMemoryThatMakesNoSense(t *testing.T) {
	for name, content := range map[string]string{
		"empty":           "",
		"garbage":         "\x00\xff: x\n",
		"no total":        "MemFree: 100 kB\nMemAvailable: 100 kB\n",
		"cut off":         "MemTotal: 1000 kB\n",
		"no number":       "MemTotal: many kB\n",
		"more than total": "MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 2000 kB\n",
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "proc"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "proc", "meminfo"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := FS(dir).memory(t.Context()); err == nil {
			t.Errorf("%s: was taken for %+v", name, m)
		}
	}
}

func TestOnceEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := machine("agx-orin-jp5").Once(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context was cancelled", err)
	}
}

func TestRunRefusesNoInterval(t *testing.T) {
	if err := (&Sampler{}).Run(t.Context(), func(Reading) {}); err == nil {
		t.Error("sampled without an interval")
	}
}

func TestHottestMatchesWithoutCase(t *testing.T) {
	r := once(t, machine("agx-orin-jp5"))
	pc := once(t, machine("x86-desktop"))
	twins := Reading{Zones: []Zone{
		{Type: "CPU-Therm", Path: "thermal_zone0", State: OK, Temperature: -5},
		{Type: "cpu-therm", Path: "thermal_zone1", State: OK, Temperature: -3},
	}}
	nameZones(twins.Zones)
	for _, test := range []struct {
		reading  Reading
		patterns []string
		want     string
	}{
		{r, []string{"*"}, "tj-therm"},
		{r, []string{"cpu-*"}, "CPU-therm"},
		{r, []string{"TJ-THERM"}, "tj-therm"},
		{r, []string{"soc?-therm"}, "SOC2-therm"},
		{r, []string{"tboard_*", "tdiode_*"}, "Tdiode_tegra"},
		{r, []string{"gpu-therm"}, ""}, // absent
		{r, []string{"none"}, ""},
		{r, []string{"["}, ""}, // malformed
		{r, nil, ""},
		{twins, []string{"CPU-THERM"}, "cpu-therm@thermal_zone1"},
		{twins, []string{"cpu-therm@*0"}, "CPU-Therm@thermal_zone0"},
		{Reading{Zones: twins.Zones[:1]}, []string{"cpu-therm"}, "CPU-Therm@thermal_zone0"},
		{pc, []string{"acpitz"}, "acpitz@thermal_zone1"},
		{pc, []string{"acpitz@thermal_zone0"}, "acpitz@thermal_zone0"},
	} {
		zone, ok := test.reading.Hottest(test.patterns)
		if zone.Name != test.want || ok != (test.want != "") {
			t.Errorf("%q: got %q %v, want %q", test.patterns, zone.Name, ok, test.want)
		}
	}
}

func BenchmarkRoundAGXOrin(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	sampling := machine("agx-orin-jp5").begin(ctx)
	b.ReportAllocs()
	for b.Loop() {
		r, _ := sampling.round(ctx)
		if len(r.Zones) != 11 {
			b.Fatalf("%d zones", len(r.Zones))
		}
	}
}
