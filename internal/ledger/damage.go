package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"
)

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
	f.close()
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
	l.tellAll(fmt.Sprintf("the ledger was damaged and begun anew; what it was is in %s: %v", name, cause))
	if err := l.openNow(ctx); err != nil {
		return fmt.Errorf("cannot open %s: %w", l.path, err)
	}
	return nil
}

// openNow opens the file that is at the path, and makes it if missing.
func (l *Ledger) openNow(ctx context.Context) error {
	f, err := openFile(ctx, l.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file = f
	return nil
}

// tellAll lays all that is known under the pile, for a file that knows nothing;
// whenever that can be opened.
func (l *Ledger) tellAll(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.SetAside++
	all := newPile()
	for _, w := range l.wanted {
		all.put(Write{Wanted: &w})
	}
	for _, r := range l.ended.ring {
		all.put(Write{Run: &r})
	}
	for _, r := range l.open {
		all.put(Write{Run: &r})
	}
	all.put(Write{Event: &Event{At: time.Now(), Kind: "ledger", Reason: reason}})
	l.pile = all.over(l.pile)
	l.rouse()
}

// reopen opens the file; one that is damaged is set aside, after rescue, if not
// nil, has taken from it what it can.
func (l *Ledger) reopen(ctx context.Context, rescue func(context.Context)) error {
	err := l.openNow(ctx)
	if err != nil && damaged(err) {
		if rescue != nil && !errors.Is(err, errNotOurs) {
			rescue(ctx)
		}
		return l.begin(ctx, err)
	}
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", l.path, err)
	}
	return nil
}

// rescueLimit is how long a damaged file may take to give what it still can.
const rescueLimit = 3 * time.Second

// rescue reads what can be read of a damaged file: a bad block among the events is
// no reason to forget what somebody holds, or to run again what has succeeded.
func (l *Ledger) rescue(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, rescueLimit)
	defer cancel()
	r, err := OpenReader(l.path)
	if err != nil {
		return // nothing: begin says what is wrong
	}
	defer r.Close()
	past, ended, err := restore(ctx, r.db)
	l.learn(past, ended)
	l.mu.Lock()
	l.rescued = &past
	l.mu.Unlock()
	l.log.Warn("damaged ledger was read as far as it goes", "experiments", len(past.Wanted), "open_runs", len(past.Open), "whole", err == nil)
}
