package ledger

import (
	"context"
	"time"
)

// Sweep is what the writer does once an hour.
func (l *Ledger) Sweep(ctx context.Context) error { return l.sweep(ctx) }

// Hang makes the disk not answer, until it is released.
func (l *Ledger) Hang() (release func()) {
	conn, err := l.file.db.Conn(context.Background()) // the only one
	if err != nil {
		panic(err)
	}
	return func() { _ = conn.Close() }
}

// SetTurn changes for how long one statement reads.
func (r *Reader) SetTurn(d time.Duration) { r.turn = d }

// Fill makes the disk full for the ledger, until there is room again.
func (l *Ledger) Fill(ctx context.Context) (room func() error, err error) {
	set := func(pages string) error {
		_, err := l.file.db.ExecContext(ctx, "PRAGMA max_page_count = "+pages)
		return err
	}
	return func() error { return set("1000000") }, set("1") // means: as many as it has
}

// FirstSchema is what the first released file had.
var FirstSchema = migrations[0]
