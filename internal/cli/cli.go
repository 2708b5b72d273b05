// Package cli is brainjar's command line: one file a command. It puts the
// other packages together and turns errors into exit codes and hints; it
// decides nothing about experiments.
package cli

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"
)

// Main runs the command line and returns the exit code. What was asked for
// goes to stdout; errors, hints and the log go to stderr.
func Main(args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return ExitOK
	}
	report(stderr, err)
	return exitCode(err)
}

// The groups of commands, in help.
const (
	groupLook   = "look"
	groupOrders = "orders"
	groupDaemon = "daemon"
)

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "brainjar",
		Short: "Supervise long experiments as transient systemd units",
		Long: `brainjar supervises long-running experiments on one Linux box. It reads one
TOML file, launches every experiment as a transient systemd unit whose limits
hold, and decides what may start now, when to retry, and how to stop.

Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 brainjar cannot be reached, 4 an
experiment that nobody knows, 5 not admitted, 6 the experiment that was waited for did
not succeed, 78 the configuration has errors.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.Version = Version
	root.SetVersionTemplate(versionLine())
	root.Flags().Bool("version", false, "print the version of brainjar") // and no -v: run has that
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(&cobra.Group{ID: groupLook, Title: "To look:"}, &cobra.Group{ID: groupOrders, Title: "To tell experiments what to do:"},
		&cobra.Group{ID: groupDaemon, Title: "For brainjar itself:"})
	root.SetHelpCommandGroupID(groupDaemon)
	r := &remote{stdout: stdout, stderr: stderr}
	r.flags(root)
	root.AddCommand(newStatus(r), newWhy(r), newWait(r), newLogs(r), newEvents(r), newHistory(r), newSensors(r))
	root.AddCommand(newStart(r), newSubmit(r), newExec(r), newSet(r), newAdopt(r))
	root.AddCommand(newOrders(r)...)
	root.AddCommand(newRun(stderr), newCheck(stdout, stderr), newImport(stdout, stderr), newPlan(r), newReload(r), newDoctor(r), newCompletion(stdout), newMan(stdout), newVersion(stdout))
	for _, c := range root.Commands() {
		if c.GroupID == "" {
			c.GroupID = groupDaemon
		}
		args := c.Args
		if args == nil {
			args = cobra.ArbitraryArgs
		}
		c.Args = func(cmd *cobra.Command, given []string) error {
			err := args(cmd, given)
			if err == nil {
				err = checkIDs(idsIn(cmd.Use, given)...)
			}
			var told *failure
			if err != nil && !errors.As(err, &told) {
				return usageError(cmd, err)
			}
			return err
		}
	}
	return root
}
