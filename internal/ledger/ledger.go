package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Options say how a ledger is kept. The zero value is good.
type Options struct {
	Log *slog.Logger // nil: none

	MaxEvents  int           // that are kept; 0: 100,000
	MaxRuns    int           // that are kept; 0: 100,000
	MaxSamples int           // that are kept; 0: 1,000,000, a week of 16 sensors
	MaxAge     time.Duration // of runs and events; 0: 365 days
	SampleAge  time.Duration // of samples; 0: 7 days
	SlowCommit time.Duration // after which a write is answered with an error; 0: 10 s
}

// Ledger is open for writing. Only one process may write a file.
type Ledger struct {
	path string
	o    Options
	log  *slog.Logger
	wake chan struct{}
	left bool // Run ends, and has left a disk behind that does not answer

	mu       sync.Mutex // guards what follows
	file     *file      // nil: there is none to write to
	pile     *pile
	waiting  []func(error)     // who waits for the pile
	asked    []func(error)     // who waits for what is on its way to the disk
	wanted   map[string]Wanted // the newest row of each experiment
	open     map[runKey]Run    // runs without an end
	ended    recent
	failedAt time.Time // when a pile last did not get to the disk
	rescued  *Past     // from a file that was damaged when it was opened
	state    State
}

// State is how the ledger itself is.
type State struct {
	Err      error     // what keeps writes from the disk; nil: nothing
	Since    time.Time // of Err
	SetAside int       // damaged files in the life of this process
	Dropped  int       // events that had no place while the disk could not be written
	Waiting  int       // rows that wait for the disk
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
	if l.o.MaxSamples <= 0 {
		l.o.MaxSamples = 1_000_000
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
	err := l.reopen(ctx, l.rescue)
	l.failed(err)
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
	l.rouse()
}

// rouse makes the writer look at the pile.
func (l *Ledger) rouse() {
	select {
	case l.wake <- struct{}{}:
	default: // it will
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
			l.ended.add(merge(l.open[key], *r))
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
	state := l.state
	state.Waiting = l.pile.size()
	return state
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

// worked notes that a pile has reached the disk; it knows what had no place meanwhile.
func (l *Ledger) worked(p *pile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.Err == nil {
		return
	}
	after := time.Since(l.state.Since).Round(time.Second)
	l.state.Err, l.state.Since = nil, time.Time{}
	l.state.Dropped += p.dropped
	l.log.Warn("ledger can be written again", "after", after, "events_lost", p.dropped, "runs_lost", p.lost)
	told := fmt.Sprintf("nothing could be written for %s; events lost: %d", after, p.dropped)
	if p.lost > 0 {
		told += fmt.Sprintf("; runs lost: %d", p.lost)
	}
	l.pile.put(Write{Event: &Event{At: time.Now(), Kind: "ledger", Reason: told}})
}

// Restore returns what the file says of brainjar's earlier life, also one that can
// only be read, and of one that is damaged what can be read. Without a file it is
// empty.
func (l *Ledger) Restore(ctx context.Context) (Past, error) {
	l.mu.Lock()
	f, rescued := l.file, l.rescued
	l.mu.Unlock()
	if rescued != nil {
		return *rescued, nil
	}
	var db *sql.DB
	if f != nil {
		db = f.db
	} else if r, err := OpenReader(l.path); err == nil {
		defer r.Close()
		db = r.db
	} else {
		return Past{LastRun: make(map[string]int)}, nil // State says why
	}
	past, ended, err := restore(ctx, db)
	l.learn(past, ended)
	if err != nil && f != nil && damaged(err) {
		return past, l.replace(ctx, f, err)
	}
	if err != nil {
		return past, fmt.Errorf("cannot read %s: %w", l.path, err)
	}
	return past, nil
}

// learn puts an earlier life into the mirror.
func (l *Ledger) learn(past Past, ended []Run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range past.Wanted {
		l.wanted[w.Experiment] = w
	}
	for _, r := range past.Open {
		l.open[runKey{r.Experiment, r.Run}] = r
	}
	for _, r := range ended {
		l.ended.add(r)
	}
}

// Counted reports whether the end of an invocation was written: to this file, or
// lately to one that was set aside.
func (l *Ledger) Counted(ctx context.Context, invocation string) (bool, error) {
	l.mu.Lock()
	f, known := l.file, l.ended.has(invocation)
	l.mu.Unlock()
	if known {
		return true, nil
	}
	n, err := l.count(ctx, f, "SELECT count(*) FROM runs WHERE invocation = ? AND ended_at IS NOT NULL", invocation)
	return n > 0, err
}

// HasRun reports whether a run of an experiment with that number was written to this
// file, or may have been: without a file that is not known.
func (l *Ledger) HasRun(ctx context.Context, experiment string, run int) (bool, error) {
	l.mu.Lock()
	f := l.file
	l.mu.Unlock()
	if f == nil {
		return true, nil
	}
	n, err := l.count(ctx, f, "SELECT count(*) FROM runs WHERE experiment = ? AND run = ?", experiment, run)
	return n > 0, err
}

// LastRun returns the highest number of a run that an experiment has had, 0 if it
// has had none. What waits to be written does not count.
func (l *Ledger) LastRun(ctx context.Context, experiment string) (int, error) {
	l.mu.Lock()
	f := l.file
	l.mu.Unlock()
	return l.count(ctx, f, "SELECT coalesce(max(run), 0) FROM runs WHERE experiment = ?", experiment)
}

// count asks a file, if there is one, for a number. It does not wait for a disk that does
// not answer: the question may be left behind, one at a time, as there is one connection.
func (l *Ledger) count(ctx context.Context, f *file, question string, about ...any) (int, error) {
	if f == nil {
		return 0, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.o.SlowCommit, ErrSlow)
	defer cancel()
	var n int
	answer := make(chan error, 1)
	go func() { answer <- f.db.QueryRowContext(ctx, question, about...).Scan(&n) }()
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read %s: %w", l.path, err)
	}
	return n, nil
}
