package transient

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"brainjar/internal/quantity"
)

// noLimitV1 is from where on memory.limit_in_bytes means no limit: the kernel
// says the largest multiple of a page that an int64 holds.
const noLimitV1 = math.MaxInt64 &^ 0xffff

// cpuTime reads the CPU time that the group has used: in the v2 hierarchy, also
// where that has no controllers (Linux 4.15), else by the v1 controller.
func (g group) cpuTime() time.Duration {
	v2 := group{cgroups{unified: true, mounts: g.mounts}, g.path}
	if s, err := v2.read("cpu", "cpu.stat"); err == nil {
		return time.Duration(keyed(s, "usage_usec")) * time.Microsecond
	}
	ns, _ := g.number("cpuacct", "cpuacct.usage")
	return time.Duration(ns)
}

// limits reads the limits that hold for the group, of those that asked has and
// of memory_max, cpu_quota and tasks_max in any case.
func (g group) limits(asked Limits) (Limits, error) {
	read := g.limitsV2
	if !g.unified {
		read = g.limitsV1
	}
	l, err := read(asked)
	if err != nil {
		return Limits{}, fmt.Errorf("cannot read the limits of %s: %w", g.path, err)
	}
	return l, nil
}

// limitsV2 follows Documentation/admin-guide/cgroup-v2.rst. The file of a
// controller that is not enabled for the group is missing: no limit.
func (g group) limitsV2(asked Limits) (Limits, error) {
	r := limitReader{group: g}
	l := Limits{
		MemoryMax: quantity.Bytes(r.number("memory", "memory.max")),
		TasksMax:  r.number("pids", "pids.max"),
		CPUQuota:  cpuMax(r.text("cpu", "cpu.max")),
	}
	if asked.MemoryHigh > 0 {
		l.MemoryHigh = quantity.Bytes(r.number("memory", "memory.high"))
	}
	if asked.MemorySwapMax != nil {
		if s := r.text("memory", "memory.swap.max"); s != "max" && s != "" {
			n, err := strconv.ParseUint(s, 10, 64)
			r.keep(err)
			swap := quantity.Bytes(n)
			l.MemorySwapMax = &swap
		}
	}
	if asked.CPUWeight > 0 {
		l.CPUWeight = r.number("cpu", "cpu.weight")
	}
	if asked.IOWeight > 0 {
		l.IOWeight = keyed(r.text("io", "io.weight"), "default")
	}
	if len(asked.CPUs) > 0 {
		cpus, err := parseCPUs(r.text("cpuset", "cpuset.cpus"))
		r.keep(err)
		l.CPUs = cpus
	}
	return l, r.err
}

// limitsV1 follows Documentation/admin-guide/cgroup-v1: what systemd writes
// there, and nothing else.
func (g group) limitsV1(asked Limits) (Limits, error) {
	r := limitReader{group: g}
	l := Limits{TasksMax: r.number("pids", "pids.max")}
	if n := r.number("memory", "memory.limit_in_bytes"); n < noLimitV1 {
		l.MemoryMax = quantity.Bytes(n)
	}
	if quota := r.text("cpu", "cpu.cfs_quota_us"); !strings.HasPrefix(quota, "-") && quota != "" {
		l.CPUQuota = cpuMax(quota + " " + r.text("cpu", "cpu.cfs_period_us"))
	}
	if asked.CPUWeight > 0 {
		// systemd writes weight*1024/100, src/core/cgroup.c.
		l.CPUWeight = (r.number("cpu", "cpu.shares")*100 + 512) / 1024
	}
	return l, r.err
}

// limitReader reads files of a group and keeps the first error; a file that
// does not exist is no error.
type limitReader struct {
	group
	err error
}

func (r *limitReader) keep(err error) {
	if err != nil && r.err == nil && !errors.Is(err, fs.ErrNotExist) {
		r.err = err
	}
}

func (r *limitReader) number(controller, file string) uint64 {
	n, err := r.group.number(controller, file)
	r.keep(err)
	return n
}

func (r *limitReader) text(controller, file string) string {
	s, err := r.read(controller, file)
	r.keep(err)
	return s
}

// cpuMax reads cpu.max, "QUOTA PERIOD" in microseconds; "max" is no limit.
func cpuMax(s string) quantity.Percent {
	var quota, period float64
	if n, _ := fmt.Sscan(s, &quota, &period); n != 2 || period <= 0 {
		return 0
	}
	return quantity.Percent(math.Round(quota/period*10000) / 100)
}

// parseCPUs reads a list of CPUs as the kernel writes it, such as "0-3,6".
func parseCPUs(s string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		if part == "" {
			continue
		}
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.ParseUint(from, 10, 16)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseUint(to, 10, 16)
		}
		if err != nil || last < first {
			return nil, fmt.Errorf("cannot read the list of CPUs %q", s)
		}
		for n := first; n <= last; n++ {
			cpus = append(cpus, int(n))
		}
	}
	return cpus, nil
}

// unmet names the limits that were asked for and do not hold, and says how it
// is instead: those that somebody wrote, and those that are implied. What the
// host cannot enforce is left out: that was said before the unit was started.
func unmet(asked, effective Limits, host Host) (written, implied []string) {
	add := func(name string, want, got any) {
		if host.Unenforced(name) != "" {
			return
		}
		text := fmt.Sprintf("%s is %v, not %v", name, got, want)
		if slices.Contains(asked.Implied, name) {
			implied = append(implied, text)
		} else {
			written = append(written, text)
		}
	}
	bytes := func(name string, want, got quantity.Bytes) {
		const page = 64 << 10 // the largest page there is: the kernel rounds to pages
		if want > 0 && (got == 0 || got > want || want-got >= page) {
			add(name, want, orNone(got > 0, got))
		}
	}
	number := func(name string, want, got uint64) {
		if want > 0 && want != got {
			add(name, want, orNone(got > 0, got))
		}
	}
	bytes(limitMemoryMax, asked.MemoryMax, effective.MemoryMax)
	bytes(limitMemoryHigh, asked.MemoryHigh, effective.MemoryHigh)
	if want := asked.MemorySwapMax; want != nil && *want < noLimitV1 {
		if got := effective.MemorySwapMax; got == nil {
			add(limitMemorySwapMax, *want, "unlimited")
		} else if *got > *want {
			add(limitMemorySwapMax, *want, *got)
		}
	}
	if want, got := asked.CPUQuota, effective.CPUQuota; want > 0 && math.Abs(float64(want-got)) > 0.5+float64(want)/100 {
		add(limitCPUQuota, want, orNone(got > 0, got))
	}
	number(limitCPUWeight, asked.CPUWeight, effective.CPUWeight)
	number(limitIOWeight, asked.IOWeight, effective.IOWeight)
	number(limitTasksMax, asked.TasksMax, effective.TasksMax)
	if want := slices.Sorted(slices.Values(asked.CPUs)); len(want) > 0 && !slices.Equal(slices.Compact(want), effective.CPUs) {
		add(limitCPUs, want, effective.CPUs)
	}
	return written, implied
}

func orNone(some bool, value any) any {
	if some {
		return value
	}
	return "unlimited"
}
