package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brainjar/sensors"
	"brainjar/sensors/sensorstest"
	"brainjar/supervisor"
)

const (
	gpuFile = "sys/class/devfreq/17000000.gpu/max_freq"                 // Hz
	cpuFile = "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq" // kHz
	gpuFree = "1020000000"
	gpuSlow = "612000000"
	cpuFree = "1728000"
	cpuSlow = "1036800"
)

// orin is a board whose clocks can be lowered.
type orin struct {
	testing.TB
	dir, path string
}

func newOrin(t *testing.T) orin {
	return orin{t, sensorstest.Board(t, "orin-nano-jp6"), filepath.Join(t.TempDir(), clocksName)}
}

// process is a brainjar that has just begun.
func (o orin) process() *clockCaps {
	return &clockCaps{fs: sensors.FS(o.dir), path: o.path, log: slog.New(slog.DiscardHandler)}
}

func (o orin) set(name, value string) {
	o.Helper()
	if err := os.WriteFile(filepath.Join(o.dir, name), []byte(value+"\n"), 0o600); err != nil {
		o.Fatal(err)
	}
}

func (o orin) want(when, gpu, cpu string) {
	o.Helper()
	for name, want := range map[string]string{gpuFile: gpu, cpuFile: cpu} {
		got, err := os.ReadFile(filepath.Join(o.dir, name))
		if err != nil || strings.TrimSpace(string(got)) != want {
			o.Errorf("%s: %s is %q, %v, want %s", when, name, got, err, want)
		}
	}
}

func (o orin) must(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

// Clocks are put back exactly, by whichever process comes, and caps do not add up.
func TestClocksOutliveBrainjar(t *testing.T) {
	o := newOrin(t)
	first := o.process()
	if n, err := first.Note(t.Context()); n != 2 || err != nil {
		t.Fatalf("%d clocks, %v", n, err)
	}
	o.must(first.Cap(t.Context(), 0.6))
	o.want("capped", gpuSlow, cpuSlow)
	second := o.process()
	o.must(second.Cap(t.Context(), 0.6))
	o.want("capped again", gpuSlow, cpuSlow)
	third := o.process()
	o.must(third.Restore(t.Context()))
	o.want("restored", gpuFree, cpuFree)
	if _, err := os.Stat(o.path); !os.IsNotExist(err) {
		t.Errorf("the file stays: %v", err)
	}
	o.set(gpuFile, "408000000")
	o.must(third.Restore(t.Context()))
	o.want("nothing is to be restored", "408000000", cpuFree)
}

// What the kernel's own cooling shows in the heat is not what is put back, and what
// is lower already stays.
func TestClocksThatOthersLower(t *testing.T) {
	o := newOrin(t)
	c := o.process()
	if _, err := c.Note(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.set(cpuFile, "1420800") // by the kernel, which cools
	o.set(gpuFile, "306000000")
	o.must(c.Cap(t.Context(), 0.6))
	o.want("capped", "306000000", cpuSlow)
	o.must(c.Restore(t.Context()))
	o.want("restored", "306000000", cpuFree)

	o.set(gpuFile, gpuFree)
	o.must(c.Cap(t.Context(), 0.6))
	o.set(gpuFile, "408000000") // by a power mode
	if err := c.Restore(t.Context()); err == nil || !strings.Contains(err.Error(), "17000000.gpu") {
		t.Errorf("restored what somebody else holds: %v", err)
	}
	o.want("one is still to be restored", "408000000", cpuFree)
	o.set(gpuFile, gpuSlow)
	o.must(o.process().Restore(t.Context()))
	o.want("restored at last", gpuFree, cpuFree)
}

// No clock is lowered that is not written down, and a file that makes no sense is in
// the way only once.
func TestClocksAreWrittenDownFirst(t *testing.T) {
	o := newOrin(t)
	o.path = filepath.Join(o.dir, "missing", clocksName)
	if err := o.process().Cap(t.Context(), 0.6); err == nil {
		t.Error("no error where nothing can be written down")
	}
	o.want("not written down", gpuFree, cpuFree)
	o.path = filepath.Join(t.TempDir(), clocksName)
	o.must(os.WriteFile(o.path, []byte(`[{"clock":`), 0o600))
	c := o.process()
	if err := c.Restore(t.Context()); err == nil {
		t.Error("no error for a file that makes no sense")
	}
	o.must(c.Restore(t.Context()))
	o.must(c.Cap(t.Context(), 0.6))
	o.want("capped", gpuSlow, cpuSlow)
}

// What is done against heat is read as it was written.
func TestHeatRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), heatName)
	var none supervisor.HeatRecord
	if err := readJSON(path, &none); err != nil || none.Stage != supervisor.Cool {
		t.Errorf("of no file: %+v, %v", none, err)
	}
	want := supervisor.HeatRecord{Stage: supervisor.Freeze2, Stop: true, Frozen: []string{"0a", "1b"}}
	if err := writeJSON(path, want); err != nil {
		t.Fatal(err)
	}
	var got supervisor.HeatRecord
	if err := readJSON(path, &got); err != nil || got.Stage != want.Stage || !got.Stop || len(got.Frozen) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte(`{"stage":"boiling"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := readJSON(path, &got); err == nil {
		t.Errorf("read %+v", got)
	}
}
