package ledger

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"brainjar/internal/quantity"
)

// restore reads what brainjar needs to know when it starts, and the newest runs
// whose end was written. With an error it returns what could be read.
func restore(ctx context.Context, db *sql.DB) (past Past, ended []Run, err error) {
	past.Wanted, err = readWanted(ctx, db)
	read := func(rest string, args ...any) (runs []Run) {
		for r, failed := range selectRuns(ctx, db, rest, args...) {
			if failed != nil {
				err = errors.Join(err, failed)
				break
			}
			runs = append(runs, r)
		}
		return runs
	}
	past.Open = read(" WHERE ended_at IS NULL ORDER BY id")
	ended = read(" WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT ?", recentSize)
	slices.Reverse(ended) // the oldest is the first to go
	var failed error
	past.LastRun, failed = readLastRun(ctx, db)
	for _, r := range slices.Concat(past.Open, ended) {
		past.LastRun[r.Experiment] = max(past.LastRun[r.Experiment], r.Run)
	}
	err = errors.Join(err, failed)
	failed = db.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM events").Scan(&past.LastEvent)
	return past, ended, errors.Join(err, failed)
}

func readWanted(ctx context.Context, db *sql.DB) (wanted []Wanted, err error) {
	rows, err := db.QueryContext(ctx, `SELECT experiment, phase, reason, since, run, attempt, requeues, invocation, unit, cause,
		last_result, queued_at, scarce_since, due_at, hold, enabled, definition, overrides, submitted, boot, ran_at FROM wanted`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var w Wanted
		err := rows.Scan(&w.Experiment, &w.Phase, &w.Reason, inTime{&w.Since}, &w.Run, &w.Attempt, &w.Requeues, &w.Invocation,
			&w.Unit, &w.Cause, &w.LastResult, inTime{&w.QueuedAt}, inTime{&w.ScarceSince}, inTime{&w.DueAt}, &w.Hold,
			&w.Enabled, &w.Definition, &w.Overrides, &w.Submitted, &w.Boot, inTime{&w.RanAt})
		if err != nil {
			return wanted, err
		}
		wanted = append(wanted, w)
	}
	return wanted, rows.Err()
}

func readLastRun(ctx context.Context, db *sql.DB) (last map[string]int, err error) {
	last = make(map[string]int)
	rows, err := db.QueryContext(ctx, "SELECT experiment, max(run) FROM runs GROUP BY experiment")
	if err != nil {
		return last, err
	}
	defer rows.Close()
	for rows.Next() {
		var experiment string
		var run int
		if err := rows.Scan(&experiment, &run); err != nil {
			return last, err
		}
		last[experiment] = run
	}
	return last, rows.Err()
}

type runColumn struct {
	name string
	into func(*Run) any
}

// in is the column in a file that may lack it.
func (c runColumn) in(lacks []string) string {
	if slices.Contains(lacks, c.name) {
		return "NULL"
	}
	return c.name
}

// lacking returns the columns of runs that a file of an earlier brainjar does not have
// yet: whoever only reads cannot bring it up to date.
func lacking(ctx context.Context, db *sql.DB) (names []string) {
	var has string
	err := db.QueryRowContext(ctx, "SELECT group_concat(name) FROM pragma_table_info('runs')").Scan(&has)
	if err != nil {
		return nil
	}
	columns := strings.Split(has, ",")
	for _, c := range runColumns {
		if !slices.Contains(columns, c.name) {
			names = append(names, c.name)
		}
	}
	return names
}

// runColumns are the columns of runs, and what each is read into.
var runColumns = []runColumn{
	{"experiment", func(r *Run) any { return &r.Experiment }},
	{"run", func(r *Run) any { return in[int]{&r.Run} }},
	{"attempt", func(r *Run) any { return in[int]{&r.Attempt} }},
	{"invocation", func(r *Run) any { return in[string]{&r.Invocation} }},
	{"unit", func(r *Run) any { return in[string]{&r.Unit} }},
	{"command", func(r *Run) any { return in[string]{&r.Command} }},
	{"limits", func(r *Run) any { return in[string]{&r.Limits} }},
	{"queued_at", func(r *Run) any { return inTime{&r.QueuedAt} }},
	{"started_at", func(r *Run) any { return inTime{&r.StartedAt} }},
	{"ended_at", func(r *Run) any { return inTime{&r.EndedAt} }},
	{"result", func(r *Run) any { return in[string]{&r.Result} }},
	{"reason", func(r *Run) any { return in[string]{&r.Reason} }},
	{"exit_code", func(r *Run) any { return &r.ExitCode }},
	{"signal", func(r *Run) any { return in[string]{&r.Signal} }},
	{"oom_kills", func(r *Run) any { return in[int]{&r.OOMKills} }},
	{"memory_max", func(r *Run) any { return in[quantity.Bytes]{&r.MemoryMax} }},
	{"memory_peak", func(r *Run) any { return in[quantity.Bytes]{&r.MemoryPeak} }},
	{"gpu_memory_peak", func(r *Run) any { return in[quantity.Bytes]{&r.GPUMemoryPeak} }},
	{"cpu_seconds", func(r *Run) any { return in[float64]{&r.CPUSeconds} }},
	{"max_temperature", func(r *Run) any { return &r.MaxTemperature }},
	{"max_temperature_zone", func(r *Run) any { return in[string]{&r.MaxTemperatureZone} }},
	{"energy_joules", func(r *Run) any { return &r.EnergyJoules }},
	{"energy_seconds", func(r *Run) any { return &r.EnergySeconds }},
	{"energy_shared", func(r *Run) any { return &r.EnergyShared }},
	{"throttled_seconds", func(r *Run) any { return &r.ThrottledSeconds }},
	{"throttled_hardware", func(r *Run) any { return &r.ThrottledHardware }},
	{"throttled_brainjar", func(r *Run) any { return &r.ThrottledBrainjar }},
	{"over_current_events", func(r *Run) any { return &r.OverCurrentEvents }},
	{"swap_peak", func(r *Run) any { return &r.SwapPeak }},
	{"watched_seconds", func(r *Run) any { return &r.WatchedSeconds }},
	{"tainted", func(r *Run) any { return in[string]{&r.Tainted} }},
	{"boot", func(r *Run) any { return in[string]{&r.Boot} }},
}

// selectRuns reads whole rows of runs, one after the other. The rest of the
// statement says which.
func selectRuns(ctx context.Context, db *sql.DB, rest string, args ...any) iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		var r Run
		names, into := runInto(&r, nil, lacking(ctx, db))
		rows, err := db.QueryContext(ctx, "SELECT "+names+" FROM runs"+rest, args...)
		if err != nil {
			yield(Run{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			r = Run{}
			err := rows.Scan(into...)
			if !yield(r, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Run{}, err)
		}
	}
}

// runInto returns the names of some columns of runs, or of all if none is named,
// and what they are scanned into. Those that the file lacks are NULL.
func runInto(r *Run, columns, lacks []string) (names string, into []any) {
	var list []string
	for _, c := range runColumns {
		if len(columns) == 0 || slices.Contains(columns, c.name) {
			list, into = append(list, c.in(lacks)), append(into, c.into(r))
		}
	}
	return strings.Join(list, ", "), into
}

// in scans a column into a value; NULL leaves it as it is.
type in[T any] struct{ to *T }

// Scan implements sql.Scanner.
func (i in[T]) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		return nil
	case T:
		*i.to = v
		return nil
	case int64: // as sql.Null does it, without writing and reading digits
		switch to := any(i.to).(type) {
		case *int:
			*to = int(v)
			return nil
		case *quantity.Bytes:
			*to = quantity.Bytes(v)
			return nil
		}
	}
	var n sql.Null[T]
	if err := n.Scan(v); err != nil {
		return err
	}
	if n.Valid {
		*i.to = n.V
	}
	return nil
}

// inTime scans a time as it was written; NULL, or what is no time, is zero.
type inTime struct{ to *time.Time }

// Scan implements sql.Scanner.
func (i inTime) Scan(v any) error {
	switch v := v.(type) {
	case time.Time:
		*i.to = v
	case string:
		*i.to, _ = time.Parse(stamp, v)
	}
	return nil
}
