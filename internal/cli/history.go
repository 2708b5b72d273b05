package cli

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"brainjar/internal/control"
	"brainjar/internal/ledger"
	"brainjar/supervisor"
	"brainjar/transient"
)

// history is `brainjar history`.
type history struct {
	remote  *remote
	user    bool
	state   string
	format  string
	since   string
	limit   int
	results []string
}

func newHistory(r *remote) *cobra.Command {
	h := history{remote: r}
	cmd := &cobra.Command{
		Use:     "history [ID...]",
		GroupID: groupLook,
		Short:   "Show the runs of the past",
		Long: `Show the runs of the past, the newest last: of all experiments, or of some.

-o wide shows what each run felt too: how hot it was, what energy it took (~: others
ran besides it, so that is an estimate), for how long it was throttled, how often the
board's supply was overloaded meanwhile, the most that it used of the GPU's memory, and
TAINTED: clean, or what puts its measurements in doubt. -o json has everything.

It reads the ledger itself, so it works whether or not brainjar runs. If you may not
read that file, as a member of the group brainjar, or if you name a --socket, it asks
the running brainjar. Exit codes: 0 ok, 1 failed, 3 there is no brainjar to ask, 4 an
experiment that the ledger has never heard of.`,
		ValidArgsFunction: r.completeIDs,
		RunE:              func(cmd *cobra.Command, ids []string) error { return h.show(cmd, r.stdout, ids) },
	}
	cmd.Flags().BoolVar(&h.user, "user", false, "the ledger of your own service manager's brainjar")
	stateFlag(cmd, &h.state)
	cmd.Flags().StringVarP(&h.format, "output", "o", "table", "table, wide or json")
	cmd.Flags().StringVar(&h.since, "since", "", "only runs that began at or after this: a time (2026-03-01, \"2026-03-01 12:00\", RFC 3339) or so long ago (36h)")
	cmd.Flags().IntVarP(&h.limit, "lines", "n", 0, "only the newest so many runs")
	cmd.Flags().StringSliceVar(&h.results, "result", nil, "only runs with one of these results, such as oom-kill")
	_ = cmd.RegisterFlagCompletionFunc("result", cobra.FixedCompletions(runResults, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// runResults are how a run can have ended.
var runResults = []string{
	string(transient.Success), string(transient.ExitCode), string(transient.Signal), string(transient.OOMKill), string(transient.Timeout),
	string(transient.Watchdog), string(transient.StartFailed), string(transient.Stopped), string(supervisor.ResultHeat), string(supervisor.ResultMemory),
	string(supervisor.ResultGPUMemory), string(supervisor.ResultProbe), string(transient.Lost),
}

func (h *history) show(cmd *cobra.Command, stdout io.Writer, ids []string) error {
	query := ledger.Query{Experiments: ids, Results: h.results, Limit: h.limit}
	var err error
	if query.Since, err = sinceTime(h.since, time.Now()); err != nil {
		return usageError(cmd, err)
	}
	if h.format != "table" && h.format != "wide" && h.format != "json" {
		return usageError(cmd, fmt.Errorf("cannot print %q: -o wants table, wide or json", h.format))
	}
	for _, r := range h.results {
		if !slices.Contains(runResults, r) {
			return usageError(cmd, fmt.Errorf("no run has the result %q: --result wants %s", r, listed(runResults)))
		}
	}
	if h.limit < 0 {
		return usageError(cmd, fmt.Errorf("cannot show %d runs", h.limit))
	}
	if h.remote.socket != "" && h.state == "" {
		return h.ask(cmd.Context(), stdout, query)
	}
	dir, err := stateDir(h.state, h.user)
	if err != nil {
		return err
	}
	reader, err := ledger.OpenReader(filepath.Join(dir, ledgerName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &failure{err, ExitFailed, "brainjar makes it when it runs; --user and --state say which is meant"}
	case errors.Is(err, fs.ErrPermission) && h.state == "":
		if asked := h.ask(cmd.Context(), stdout, query); !errors.Is(asked, control.ErrUnreachable) {
			return asked
		}
		return &failure{err, ExitUnreachable, "run it with sudo; members of the group brainjar can ask a brainjar that runs"}
	case errors.Is(err, fs.ErrPermission):
		return &failure{err, ExitFailed, "run as root, or as the user that brainjar runs as"}
	case err != nil:
		return err
	}
	defer reader.Close()
	for _, id := range ids {
		known, err := reader.Knows(cmd.Context(), id)
		if err != nil {
			return err
		}
		if !known {
			return notInLedger(id)
		}
	}
	w := bufio.NewWriterSize(stdout, 64<<10)
	switch h.format {
	case "json":
		err = printJSON(w, reader.HistoryJSON(cmd.Context(), query))
	case "wide":
		err = printTable(w, reader.History(cmd.Context(), query, slices.Concat(tableColumns, feltColumns)...), true)
	default:
		err = printTable(w, reader.History(cmd.Context(), query, tableColumns...), false)
	}
	return errors.Join(err, w.Flush())
}

func notInLedger(id string) error {
	return &failure{fmt.Errorf("no experiment %s in the ledger", id), ExitUnknown, "`brainjar history` shows all that have run"}
}

// sinceTime reads a time, or how long ago one was; "" is the zero time.
func sinceTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago.Abs()), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("cannot read the time %q: want 36h, 2026-03-01 or \"2026-03-01 12:00\"", text)
}

// printJSON writes an array whose objects have the names of the ledger's columns.
func printJSON(w *bufio.Writer, runs iter.Seq2[[]byte, error]) error {
	separator := "[\n"
	for object, err := range runs {
		if err != nil {
			return err
		}
		_, _ = w.WriteString(separator)
		_, _ = w.Write(object)
		separator = ",\n"
	}
	if separator == "[\n" {
		_ = w.WriteByte('[')
	}
	_, err := w.WriteString("\n]\n")
	return err
}

// tableColumns are what the table shows of a run.
var tableColumns = []string{
	"experiment", "run", "attempt", "started_at", "ended_at", "result", "reason", "exit_code", "signal", "memory_peak", "cpu_seconds",
}

func printTable(w *bufio.Writer, runs iter.Seq2[ledger.Run, error], wide bool) error {
	t := table{w: w}
	head := []string{"EXPERIMENT", "RUN", "ATTEMPT", "STARTED", "LASTED", "RESULT", "CODE", "PEAK", "CPU"}
	if wide {
		head = append(head, feltHead...)
	}
	t.row(append(head, "REASON"))
	for r, err := range runs {
		if err != nil {
			return err
		}
		code := r.Signal
		if r.ExitCode != nil {
			code = strconv.Itoa(*r.ExitCode)
		}
		peak, cpu := "-", "-"
		if r.MemoryPeak > 0 {
			peak = r.MemoryPeak.String()
		}
		if !r.EndedAt.IsZero() {
			cpu = strconv.FormatFloat(r.CPUSeconds, 'f', 1, 64) + "s"
		}
		cells := []string{
			r.Experiment, strconv.Itoa(r.Run), strconv.Itoa(r.Attempt), localTime(r.StartedAt), lasted(&r),
			cmp.Or(r.Result, "-"), cmp.Or(code, "-"), peak, cpu,
		}
		if wide {
			cells = append(cells, feltCells(&r)...)
		}
		t.row(append(cells, r.Reason))
	}
	t.flush()
	return nil
}

func localTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

func lasted(r *ledger.Run) string {
	switch {
	case r.StartedAt.IsZero():
		return "-"
	case r.EndedAt.IsZero():
		return "running"
	}
	d := r.EndedAt.Sub(r.StartedAt)
	if d < 0 {
		return "-" // the clock was set back while nobody saw it run
	}
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
