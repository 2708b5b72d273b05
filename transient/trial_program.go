package transient

import (
	"errors"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// trialMode is the hidden mode of the programs that try to break a limit.
const trialMode = "trial"

// The exit codes of these programs.
const (
	trialHeld    = 80
	trialBroke   = 81
	trialUnclear = 82
	trialShare   = 100 // and the percentage of a CPU that it had, at most 99
)

// runTrial is one of the programs; what it does is the name of a trial.
func runTrial(args []string) int {
	if len(args) != 1 {
		return trialUnclear
	}
	switch args[0] {
	case limitMemoryMax:
		return takeMemory()
	case limitCPUQuota:
		burn(trialTime / 10) // until the quota has its effect
		percent := int(math.Round(100 * burn(trialTime)))
		if percent <= int(2*trialQuota) && !throttled() {
			return trialUnclear // it had little because others had much
		}
		return trialShare + min(percent, 99)
	case limitDevices:
		return openDenied("/dev/null", "/dev/full")
	case trialFreeze:
		burn(trialLimit)
	}
	return trialUnclear
}

// takeMemory takes memory that cannot be swapped, where that is allowed, and returns if
// it lives.
func takeMemory() int {
	memory, err := unix.Mmap(-1, 0, int(trialTakes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return trialUnclear
	}
	for i := 0; i < len(memory); i += int(quantity.MiB) {
		part := memory[i : i+int(quantity.MiB)]
		_ = unix.Mlock(part) // a user's program may not; then swap may make room
		for j := 0; j < len(part); j += os.Getpagesize() {
			part[j] = 1
		}
	}
	return trialBroke
}

// burn uses a CPU for so long, and returns the share of it that it had.
func burn(long time.Duration) float64 {
	began, used := time.Now(), cpuUsed()
	for time.Since(began) < long {
	}
	return float64(cpuUsed()-used) / float64(time.Since(began))
}

// throttled reports whether the kernel held this program back because of its quota;
// where that cannot be read it is taken for granted.
func throttled() bool {
	groups, err := readCgroups()
	if err != nil {
		return true
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return true
	}
	stat, err := group{groups, groups.ownGroup(own)}.read("cpu", "cpu.stat")
	return err != nil || keyed(stat, "nr_throttled") > 0
}

// cpuUsed is the CPU time of this process.
func cpuUsed() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// openDenied opens a device that is allowed, and one that is not.
func openDenied(allowed, denied string) int {
	f, err := os.OpenFile(allowed, os.O_RDWR, 0)
	if err != nil {
		return trialUnclear
	}
	_ = f.Close() // nothing was written
	f, err = os.OpenFile(denied, os.O_RDWR, 0)
	switch {
	case err == nil:
		_ = f.Close() // nothing was written
		return trialBroke
	case errors.Is(err, unix.EPERM):
		return trialHeld
	}
	return trialUnclear
}
