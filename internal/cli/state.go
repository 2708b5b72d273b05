package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// ledgerName is the name of the ledger in the state directory.
const ledgerName = "brainjar.db"

// logsName is the name of the directory for the files of runs, in the state
// directory.
const logsName = "logs"

// stateFlag adds the flag for the directory of what must outlive a boot.
func stateFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "state", "", "directory of the ledger (default /var/lib/brainjar, with --user ~/.local/state/brainjar)")
}

// stateDir is the directory of what must outlive a boot: the one that was asked
// for, or the one that systemd gave to brainjar's unit, or the usual one.
func stateDir(asked string, user bool) (string, error) {
	given, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	switch {
	case asked != "":
		dir, err := filepath.Abs(asked)
		if err != nil {
			return "", fmt.Errorf("cannot find the state directory: %w", err)
		}
		return dir, nil
	case given != "":
		return given, nil
	case !user:
		return "/var/lib/brainjar", nil
	}
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "brainjar"), nil
	}
	home := os.Getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", &failure{errors.New("cannot find the state directory: neither XDG_STATE_HOME nor HOME is set"), ExitFailed, "name one with --state"}
	}
	return filepath.Join(home, ".local", "state", "brainjar"), nil
}
