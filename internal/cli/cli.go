// Package cli is brainjar's command line: one file a command. It puts the
// other packages together and turns errors into exit codes and hints; it
// decides nothing about experiments.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"brainjar/internal/config"
)

// The exit codes of every command.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitUnreachable = 3  // the daemon, or the service manager
	ExitUnknown     = 4  // an experiment that nobody knows
	ExitConfig      = 78 // the configuration has errors (EX_CONFIG of sysexits.h)
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

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "brainjar",
		Short: "Supervise long experiments as transient systemd units",
		Long: `brainjar supervises long-running experiments on one Linux box. It reads one
TOML file, launches every experiment as a transient systemd unit whose limits
hold, and decides what may start now, when to retry, and how to stop.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	root.AddCommand(newRun(stderr), newCheck(stdout, stderr), newHistory(stdout), newVersion(stdout))
	for _, c := range root.Commands() {
		args := c.Args
		if args == nil {
			continue
		}
		c.Args = func(cmd *cobra.Command, given []string) error {
			if err := args(cmd, given); err != nil {
				return usageError(cmd, err)
			}
			return nil
		}
	}
	return root
}

// failure is an error that knows its exit code and what to do about it.
type failure struct {
	err  error
	code int
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usageError(cmd *cobra.Command, err error) error {
	return &failure{err, ExitUsage, "see `" + cmd.CommandPath() + " --help`"}
}

// exitCode maps an error to the exit code of the program.
func exitCode(err error) int {
	var f *failure
	var problems config.Errors
	switch {
	case errors.As(err, &f):
		return f.code
	case errors.As(err, &problems):
		return ExitConfig
	case strings.HasPrefix(err.Error(), "unknown command"):
		return ExitUsage
	}
	return ExitFailed
}

// report writes an error for a person: what and why, then what to do.
func report(w io.Writer, err error) {
	var problems config.Errors
	if errors.As(err, &problems) {
		for _, p := range problems {
			fmt.Fprintf(w, "error: %s\n", p)
		}
		return
	}
	fmt.Fprintf(w, "error: %v\n", err)
	var f *failure
	if errors.As(err, &f) && f.hint != "" {
		fmt.Fprintf(w, "hint: %s\n", f.hint)
	}
}
