package transient

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// enabledDirs are where `systemctl enable` puts links to units, systemd.unit(5).
var enabledDirs = []string{"/etc/systemd/system", "/run/systemd/system"}

// Wanted returns the units of the system's service manager whose names match a
// pattern, glob(7), and that run, or would be started with the machine: instances of
// a template too.
func Wanted(ctx context.Context, pattern string) ([]string, error) {
	c, err := dial(ctx, privateAddress(false), defaultCallTimeout, askVersion)
	if err != nil {
		return nil, err
	}
	defer c.close()
	units, err := c.list(ctx, pattern)
	if err != nil {
		return nil, fmt.Errorf("cannot list units: %w", err)
	}
	names := linked(enabledDirs, pattern)
	for _, u := range units {
		if u.Active != "inactive" && u.Active != "failed" {
			names = append(names, u.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// linked finds the units that others want or require by a link in a directory of
// theirs.
func linked(dirs []string, pattern string) (names []string) {
	for _, dir := range dirs {
		for _, kind := range []string{"*.wants", "*.requires"} {
			links, _ := filepath.Glob(filepath.Join(dir, kind, "*")) // the pattern is well formed
			for _, link := range links {
				name := filepath.Base(link)
				if match, err := filepath.Match(pattern, name); err == nil && match && !strings.HasPrefix(name, ".") {
					names = append(names, name)
				}
			}
		}
	}
	return names
}
