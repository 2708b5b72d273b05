package cli

import (
	"cmp"
	"strconv"

	"brainjar/internal/ledger"
)

// feltColumns are what the wide table shows of what a run felt, and feltHead is above.
var (
	feltColumns = []string{"max_temperature", "energy_joules", "energy_shared", "throttled_seconds", "tainted"}
	feltHead    = []string{"HOTTEST", "ENERGY", "THROTTLED", "TAINTED"}
)

func feltCells(f ledger.Figures) []string {
	with := func(value *float64, digits int, unit string) string {
		if value == nil {
			return "-"
		}
		return strconv.FormatFloat(*value, 'f', digits, 64) + unit
	}
	energy := with(f.EnergyJoules, 0, "J")
	if f.EnergyShared != nil && *f.EnergyShared {
		energy = "~" + energy
	}
	return []string{with(f.MaxTemperature, 1, "°C"), energy, with(f.ThrottledSeconds, 1, "s"), cmp.Or(f.Tainted, "-")}
}
