package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"brainjar/internal/control"
)

func newPlan(r *remote) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what a reload would do", GroupID: groupDaemon,
		Long: `Read the configuration again and show what a reload would do. Nothing is changed.
What runs without a change of an earlier reload, which needs a restart, is shown too.
Exit code 78: it has errors, which are all listed, or cannot be read.`,
		Args: wants(),
		RunE: r.asking(func(ctx context.Context, c *control.Client, _ []string) error {
			plan, err := c.Plan(ctx)
			return r.printPlan(plan, err, format, "a reload would change nothing")
		}),
	}
	formatFlag(cmd, &format, "text", "json")
	return cmd
}

func newReload(r *remote) *cobra.Command {
	var request control.ReloadRequest
	var format string
	cmd := &cobra.Command{
		Use: "reload", Short: "Read the configuration again", GroupID: groupDaemon,
		Long: `Read the configuration again and do what it says: limits, priorities and thresholds
change at once; what is new is queued; what has vanished is stopped gracefully; what
did not change is not touched. What needs a restart is restarted only with --restart.
Exit code 78: it has errors or cannot be read, and nothing was changed.`,
		Args: wants(),
		RunE: r.asking(func(ctx context.Context, c *control.Client, _ []string) error {
			plan, err := c.Reload(ctx, request)
			return r.printPlan(plan, err, format, "nothing has changed")
		}),
	}
	cmd.Flags().BoolVar(&request.Restart, "restart", false, "restart experiments whose changes need it")
	formatFlag(cmd, &format, "text", "json")
	return cmd
}

// printPlan shows the steps of a reload, or says that there are none.
func (r *remote) printPlan(plan control.Plan, err error, format, none string) error {
	if err != nil {
		return err
	}
	for _, warning := range plan.Warnings {
		fmt.Fprintf(r.stderr, "warning: %s\n", printable(warning))
	}
	if format == "json" {
		return printDocument(r.stdout, plan)
	}
	return printTo(r.stdout, func(w *bufio.Writer) {
		if len(plan.Steps) == 0 {
			fmt.Fprintln(w, none)
			return
		}
		t := table{w: w}
		for _, step := range plan.Steps {
			name := step.Experiment
			if name == "" {
				name = "(settings)"
			}
			t.row([]string{step.Action, name, strings.Join(step.Keys, ", "), printable(step.Words)})
		}
		t.flush()
	})
}
