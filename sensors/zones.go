package sensors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// zones returns the directories of the thermal zones in the order of their
// numbers. A kernel without thermal zones has none, which is no error.
func (fs FS) zones() ([]string, error) {
	class := fs.path("sys/class/thermal")
	entries, err := os.ReadDir(class)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list thermal zones: %w", err)
	}
	var numbers []int
	for _, entry := range entries {
		digits, ok := strings.CutPrefix(entry.Name(), "thermal_zone")
		if number, err := strconv.ParseUint(digits, 10, 31); ok && err == nil {
			numbers = append(numbers, int(number))
		}
	}
	slices.Sort(numbers)
	dirs := make([]string, len(numbers))
	for i, number := range numbers {
		dirs[i] = filepath.Join(class, "thermal_zone"+strconv.Itoa(number))
	}
	return dirs, nil
}

// zoneFamily is the machine's thermal zones.
func zoneFamily(fs FS, read reader) *family {
	zones := newFamily("thermal", fs.zones, func(dir string) *source {
		known := Zone{Path: dir}
		name := filepath.Base(dir)
		return &source{
			name: name,
			read: func() (func(), error) {
				zone, err := readZone(read, known)
				return func() { known = zone }, err
			},
			report: func(r *Reading, err error) {
				zone := known
				if zone.Type == "" {
					zone.Type = name // it has not yet told
				}
				if err != nil {
					zone.State, zone.Temperature, zone.Err = Failed, 0, err
				}
				r.Zones = append(r.Zones, zone)
			},
		}
	})
	ever := false
	zones.listing.report = func(r *Reading, err error) {
		ever = ever || len(zones.order) > 0
		r.EverHadZone = ever || err != nil
	}
	return zones
}
