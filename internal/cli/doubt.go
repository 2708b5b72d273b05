package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"brainjar/internal/config"
	"brainjar/internal/envfile"
)

// maxDoubted is how much of an environment file is looked at.
const maxDoubted = 1 << 20 // bytes

// doubts are things that systemd does not refuse before a run begins, or never says,
// and that are hardly meant: a program that cannot be executed, lines of an environment
// file that are passed over.
func doubts(c *config.Experiment) (warnings []string) {
	command := c.CommandFor(1, 0)
	if len(command) > 0 && filepath.IsAbs(command[0]) {
		info, err := os.Stat(command[0])
		switch {
		case os.IsNotExist(err):
			warnings = append(warnings, fmt.Sprintf("command: there is no %s", command[0]))
		case err == nil && (info.IsDir() || info.Mode()&0o111 == 0):
			warnings = append(warnings, fmt.Sprintf("command: %s cannot be executed", command[0]))
		}
	}
	for _, path := range c.EnvironmentFiles {
		path = strings.TrimPrefix(path, "-")
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxDoubted {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, problems := envfile.Parse(string(content))
		for _, p := range problems {
			warnings = append(warnings, fmt.Sprintf("environment_files: %s: %v; systemd passes it over", path, p))
		}
	}
	return warnings
}
