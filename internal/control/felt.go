package control

import (
	"fmt"
	"strings"

	"brainjar/internal/ledger"
)

// figures are what an explanation needs of what a run has felt; nil is not known.
type figures struct {
	MaxTemperature     *float64 `json:"max_temperature"`
	MaxTemperatureZone string   `json:"max_temperature_zone"`
	EnergyJoules       *float64 `json:"energy_joules"`
	EnergySeconds      *float64 `json:"energy_seconds"`
	EnergyShared       bool     `json:"energy_shared"`
	Tainted            string   `json:"tainted"`
}

// felt says what a run has felt, also of one that goes on.
func (x *explanation) felt(f figures, subject string) {
	var words []string
	if f.MaxTemperature != nil {
		words = append(words, fmt.Sprintf("was at most %.1f °C hot (%s)", *f.MaxTemperature, f.MaxTemperatureZone))
	}
	if f.EnergyJoules != nil && f.EnergySeconds != nil && *f.EnergySeconds > 0 {
		energy := fmt.Sprintf("took %s, %.1f W on average", joules(*f.EnergyJoules), *f.EnergyJoules / *f.EnergySeconds)
		if f.EnergyShared {
			energy += ", by an estimate, since others ran besides it"
		}
		words = append(words, energy)
	}
	if len(words) > 0 {
		x.say("%s %s.", subject, strings.Join(words, " and "))
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
