package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"brainjar/internal/control"
)

// logs is `brainjar logs`.
type logs struct {
	remote *remote
	which  selection
	query  control.LogQuery
	since  string
	format string
	named  bool // each line says whose it is

	last  time.Time // of the line that was printed last
	count int       // how many lines were printed that are so old
}

func newLogs(r *remote) *cobra.Command {
	l := logs{remote: r}
	cmd := &cobra.Command{
		Use: "logs ID...", Short: "Show the output of experiments", GroupID: groupLook,
		Long: `Show the output of experiments, oldest line first, and with -f what comes from now
on. With -f it goes on when brainjar is restarted, and ends when brainjar stays away
for a minute. -o short has the time of each line and, if there are several experiments,
the id; -o cat has only the line, as it was written.`,
		Args: func(cmd *cobra.Command, ids []string) error { return l.which.one(cmd, ids) },
		RunE: func(cmd *cobra.Command, ids []string) error {
			var err error
			if l.query.Since, err = sinceTime(l.since, time.Now()); err != nil {
				return usageError(cmd, err)
			}
			if l.query.Lines < 0 || l.query.Run < 0 {
				return usageError(cmd, errors.New("-n and --run want numbers above 0"))
			}
			if l.query.Follow && l.query.Lines == 0 && l.since == "" && !cmd.Flags().Changed("lines") {
				l.query.Lines = 10
			}
			return r.asking(l.show)(cmd, ids)
		},
	}
	l.which.flags(cmd, r)
	cmd.Flags().BoolVarP(&l.query.Follow, "follow", "f", false, "go on with what is written, from the last 10 lines")
	cmd.Flags().IntVarP(&l.query.Lines, "lines", "n", 0, "only the newest so many lines")
	cmd.Flags().StringVar(&l.since, "since", "", "only lines from this time on: 2026-03-01, \"2026-03-01 12:00\", RFC 3339, or so long ago (36h)")
	cmd.Flags().IntVar(&l.query.Run, "run", 0, "only this run, by its number")
	formatFlag(cmd, &l.format, "short", "cat", "json")
	return cmd
}

func (l *logs) show(ctx context.Context, c *control.Client, ids []string) error {
	var err error
	if l.query.Experiments, err = l.remote.members(ctx, c, &l.which, ids); err != nil {
		return err
	}
	l.named = len(l.query.Experiments) != 1
	err = l.remote.followed(ctx, l.query.Follow, func() error {
		skip := l.count // that were printed before the stream ended
		for line, err := range c.Logs(ctx, l.query) {
			if err != nil && l.count > 0 && l.last.IsZero() {
				return &failure{fmt.Errorf("cannot go on where it was, for lines in files have no time: %v", err), exitCode(err), "ask again"} //nolint:errorlint // followed must not try again
			}
			if err != nil {
				return err
			}
			if skip > 0 && line.At.Equal(l.last) {
				skip--
				continue
			}
			if err := l.print(line); err != nil {
				return err
			}
			if !line.At.Equal(l.last) {
				l.last, l.count = line.At, 0
			}
			l.count++
			l.query.Since, l.query.Lines = l.last, 0
		}
		return nil
	})
	if err == nil && l.count == 0 && !l.query.Follow {
		fmt.Fprintln(l.remote.stderr, "there is no output of that, or it is kept no more")
	}
	return err
}

func (l *logs) print(line control.Line) error {
	var err error
	switch l.format {
	case "json":
		err = printObject(l.remote.stdout, line)
	case "cat":
		_, err = fmt.Fprintln(l.remote.stdout, line.Message)
	default:
		var head []string // a line in a file has no time
		if !line.At.IsZero() {
			head = append(head, line.At.Local().Format("2006-01-02 15:04:05.000"))
		}
		if l.named {
			head = append(head, line.Experiment)
		}
		if len(head) > 0 {
			head[len(head)-1] += ": "
		}
		_, err = fmt.Fprintf(l.remote.stdout, "%s%s\n", strings.Join(head, " "), printable(line.Message))
	}
	return written(err)
}
