package sensors

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/sensors/sensorstest"
)

// collect runs a sampler for n readings and returns them with the fake times
// at which they came, counted from the start.
func collect(t *testing.T, s *Sampler, n int, each func(i int)) ([]Reading, []time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start := time.Now()
	var readings []Reading
	var times []time.Duration
	err := s.Run(ctx, func(r Reading) {
		readings, times = append(readings, r), append(times, time.Since(start))
		if each != nil {
			each(len(readings))
		}
		if len(readings) == n {
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return readings, times
}

// zone returns the zone of a type.
func zone(t *testing.T, r Reading, kind string) Zone {
	t.Helper()
	for _, z := range r.Zones {
		if z.Type == kind {
			return z
		}
	}
	t.Fatalf("no zone %s in %+v", kind, r.Zones)
	return Zone{}
}

// One zone hangs for four intervals, in the second reading: the other zones
// are read in each interval, the hung one is failed and asked by one goroutine
// only, and it comes back.
func TestHungZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := filepath.FromSlash("thermal_zone8/temp")
		release := make(chan struct{})
		var calls, inside, most atomic.Int32
		var log bytes.Buffer
		s := machine(t, "agx-orin-jp5")
		s.Interval, s.Log = 2*time.Second, slog.New(slog.NewTextHandler(&log, nil))
		s.readFile = func(path string) ([]byte, error) {
			if strings.HasSuffix(path, hung) && calls.Add(1) > 1 {
				most.Store(max(most.Load(), inside.Add(1)))
				<-release
				inside.Add(-1)
			}
			return readCaptured(path)
		}
		readings, times := collect(t, s, 8, func(i int) {
			if i == 5 {
				close(release)
			}
		})
		// Only the reading in which it begins to hang waits for the limit.
		for i, want := range []float64{0, 3, 4, 6, 8, 10, 12, 14} {
			if got := times[i].Seconds(); got != want {
				t.Errorf("reading %d came after %v s, want %v s", i, got, want)
			}
		}
		for i, r := range readings {
			z, hangs := zone(t, r, "tj-therm"), i >= 1 && i <= 4
			if (z.State == Failed) != hangs || hangs && (z.Temperature != 0 || len(r.Problems) != 1) {
				t.Errorf("reading %d: %+v, problems %v", i, z, r.Problems)
			}
			if hangs && !r.Problems[0].Since.Equal(readings[1].At) {
				t.Errorf("reading %d: hangs since %v, want %v", i, r.Problems[0].Since, readings[1].At)
			}
			if z := zone(t, r, "CPU-therm"); z.State != OK || r.Memory.State != OK || len(r.Zones) != 11 {
				t.Errorf("reading %d: the others suffer: %+v, %+v", i, z, r.Memory)
			}
		}
		if most.Load() != 1 || calls.Load() != 1+1+3 {
			t.Errorf("%d goroutines hung at once, %d calls; want 1 and 5", most.Load(), calls.Load())
		}
		if got := readings[4].Problems[0].Err.Error(); got != "cannot read thermal_zone8: no answer for 6s" {
			t.Errorf("the error is %q", got)
		}
		if warned, healed := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "level=INFO"); warned != 1 || healed != 1 {
			t.Errorf("logged\n%s\nwant one warning and one recovery", log.String())
		}
	})
}

// With every zone hung from the start, readings still come in each interval,
// with what can be read, and the machine is known to have zones.
func TestAllZonesHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		s := machine(t, "orin-nano-jp6")
		s.Interval = 500 * time.Millisecond
		s.readFile = func(path string) ([]byte, error) {
			if strings.Contains(path, "thermal_zone") {
				<-release
			}
			return readCaptured(path)
		}
		readings, times := collect(t, s, 5, nil)
		if last := times[4]; last != 4*s.Interval {
			t.Errorf("the last reading came after %v, want %v", last, 4*s.Interval)
		}
		for i, r := range readings {
			if _, ok := r.Hottest([]string{"*"}); ok || !r.EverHadZone || len(r.Zones) != 9 || len(r.Problems) != 9 {
				t.Errorf("reading %d: %+v", i, r)
			}
			if r.Zones[0].Type != "thermal_zone0" {
				t.Errorf("a zone that never told its type is called %q", r.Zones[0].Type)
			}
			if r.Memory.State != OK {
				t.Errorf("reading %d: memory is %v", i, r.Memory.State)
			}
		}
	})
}

// A FIFO that nobody writes blocks the kernel's open, as a driver stuck on its
// bus blocks a read: no Go deadline reaches it. A zone of such a file is
// given up like any other, on the real clock.
func TestReadBlockedInTheKernel(t *testing.T) {
	root := sensorstest.Board(t, "agx-orin-jp5")
	fifo := filepath.Join(root, "sys/class/thermal/thermal_zone0/temp")
	if err := os.Remove(fifo); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	sampling := (&Sampler{FS: FS(root), SourceTimeout: 2 * time.Second}).begin(t.Context())
	for i := range 5 {
		start := time.Now()
		r, _ := sampling.round(t.Context())
		took := time.Since(start)
		if z := zone(t, r, "tj-therm"); z.State != OK {
			t.Errorf("reading %d: %+v", i, z)
		}
		if r.Zones[0].State != Failed || sources(r) != "thermal_zone0" {
			t.Errorf("reading %d: %+v, problems of %q", i, r.Zones[0], sources(r))
		}
		if waited := took >= sampling.timeout; waited != (i == 0) {
			t.Errorf("reading %d took %v: only the first waits for the limit", i, took)
		}
	}
	// Opening the other end succeeds without blocking only if a reader is
	// there: the hung read is, and this lets it go.
	fd, err := unix.Open(fifo, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("nobody reads the FIFO: %v", err)
	}
	unix.Close(fd)
}

// Zones that vanish are no problem, those that appear are read in the same
// round, and a machine that loses all of them is blind, not without zones.
func TestZonesComeAndGo(t *testing.T) {
	synctest.Test(t, testZonesComeAndGo)
}

func testZonesComeAndGo(t *testing.T) {
	root := t.TempDir()
	class := filepath.Join(root, "sys/class/thermal")
	add := func(dir, kind, temp string) {
		for file, content := range map[string]string{"type": kind, "temp": temp} {
			if err := os.MkdirAll(filepath.Join(class, dir), 0o700); err != nil {
				t.Error(err)
			}
			if err := os.WriteFile(filepath.Join(class, dir, file), []byte(content), 0o600); err != nil {
				t.Error(err)
			}
		}
	}
	steps := []struct {
		change func()
		zones  string
		ever   bool
	}{
		{func() {}, "", false},
		{func() { add("thermal_zone10", "b", "20000"); add("thermal_zone9", "a", "10000") }, "a b", true},
		{func() { add("thermal_zone9", "c", "30000"); add("cooling_device0", "fan", "1") }, "c b", true},
		{func() { os.RemoveAll(filepath.Join(class, "thermal_zone10")) }, "c", true},
		{func() { os.RemoveAll(class) }, "", true},
	}
	sampling := (&Sampler{FS: FS(root)}).begin(t.Context())
	for i, step := range steps {
		step.change()
		// As between two ticks: all that was asked has answered.
		sampling.rest(t.Context(), time.After(time.Second))
		r, _ := sampling.round(t.Context())
		var names []string
		for _, z := range r.Zones {
			names = append(names, z.Name)
		}
		if got := strings.Join(names, " "); got != step.zones || r.EverHadZone != step.ever {
			t.Errorf("step %d: zones %q, ever %v; want %q, %v", i, got, r.EverHadZone, step.zones, step.ever)
		}
		if got := sources(r); got != "cpu memory" {
			t.Errorf("step %d: problems of %q", i, got)
		}
	}
	// One that vanished while it was read is kept until it has answered.
	sampling.rest(t.Context(), time.After(time.Second))
	sampling.round(t.Context())
	if n := len(sampling.families[0].members); n != 0 {
		t.Errorf("%d zones that are gone are still kept", n)
	}
}

// A zone that hangs, vanishes and comes back still has its one goroutine.
func TestHungZoneComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		dir := filepath.Join(root, "sys/class/thermal/thermal_zone0")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		defer close(release)
		var asked atomic.Int32
		s := &Sampler{FS: FS(root), readFile: func(path string) ([]byte, error) {
			if strings.Contains(path, "thermal_zone") {
				asked.Add(1)
				<-release
			}
			return nil, unix.EIO
		}}
		sampling := s.begin(t.Context())
		for i, exists := range []bool{true, false, false, true, true} {
			err := os.RemoveAll(dir)
			if exists {
				err = os.MkdirAll(dir, 0o700)
			}
			if err != nil {
				t.Fatal(err)
			}
			r, _ := sampling.round(t.Context())
			if shown := len(r.Zones) == 1; shown != exists || exists && r.Zones[0].State != Failed {
				t.Errorf("round %d: zones %+v, want one: %v", i, r.Zones, exists)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("%d goroutines read one zone at once", n)
		}
	})
}
