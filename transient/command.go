package transient

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// defaultPath is where a program is looked for if the unit has no PATH: as
// systemd does.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// resolveCommand returns the command with an absolute path for its program,
// which systemd before 248 insists on, and which later ones look up without
// regard to the unit's own PATH. A name with a slash is relative to the
// working directory. Whether an absolute path can be executed is not looked
// at: systemd does that, as the user of the unit.
func resolveCommand(spec Spec) ([]string, error) {
	if len(spec.Command) == 0 || spec.Command[0] == "" {
		return nil, fmt.Errorf("cannot start %s: it has no command", spec.Unit())
	}
	name := spec.Command[0]
	if filepath.IsAbs(name) {
		return spec.Command, nil
	}
	command := slices.Clone(spec.Command)
	if strings.Contains(name, "/") {
		if spec.WorkingDirectory == "" {
			return nil, fmt.Errorf("cannot find program %s: without a working_directory it must be an absolute path", name)
		}
		command[0] = filepath.Join(spec.WorkingDirectory, name)
		return command, nil
	}
	path := defaultPath
	for _, assignment := range spec.Environment {
		if value, ok := strings.CutPrefix(assignment, "PATH="); ok {
			path = value
		}
	}
	for _, directory := range filepath.SplitList(path) {
		candidate := filepath.Join(directory, name)
		if !filepath.IsAbs(candidate) {
			continue
		}
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			command[0] = candidate
			return command, nil
		}
	}
	return nil, fmt.Errorf("cannot find program %s in %s", name, path)
}
