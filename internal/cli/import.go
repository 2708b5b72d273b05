package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"brainjar/internal/config"
	"brainjar/internal/legacy"
	"brainjar/sensors"
)

// importer is `brainjar import`.
type importer struct {
	stdout, stderr io.Writer
	output         string // "" for stdout
	force          bool
}

func newImport(stdout, stderr io.Writer) *cobra.Command {
	m := importer{stdout: stdout, stderr: stderr}
	cmd := &cobra.Command{
		Use:   "import DIR",
		Short: "Make a configuration of an installation of brain-experiment@.service",
		Long: `Make a configuration of the installation that brainjar replaces: coordinator.env,
experiments/*.env, brain-experiment@.service with its drop-ins and enabled instances,
and the coordinator's unit. DIR is / or a copy of it, of /etc, or of the directory that
the units are in. Nothing below DIR is changed.

Behind each value the configuration says where it came from. It begins with all that was
not carried over or is different now; the same goes to stderr. It is checked before it is
written, so it has no errors. What cannot be read, such as a line of an .env file that is
no assignment, is reported with its file and line, and left out. A memory limit that is
more than this machine can give is lowered to that. Exit codes: 0 a configuration was
made, also with warnings; 1 there is no such installation, or the configuration could
not be written.`,
		Example: `  brainjar import / -o config.toml
  brainjar check config.toml`,
		Args: wants("DIR"),
		RunE: func(_ *cobra.Command, args []string) error { return m.run(args[0]) },
	}
	cmd.Flags().StringVarP(&m.output, "output", "o", "", "write `FILE`, and not to stdout; readable for you alone if something in it looks like a password")
	cmd.Flags().BoolVar(&m.force, "force", false, "replace FILE if it is there")
	return cmd
}

func (m *importer) run(dir string) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return &failure{fmt.Errorf("cannot read an old installation: %s is no directory that can be read", dir), ExitFailed, "give /, or a copy of /etc"}
	}
	if m.output != "" && !m.force {
		if _, err := os.Lstat(m.output); err == nil {
			return m.exists()
		}
	}
	memTotal, err := sensors.MemTotal()
	if err != nil {
		return fmt.Errorf("cannot find out how much memory this machine has: %w", err)
	}
	installation, err := legacy.Read(os.DirFS(dir), memTotal)
	if err != nil {
		return &failure{fmt.Errorf("cannot find an old installation in %s: %w", dir, err), ExitFailed, "give /, a copy of /etc, or the directory with the units"}
	}
	place := "" // for temporary files; or beside the file that it becomes, which a rename needs
	if m.output != "" {
		place = filepath.Dir(m.output)
	}
	draft, err := os.CreateTemp(place, ".brainjar-import-*.toml")
	if err != nil {
		return fmt.Errorf("cannot write the configuration: %w", err)
	}
	defer os.Remove(draft.Name()) // is gone already if it became the file
	defer draft.Close()
	err = installation.Settle(func(text string) error {
		if err := rewrite(draft, text); err != nil {
			return fmt.Errorf("cannot write the configuration: %w", err)
		}
		_, err := config.Load(draft.Name())
		return err
	})
	for _, note := range installation.Notes {
		fmt.Fprintf(m.stderr, "warning: %s\n", printable(note.String()))
	}
	if err != nil {
		return fmt.Errorf("cannot make a configuration of it: %w", err)
	}
	return m.deliver(draft, installation)
}

func rewrite(f *os.File, text string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// deliver gives the draft its name, or prints it.
func (m *importer) deliver(draft *os.File, installation *legacy.Installation) error {
	if m.output == "" {
		_, err := io.WriteString(m.stdout, installation.Text())
		return err
	}
	mode := fs.FileMode(0o644)
	if installation.Secret {
		mode = 0o600
	}
	err := errors.Join(draft.Chmod(mode), draft.Sync())
	switch {
	case err != nil:
	case m.force:
		err = os.Rename(draft.Name(), m.output)
	default:
		err = os.Link(draft.Name(), m.output) // fails where a rename would replace
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return m.exists()
	case err != nil:
		return fmt.Errorf("cannot write the configuration: %w", err)
	}
	fmt.Fprintf(m.stderr, "%s: %d experiments; look at it, then: brainjar check %s\n", m.output, installation.Experiments, m.output)
	return nil
}

func (m *importer) exists() error {
	return &failure{fmt.Errorf("cannot write %s: it is there already", m.output), ExitFailed, "give another name, or --force to replace it"}
}
