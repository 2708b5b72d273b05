package cli

import (
	"cmp"
	"strconv"

	"brainjar/internal/ledger"
)

// feltColumns are what the wide table shows of what a run felt, and feltHead is above.
var (
	feltColumns = []string{"max_temperature", "energy_joules", "energy_shared", "throttled_seconds", "over_current_events", "gpu_memory_peak", "tainted"}
	feltHead    = []string{"HOTTEST", "ENERGY", "THROTTLED", "OVER-CURRENT", "GPU-PEAK", "TAINTED"}
)

func feltCells(r *ledger.Run) []string {
	with := func(value *float64, digits int, unit string) string {
		if value == nil {
			return "-"
		}
		return strconv.FormatFloat(*value, 'f', digits, 64) + unit
	}
	energy := with(r.EnergyJoules, 0, "J")
	if r.EnergyShared != nil && *r.EnergyShared {
		energy = "~" + energy
	}
	overCurrent, gpuPeak := "-", "-"
	if r.OverCurrentEvents != nil {
		overCurrent = strconv.Itoa(*r.OverCurrentEvents)
	}
	if r.GPUMemoryPeak > 0 {
		gpuPeak = r.GPUMemoryPeak.String()
	}
	return []string{with(r.MaxTemperature, 1, "°C"), energy, with(r.ThrottledSeconds, 1, "s"), overCurrent, gpuPeak, cmp.Or(r.Tainted, "-")}
}
