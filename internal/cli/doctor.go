package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"brainjar/internal/control"
	"brainjar/internal/doctor"
)

// doctorCommand is `brainjar doctor`.
type doctorCommand struct {
	remote *remote
	state  string
	format string
}

func newDoctor(r *remote) *cobra.Command {
	d := doctorCommand{remote: r}
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look whether this machine is fit for brainjar, and what to do about it",
		Long: `Look whether this machine is fit for brainjar: its systemd and control groups,
sensors, GPUs, memory and swap, the directories and the socket, the clock, and units of
the old service. It tries whether limits hold: short programs take too much memory and
CPU, open a device that is denied, and are frozen, as units in a slice of their own, of
which nothing is left behind.

Each line is ok, warn (it works with less, or could not be looked at) or fail, with what
to do. It takes a few seconds, never more than 15. Without root, or with --user, it can
look at less. Exit codes: 0 nothing fails, 1 something does.`,
		Args: wants(),
		RunE: r.asking(func(ctx context.Context, c *control.Client, _ []string) error { return d.run(ctx, c) }),
	}
	stateFlag(cmd, &d.state)
	formatFlag(cmd, &d.format, "table", "json")
	return cmd
}

func (d *doctorCommand) run(ctx context.Context, c *control.Client) error {
	socket, err := d.remote.path()
	if err != nil {
		return err
	}
	state, err := stateDir(d.state, d.remote.user)
	if err != nil {
		return err
	}
	runtime := "/run/brainjar"
	if d.remote.user {
		runtime = filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "brainjar")
	}
	machine := doctor.Examine(ctx, doctor.Options{
		User: d.remote.user, Socket: socket, Group: control.GroupName, StateDir: state, RuntimeDir: runtime,
		Ask: func(ctx context.Context) (bool, error) {
			_, err := c.Status(ctx)
			return absent(err), err
		},
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return d.tell(doctor.Diagnose(machine))
}

// tell prints the checks; one that fails is an error.
func (d *doctorCommand) tell(checks []doctor.Check) error {
	var err error
	if d.format == "json" {
		err = printDocument(d.remote.stdout, checks)
	} else {
		err = printTo(d.remote.stdout, func(w *bufio.Writer) { d.table(w, checks) })
	}
	if err == nil && doctor.Worst(checks) == doctor.Fail {
		return errUnfit
	}
	return err
}

// errUnfit says that a check fails, which was told.
var errUnfit = errors.New("this machine is not fit for all that brainjar does, see what fails")

var verdictColours = map[doctor.Verdict]string{doctor.OK: green, doctor.Warn: yellow, doctor.Fail: red}

// table writes a line for each check, and what to do below it.
func (d *doctorCommand) table(w *bufio.Writer, checks []doctor.Check) {
	longest := 0
	for _, c := range checks {
		longest = max(longest, width(c.Name))
	}
	for _, c := range checks {
		verdict := fmt.Sprintf("%-4s", c.Verdict)
		if colourful(d.remote.stdout) {
			verdict = paint(verdictColours[c.Verdict], verdict)
		}
		fmt.Fprintf(w, "%s  %-*s  %s\n", verdict, longest, printable(c.Name), printable(c.Words))
		if c.Hint != "" {
			fmt.Fprintf(w, "      %-*s  -> %s\n", longest, "", printable(c.Hint))
		}
	}
}
