package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"brainjar/supervisor"
	"brainjar/transient"
)

// probeLimit is how long check waits for the service manager.
const probeLimit = 5 * time.Second

func newCheck(stdout, stderr io.Writer) *cobra.Command {
	var user bool
	cmd := &cobra.Command{
		Use:   "check CONFIG",
		Short: "Check a configuration, and what this machine would make of it",
		Long: `Check a configuration: every error at once, each with its line and what to
do; then what this machine cannot enforce, what the configuration names that is
not here, and which experiments would start first. Nothing is started. Only root
can ask what this machine can enforce: without sudo that is left out. A user, a
path, a device or a program that is not here is a warning, since it may come
before the experiment is started. Exit codes: 0 it can be run, also with
warnings; 1 this machine cannot enforce what some experiment asks for; 78 it has
errors.`,
		Args: wants("CONFIG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return check(cmd.Context(), stdout, stderr, args[0], user)
		},
	}
	cmd.Flags().BoolVar(&user, "user", false, "ask your own service manager instead of the system's")
	return cmd
}

func check(ctx context.Context, stdout, stderr io.Writer, path string, user bool) error {
	cfg, memTotal, err := load(path, unified(""))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	var host *transient.Host
	if h, err := transient.Probe(ctx, user); err != nil {
		fmt.Fprintf(stderr, "warning: what this machine can enforce was not checked: %v\n", err)
	} else {
		host = &h
	}
	fmt.Fprintf(stdout, "%s: %s, %d at once, memory budget %s\n",
		path, count(len(cfg.Experiments), "experiment"), cfg.Supervisor.MaxConcurrent, cfg.Budget(memTotal))
	if host != nil {
		fmt.Fprintf(stdout, "%s\n", host)
	}
	refused := forecast(stdout, stderr, supervisor.Preview(ctx, cfg, supervisor.Machine{MemTotal: memTotal, Host: host, Board: boardOf("", "", slog.New(slog.DiscardHandler))}))
	if refused > 0 {
		return fmt.Errorf("this machine cannot enforce what %d of %d experiments ask for", refused, len(cfg.Experiments))
	}
	return nil
}

// forecast prints what would become of each experiment, and returns how many ask for
// what this machine cannot enforce.
func forecast(stdout, stderr io.Writer, forecasts []supervisor.Forecast) (refused int) {
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nEXPERIMENT\tPRIORITY\tMEMORY\tCPU\tAT FIRST")
	told := map[string]bool{}
	for _, f := range forecasts {
		c := f.Experiment
		cpu := "-"
		if c.CPUQuota > 0 {
			cpu = c.CPUQuota.String()
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\n", c.ID, c.Priority, c.MemoryMax, cpu, atFirst(f))
		if f.Refusal != nil {
			refused++
			tellLines(stderr, "error: "+c.ID, f.Refusal)
		}
		if f.Missing != nil {
			tellLines(stderr, fmt.Sprintf("warning: here, %s would be refused", c.ID), f.Missing)
		}
		for _, w := range append(f.Warnings, doubts(c)...) {
			if !told[w] {
				fmt.Fprintf(stderr, "warning: %s: %s\n", c.ID, w)
				told[w] = true
			}
		}
	}
	_ = table.Flush() // to stdout: there is nobody else to tell
	return refused
}

// tellLines prints each line of an error after what it is about.
func tellLines(w io.Writer, about string, err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "%s: %s\n", about, strings.TrimSpace(line))
	}
}

func atFirst(f supervisor.Forecast) string {
	switch {
	case f.Refused():
		return "refused"
	case f.Idle:
		return "idle (autostart = false)"
	case f.Verdict.OK():
		return "starts"
	}
	return strings.TrimSpace("waits: " + f.Verdict.Reason)
}
