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
			if l.rests() {
				continue
			}
		case <-again.C:
		case <-check.C:
			err = l.visit(ctx, l.check)
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
	if !l.left {
		_ = l.write(ctx) // it was logged
	}
	l.mu.Lock()
	f := l.file
	l.mu.Unlock()
	if f != nil && !l.left {
		_ = l.visit(ctx, func() error { l.release(f); return nil })
	}
}

// rests reports whether the disk failed only a moment ago. Then it is not tried for
// whoever comes now: they are answered with the same, and a busy brainjar does not
// lay a big pile before a full disk a hundred times a second.
func (l *Ledger) rests() bool {
	l.mu.Lock()
	err, rests := l.state.Err, time.Since(l.failedAt) < minRetry
	l.mu.Unlock()
	if err == nil || !rests {
		return false
	}
	l.answer(err)
	return true
}

// write takes the pile to disk.
func (l *Ledger) write(ctx context.Context) error {
	l.mu.Lock()
	p := l.pile
	if p.size() == 0 && len(l.waiting) == 0 && l.state.Err == nil {
		l.mu.Unlock()
		return nil
	}
	asked := l.waiting
	l.pile, l.waiting, l.asked = newPile(), nil, asked
	l.mu.Unlock()

	err := l.visit(ctx, func() error { return l.save(context.WithoutCancel(ctx), p) })
	if l.left {
		return err // the pile may still arrive
	}
	if err != nil {
		l.mu.Lock()
		l.pile, l.failedAt = p.over(l.pile), time.Now()
		l.mu.Unlock()
		l.failed(err)
		l.answer(err)
		return err
	}
	l.mu.Lock()
	asked, l.asked = l.asked, nil
	l.mu.Unlock()
	l.worked(p)
	for _, done := range asked {
		done(nil)
	}
	return nil
}

// visit goes to the disk in a goroutine of its own. While that hangs, nothing
// else is begun, and everybody who waits is answered with that, also who comes
// later. When ctx ends, visit does not wait much longer.
func (l *Ledger) visit(ctx context.Context, do func() error) error {
	over := make(chan error, 1)
	go func() { over <- do() }()
	slow := time.NewTimer(l.o.SlowCommit)
	defer slow.Stop()
	var came <-chan struct{} // only once it is slow
	var tooLate <-chan time.Time
	ended := ctx.Done()
	for {
		select {
		case err := <-over:
			if came != nil {
				l.rouse() // for those who came
			}
			return err
		case <-slow.C:
			came = l.wake
			l.failed(fmt.Errorf("cannot write %s: %w", l.path, ErrSlow))
			l.answer(ErrSlow)
		case <-came:
			l.answer(ErrSlow)
		case <-ended:
			ended, tooLate = nil, time.After(lastWrite)
		case <-tooLate:
			l.left = true
			l.answer(ErrSlow)
			return ErrSlow
		}
	}
}

// answer tells everybody who waits what keeps their writes from the disk.
func (l *Ledger) answer(err error) {
	l.mu.Lock()
	waiting := append(l.asked, l.waiting...)
	l.asked, l.waiting = nil, nil
	l.mu.Unlock()
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
			if err := l.reopen(ctx, nil); err != nil {
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
