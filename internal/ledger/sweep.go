package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// sweep deletes what is too old, a little at a time.
func (l *Ledger) sweep(ctx context.Context) error {
	l.mu.Lock()
	f := l.file
	l.mu.Unlock()
	if f == nil {
		return nil
	}
	old, older := nullTime(time.Now().Add(-l.o.MaxAge)), nullTime(time.Now().Add(-l.o.SampleAge))
	for _, s := range []struct {
		statement string
		args      []any
	}{
		{"DELETE FROM events WHERE id IN (SELECT id FROM events WHERE id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?) OR at < ? ORDER BY id LIMIT ?)", []any{l.o.MaxEvents, old}},
		{"DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE ended_at IS NOT NULL AND (id <= (SELECT max(id) FROM runs) - ? OR ended_at < ?) ORDER BY id LIMIT ?)", []any{l.o.MaxRuns, old}},
		{"DELETE FROM samples WHERE rowid IN (SELECT rowid FROM samples WHERE at < ? LIMIT ?)", []any{older}},
		{"DELETE FROM samples WHERE rowid IN (SELECT rowid FROM samples WHERE rowid <= (SELECT max(rowid) FROM samples) - ? ORDER BY rowid LIMIT ?)", []any{l.o.MaxSamples}},
	} {
		for ctx.Err() == nil {
			var result sql.Result
			err := l.visit(ctx, func() (err error) {
				result, err = f.db.ExecContext(ctx, s.statement, append(slices.Clone(s.args), sweepStep)...)
				return err
			})
			if err != nil {
				return fmt.Errorf("cannot delete what is old in %s: %w", l.path, err)
			}
			if n, err := result.RowsAffected(); err != nil || n < sweepStep {
				break
			}
			if err := l.write(ctx); err != nil { // nobody waits for the sweeping
				return err
			}
		}
	}
	return nil
}

// sweepStep is how many rows are deleted at a time.
const sweepStep = 500
