package sensors

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brainjar/sensors/sensorstest"
)

// machine returns a Sampler of one of the boards in sensorstest.
func machine(tb testing.TB, name string) *Sampler {
	return &Sampler{FS: FS(sensorstest.Board(tb, name)), Disk: "testdata"}
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
	if got, want := sources(r), "cpu memory thermal cooling"; got != want || !r.EverHadZone {
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
	if _, err := machine(t, "agx-orin-jp5").Once(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context was cancelled", err)
	}
}

func TestRunRefusesNoInterval(t *testing.T) {
	if err := (&Sampler{}).Run(t.Context(), func(Reading) {}); err == nil {
		t.Error("sampled without an interval")
	}
}

func TestHottestMatchesWithoutCase(t *testing.T) {
	r := once(t, machine(t, "agx-orin-jp5"))
	pc := once(t, machine(t, "x86-desktop"))
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
