package transient

import (
	"fmt"
	"slices"
)

// Host is what a service manager and its kernel can do: everything that
// decides which properties are sent and which limits hold.
type Host struct {
	Version     int      // of systemd, such as 252
	User        bool     // a user's service manager, not the system's
	Unified     bool     // control groups v2 alone; false: v1, or the hybrid layout
	Controllers []string // of the control groups that units get: "memory", "cpu", "pids", "io", "cpuset", …
	Devices     bool     // DeviceAllow holds: by the devices controller (v1) or by BPF (v2)
	Target      bool     // brainjar-experiments.target is active, as where brainjar is installed as a service
}

const experimentsTarget = "brainjar-experiments.target"

// orderedBefore is the unit that experiments are ordered before, so that at shutdown
// brainjar is stopped first, while they live. Ordered before brainjar.service itself
// they hold up its start for as long as one of them is starting or stopping: that is
// what the target is for, where there is one.
func (h Host) orderedBefore() string {
	if h.Target {
		return experimentsTarget
	}
	return "brainjar.service"
}

// The limits by the names that the configuration gives them.
const (
	limitMemoryMax     = "memory_max"
	limitMemoryHigh    = "memory_high"
	limitMemorySwapMax = "memory_swap_max"
	limitCPUQuota      = "cpu_quota"
	limitCPUWeight     = "cpu_weight"
	limitCPUs          = "cpus"
	limitIOWeight      = "io_weight"
	limitTasksMax      = "tasks_max"
	limitDevices       = "devices"
	limitOpenFiles     = "open_files" // not of the control group: only Implied names it
)

// controllerOf says which controller of the control groups enforces a limit.
var controllerOf = map[string]string{
	limitMemoryMax:     "memory",
	limitMemoryHigh:    "memory",
	limitMemorySwapMax: "memory",
	limitCPUQuota:      "cpu",
	limitCPUWeight:     "cpu",
	limitCPUs:          "cpuset",
	limitIOWeight:      "io",
	limitTasksMax:      "pids",
}

// unifiedOnly holds the limits that systemd accepts on control groups v1 and
// then does nothing about: v1 has no such file, or systemd does not write it.
var unifiedOnly = []string{limitMemoryHigh, limitMemorySwapMax, limitCPUs, limitIOWeight}

// Unenforced says in words why this host cannot enforce a limit, named as in
// the configuration ("memory_max", "cpus", "devices", …); "" if it can.
func (h Host) Unenforced(limit string) string {
	if limit == limitDevices {
		return h.devicesUnenforced()
	}
	controller, known := controllerOf[limit]
	switch {
	case !known:
		return fmt.Sprintf("%q is not a limit", limit)
	case !h.Unified && slices.Contains(unifiedOnly, limit):
		return "this machine runs control groups v1, where systemd accepts it and nothing happens"
	case !slices.Contains(h.Controllers, controller):
		owner := "systemd"
		if h.User {
			owner = "the user's service manager"
		}
		return fmt.Sprintf("%s has no control over the %s controller here", owner, controller)
	}
	return ""
}

func (h Host) devicesUnenforced() string {
	switch {
	case h.User:
		return "a user's service manager cannot restrict devices"
	case !h.Devices && h.Unified:
		return "this kernel has no BPF for control groups, which device rules need"
	case !h.Devices:
		return "this machine has no devices controller"
	}
	return ""
}
