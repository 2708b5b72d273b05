package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"time"
)

// Reader reads a ledger, whether or not a brainjar writes it.
type Reader struct {
	db   *sql.DB
	path string
}

// openLimit is how long opening a ledger for reading may take.
const openLimit = 10 * time.Second

// OpenReader opens a ledger for reading. fs.ErrNotExist: there is none.
func OpenReader(path string) (*Reader, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("cannot open the ledger: %w", err)
	}
	db, err := sql.Open("sqlite", address(path, "query_only(1)")+"&mode=ro")
	if err != nil {
		return nil, fmt.Errorf("cannot open the ledger %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	ctx, cancel := context.WithTimeout(context.Background(), openLimit)
	defer cancel()
	var id int
	if err = db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		// Nobody has it open, and the directory cannot be written, so that SQLite
		// cannot make the file that readers share: then it does not change either.
		_ = db.Close()
		db, errOpen := sql.Open("sqlite", address(path, "query_only(1)")+"&mode=ro&immutable=1")
		if errOpen != nil || db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id) != nil {
			return nil, fmt.Errorf("cannot read the ledger %s: %w", path, errors.Join(err, errOpen))
		}
		return (&Reader{db, path}).verify(id)
	}
	return (&Reader{db, path}).verify(id)
}

func (r *Reader) verify(id int) (*Reader, error) {
	if id != applicationID {
		r.Close()
		return nil, fmt.Errorf("cannot read %s: %w", r.path, errNotOurs)
	}
	return r, nil
}

// Close closes the file.
func (r *Reader) Close() { _ = r.db.Close() }

// Check looks through the whole file for damage, which takes seconds for a big one.
func (r *Reader) Check(ctx context.Context) error {
	var words string
	err := r.db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&words)
	if err == nil && words != "ok" {
		err = fmt.Errorf("%w: %s", errDamaged, words)
	}
	if err != nil {
		return fmt.Errorf("cannot trust the ledger %s: %w", r.path, err)
	}
	return nil
}

// Query says which runs, or events, are asked for. Zero fields do not matter.
type Query struct {
	Experiments []string
	Since       time.Time // begun, or happened, at or after
	Results     []string
	Limit       int // the newest
}

// History goes through runs, oldest first. It reads some columns of them, or all
// if none is named.
func (r *Reader) History(ctx context.Context, q Query, columns ...string) iter.Seq2[Run, error] {
	rest, args := q.runs()
	return func(yield func(Run, error) bool) {
		for run, err := range selectRuns(ctx, r.db, columns, rest, args...) {
			if err != nil {
				err = fmt.Errorf("cannot read the ledger %s: %w", r.path, err)
			}
			if !yield(run, err) {
				return
			}
		}
	}
}

// HistoryJSON goes through runs as History does, each as a JSON object whose names
// are those of the columns; null is what is not known. The bytes are valid until
// the next one.
func (r *Reader) HistoryJSON(ctx context.Context, q Query) iter.Seq2[[]byte, error] {
	var fields []string
	for _, c := range runColumns {
		value := c.name
		if c.name == "command" || c.name == "limits" {
			value = "json(" + value + ")"
		}
		fields = append(fields, "'"+c.name+"', "+value)
	}
	rest, args := q.runs()
	return func(yield func([]byte, error) bool) {
		rows, err := r.db.QueryContext(ctx, "SELECT json_object("+strings.Join(fields, ", ")+") FROM runs"+rest, args...)
		if err == nil {
			defer rows.Close()
			var object sql.RawBytes
			for err == nil && rows.Next() {
				if err = rows.Scan(&object); err == nil && !yield(object, nil) {
					return
				}
			}
			err = errors.Join(err, rows.Err())
		}
		if err != nil {
			yield(nil, fmt.Errorf("cannot read the ledger %s: %w", r.path, err))
		}
	}
}

// runs is the part of a statement that says which runs a query is about.
func (q Query) runs() (rest string, args []any) {
	where, args := q.where("coalesce(started_at, ended_at, queued_at)")
	if len(q.Results) > 0 {
		where, args = append(where, oneOf("result", len(q.Results))), appendAll(args, q.Results)
	}
	if q.Limit > 0 {
		return " WHERE id IN (SELECT id FROM runs" + conditions(where) + " ORDER BY id DESC LIMIT ?) ORDER BY id", append(args, q.Limit)
	}
	return conditions(where) + " ORDER BY id", args
}

// Events returns events, oldest first.
func (r *Reader) Events(ctx context.Context, q Query) ([]Event, error) {
	where, args := q.where("at")
	rest := conditions(where) + " ORDER BY id DESC"
	if q.Limit > 0 {
		rest, args = rest+" LIMIT ?", append(args, q.Limit)
	}
	rows, err := r.db.QueryContext(ctx, "SELECT id, at, kind, experiment, run, from_phase, to_phase, reason FROM events"+rest, args...)
	if err != nil {
		return nil, fmt.Errorf("cannot read the ledger %s: %w", r.path, err)
	}
	defer rows.Close()
	var events []Event
	for rows.Next() {
		var e Event
		if err := rows.Scan(&e.ID, inTime{&e.At}, &e.Kind, in[string]{&e.Experiment}, in[int]{&e.Run}, in[string]{&e.From},
			in[string]{&e.To}, in[string]{&e.Reason}); err != nil {
			return nil, fmt.Errorf("cannot read the ledger %s: %w", r.path, err)
		}
		events = append(events, e)
	}
	slices.Reverse(events)
	return events, rows.Err()
}

// Knows reports whether the ledger has heard of an experiment.
func (r *Reader) Knows(ctx context.Context, experiment string) (bool, error) {
	var n int
	err := r.db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM wanted WHERE experiment = ?1) +
		EXISTS (SELECT 1 FROM runs WHERE experiment = ?1)`, experiment).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("cannot read the ledger %s: %w", r.path, err)
	}
	return n > 0, nil
}

// where is what a query asks, with the column that Since is about.
func (q Query) where(at string) (where []string, args []any) {
	if len(q.Experiments) > 0 {
		where, args = append(where, oneOf("experiment", len(q.Experiments))), appendAll(args, q.Experiments)
	}
	if !q.Since.IsZero() {
		where, args = append(where, at+" >= ?"), append(args, nullTime(q.Since))
	}
	return where, args
}

func oneOf(column string, n int) string {
	return column + " IN (?" + strings.Repeat(",?", n-1) + ")"
}

func appendAll(args []any, values []string) []any {
	for _, v := range values {
		args = append(args, v)
	}
	return args
}

func conditions(where []string) string {
	if len(where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(where, " AND ")
}
