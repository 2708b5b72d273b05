package sensors

import "path/filepath"

// zoneFamily is the machine's thermal zones.
func zoneFamily(fs FS, read reader) *family {
	zones := newMembers("thermal",
		func() ([]string, error) { return fs.numbered("sys/class/thermal", "thermal_zone") },
		func(dir string, known Zone) (Zone, error) {
			known.Path = dir
			return readZone(read, known)
		},
		func(r *Reading, dir string, zone Zone, err error) {
			zone.Path = dir
			if zone.Type == "" {
				zone.Type = filepath.Base(dir) // it has not yet told
			}
			if err != nil {
				zone = zone.failed(err)
			}
			r.Zones = append(r.Zones, zone)
		})
	zones.listing.report = func(r *Reading, err error) { r.EverHadZone = r.EverHadZone || err != nil }
	return zones
}

// failed is the zone when it cannot be read.
func (z Zone) failed(err error) Zone {
	z.State, z.Temperature, z.Err = Failed, 0, err
	return z
}
