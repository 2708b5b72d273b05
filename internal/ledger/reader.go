package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Reader reads a ledger, whether or not a brainjar writes it.
type Reader struct {
	db   *sql.DB
	path string
	turn time.Duration // for which one statement reads

	lacks []string // columns of runs that a file of an earlier brainjar does not have yet
}

// openLimit is how long opening a ledger for reading may take.
const openLimit = 10 * time.Second

// OpenReader opens a ledger for reading. fs.ErrNotExist: there is none. fs.ErrPermission:
// it is not for this user.
func OpenReader(path string) (*Reader, error) {
	// Asked, not opened: to close it would take SQLite's locks from a brainjar that
	// reads its own ledger.
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK, unix.AT_EACCESS); err != nil {
		return nil, fmt.Errorf("cannot open the ledger %s: %w", path, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), openLimit)
	defer cancel()
	var failed error
	for _, source := range sources(path) {
		db, err := sql.Open("sqlite", source)
		if err != nil {
			return nil, fmt.Errorf("cannot open the ledger %s: %w", path, err)
		}
		db.SetMaxOpenConns(1)
		var id int
		if err = db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err == nil && id != applicationID {
			err = errNotOurs
			if blank(ctx, db) {
				err = fmt.Errorf("nothing is in it yet: %w", fs.ErrNotExist)
			}
			_ = db.Close()
			return nil, fmt.Errorf("cannot read %s: %w", path, err)
		}
		if err == nil {
			return &Reader{db: db, path: path, turn: turn, lacks: lacking(ctx, db)}, nil
		}
		_ = db.Close()
		failed = cmp.Or(failed, err)
	}
	return nil, fmt.Errorf("cannot read the ledger %s: %w", path, failed)
}

// blank reports whether nothing was ever written to a file: the power failed before.
func blank(ctx context.Context, db *sql.DB) bool {
	var tables int
	return countTables(ctx, db, &tables) == nil && tables == 0
}

// sources are the data source names by which a ledger may be opened for reading,
// the best first. The others are for a disk on which SQLite cannot make the file
// that users of a database share (-shm), because it is full or read-only: then
// nobody else has it open either.
func sources(path string) []string {
	all := []string{address(path, "query_only(1)") + "&mode=ro"}
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
		// Alone, SQLite keeps in its own memory what it would share, and so reads
		// the changes that a brainjar which was killed left in the log. It has to
		// know before the first pragma that looks into the file, as cache_size does.
		all = append(all, dataSource(path, "locking_mode(EXCLUSIVE)", "query_only(1)")+"&mode=rw")
	}
	return append(all, address(path, "query_only(1)")+"&mode=ro&immutable=1")
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
	Results     []string  // of runs
	After       int64     // events with a greater id
	Before      int64     // events with a smaller id
	Limit       int       // the newest
}

// Events returns events, oldest first.
func (r *Reader) Events(ctx context.Context, q Query) ([]Event, error) {
	where, args := q.where("at")
	if q.After > 0 {
		where, args = append(where, "id > ?"), append(args, q.After)
	}
	if q.Before > 0 {
		where, args = append(where, "id < ?"), append(args, q.Before)
	}
	rest := conditions(where) + " ORDER BY id DESC"
	if q.Limit > 0 {
		rest, args = rest+" LIMIT ?", append(args, q.Limit)
	}
	events, err := r.events(ctx, rest, args)
	slices.Reverse(events)
	return events, err
}

// EventsAfter returns the events that follow the one with an id, of all experiments,
// oldest first, n at most.
func (r *Reader) EventsAfter(ctx context.Context, id int64, n int) ([]Event, error) {
	return r.events(ctx, " WHERE id > ? ORDER BY id LIMIT ?", []any{id, n})
}

// events reads events; the rest of the statement says which.
func (r *Reader) events(ctx context.Context, rest string, args []any) ([]Event, error) {
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
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the ledger %s: %w", r.path, err)
	}
	return events, nil
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
