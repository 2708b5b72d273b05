package transient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Clean removes the directories that systemd made for an experiment, with all that is
// in them: its state and its cache, as `systemctl clean` does for a unit that is still
// there. It must have no unit. What it holds the experiment may have made as it
// pleased: no symbolic link in it is followed.
func (m *Manager) Clean(ctx context.Context, experiment string) error {
	if m.options.User { // whose units have none
		return nil
	}
	name := Prefix + experiment
	var failed error
	for _, base := range []string{"/var/lib", "/var/cache"} {
		// With DynamicUser the directory lies in private, and a link leads there.
		for _, path := range []string{filepath.Join(base, name), filepath.Join(base, "private", name)} {
			if ctx.Err() == nil {
				failed = errors.Join(failed, os.RemoveAll(path))
			}
		}
	}
	if failed != nil {
		return fmt.Errorf("cannot remove the directories of %s: %w", experiment, failed)
	}
	return nil
}
