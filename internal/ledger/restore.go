package ledger

import (
	"context"
	"database/sql"
	"time"

	"brainjar/internal/quantity"
)

// restore reads what brainjar needs to know when it starts.
func restore(ctx context.Context, db *sql.DB) (Past, error) {
	past := Past{LastRun: make(map[string]int)}
	rows, err := db.QueryContext(ctx, `SELECT experiment, phase, reason, since, run, attempt, requeues, invocation, unit, cause,
		last_result, queued_at, scarce_since, due_at, hold, enabled, definition, overrides, submitted, boot FROM wanted`)
	if err != nil {
		return past, err
	}
	defer rows.Close()
	for rows.Next() {
		var w Wanted
		err := rows.Scan(&w.Experiment, &w.Phase, &w.Reason, inTime{&w.Since}, &w.Run, &w.Attempt, &w.Requeues, &w.Invocation,
			&w.Unit, &w.Cause, &w.LastResult, inTime{&w.QueuedAt}, inTime{&w.ScarceSince}, inTime{&w.DueAt}, &w.Hold,
			&w.Enabled, &w.Definition, &w.Overrides, &w.Submitted, &w.Boot)
		if err != nil {
			return past, err
		}
		past.Wanted = append(past.Wanted, w)
	}
	if err := rows.Err(); err != nil {
		return past, err
	}
	if past.Open, err = selectRuns(ctx, db, " WHERE ended_at IS NULL ORDER BY id"); err != nil {
		return past, err
	}
	last, err := db.QueryContext(ctx, "SELECT experiment, max(run) FROM runs GROUP BY experiment")
	if err != nil {
		return past, err
	}
	defer last.Close()
	for last.Next() {
		var experiment string
		var run int
		if err := last.Scan(&experiment, &run); err != nil {
			return past, err
		}
		past.LastRun[experiment] = run
	}
	return past, last.Err()
}

// selectRuns reads rows of runs; the rest of the statement says which.
func selectRuns(ctx context.Context, db *sql.DB, rest string, args ...any) ([]Run, error) {
	rows, err := db.QueryContext(ctx, `SELECT experiment, run, attempt, invocation, unit, command, limits, queued_at, started_at,
		ended_at, result, reason, exit_code, signal, oom_kills, memory_max, memory_peak, gpu_memory_peak, cpu_seconds,
		max_temperature, energy_joules, throttled_seconds, tainted, boot FROM runs`+rest, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var runs []Run
	for rows.Next() {
		var r Run
		err := rows.Scan(&r.Experiment, &r.Run, &r.Attempt, in[string]{&r.Invocation}, in[string]{&r.Unit}, in[string]{&r.Command},
			in[string]{&r.Limits}, inTime{&r.QueuedAt}, inTime{&r.StartedAt}, inTime{&r.EndedAt}, in[string]{&r.Result},
			in[string]{&r.Reason}, &r.ExitCode, in[string]{&r.Signal}, in[int]{&r.OOMKills}, in[quantity.Bytes]{&r.MemoryMax},
			in[quantity.Bytes]{&r.MemoryPeak}, in[quantity.Bytes]{&r.GPUMemoryPeak}, in[float64]{&r.CPUSeconds},
			&r.MaxTemperature, &r.EnergyJoules, in[float64]{&r.ThrottledSeconds}, in[string]{&r.Tainted}, in[string]{&r.Boot})
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, rows.Err()
}

// in scans a column into a value; NULL leaves it as it is.
type in[T any] struct{ to *T }

// Scan implements sql.Scanner.
func (i in[T]) Scan(v any) error {
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
