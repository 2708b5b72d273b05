package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"brainjar/internal/control"
	"brainjar/supervisor"
)

func newWait(r *remote) *cobra.Command {
	var which selection
	var timeout time.Duration
	var format string
	cmd := &cobra.Command{
		Use: "wait ID...", Short: "Wait until experiments have ended for good", GroupID: groupLook,
		Long: `Wait until each experiment has succeeded, failed or been stopped, after all its
restarts, and say how it ended. An experiment that is idle, or that waits for one that
has failed for good, counts as not succeeded; --all and --tag leave out those that are
idle. It goes on waiting when brainjar is restarted; after a minute without brainjar it
gives up.
Exit codes: 0 all have succeeded, 6 some have not, 1 --timeout has passed, 3 there is
no brainjar, 4 an experiment that nobody knows.`,
		Args: func(cmd *cobra.Command, ids []string) error { return which.one(cmd, ids) },
		RunE: r.asking(func(ctx context.Context, c *control.Client, ids []string) error {
			names, err := r.names(ctx, c, &which, ids)
			if err != nil {
				return err
			}
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, timeout, errTimeout)
				defer cancel()
			}
			return waitFor(ctx, c, r, names, len(ids) > 0, format)
		}),
	}
	which.flags(cmd, r)
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "wait no longer than this")
	formatFlag(cmd, &format, "text", "json")
	return cmd
}

// waitFor waits until experiments have ended for good, or will not begin, and tells of
// each how. Those that nobody wants count if they are named.
func waitFor(ctx context.Context, c *control.Client, r *remote, ids []string, named bool, format string) error {
	unwanted := func(e control.Experiment) bool { return phase(e) == supervisor.Idle }
	var failed failures
	mention := r.mentioning()
	reached, missing, err := await(ctx, c, ids, func(now control.Experiment, of control.Supervisor) bool {
		switch {
		case of.Ready && unwanted(now) && !named:
			return true
		case !ended(now) && (!of.Ready || !now.Blocked && !unwanted(now)):
			mention(now)
			return false
		case of.Leaving && phase(now) == supervisor.Stopped:
			return false // it goes on when brainjar does
		}
		if format == "text" {
			fmt.Fprintf(r.stdout, "%s: %s\n", now.Experiment, stand(now))
		}
		return true
	})
	if !named {
		reached = slices.DeleteFunc(reached, unwanted)
	}
	for _, e := range reached {
		if phase(e) != supervisor.Succeeded {
			failed = append(failed, exitError(ExitAwaited)) // how it ended is what was asked for
		}
	}
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errTimeout):
		for _, id := range missing {
			failed = append(failed, &failure{fmt.Errorf("%s has not ended in time", id), ExitFailed, ""})
		}
	case err != nil:
		failed = append(failed, err)
	}
	if format == "json" {
		if err := printDocument(r.stdout, append([]control.Experiment{}, reached...)); err != nil { // [] and not null
			return err
		}
	}
	return failed.err()
}
