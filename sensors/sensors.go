// Package sensors is what the machine feels: how hot its zones are, how much
// memory is left, how busy the CPUs are, how full the disk is. All knowledge
// of sysfs and procfs sensors, of gopsutil and of Jetson boards lives here.
//
// A Sampler asks every source (each thermal zone is one) in each interval,
// with a time limit. A source that fails or hangs is reported with its error;
// it is never taken for 0, and it never holds up the others.
//
// The package must not know what a value means for experiments: no threshold,
// no policy, no unit. It imports nothing of brainjar but internal/quantity.
package sensors

import (
	"path/filepath"
	"time"

	"brainjar/internal/quantity"
)

// FS is the directory that holds the machine's proc and sys. The empty FS is
// the running machine's own root.
type FS string

// path returns where a file of this machine is, such as "sys/class/thermal".
func (fs FS) path(elem ...string) string {
	root := string(fs)
	if root == "" {
		root = "/"
	}
	return filepath.Join(append([]string{root}, elem...)...)
}

// State says whether there is a value to use. Its zero value is Absent, so
// that what was never read cannot pass for a value.
type State int

// The states of a value.
const (
	Absent State = iota // nothing to read now, and nothing wrong: a rail that is powered off
	OK                  // read
	Failed              // could not be read, or made no sense, or did not answer in time
)

// String returns the state as shown to people.
func (s State) String() string {
	switch s {
	case OK:
		return "ok"
	case Failed:
		return "failed"
	default:
		return "absent"
	}
}

// Reading is all that the machine felt in one interval. It is a value: nobody
// changes it after it was handed out.
type Reading struct {
	At     time.Time // when the sources were asked
	CPU    CPU
	Memory Memory
	Disk   Disk
	Zones  []Zone // in the order of their numbers

	// EverHadZone says that a thermal zone was found in this reading or in an
	// earlier one, or that looking for them failed. Without a zone that can be
	// read, it tells a machine that is blind from one that has no thermometer.
	EverHadZone bool

	// Problems are the sources that failed, in the order in which they were
	// asked.
	Problems []Problem
}

// Problem is a source that could not be read.
type Problem struct {
	Source string // "memory", "thermal_zone3"
	Err    error
	Since  time.Time // the first reading in a row in which it failed
}

// CPU is how busy the CPUs were since the reading before. It is Absent in the
// first reading.
type CPU struct {
	State State
	Used  quantity.Percent // 100 is one CPU all of the time: at most 100 times Count
	Count int              // CPUs that are online
}

// Memory is the machine's memory. On a Jetson it is the GPU's too.
type Memory struct {
	State     State
	Total     quantity.Bytes // MemTotal
	Available quantity.Bytes // MemAvailable: what can be had without swapping
	SwapTotal quantity.Bytes
	SwapFree  quantity.Bytes
}

// Disk is the space of the file system that holds a path.
type Disk struct {
	State     State
	Path      string
	Total     quantity.Bytes
	Available quantity.Bytes // to those who are not root
}
