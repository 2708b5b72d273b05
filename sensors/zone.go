package sensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// Zone is one thermal zone: a place on the board with a thermometer. Zone
// numbers move between boots and kernels, so a zone is known by its type. The
// thermometers of a PC's processors and graphics cards are zones too.
type Zone struct {
	Name        string           // its type; with "@thermal_zone4" after it where several zones have one type
	Type        string           // as the driver spells it: "tj-thermal", "CPU-therm", "acpitz", "k10temp-tctl"
	Path        string           // its directory; of a card that nvidia-smi tells of, its name
	State       State            //
	Temperature quantity.Celsius // only where State is OK
	Trips       []Trip           //
	Disabled    bool             // the kernel was told not to act on this zone; it is read all the same
	Err         error            // why State is Failed
}

// zoneJSON is a Zone as it travels: a temperature that is not known is null.
type zoneJSON struct {
	Name     string                  `json:"name"`
	Type     string                  `json:"type"`
	Path     string                  `json:"path"`
	State    State                   `json:"state"`
	Celsius  Value[quantity.Celsius] `json:"celsius"`
	Trips    []Trip                  `json:"trips,omitempty"`
	Disabled bool                    `json:"disabled,omitempty"`
	Error    string                  `json:"error,omitempty"`
}

// MarshalJSON writes the zone with its temperature in °C, or null.
func (z Zone) MarshalJSON() ([]byte, error) {
	wire := zoneJSON{z.Name, z.Type, z.Path, z.State, Value[quantity.Celsius]{z.State, z.Temperature}, z.Trips, z.Disabled, ""}
	if z.Err != nil {
		wire.Error = z.Err.Error()
	}
	return json.Marshal(wire)
}

// UnmarshalJSON reads what MarshalJSON wrote. Of the error its text is left.
func (z *Zone) UnmarshalJSON(text []byte) error {
	var wire zoneJSON
	if err := json.Unmarshal(text, &wire); err != nil {
		return err
	}
	*z = Zone{wire.Name, wire.Type, wire.Path, wire.State, wire.Celsius.V, wire.Trips, wire.Disabled, nil}
	if wire.Error != "" {
		z.Err = errors.New(wire.Error)
	}
	return nil
}

// Trip is a temperature at which the kernel acts by itself.
type Trip struct {
	Type        string           `json:"type"` // "critical", "hot", "passive", "active"
	Temperature quantity.Celsius `json:"celsius"`
	Hysteresis  quantity.Celsius `json:"hysteresis_celsius"`
}

// Trip returns the zone's lowest trip of a type. Trips are found by type, as
// their numbers mean nothing.
func (z Zone) Trip(kind string) (Trip, bool) {
	found, ok := Trip{}, false
	for _, trip := range z.Trips {
		if trip.Type == kind && (!ok || trip.Temperature < found.Temperature) {
			found, ok = trip, true
		}
	}
	return found, ok
}

// Millidegrees that stand for "not measured" in a successful read.
const (
	// tegraGated is what the Tegra driver of JetPack 5 gives for a part of
	// the chip without power. JetPack 6 and later fail with EAGAIN instead.
	tegraGated = -256000
	// kernelInvalid is THERMAL_TEMP_INVALID of include/linux/thermal.h.
	kernelInvalid = -274000
)

// Outside of these, in °C, a value is no temperature of a machine that runs.
const (
	coldest quantity.Celsius = -100
	hottest quantity.Celsius = 250
)

// policyZone begins the type of a PC's zone that has no thermometer: it carries the
// firmware's wishes, and its driver makes up 20 °C.
const policyZone = "INT3400"

// maxTrips bounds how many trips of a zone are looked at.
const maxTrips = 32

// readZone reads the zone in a directory. known is what was read before: the
// trips are read anew only when the zone has become another one. What is read
// before an error is returned with it.
func readZone(read reader, known Zone) (Zone, error) {
	name, err := read(filepath.Join(known.Path, "type"))
	if err != nil {
		return known, err
	}
	kind := strings.TrimSpace(string(name))
	if kind == "" {
		return known, fmt.Errorf("cannot tell what zone %s is: its type is empty", known.Path)
	}
	zone := Zone{Type: kind, Path: known.Path, Trips: known.Trips}
	if kind != known.Type {
		zone.Trips = readTrips(read, known.Path)
	}
	mode, err := read(filepath.Join(known.Path, "mode"))
	zone.Disabled = err == nil && trim(mode) == "disabled"
	if strings.HasPrefix(kind, policyZone) {
		return zone, nil
	}
	value, err := read(filepath.Join(known.Path, "temp"))
	if err != nil && zone.Disabled {
		return zone, nil // as is a radio's that is switched off
	}
	zone.State, zone.Temperature, err = temperature(value, err)
	if err != nil {
		return zone, fmt.Errorf("cannot read zone %s: %w", kind, err)
	}
	return zone, nil
}

// temperature makes sense of what a read of a zone's temp file gave.
func temperature(value []byte, err error) (State, quantity.Celsius, error) {
	if errors.Is(err, unix.EAGAIN) {
		return Absent, 0, nil
	}
	if err != nil {
		return Failed, 0, err
	}
	millidegrees, err := parseMillidegrees(value)
	if err != nil {
		return Failed, 0, err
	}
	if millidegrees == tegraGated || millidegrees == kernelInvalid {
		return Absent, 0, nil
	}
	celsius := quantity.Celsius(millidegrees) / 1000
	if celsius < coldest || celsius > hottest {
		return Failed, 0, fmt.Errorf("%s is no temperature of a machine that runs", celsius)
	}
	return OK, celsius, nil
}

// readTrips reads the zone's trips. One that cannot be read is left out: the
// kernel acts on it all the same, and the zone's temperature is still good.
func readTrips(read reader, dir string) []Trip {
	var trips []Trip
	for n := range maxTrips {
		file := filepath.Join(dir, "trip_point_"+strconv.Itoa(n)+"_")
		kind, err := read(file + "type")
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		temp, errTemp := read(file + "temp")
		hyst, errHyst := read(file + "hyst")
		if err != nil || errTemp != nil {
			continue
		}
		if errHyst != nil {
			hyst = []byte("0") // drivers may leave the file out
		}
		if trip, err := parseTrip(kind, temp, hyst); err == nil {
			trips = append(trips, trip)
		}
	}
	return trips
}

// parseTrip makes a trip of its three files. A trip at or below 0 °C is how
// drivers show one that is switched off; it is an error here.
func parseTrip(kind, temp, hyst []byte) (Trip, error) {
	millidegrees, err := parseMillidegrees(temp)
	if err != nil {
		return Trip{}, err
	}
	hysteresis, err := parseMillidegrees(hyst)
	if err != nil {
		return Trip{}, err
	}
	trip := Trip{
		Type:        strings.TrimSpace(string(kind)),
		Temperature: quantity.Celsius(millidegrees) / 1000,
		Hysteresis:  quantity.Celsius(hysteresis) / 1000,
	}
	if trip.Type == "" || trip.Temperature <= 0 || trip.Temperature > hottest || trip.Hysteresis < 0 {
		return Trip{}, fmt.Errorf("%+v is no trip", trip)
	}
	return trip, nil
}

// parseMillidegrees reads a decimal number of thousandths of a degree
// (Documentation/driver-api/thermal/sysfs-api.rst).
func parseMillidegrees(value []byte) (int64, error) {
	text := strings.TrimSpace(string(value))
	number, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no number of millidegrees", text)
	}
	return number, nil
}
