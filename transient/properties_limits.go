package transient

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	sddbus "github.com/coreos/go-systemd/v22/dbus"

	"brainjar/internal/quantity"
)

// The least that a unit gets by. The recorder runs inside the unit's limits:
// with less it writes its record late or not at all (measured).
const (
	minMemoryMax = 16 * quantity.MiB
	minCPUQuota  = quantity.Percent(5)
	minTasksMax  = 16
)

// defaultWeight is the kernel's, for CPU and for IO. Taken away, a weight
// becomes this, for on control groups v2 it keeps the controller in use: a
// quota that was the last use of the cpu controller would stay in force, since
// systemd does not write to controllers that a unit has ceased to need
// (measured with 252: cpu.max kept its value).
const defaultWeight = uint64(100)

// limit is one limit of a unit as the configuration and as systemd call it.
type limit struct {
	name     string // in the configuration
	property string
	asked    bool
	value    any
	none     any // the value that takes the limit away
}

// limitList translates limits. All of them are cgroup properties, which can be
// set on a running unit.
func limitList(l Limits) []limit {
	number := func(name, property string, value uint64) limit {
		return limit{name, property, value > 0, value, infinity}
	}
	weight := func(name, property string, value uint64) limit {
		return limit{name, property, value > 0, value, defaultWeight}
	}
	swap := limit{limitMemorySwapMax, "MemorySwapMax", l.MemorySwapMax != nil, infinity, infinity}
	if l.MemorySwapMax != nil {
		swap.value = uint64(*l.MemorySwapMax)
	}
	return []limit{
		number(limitMemoryMax, "MemoryMax", uint64(l.MemoryMax)),
		number(limitMemoryHigh, "MemoryHigh", uint64(l.MemoryHigh)),
		swap,
		number(limitCPUQuota, "CPUQuotaPerSecUSec", quotaPerSecond(l.CPUQuota)),
		weight(limitCPUWeight, "CPUWeight", l.CPUWeight),
		{limitCPUs, "AllowedCPUs", len(l.CPUs) > 0, cpuMask(l.CPUs), []byte{}},
		weight(limitIOWeight, "IOWeight", l.IOWeight),
		number(limitTasksMax, "TasksMax", l.TasksMax),
	}
}

// addLimits adds the limits of a new unit, and accounting for what is reported
// of it. A limit that the host cannot enforce is a warning if nobody wrote it
// or if allowUnenforced, else an error.
func addLimits(props *propertyList, l Limits, host Host, allowUnenforced bool) (warnings []string, err error) {
	for _, accounting := range []string{"MemoryAccounting", "CPUAccounting", "TasksAccounting"} {
		props.add(accounting, true)
	}
	limits, warnings, err := enforced(l, host, allowUnenforced)
	for _, limit := range limits {
		props.add(limit.property, limit.value)
	}
	return warnings, errors.Join(checkLeast(l), err)
}

// liveLimits returns the properties that give a running unit, or the slice,
// exactly these limits: one that is not asked for is taken away. What the host
// cannot enforce is handled as in addLimits.
func liveLimits(l Limits, host Host, allowUnenforced bool) (props []sddbus.Property, warnings []string, err error) {
	limits, warnings, err := enforced(l, host, allowUnenforced)
	if err != nil {
		return nil, nil, err
	}
	var list propertyList
	for _, limit := range limits {
		list.add(limit.property, limit.value)
	}
	for _, limit := range limitList(l) {
		if !limit.asked && host.Unenforced(limit.name) == "" {
			list.add(limit.property, limit.none)
		}
	}
	return list, warnings, nil
}

// enforced returns those of the limits asked for that the host can enforce, and
// what is to be said of the others.
func enforced(l Limits, host Host, allowUnenforced bool) (limits []limit, warnings []string, err error) {
	var errs []error
	for _, limit := range limitList(l) {
		if !limit.asked {
			continue
		}
		warning, err := enforceable(limit.name, l, host, allowUnenforced)
		switch {
		case err != nil:
			errs = append(errs, err)
		case warning != "":
			warnings = append(warnings, warning)
		default:
			limits = append(limits, limit)
		}
	}
	return limits, warnings, errors.Join(errs...)
}

// enforceable says what a limit that the host cannot enforce means: a warning,
// or an error; neither if the host can.
func enforceable(name string, l Limits, host Host, allowUnenforced bool) (warning string, err error) {
	reason := host.Unenforced(name)
	switch {
	case reason == "":
		return "", nil
	case allowUnenforced || slices.Contains(l.Implied, name):
		return fmt.Sprintf("%s is not enforced: %s", name, reason), nil
	}
	return "", fmt.Errorf("cannot enforce %s: %s (allow_unenforced = true starts it all the same)", name, reason)
}

// checkLeast refuses limits under which the end of the run could not be
// recorded.
func checkLeast(l Limits) error {
	var errs []error
	if l.MemoryMax > 0 && l.MemoryMax < minMemoryMax {
		errs = append(errs, fmt.Errorf("cannot run with memory_max %s: the least is %s", l.MemoryMax, minMemoryMax))
	}
	if l.CPUQuota > 0 && l.CPUQuota < minCPUQuota {
		errs = append(errs, fmt.Errorf("cannot run with cpu_quota %s: the least is %s", l.CPUQuota, minCPUQuota))
	}
	if l.TasksMax > 0 && l.TasksMax < minTasksMax {
		errs = append(errs, fmt.Errorf("cannot run with tasks_max %d: the least is %d", l.TasksMax, minTasksMax))
	}
	return errors.Join(errs...)
}

// quotaPerSecond is CPU time in µs for each second.
func quotaPerSecond(quota quantity.Percent) uint64 {
	return uint64(math.Round(float64(max(quota, 0)) * 1e4))
}

// cpuMask is a set of CPUs as AllowedCPUs wants it: bit n%8 of byte n/8.
func cpuMask(cpus []int) []byte {
	if len(cpus) == 0 {
		return []byte{}
	}
	mask := make([]byte, slices.Max(cpus)/8+1)
	for _, cpu := range cpus {
		mask[cpu/8] |= 1 << (cpu % 8)
	}
	return mask
}

// deviceRule is one element of DeviceAllow, signature (ss).
type deviceRule struct{ Path, Access string }

// addDevices closes /dev, but for systemd's standard pseudo-devices (null,
// zero, random, tty and their like) and the devices listed: in a sandbox, and
// also without one as soon as a device is listed, for a list that forbids
// nothing would only look like a limit. No sandbox and no list: /dev is left
// alone.
func addDevices(props *propertyList, spec Spec, host Host) (warnings []string, err error) {
	if len(spec.Devices) == 0 && !sandboxed(spec) {
		return nil, nil
	}
	if reason := host.Unenforced(limitDevices); reason != "" {
		if len(spec.Devices) == 0 {
			return []string{fmt.Sprintf("sandbox: every device stays open: %s", reason)}, nil
		}
		warning, err := enforceable(limitDevices, spec.Limits, host, spec.AllowUnenforced)
		if err != nil {
			return nil, err
		}
		return []string{warning}, nil
	}
	rules := make([]deviceRule, 0, len(spec.Devices))
	for _, device := range spec.Devices {
		if !strings.HasPrefix(device.Path, "/dev/") {
			return nil, fmt.Errorf("cannot allow device %q: it is not below /dev", device.Path)
		}
		rules = append(rules, deviceRule(device))
	}
	props.add("DevicePolicy", "closed")
	props.add("DeviceAllow", []deviceRule{}) // it appends: begin with none
	if len(rules) > 0 {
		props.add("DeviceAllow", rules)
	}
	return nil, nil
}
