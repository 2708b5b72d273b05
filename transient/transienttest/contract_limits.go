package transienttest

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"brainjar/internal/quantity"
	"brainjar/transient"
)

// memoryMax draws a limit that holds a small program and little more.
func (s *session) memoryMax() quantity.Bytes {
	return quantity.Bytes(48+s.rand.IntN(48)) * quantity.MiB
}

// memoryLimits is memory_max without swap, as far as the host can forbid it.
func memoryLimits(limit quantity.Bytes) transient.Limits {
	var none quantity.Bytes
	return transient.Limits{MemoryMax: limit, MemorySwapMax: &none, Implied: []string{"memory_swap_max"}}
}

func outOfMemory(s *session) {
	if !s.enforced("memory_max") {
		return
	}
	limit := s.memoryMax()
	spec := s.spec("oom", fmt.Sprintf("alloc=%s", limit*2), "sleep=1h")
	spec.Limits = memoryLimits(limit)
	s.checkOOM(s.start(spec), limit)
}

// childOutOfMemory: it counts although the main process goes on.
func childOutOfMemory(s *session) {
	if !s.enforced("memory_max") {
		return
	}
	limit := s.memoryMax()
	spec := s.spec("oom", fmt.Sprintf("child-alloc=%s", limit*2), "sleep=1h")
	spec.Limits = memoryLimits(limit)
	s.checkOOM(s.start(spec), limit)
}

func (s *session) checkOOM(unit string, limit quantity.Bytes) {
	s.Helper()
	o := s.ended(unit)
	if o.Result != transient.OOMKill || o.OOMKills < 1 || o.StopRequested {
		s.Errorf("outcome %+v", o)
	}
	// The kernel charges a dying process beyond the limit.
	if o.MemoryPeak < limit/2 || o.MemoryPeak > limit+limit/8 {
		s.Errorf("peak %s, limit %s", o.MemoryPeak, limit)
	}
}

// limitsHold: those that are effective are those that were asked for.
func limitsHold(s *session) {
	asked := s.limits()
	spec := s.spec("limits", "sleep=1h")
	spec.Limits = asked
	started := s.started(s.start(spec))
	s.checkLimits(started.Effective, asked)
	if len(started.Warnings) > 0 {
		s.Errorf("warnings %q", started.Warnings)
	}
}

func limitsLive(s *session) {
	spec := s.spec("live", "sleep=1h")
	spec.Limits = s.limits()
	unit := s.start(spec)
	s.started(unit)
	for range 2 {
		asked := s.limits()
		effective, err := s.SetLimits(s.Context(), unit, asked)
		s.order("SetLimits", err)
		s.checkLimits(effective, asked)
	}
	effective, err := s.SetLimits(s.Context(), unit, transient.Limits{})
	s.order("SetLimits", err)
	s.checkLimits(effective, transient.Limits{})
}

// limitsRaised: what a limit forbade goes when it has been raised live.
func limitsRaised(s *session) {
	if !s.enforced("memory_max") {
		return
	}
	limit := s.memoryMax()
	spec := s.spec("grows", fmt.Sprintf("on=USR1:alloc=%s,status=grown", 2*limit), "status=set", "sleep=1h")
	spec.Limits = memoryLimits(limit)
	unit := s.startAndWait(spec, "set")
	_, err := s.SetLimits(s.Context(), unit, memoryLimits(4*limit))
	s.order("SetLimits", err)
	s.order("Kill", s.Kill(s.Context(), unit, transient.Main, syscall.SIGUSR1))
	s.status(unit, "grown")
}

// limits draws limits that this host enforces.
func (s *session) limits() transient.Limits {
	var l transient.Limits
	if s.enforced("memory_max") {
		l.MemoryMax = quantity.Bytes(64+s.rand.IntN(448)) * quantity.MiB
	}
	if s.enforced("cpu_quota") {
		l.CPUQuota = quantity.Percent(5 + s.rand.IntN(195))
	}
	if s.enforced("tasks_max") {
		l.TasksMax = uint64(32 + s.rand.IntN(1000))
	}
	return l
}

func (s *session) checkLimits(effective, asked transient.Limits) {
	s.Helper()
	if s.host.Unenforced("tasks_max") != "" {
		effective.TasksMax = asked.TasksMax // what else set it is not this contract's
	}
	if effective.MemoryMax != asked.MemoryMax || effective.CPUQuota != asked.CPUQuota || effective.TasksMax != asked.TasksMax {
		s.Errorf("effective %s, %s, %d tasks, asked for %s, %s, %d tasks",
			effective.MemoryMax, effective.CPUQuota, effective.TasksMax,
			asked.MemoryMax, asked.CPUQuota, asked.TasksMax)
	}
}

func cpuQuota(s *session) {
	if !s.enforced("cpu_quota") {
		return
	}
	const burn = 1500 * time.Millisecond
	quota := quantity.Percent(10 + s.rand.IntN(20))
	spec := s.spec("spin", fmt.Sprintf("spin=%v", burn))
	spec.Limits.CPUQuota = quota
	o := s.expect(s.start(spec), transient.Success, 0, 0)
	// One period's worth (100 ms) for each thread may come on top, and the
	// program's own start.
	lasted, share := o.Ended.Sub(o.Started), float64(quota)/100
	if os.Getenv("BRAINJAR_LAB") == "vm" { // whose processors wait for their host, and throttle too late
		share *= 1.5
	}
	most := time.Duration(share*float64(lasted)) + 200*time.Millisecond
	if o.CPUTime <= 0 || o.CPUTime > most {
		s.Errorf("%v of CPU time in %v under a quota of %s, want at most %v", o.CPUTime, lasted, quota, most)
	}
}

func usage(s *session) {
	size := s.memoryMax()
	unit := s.startAndWait(s.spec("usage", "spin=100ms", fmt.Sprintf("alloc=%s", size), "fork", "status=set", "sleep=1h"), "set")
	u, err := s.Usage(unit)
	s.order("Usage", err)
	if s.enforced("memory_max") && (u.Memory < size || u.MemoryPeak < u.Memory) {
		s.Errorf("memory %s, peak %s, allocated %s", u.Memory, u.MemoryPeak, size)
	}
	if s.enforced("tasks_max") && u.Tasks < 2 {
		s.Errorf("%d tasks, want at least 2", u.Tasks)
	}
	if s.enforced("cpu_quota") && u.CPUTime <= 0 {
		s.Errorf("CPU time %v", u.CPUTime)
	}
	pids, err := s.Processes(unit)
	s.order("Processes", err)
	if len(pids) != 2 || slices.Min(pids) <= 1 || pids[0] == pids[1] {
		s.Errorf("processes %v, want two", pids)
	}
	s.order("Kill", s.Kill(s.Context(), unit, transient.All, syscall.SIGKILL))
	if o := s.ended(unit); s.enforced("memory_max") && o.MemoryPeak < size {
		s.Errorf("peak %s at the end, allocated %s", o.MemoryPeak, size)
	}
	if _, err := s.Usage(unit); err == nil {
		s.Error("usage of a unit that has ended")
	}
	if _, err := s.Processes(unit); err == nil {
		s.Error("processes of a unit that has ended")
	}
}

func sliceLimits(s *session) {
	if !s.enforced("memory_max") {
		return
	}
	for i, asked := range []transient.Limits{
		{MemoryMax: quantity.Bytes(512+s.rand.IntN(512)) * quantity.MiB},
		{MemoryMax: quantity.Bytes(512+s.rand.IntN(512)) * quantity.MiB},
		{},
	} {
		unit := s.start(s.spec(fmt.Sprintf("inside-%d", i), "sleep=1h"))
		s.started(unit)
		effective, err := s.SetSlice(s.Context(), asked)
		s.order("SetSlice", err)
		if effective.MemoryMax != asked.MemoryMax {
			s.Errorf("memory_max of the slice is %s, want %s", effective.MemoryMax, asked.MemoryMax)
		}
		s.order("Kill", s.Kill(s.Context(), unit, transient.All, syscall.SIGKILL))
		s.ended(unit)
	}
}
