package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Options say how a ledger is kept. The zero value is good.
type Options struct {
	Log *slog.Logger // nil: none

	MaxEvents  int           // that are kept; 0: 100,000
	MaxRuns    int           // that are kept; 0: 100,000
	MaxAge     time.Duration // of runs and events; 0: 365 days
	SampleAge  time.Duration // of samples; 0: 7 days
	SlowCommit time.Duration // after which a write is answered with an error; 0: 10 s
}

// The rhythm of the writer.
const (
	minRetry   = time.Second
	maxRetry   = 30 * time.Second
	checkEvery = 10 * time.Second // whether the file is still there
	sweepEvery = time.Hour        // whether something is too old
	lastWrite  = 5 * time.Second  // for what waits when Run ends
)

// Ledger is open for writing. Only one process may write a file.
type Ledger struct {
	path string
	o    Options
	log  *slog.Logger
	wake chan struct{}

	mu      sync.Mutex // guards what follows
	file    *file      // nil: there is none to write to
	pile    *pile
	writing *pile // what is on its way to the disk
	waiting []func(error)
	wanted  map[string]Wanted // the newest row of each experiment
	open    map[runKey]Run    // runs without an end
	state   State
}

// State is how the ledger itself is.
type State struct {
	Err      error     // what keeps writes from the disk; nil: nothing
	Since    time.Time // of Err
	SetAside int       // damaged files in the life of this process
	Dropped  int       // events that had no place while the disk could not be written
}

// ErrSlow is the answer to a write that the disk takes too long for. It may still
// be written.
var ErrSlow = errors.New("the disk does not answer")

// Open opens the ledger at path, made if missing. It always returns one: damage
// is set aside, and where no file can be opened the ledger holds in memory what
// it can, and tries again; State says so.
func Open(ctx context.Context, path string, o Options) *Ledger {
	l := &Ledger{
		path: path, o: o, log: o.Log, wake: make(chan struct{}, 1), pile: newPile(),
		wanted: make(map[string]Wanted), open: make(map[runKey]Run),
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.o.MaxEvents <= 0 {
		l.o.MaxEvents = 100_000
	}
	if l.o.MaxRuns <= 0 {
		l.o.MaxRuns = 100_000
	}
	if l.o.MaxAge <= 0 {
		l.o.MaxAge = 365 * 24 * time.Hour
	}
	if l.o.SampleAge <= 0 {
		l.o.SampleAge = 7 * 24 * time.Hour
	}
	if l.o.SlowCommit <= 0 {
		l.o.SlowCommit = 10 * time.Second
	}
	l.failed(l.reopen(ctx))
	return l
}

// Put lays a write on the pile and returns at once. done, if not nil, is called
// from another goroutine: with nil when this and all earlier writes are on disk,
// or with what keeps them from there. They are tried again then.
func (l *Ledger) Put(w Write, done func(error)) {
	l.mu.Lock()
	l.pile.put(w)
	l.mirror(w)
	if done != nil {
		l.waiting = append(l.waiting, done)
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// mirror keeps in memory what a new file would have to know. The caller holds mu.
func (l *Ledger) mirror(w Write) {
	if w.Remove != "" {
		delete(l.wanted, w.Remove)
	}
	if w.Wanted != nil {
		l.wanted[w.Wanted.Experiment] = *w.Wanted
	}
	if r := w.Run; r != nil {
		key := runKey{r.Experiment, r.Run}
		if !r.EndedAt.IsZero() {
			delete(l.open, key)
		} else {
			l.open[key] = merge(l.open[key], *r)
		}
	}
}

// State returns how the ledger itself is.
func (l *Ledger) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Run takes to disk what is put, until ctx ends; then what is still on the pile,
// within 5 s, and closes the file.
func (l *Ledger) Run(ctx context.Context) {
	check, sweep := time.NewTicker(checkEvery), time.NewTicker(sweepEvery)
	defer check.Stop()
	defer sweep.Stop()
	retry, again := minRetry, time.NewTimer(0)
	defer again.Stop()
	for ctx.Err() == nil {
		var err error
		select {
		case <-l.wake:
		case <-again.C:
		case <-check.C:
			err = l.check()
		case <-sweep.C:
			err = l.sweep(ctx)
		case <-ctx.Done():
			continue
		}
		if err == nil {
			err = l.write(ctx)
		}
		if err != nil {
			again.Reset(retry)
			retry = min(2*retry, maxRetry)
		} else {
			retry = minRetry
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
	defer cancel()
	_ = l.write(last) // it was logged
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil && l.writing == nil {
		_ = l.file.db.Close()
		l.file = nil
	}
}

// write takes the pile to disk. While that hangs, nothing else is begun.
func (l *Ledger) write(ctx context.Context) error {
	l.mu.Lock()
	p, waiting := l.pile, l.waiting
	if p.empty() && len(waiting) == 0 && l.state.Err == nil {
		l.mu.Unlock()
		return nil
	}
	l.pile, l.waiting, l.writing = newPile(), nil, p
	l.mu.Unlock()

	over := make(chan error, 1)
	go func() { over <- l.save(context.WithoutCancel(ctx), p) }()
	slow := time.NewTimer(l.o.SlowCommit)
	defer slow.Stop()
	var err error
	for answered := false; !answered; {
		select {
		case err = <-over:
			answered = true
		case <-slow.C:
			l.failed(fmt.Errorf("cannot write %s: %w", l.path, ErrSlow))
			answer(waiting, ErrSlow)
			waiting = nil
		case <-ctx.Done():
			select {
			case err = <-over:
			case <-time.After(lastWrite):
				return ErrSlow
			}
			answered = true
		}
	}
	l.mu.Lock()
	if err != nil {
		l.pile = p.over(l.pile)
		waiting = append(waiting, l.waiting...)
		l.waiting = nil
	}
	l.writing = nil
	l.mu.Unlock()
	l.failed(err)
	if err == nil {
		l.worked(p.dropped)
	}
	answer(waiting, err)
	return err
}

func answer(waiting []func(error), err error) {
	for _, done := range waiting {
		done(err)
	}
}

// save commits a pile, into a new file if the present one is damaged or missing.
func (l *Ledger) save(ctx context.Context, p *pile) error {
	for range 2 {
		l.mu.Lock()
		f := l.file
		l.mu.Unlock()
		if f == nil {
			if err := l.reopen(ctx); err != nil {
				return err
			}
			continue
		}
		err := f.intact()
		if err == nil {
			err = commit(ctx, f.db, p)
		}
		if err == nil {
			return nil
		}
		if !damaged(err) {
			if !waits(err) {
				l.release(f)
			}
			return fmt.Errorf("cannot write %s: %w", l.path, err)
		}
		if err := l.replace(ctx, f, err); err != nil {
			return err
		}
	}
	return fmt.Errorf("cannot write %s: %w", l.path, errDamaged)
}

// check finds out whether the file is still there, also while nothing is written.
func (l *Ledger) check() error {
	l.mu.Lock()
	f := l.file
	l.mu.Unlock()
	if f == nil {
		return nil
	}
	err := f.intact()
	if err != nil && damaged(err) {
		ctx, cancel := context.WithTimeout(context.Background(), lastWrite)
		defer cancel()
		err = l.replace(ctx, f, err)
	}
	l.failed(err)
	return err
}

// release closes a file that is to be opened anew.
func (l *Ledger) release(f *file) {
	l.mu.Lock()
	if l.file == f {
		l.file = nil
	}
	l.mu.Unlock()
	_ = f.db.Close()
}

// replace sets a damaged file aside and begins a new one with all that is known.
func (l *Ledger) replace(ctx context.Context, f *file, cause error) error {
	l.release(f)
	return l.begin(ctx, cause)
}

// begin sets what is at the path aside, because of cause, and begins anew.
func (l *Ledger) begin(ctx context.Context, cause error) error {
	name, err := setAside(l.path, time.Now())
	if err != nil {
		return fmt.Errorf("cannot set %s aside: %w", l.path, err)
	}
	l.log.Error("ledger is damaged, it was set aside and a new one begun", "file", l.path, "now", name, "err", cause)
	f, err := openFile(ctx, l.path)
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", l.path, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file = f
	l.state.SetAside++
	all := newPile()
	for _, w := range l.wanted {
		all.put(Write{Wanted: &w})
	}
	for _, r := range l.open {
		all.put(Write{Run: &r})
	}
	all.put(Write{Event: &Event{At: time.Now(), Kind: "ledger", Reason: fmt.Sprintf("the ledger was damaged and begun anew; what it was is in %s: %v", name, cause)}})
	l.pile = all.over(l.pile)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

// reopen opens the file; one that is damaged is set aside.
func (l *Ledger) reopen(ctx context.Context) error {
	f, err := openFile(ctx, l.path)
	if err != nil && damaged(err) {
		return l.begin(ctx, err)
	}
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", l.path, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file = f
	return nil
}

// failed notes what keeps writes from the disk.
func (l *Ledger) failed(err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.Err == nil {
		l.state.Since = time.Now()
		l.log.Error("ledger cannot be written, experiments go on", "err", err)
	}
	l.state.Err = err
}

// worked notes that a write has reached the disk; dropped is how many events had
// no place meanwhile.
func (l *Ledger) worked(dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.Err == nil {
		return
	}
	after := time.Since(l.state.Since).Round(time.Second)
	l.state.Err, l.state.Since = nil, time.Time{}
	l.state.Dropped += dropped
	l.log.Warn("ledger can be written again", "after", after, "events_lost", dropped)
	l.pile.put(Write{Event: &Event{At: time.Now(), Kind: "ledger",
		Reason: fmt.Sprintf("nothing could be written for %s; events lost: %d", after, dropped)}})
}

// Restore returns what the file says of brainjar's earlier life. Without a file
// it is empty.
func (l *Ledger) Restore(ctx context.Context) (Past, error) {
	l.mu.Lock()
	f := l.file
	l.mu.Unlock()
	past := Past{LastRun: make(map[string]int)}
	if f == nil {
		return past, nil
	}
	past, err := restore(ctx, f.db)
	if err != nil && damaged(err) {
		return Past{LastRun: make(map[string]int)}, l.replace(ctx, f, err)
	}
	if err != nil {
		return past, fmt.Errorf("cannot read %s: %w", l.path, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range past.Wanted {
		l.wanted[w.Experiment] = w
	}
	for _, r := range past.Open {
		l.open[runKey{r.Experiment, r.Run}] = r
	}
	return past, nil
}

// Counted reports whether the end of an invocation was written.
func (l *Ledger) Counted(ctx context.Context, invocation string) (bool, error) {
	l.mu.Lock()
	f := l.file
	for _, p := range []*pile{l.pile, l.writing} {
		if p == nil {
			continue
		}
		for r := range maps.Values(p.runs) {
			if r.Invocation == invocation && !r.EndedAt.IsZero() {
				l.mu.Unlock()
				return true, nil
			}
		}
	}
	l.mu.Unlock()
	if f == nil {
		return false, nil
	}
	var n int
	err := f.db.QueryRowContext(ctx, "SELECT count(*) FROM runs WHERE invocation = ? AND ended_at IS NOT NULL", invocation).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("cannot read %s: %w", l.path, err)
	}
	return n > 0, nil
}

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
		{"DELETE FROM events WHERE id IN (SELECT id FROM events WHERE id <= (SELECT max(id) FROM events) - ? OR at < ? ORDER BY id LIMIT ?)", []any{l.o.MaxEvents, old}},
		{"DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE ended_at IS NOT NULL AND (id <= (SELECT max(id) FROM runs) - ? OR ended_at < ?) ORDER BY id LIMIT ?)", []any{l.o.MaxRuns, old}},
		{"DELETE FROM samples WHERE rowid IN (SELECT rowid FROM samples WHERE at < ? LIMIT ?)", []any{older}},
	} {
		for ctx.Err() == nil {
			result, err := f.db.ExecContext(ctx, s.statement, append(slices.Clone(s.args), sweepStep)...)
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
