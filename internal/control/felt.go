package control

import (
	"fmt"
	"strings"
	"time"

	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
	"brainjar/supervisor"
)

// figures are what an explanation needs of what a run has felt; nil is not known.
type figures struct {
	MaxTemperature     *float64       `json:"max_temperature"`
	MaxTemperatureZone string         `json:"max_temperature_zone"`
	ThrottledSeconds   *float64       `json:"throttled_seconds"`
	OverCurrentEvents  *int           `json:"over_current_events"`
	GPUMemoryPeak      quantity.Bytes `json:"gpu_memory_peak"` // 0: not known
	EnergyJoules       *float64       `json:"energy_joules"`
	EnergySeconds      *float64       `json:"energy_seconds"`
	EnergyShared       bool           `json:"energy_shared"`
	Tainted            string         `json:"tainted"`
}

// felt says what a run has felt, also of one that goes on.
func (x *explanation) felt(f figures, subject string) {
	var words []string
	if f.MaxTemperature != nil {
		words = append(words, fmt.Sprintf("was at most %.1f °C hot (%s)", *f.MaxTemperature, f.MaxTemperatureZone))
	}
	if f.ThrottledSeconds != nil && *f.ThrottledSeconds >= 0.1 {
		words = append(words, "was throttled for "+lasted(time.Duration(*f.ThrottledSeconds*float64(time.Second))))
	}
	if f.GPUMemoryPeak > 0 {
		words = append(words, fmt.Sprintf("used at most %s of the GPU's memory", f.GPUMemoryPeak))
	}
	if f.OverCurrentEvents != nil && *f.OverCurrentEvents > 0 {
		words = append(words, fmt.Sprintf("had over-current %s", supervisor.Times(*f.OverCurrentEvents)))
	}
	if f.EnergyJoules != nil && f.EnergySeconds != nil && *f.EnergySeconds > 0 {
		energy := fmt.Sprintf("took %s, %.1f W on average", joules(*f.EnergyJoules), *f.EnergyJoules / *f.EnergySeconds)
		if f.EnergyShared {
			energy += ", by an estimate, since others ran besides it"
		}
		words = append(words, energy)
	}
	if n := len(words); n > 1 {
		words = []string{strings.Join(words[:n-1], ", ") + " and " + words[n-1]}
	}
	if len(words) > 0 {
		x.say("%s %s.", subject, words[0])
	}
}

// tainted are the words about measurements that are in doubt, or "".
func (f figures) tainted() string {
	if f.Tainted == "" || f.Tainted == ledger.Clean {
		return ""
	}
	return "; its measurements are tainted: " + f.Tainted
}

// joules is an energy with three digits that count.
func joules(j float64) string {
	switch {
	case j >= 3.6e6:
		return fmt.Sprintf("%.3g kWh", j/3.6e6)
	case j >= 1000:
		return fmt.Sprintf("%.3g kJ", j/1000)
	}
	return fmt.Sprintf("%.3g J", j)
}
