package sensors

import (
	"context"
	"fmt"
	"math"
	"runtime"

	"github.com/shirou/gopsutil/v3/common"
	"github.com/shirou/gopsutil/v3/cpu"

	"brainjar/internal/quantity"
)

// gopsutil returns a context that makes gopsutil read this machine, whatever
// HOST_PROC and its like are in the environment.
func (fs FS) gopsutil(ctx context.Context) context.Context {
	return context.WithValue(ctx, common.EnvKey, common.EnvMap{
		common.HostProcEnvKey: fs.path("proc"),
		common.HostSysEnvKey:  fs.path("sys"),
	})
}

// cpuTimes is where the time of each online CPU went since boot, in seconds.
type cpuTimes map[string]cpu.TimesStat

func (fs FS) cpuTimes(ctx context.Context) (cpuTimes, error) {
	list, err := cpu.TimesWithContext(fs.gopsutil(ctx), true)
	if err != nil {
		return nil, fmt.Errorf("cannot read CPU times: %w", err)
	}
	if len(list) == 0 { // gopsutil swallows the error of reading the file
		return nil, fmt.Errorf("cannot read CPU times: no CPU in %s", fs.path("proc/stat"))
	}
	times := make(cpuTimes, len(list))
	for _, t := range list {
		times[t.CPU] = t
	}
	return times, nil
}

// tick is the step in which the kernel counts the time of CPUs, in seconds (USER_HZ).
const tick = 0.01

// usage returns how busy the CPUs were between two samples. CPUs that are
// missing from one of them are left out: power modes of a Jetson take CPUs
// away and bring them back.
func usage(before, now cpuTimes) CPU {
	busy, total := 0.0, 0.0 // CPU seconds
	for name, t := range now {
		b, ok := before[name]
		if !ok {
			continue
		}
		idle := t.Idle + t.Iowait - b.Idle - b.Iowait
		// Guest time is not added: the kernel counts it in user time already.
		work := t.User + t.Nice + t.System + t.Irq + t.Softirq + t.Steal -
			b.User - b.Nice - b.System - b.Irq - b.Softirq - b.Steal
		// The kernel's idle counters may step back a little.
		busy += math.Max(0, work)
		total += math.Max(0, work) + math.Max(0, idle)
	}
	if total < tick/2 { // sums of what did not change are not quite 0
		return CPU{Count: len(now)}
	}
	return CPU{
		State: OK,
		Used:  quantity.Percent(100 * float64(len(now)) * (busy / total)),
		Count: len(now),
	}
}

// cpuSource compares each sample with the last one that could be read.
func cpuSource(ctx context.Context, fs FS) *source {
	var before cpuTimes
	read := func() (cpuTimes, error) { return fs.cpuTimes(ctx) }
	return newSource("cpu", read, func(r *Reading, now cpuTimes, err error) {
		if err != nil {
			r.CPU = CPU{State: Failed, Count: runtime.NumCPU()}
			return
		}
		r.CPU = usage(before, now)
		before = now
	})
}
