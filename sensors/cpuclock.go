package sensors

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// CPUClock is the clock of the CPUs of one cpufreq policy.
type CPUClock struct {
	Policy string                `json:"policy"` // "policy0"
	CPUs   Value[[]int]          `json:"cpus"`   // those that are online; Absent when none is
	Clock  Value[quantity.Hertz] `json:"clock_hertz"`
	Min    Value[quantity.Hertz] `json:"clock_min_hertz"`
	Max    Value[quantity.Hertz] `json:"clock_max_hertz"` // to which it may rise now
}

// cpuDir is where the kernel keeps CPUs (Documentation/admin-guide/pm/cpufreq.rst).
const cpuDir = "sys/devices/system/cpu"

// cpuClockFamily is the machine's cpufreq policies.
func cpuClockFamily(fs FS, read reader) *family {
	return newMembers("cpufreq",
		func() ([]string, error) { return fs.numbered(cpuDir+"/cpufreq", "policy") },
		func(dir string, _ CPUClock) (CPUClock, error) { return readCPUClock(read, dir) },
		func(r *Reading, dir string, c CPUClock, err error) {
			if silent(err) {
				c = CPUClock{CPUs: lost(c.CPUs), Clock: Value[quantity.Hertz]{State: Failed}, Min: lost(c.Min), Max: lost(c.Max)}
			}
			c.Policy = filepath.Base(dir)
			r.CPUClocks = append(r.CPUClocks, c)
		})
}

// readCPUClock reads a policy. Without a CPU that is online it has no clock: some
// kernels then fail with EBUSY, others tell an old one.
func readCPUClock(read reader, dir string) (CPUClock, error) {
	a := &attributes{read: read, dir: dir, asleep: []error{unix.EBUSY}}
	c := CPUClock{CPUs: a.cpus("affected_cpus")}
	if c.CPUs.State == Absent {
		return c, a.err
	}
	c.Clock, c.Min, c.Max = a.clock("scaling_cur_freq", 1000), a.clock("scaling_min_freq", 1000), a.clock("scaling_max_freq", 1000)
	return c, a.err
}

// cpus reads a list of CPUs; one that is empty is Absent.
func (a *attributes) cpus(name string) Value[[]int] {
	text := a.text(name)
	if text.State == Failed {
		return Value[[]int]{State: Failed}
	}
	if text.V == "" {
		return Value[[]int]{}
	}
	list, err := parseCPUs(text.V)
	if err != nil {
		return Value[[]int]{State: a.state(fmt.Errorf("cannot read %s: %w", filepath.Join(a.dir, name), err))}
	}
	return known(list)
}

// mostCPUs is more than Linux can have.
const mostCPUs = 1 << 14

// parseCPUs reads a list of numbers in one of the two ways in which the kernel
// writes them: "0-3,8" and "0 1 2 3".
func parseCPUs(text string) ([]int, error) {
	var cpus []int
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		from, errFrom := strconv.ParseUint(low, 10, 31)
		to, errTo := strconv.ParseUint(high, 10, 31)
		if errFrom != nil || errTo != nil || from > to || to >= mostCPUs {
			return nil, fmt.Errorf("%q is no list of CPUs", text)
		}
		for cpu := from; cpu <= to; cpu++ {
			cpus = append(cpus, int(cpu))
		}
	}
	slices.Sort(cpus)
	return slices.Compact(cpus), nil
}

// offlineSource is the CPUs that exist and are switched off, as by a power mode
// of a Jetson. The kernel's own list of them also has those that the machine
// could have had.
func offlineSource(fs FS, read reader) *source {
	return newSource("cpu list",
		func() (Value[[]int], error) {
			a := &attributes{read: read, dir: fs.path(cpuDir)}
			present, online := a.cpus("present"), a.cpus("online")
			state := worse(present.State, online.State)
			if state != OK {
				return Value[[]int]{State: state}, a.err
			}
			offline := slices.DeleteFunc(present.V, func(cpu int) bool {
				_, on := slices.BinarySearch(online.V, cpu)
				return on
			})
			return known(offline), a.err
		},
		func(r *Reading, offline Value[[]int], err error) {
			if silent(err) {
				offline = Value[[]int]{State: Failed}
			}
			r.OfflineCPUs = offline
		})
}
