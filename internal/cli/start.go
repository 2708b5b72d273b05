package cli

import (
	"context"

	"github.com/spf13/cobra"

	"brainjar/internal/control"
)

// notForStart are the keys that start cannot say otherwise; --config and --tag are
// flags of its own.
var notForStart = []string{"command", "config", "kind", "autostart", "after", "tags", "matrix"}

func newStart(r *remote) *cobra.Command {
	var request control.StartRequest
	var keys keyFlags
	o := &order{remote: r, verb: "start", reached: started, judge: runs, unknown: true}
	o.give = func(ctx context.Context, c *control.Client, id string) (control.Experiment, error) {
		return c.Start(ctx, id, request)
	}
	cmd := &cobra.Command{
		Use: "start ID...", Short: "Start experiments, or queue them", GroupID: groupOrders,
		Long: `Start experiments, as soon as there is room for them. Their count of restarts begins
anew, and those that were held are released. What runs already is left alone. An id
that nobody knows is made from [template], if the configuration has one.

Flags that are keys of the configuration override it: from then on, also after a
restart of brainjar, until another start or set changes them. "brainjar set ID KEY="
goes back to the configuration.

This command waits until each experiment runs or has ended, and says on stderr what
it waits for if that takes time. Exit codes besides those of all commands: 1 it could
not be started or failed at once, 5 it may never start, waits for one that has failed
for good, or still waits after --timeout. --no-wait returns when the order is on disk.
Ctrl-C and --timeout end only the waiting: the order holds.` + manyHelp,
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&request.Config, "config", "", "A path, put in the place of {config}")
	keys.add(cmd, notForStart...)
	cmd.RunE = r.asking(func(ctx context.Context, c *control.Client, ids []string) error {
		if err := keys.absolute(); err != nil {
			return err
		}
		request.Keys = keys.keys
		return o.run(ctx, c, ids)
	})
	return cmd
}
