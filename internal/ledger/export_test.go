package ledger

import "context"

// Sweep is what the writer does once an hour.
func (l *Ledger) Sweep(ctx context.Context) error { return l.sweep(ctx) }
