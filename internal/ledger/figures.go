package ledger

import (
	"cmp"

	"brainjar/internal/quantity"
)

// Figures are what a run felt of the machine: part of its row of table runs. Nil is
// what is not known.
type Figures struct {
	MaxTemperature     *float64 `json:"max_temperature"`      // °C
	MaxTemperatureZone string   `json:"max_temperature_zone"` // where that was

	EnergyJoules  *float64 `json:"energy_joules"`  // its share of what the board took
	EnergySeconds *float64 `json:"energy_seconds"` // for how long that was known
	EnergyShared  *bool    `json:"energy_shared"`  // others ran besides it at some time, so that it is an estimate

	ThrottledSeconds  *float64 `json:"throttled_seconds"`  // for any of the two causes
	ThrottledHardware *float64 `json:"throttled_hardware"` // seconds; the hardware slowed itself down
	ThrottledBrainjar *float64 `json:"throttled_brainjar"` // seconds; brainjar slowed experiments down against heat

	OverCurrentEvents *int            `json:"over_current_events"`
	SwapPeak          *quantity.Bytes `json:"swap_peak"`
	WatchedSeconds    *float64        `json:"watched_seconds"` // for how long the sensors were read while it ran

	// Tainted is "clean", or what makes its measurements doubtful; "": it has not
	// ended, or nothing could be watched.
	Tainted string `json:"tainted"`
}

// Clean is what Figures.Tainted says of a run of which nothing doubtful was seen.
const Clean = "clean"

// mergeFigures is f, and what it leaves out as old says.
func mergeFigures(old, f Figures) Figures {
	return Figures{
		MaxTemperature:     cmp.Or(f.MaxTemperature, old.MaxTemperature),
		MaxTemperatureZone: cmp.Or(f.MaxTemperatureZone, old.MaxTemperatureZone),
		EnergyJoules:       cmp.Or(f.EnergyJoules, old.EnergyJoules),
		EnergySeconds:      cmp.Or(f.EnergySeconds, old.EnergySeconds),
		EnergyShared:       cmp.Or(f.EnergyShared, old.EnergyShared),
		ThrottledSeconds:   cmp.Or(f.ThrottledSeconds, old.ThrottledSeconds),
		ThrottledHardware:  cmp.Or(f.ThrottledHardware, old.ThrottledHardware),
		ThrottledBrainjar:  cmp.Or(f.ThrottledBrainjar, old.ThrottledBrainjar),
		OverCurrentEvents:  cmp.Or(f.OverCurrentEvents, old.OverCurrentEvents),
		SwapPeak:           cmp.Or(f.SwapPeak, old.SwapPeak),
		WatchedSeconds:     cmp.Or(f.WatchedSeconds, old.WatchedSeconds),
		Tainted:            cmp.Or(f.Tainted, old.Tainted),
	}
}

// putFigures adds figures to a row of runs that exists.
const putFigures = `UPDATE runs SET
	max_temperature = coalesce(?3, max_temperature), max_temperature_zone = coalesce(?4, max_temperature_zone),
	energy_joules = coalesce(?5, energy_joules), energy_seconds = coalesce(?6, energy_seconds),
	energy_shared = coalesce(?7, energy_shared),
	throttled_seconds = coalesce(?8, throttled_seconds), throttled_hardware = coalesce(?9, throttled_hardware),
	throttled_brainjar = coalesce(?10, throttled_brainjar), over_current_events = coalesce(?11, over_current_events),
	swap_peak = coalesce(?12, swap_peak), watched_seconds = coalesce(?13, watched_seconds),
	tainted = coalesce(?14, tainted)
	WHERE experiment = ?1 AND run = ?2`

// figureValues are figures for the database, in the order of putFigures.
func figureValues(f Figures) []any {
	var swap any
	if f.SwapPeak != nil {
		swap = int64(*f.SwapPeak)
	}
	return []any{
		deref(f.MaxTemperature), known(f.MaxTemperatureZone), deref(f.EnergyJoules), deref(f.EnergySeconds), deref(f.EnergyShared),
		deref(f.ThrottledSeconds), deref(f.ThrottledHardware), deref(f.ThrottledBrainjar), deref(f.OverCurrentEvents),
		swap, deref(f.WatchedSeconds), known(f.Tainted),
	}
}
