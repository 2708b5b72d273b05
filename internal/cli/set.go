package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"brainjar/internal/config"
	"brainjar/internal/control"
	"brainjar/supervisor"
)

func newSet(r *remote) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "set ID KEY=VALUE...", Short: "Change limits of an experiment, at once", GroupID: groupOrders,
		Long: `Change memory_max, memory_high, memory_swap_max, cpu_quota, cpu_weight, cpus, io_weight,
tasks_max or priority of an experiment: at once if it runs, and for its next runs.
KEY= without a value goes back to what the configuration says.`,
		Example: "  brainjar set llama memory_max=10G cpu_quota=150%\n  brainjar set llama memory_max=",
		Args:    wants("ID", "KEY=VALUE..."), ValidArgsFunction: r.completeID,
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := assignments(args[1:])
			if err != nil {
				return usageError(cmd, err)
			}
			return r.asking(func(ctx context.Context, c *control.Client, args []string) error {
				e, err := c.Set(ctx, args[0], control.SetRequest{Keys: keys})
				return r.printAnswer(args[0], e, err, format)
			})(cmd, args)
		},
	}
	formatFlag(cmd, &format, "text", "json")
	return cmd
}

// assignments reads KEY=VALUE with the types of the configuration. Dashes are as
// good as underscores.
func assignments(args []string) (map[string]any, error) {
	known := config.ExperimentKeys()
	keys := make(map[string]any)
	for _, arg := range args {
		name, text, found := strings.Cut(arg, "=")
		name = strings.ReplaceAll(name, "-", "_")
		i := slices.IndexFunc(known, func(k config.KeyInfo) bool { return k.Name == name })
		switch {
		case !found:
			return nil, fmt.Errorf("cannot read %q: write KEY=VALUE", arg)
		case i < 0:
			near := cmp.Or(config.DidYouMean(name, supervisor.Settable), "there are "+strings.Join(supervisor.Settable, ", "))
			return nil, fmt.Errorf("there is no key %q; %s", name, near)
		case text == "":
			keys[name] = nil
			continue
		}
		value, err := tomlValue(known[i].Kind, text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		keys[name] = value
	}
	return keys, nil
}

// printAnswer tells how one experiment stands after an order.
func (r *remote) printAnswer(id string, e control.Experiment, err error, format string) error {
	if err != nil {
		return about(id, err)
	}
	if format == "json" {
		return printDocument(r.stdout, e)
	}
	_, err = fmt.Fprintf(r.stdout, "%s: %s\n", e.Experiment, stand(e))
	return err
}

func newAdopt(r *remote) *cobra.Command {
	var request control.AdoptRequest
	var keys keyFlags
	var format string
	cmd := &cobra.Command{
		Use: "adopt ID --pid N", Short: "Make an experiment of a process that runs already", GroupID: groupOrders,
		Long: `Make an experiment of a process that runs already: brainjar puts a scope around it, and
its limits hold from then on. Later only that it has ended will be known, not how. It is
not started again.`,
		Example: "  brainjar adopt notebook --pid 4711 --memory-max 8G",
		Args:    wants("ID"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if request.PID <= 0 {
				return usageError(cmd, errors.New("which process? Say --pid"))
			}
			request.Keys = keys.keys
			return r.asking(func(ctx context.Context, c *control.Client, args []string) error {
				e, err := c.Adopt(ctx, args[0], request)
				return r.printAnswer(args[0], e, err, format)
			})(cmd, args)
		},
	}
	cmd.Flags().IntVar(&request.PID, "pid", 0, "number of the process")
	keys.addOnly(cmd, "description", "priority", "tags", "memory_max", "memory_high", "memory_swap_max", "cpu_quota", "cpu_weight", "cpus", "io_weight", "tasks_max", "gpu_memory", "runtime_max", "stop_signal", "stop_timeout", "checkpoint_signal", "checkpoint_timeout", "max_temperature", "allow_unenforced")
	formatFlag(cmd, &format, "text", "json")
	return cmd
}
