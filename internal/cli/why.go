package cli

import (
	"bufio"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"brainjar/internal/control"
)

func newWhy(r *remote) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "why ID", Short: "Say what an experiment waits for, or how it ended, and what to do", GroupID: groupLook,
		Long: `Say in sentences what an experiment waits for and what would have to change; or how
it ended, with its limits, its peak and the last lines of its output, and what to do
about it. Of a run that goes on or has ended it says what it felt too, as far as that
is known: its heat, throttled time, GPU memory, over-current and energy.`,
		Args: wants("ID"), ValidArgsFunction: r.completeID,
		RunE: r.asking(func(ctx context.Context, c *control.Client, args []string) error {
			why, err := c.Why(ctx, args[0])
			if err != nil {
				return err
			}
			if format == "json" {
				return printDocument(r.stdout, why)
			}
			return printTo(r.stdout, func(w *bufio.Writer) { explain(w, why) })
		}),
	}
	formatFlag(cmd, &format, "text", "json")
	return cmd
}

// explain writes an explanation for people.
func explain(w *bufio.Writer, why control.Why) {
	for _, sentence := range why.Sentences {
		fmt.Fprintln(w, printable(sentence))
	}
	for _, advice := range why.Advice {
		fmt.Fprintf(w, "hint: %s\n", printable(advice))
	}
	if len(why.Log) > 0 {
		fmt.Fprintln(w, "\nthe last lines of its output:")
	}
	for _, line := range why.Log {
		fmt.Fprintf(w, "  %s\n", printable(line))
	}
}
