package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"brainjar/internal/control"
)

// events is `brainjar events`.
type events struct {
	remote *remote
	which  selection
	follow bool
	lines  int
	format string
}

func newEvents(r *remote) *cobra.Command {
	e := events{remote: r}
	cmd := &cobra.Command{
		Use: "events [ID...]", Short: "Show what happens to experiments", GroupID: groupLook,
		Long: `Show what has happened, of all experiments or of some, and with -f what happens from
now on: each change of a phase with its reason, and what brainjar does. With -f it
goes on, without a gap, when brainjar is started again.`,
		ValidArgsFunction: r.completeIDs,
		PreRunE:           nil,
		RunE:              r.asking(e.show),
	}
	cmd.Flags().BoolVarP(&e.follow, "follow", "f", false, "go on with what happens")
	cmd.Flags().IntVarP(&e.lines, "lines", "n", 20, "so many of what is past, the newest")
	e.which.tagFlag(cmd, r)
	formatFlag(cmd, &e.format, "text", "json")
	return cmd
}

func (e *events) show(ctx context.Context, c *control.Client, ids []string) error {
	if e.lines < 0 {
		return &failure{fmt.Errorf("cannot show %d events", e.lines), ExitUsage, ""}
	}
	ids, err := e.remote.members(ctx, c, &e.which, ids)
	if err != nil {
		return err
	}
	query := control.EventQuery{Experiments: ids, Lines: e.lines, Follow: e.follow}
	query.Opened = func(last int64) { query.After, query.Lines = max(query.After, last), 0 }
	if e.lines == 0 && !e.follow {
		return nil
	}
	return e.remote.followed(ctx, e.follow, func() error {
		for event, err := range c.Events(ctx, query) {
			if err != nil {
				return err
			}
			query.After, query.Lines = event.ID, 0
			if err := e.print(event); err != nil {
				return err
			}
		}
		return nil
	})
}

// members returns the ids of what is chosen, none if nothing is said: then all are
// meant.
func (r *remote) members(ctx context.Context, c *control.Client, which *selection, ids []string) ([]string, error) {
	if len(ids) == 0 && len(which.tags) == 0 {
		return nil, nil
	}
	return r.names(ctx, c, which, ids)
}

// names returns the ids of what is chosen: of all, if nothing is said.
func (r *remote) names(ctx context.Context, c *control.Client, which *selection, ids []string) ([]string, error) {
	status, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	chosen, unknown := which.of(status.Experiments, ids)
	if unknown != nil {
		return nil, unknown
	}
	names := make([]string, len(chosen))
	for i, e := range chosen {
		names[i] = e.Experiment
	}
	return names, nil
}

// followed reads a stream, and if it is one to follow, again whenever it has ended
// because brainjar has, until brainjar stays away.
func (r *remote) followed(ctx context.Context, follow bool, read func() error) error {
	var since time.Time // when brainjar went away
	for {
		begun := time.Now()
		err := read()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !follow || err != nil && (!passing(err) || errors.Is(err, errWriting)):
			return err
		case since.IsZero() || time.Since(begun) > reconnectPause:
			since = time.Now()
		case time.Since(since) > reconnectLimit:
			return fmt.Errorf("gave up after %v: %w", reconnectLimit, errors.Join(err, control.ErrUnreachable))
		}
		sleep(ctx, reconnectPause)
	}
}

// errWriting says that it is the output that has ended, and not the stream.
var errWriting = errors.New("cannot write the output")

// print writes an event as a line.
func (e *events) print(event control.Event) error {
	if e.format == "json" {
		return written(printObject(e.remote.stdout, event))
	}
	return written(printEvent(e.remote.stdout, event))
}

// written marks an error of writing.
func written(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errWriting, err)
}

func printEvent(w io.Writer, e control.Event) error {
	var b strings.Builder
	b.WriteString(e.At.Local().Format(time.DateTime))
	if e.Experiment != "" {
		b.WriteString("  " + e.Experiment)
	}
	if e.Run > 0 {
		fmt.Fprintf(&b, " run %d", e.Run)
	}
	switch {
	case e.To != "" && e.From != "":
		fmt.Fprintf(&b, "  %s -> %s", e.From, e.To)
	case e.To != "":
		b.WriteString("  " + e.To)
	default:
		b.WriteString("  " + e.Kind)
	}
	if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	_, err := fmt.Fprintln(w, printable(b.String()))
	return err
}
