package ledger

import (
	"context"
	"fmt"
	"time"
)

// The rhythm of the writer.
const (
	minRetry   = time.Second
	maxRetry   = 30 * time.Second
	checkEvery = 10 * time.Second // whether the file is still there
	sweepEvery = time.Hour        // whether something is too old
	lastWrite  = 5 * time.Second  // for what waits when Run ends
)

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
