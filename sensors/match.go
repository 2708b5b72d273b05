package sensors

import (
	"path"
	"path/filepath"
	"strings"
)

// Hottest returns the hottest of the zones that can be read and that match one
// of the patterns, and false if there is none: that is not a cold machine, but
// one whose heat is not known.
func (r Reading) Hottest(patterns []string) (Zone, bool) {
	found, ok := Zone{}, false
	for _, zone := range r.Zones {
		if zone.State == OK && (!ok || zone.Temperature > found.Temperature) && zone.Matches(patterns) {
			found, ok = zone, true
		}
	}
	return found, ok
}

// Matches says whether the zone's type or name matches one of the patterns,
// which are those of path.Match ("*", "tj-*", "cpu-thermal"). Case does not
// matter: kernels spell one zone in several ways. A malformed pattern matches
// nothing.
func (z Zone) Matches(patterns []string) bool {
	kind, name := strings.ToLower(z.Type), strings.ToLower(z.Name)
	for _, pattern := range patterns {
		pattern = strings.ToLower(pattern)
		for _, s := range []string{kind, name} {
			if ok, err := path.Match(pattern, s); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// nameZones gives each zone its name: its type, and its directory's name with
// it where the type alone would be ambiguous (a PC often has two acpitz).
func nameZones(zones []Zone) {
	count := make(map[string]int, len(zones))
	for _, zone := range zones {
		count[strings.ToLower(zone.Type)]++
	}
	for i, zone := range zones {
		zones[i].Name = zone.Type
		if count[strings.ToLower(zone.Type)] > 1 {
			zones[i].Name += "@" + filepath.Base(zone.Path)
		}
	}
}
