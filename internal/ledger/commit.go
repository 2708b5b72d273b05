package ledger

import (
	"context"
	"database/sql"
	"time"

	"brainjar/internal/quantity"
)

// stamp is how times are written: fixed width, so that they sort as text.
const stamp = "2006-01-02T15:04:05.000000Z"

// nullTime is a time for the database, NULL if it is zero.
func nullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(stamp)
}

// known is a value for the database, NULL if it is zero.
func known[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// size is a number of bytes for the database, NULL if it is zero.
func size(b quantity.Bytes) any { return known(int64(b)) }

// deref is what a pointer points to, NULL if it is nil.
func deref[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

const (
	putWanted = `INSERT OR REPLACE INTO wanted (experiment, phase, reason, since, run, attempt, requeues, invocation, unit,
	cause, last_result, queued_at, scarce_since, due_at, hold, enabled, definition, overrides, submitted, boot, ran_at)
	VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`

	putRun = `INSERT INTO runs (experiment, run, attempt, invocation, unit, command, limits, queued_at, started_at, ended_at,
	result, reason, exit_code, signal, oom_kills, memory_max, memory_peak, gpu_memory_peak, cpu_seconds, boot)
	VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
	ON CONFLICT (experiment, run) DO UPDATE SET attempt = excluded.attempt,
	invocation = coalesce(excluded.invocation, invocation), unit = coalesce(excluded.unit, unit),
	command = coalesce(excluded.command, command), limits = coalesce(excluded.limits, limits),
	queued_at = coalesce(excluded.queued_at, queued_at), started_at = coalesce(excluded.started_at, started_at),
	ended_at = coalesce(excluded.ended_at, ended_at), result = coalesce(excluded.result, result),
	reason = coalesce(excluded.reason, reason), exit_code = coalesce(excluded.exit_code, exit_code),
	signal = coalesce(excluded.signal, signal), oom_kills = coalesce(excluded.oom_kills, oom_kills),
	memory_max = coalesce(excluded.memory_max, memory_max), memory_peak = coalesce(excluded.memory_peak, memory_peak),
	gpu_memory_peak = coalesce(excluded.gpu_memory_peak, gpu_memory_peak),
	cpu_seconds = coalesce(excluded.cpu_seconds, cpu_seconds), boot = coalesce(excluded.boot, boot)`

	// Numbers are given twice when brainjar began without being able to read the
	// ledger. The older run keeps all but its number.
	yieldRun = `UPDATE runs SET run = -id WHERE experiment = ? AND run = ? AND invocation <> ?`

	// Ids ascend: one that does not, or none, becomes the next.
	putEvent = `INSERT INTO events (id, at, kind, experiment, run, from_phase, to_phase, reason)
	VALUES (CASE WHEN ?1 > coalesce((SELECT max(id) FROM events), 0) THEN ?1 END, ?2, ?3, ?4, ?5, ?6, ?7, ?8)`

	putSample = `INSERT INTO samples (at, name, value) VALUES (?,?,?)`
)

// onlyFelt reports whether nothing is new of a run but its figures.
func (r Run) onlyFelt() bool {
	key := Run{Experiment: r.Experiment, Run: r.Run, Attempt: r.Attempt, Figures: r.Figures}
	return r == key && r.Figures != (Figures{})
}

// commit takes a pile to disk: all of it is there when it returns nil.
func commit(ctx context.Context, db *sql.DB, p *pile) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	prepared := make(map[string]*sql.Stmt) // closed with the transaction
	put := func(statement string, args ...any) {
		stmt := prepared[statement]
		if err == nil && stmt == nil {
			stmt, err = tx.PrepareContext(ctx, statement)
			prepared[statement] = stmt
		}
		if err == nil {
			_, err = stmt.ExecContext(ctx, args...)
		}
	}
	for experiment, w := range p.wanted {
		if w == nil {
			put("DELETE FROM wanted WHERE experiment = ?", experiment)
			continue
		}
		put(putWanted, w.Experiment, w.Phase, w.Reason, nullTime(w.Since), w.Run, w.Attempt, w.Requeues, w.Invocation, w.Unit,
			w.Cause, w.LastResult, nullTime(w.QueuedAt), nullTime(w.ScarceSince), nullTime(w.DueAt), w.Hold, deref(w.Enabled),
			w.Definition, w.Overrides, w.Submitted, w.Boot, nullTime(w.RanAt))
	}
	for _, r := range p.inOrder() {
		if r.onlyFelt() {
			put(putFigures, append([]any{r.Experiment, r.Run}, figureValues(r.Figures)...)...)
			continue
		}
		var oomKills, cpu any // 0 is a value once the run is over
		if !r.EndedAt.IsZero() {
			oomKills, cpu = r.OOMKills, r.CPUSeconds
		}
		if r.Invocation != "" {
			put(yieldRun, r.Experiment, r.Run, r.Invocation)
		}
		put(putRun, r.Experiment, r.Run, r.Attempt, known(r.Invocation), known(r.Unit), known(r.Command), known(r.Limits),
			nullTime(r.QueuedAt), nullTime(r.StartedAt), nullTime(r.EndedAt), known(r.Result), known(r.Reason), deref(r.ExitCode),
			known(r.Signal), oomKills, size(r.MemoryMax), size(r.MemoryPeak), size(r.GPUMemoryPeak), cpu, known(r.Boot))
		if r.Figures != (Figures{}) {
			put(putFigures, append([]any{r.Experiment, r.Run}, figureValues(r.Figures)...)...)
		}
	}
	for _, e := range p.events {
		put(putEvent, e.ID, nullTime(e.At), e.Kind, known(e.Experiment), known(e.Run), known(e.From), known(e.To), known(e.Reason))
	}
	for _, s := range p.samples {
		put(putSample, nullTime(s.At), s.Name, s.Value)
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}
