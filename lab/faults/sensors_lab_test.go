//go:build lab

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// The machine as brainjar's sensors see it, which is of files: two thermal zones,
// memory and CPUs.

const (
	cool, hot = 45_000, 80_000 // m°C; starts are held at 75 °C
	zoneCount = 2
)

func (w *world) thermal() string { return filepath.Join(w.sysroot, "sys/class/thermal") }

func (w *world) meminfo() string { return filepath.Join(w.sysroot, "proc/meminfo") }

func (w *world) temp(zone int) string {
	return filepath.Join(w.thermal(), fmt.Sprintf("thermal_zone%d", zone), "temp")
}

// put replaces a file as a whole, or what is in its place.
func (w *world) put(path, text string) {
	w.Helper()
	w.must(os.WriteFile(path+".new", []byte(text), 0o600))
	w.must(os.Rename(path+".new", path))
}

// buildSensors makes a machine that is cool and has memory.
func (w *world) buildSensors() {
	w.Helper()
	w.must(os.MkdirAll(filepath.Dir(w.meminfo()), 0o700))
	w.put(filepath.Join(w.sysroot, "proc/stat"), "cpu  100 0 100 10000 0 0 0 0 0 0\ncpu0 100 0 100 10000 0 0 0 0 0 0\n")
	for zone := range zoneCount {
		w.must(os.MkdirAll(filepath.Dir(w.temp(zone)), 0o700))
		w.put(filepath.Join(filepath.Dir(w.temp(zone)), "type"), fmt.Sprintf("zone-%d\n", zone))
	}
	w.mend()
}

// mend lets every sensor say again that all is well.
func (w *world) mend() {
	w.Helper()
	w.put(w.meminfo(), "MemTotal:       33554432 kB\nMemFree:        30000000 kB\nMemAvailable:   32000000 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n")
	for zone := range zoneCount {
		w.put(w.temp(zone), fmt.Sprintln(cool))
	}
}

// failSensors lets sensors vanish, lie, hang or tell of heat for a while. When all
// is well again, experiments must go on.
func (w *world) failSensors() {
	w.Helper()
	failures := []func() (repair func()){w.hideSensors, w.removeSensor, w.confuseSensors, w.hangSensors, w.heat}
	repair := failures[w.random.IntN(len(failures))]()
	time.Sleep(w.between(0, 4*time.Second))
	if w.random.IntN(3) == 0 {
		w.kill()
		w.kills["without sensors"]++
		w.begin("")
		time.Sleep(w.between(0, 3*time.Second))
	}
	repair()
	w.progress()
}

func (w *world) hideSensors() (repair func()) {
	w.fault("no sensors")
	away := w.thermal() + ".away"
	w.must(os.Rename(w.thermal(), away))
	return func() { w.must(os.Rename(away, w.thermal())) }
}

func (w *world) removeSensor() (repair func()) {
	w.fault("one sensor gone")
	w.must(os.Remove(w.temp(w.random.IntN(zoneCount))))
	return w.mend
}

func (w *world) confuseSensors() (repair func()) {
	w.fault("sensors lie")
	garbage := make([]byte, 1+w.random.IntN(400))
	for i := range garbage {
		garbage[i] = byte(w.random.Uint32())
	}
	w.put(w.temp(0), string(garbage))
	w.put(w.temp(1), "-274000\n")
	w.put(w.meminfo(), string(garbage))
	return w.mend
}

func (w *world) hangSensors() (repair func()) {
	w.fault("sensors hang")
	var pipes []string
	for zone := range zoneCount {
		pipe := w.temp(zone) + ".pipe" // who opens it waits for a writer
		w.must(syscall.Mkfifo(pipe, 0o600))
		w.must(os.Remove(w.temp(zone)))
		w.must(os.Link(pipe, w.temp(zone)))
		pipes = append(pipes, pipe)
	}
	return func() {
		w.mend()
		for _, pipe := range pipes {
			w.release(pipe)
		}
	}
}

func (w *world) heat() (repair func()) {
	w.fault("heat")
	w.put(w.temp(w.random.IntN(zoneCount)), fmt.Sprintln(hot))
	return w.mend
}

// release lets those go that wait for a writer of a pipe.
func (w *world) release(pipe string) {
	w.Helper()
	f, err := os.OpenFile(pipe, os.O_RDWR, 0) // a writer that does not wait for readers
	w.must(err)
	w.must(f.Close())
	w.must(os.Remove(pipe))
}

// progress waits until experiments begin again.
func (w *world) progress() {
	w.Helper()
	w.ready()
	size := func() int64 {
		info, err := os.Stat(w.diary)
		w.must(err)
		return info.Size()
	}
	before := size()
	w.await("experiments go on", 20*time.Second, func() bool { return size() > before })
}
