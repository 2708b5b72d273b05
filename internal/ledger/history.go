package ledger

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"strings"
	"time"
)

// turn is for how long one statement reads a history; then it ends and the next
// goes on where it was. While somebody reads, SQLite cannot begin its log of
// changes anew: whoever leaves a history standing in less(1) overnight would let it
// grow all night.
const turn = time.Second

// History goes through runs, oldest first. It reads some columns of them, or all
// if none is named.
func (r *Reader) History(ctx context.Context, q Query, columns ...string) iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		var run Run
		names, into := runInto(&run, columns, r.lacks)
		err := r.eachRun(ctx, q, names, into, func() bool {
			found := run
			run = Run{}
			return yield(found, nil)
		})
		if err != nil {
			yield(Run{}, err)
		}
	}
}

// HistoryJSON goes through runs as History does, each as a JSON object whose names
// are those of the columns; null is what is not known. The bytes are valid until
// the next one.
func (r *Reader) HistoryJSON(ctx context.Context, q Query) iter.Seq2[[]byte, error] {
	var fields []string
	for _, c := range runColumns {
		value := c.in(r.lacks)
		switch c.name {
		case "command", "limits":
			value = "json(" + value + ")"
		case "energy_shared":
			value = "json(CASE " + value + " WHEN 0 THEN 'false' WHEN 1 THEN 'true' END)"
		}
		fields = append(fields, "'"+c.name+"', "+value)
	}
	return func(yield func([]byte, error) bool) {
		var object text
		err := r.eachRun(ctx, q, "json_object("+strings.Join(fields, ", ")+")", []any{&object}, func() bool { return yield(object, nil) })
		if err != nil {
			yield(nil, err)
		}
	}
}

// text scans text into memory that it uses again. It is no sql.RawBytes: with
// those, a statement cannot end before the next row is asked for.
type text []byte

// Scan implements sql.Scanner.
func (t *text) Scan(v any) error {
	switch v := v.(type) {
	case string:
		*t = append((*t)[:0], v...)
	case []byte:
		*t = append((*t)[:0], v...)
	default:
		return fmt.Errorf("cannot read %T as text", v)
	}
	return nil
}

// eachRun scans one run after the other and calls found, until that returns false.
func (r *Reader) eachRun(ctx context.Context, q Query, columns string, into []any, found func() bool) error {
	var last int64
	for over := false; !over; {
		var err error
		if last, over, err = r.takeTurn(ctx, q, last, columns, into, found); err != nil {
			return fmt.Errorf("cannot read the ledger %s: %w", r.path, err)
		}
	}
	return nil
}

// takeTurn reads runs after one. It returns the last one, and whether there are no
// more.
func (r *Reader) takeTurn(ctx context.Context, q Query, after int64, columns string, into []any, found func() bool) (last int64, over bool, err error) {
	mine, cancel := context.WithCancel(ctx)
	defer cancel()
	rest, args := q.runs(after)
	rows, err := r.db.QueryContext(mine, "SELECT id, "+columns+" FROM runs"+rest, args...)
	if err != nil {
		return after, true, err
	}
	defer rows.Close()
	var ends *time.Timer
	defer func() {
		if ends != nil {
			ends.Stop()
		}
	}()
	var id int64
	into = append([]any{&id}, into...)
	for rows.Next() {
		if err = rows.Scan(into...); err != nil {
			break
		}
		if ends == nil { // not before the first run, or there might never be one
			ends = time.AfterFunc(r.turn, cancel)
		}
		if last = id; !found() {
			return last, true, nil
		}
	}
	if last > 0 && mine.Err() != nil && ctx.Err() == nil {
		return last, false, nil
	}
	return last, true, cmp.Or(err, rows.Err())
}

// runs is the part of a statement that says which runs after one a query is about.
func (q Query) runs(after int64) (rest string, args []any) {
	where, args := q.where("coalesce(started_at, ended_at, queued_at)")
	if len(q.Results) > 0 {
		where, args = append(where, oneOf("result", len(q.Results))), appendAll(args, q.Results)
	}
	if q.Limit > 0 {
		where = []string{"id IN (SELECT id FROM runs" + conditions(where) + " ORDER BY id DESC LIMIT ?)"}
		args = append(args, q.Limit)
	}
	if after > 0 {
		where, args = append(where, "id > ?"), append(args, after)
	}
	return conditions(where) + " ORDER BY id", args
}
