package runlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// Terms say how much is kept.
type Terms struct {
	Budget      quantity.Bytes    // for all files together
	Experiments map[string]Limits // by id; the files of others are kept as long as the budget allows
}

// Limits are the terms of one experiment.
type Limits struct {
	Size quantity.Bytes // of one file
	Runs int            // the newest so many files are kept
	Live int            // the run that is under way, whose file stays; 0: none is
}

// How often files are looked at: those of runs under way, and all.
const (
	lookEvery  = 2 * time.Second
	sweepEvery = time.Minute
)

// Run holds files to the terms until ctx ends. While terms returns an error, as
// long as it is not known what runs, nothing is removed.
func (l *Logs) Run(ctx context.Context, terms func(context.Context) (Terms, error)) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var swept time.Time
	var told string
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		ids, err := l.Experiments()
		if err == nil && len(ids) == 0 {
			continue // nobody who runs is asked
		}
		l.mu.RLock()
		grew := maps.Clone(l.growing) // before it is known which of them are under way
		l.mu.RUnlock()
		t, unknown := terms(ctx)
		if unknown != nil {
			continue
		}
		err = errors.Join(err, l.look(ids, grew, t))
		if now := time.Now(); now.Sub(swept) >= sweepEvery {
			err, swept = errors.Join(err, l.sweep(ids, t, now)), now
		}
		words := ""
		if err != nil {
			words = err.Error()
		}
		if words != told && err != nil {
			l.log.Warn("log files may become larger than they should", "err", err)
		}
		told = words
	}
}

// look bounds the files that may have grown since the last look: of the runs that are
// under way, of the experiments that have files; and, once more, of those that have
// ended since.
func (l *Logs) look(ids []string, grew map[output]bool, t Terms) error {
	live := make(map[output]bool)
	for _, id := range ids {
		if run := t.Experiments[id].Live; run > 0 {
			live[output{id, run}], grew[output{id, run}] = true, true
		}
	}
	var errs []error
	for o := range grew {
		if limits, known := t.Experiments[o.experiment]; known {
			errs = append(errs, l.bound(l.path(o.experiment, o.run), limits.Size))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for o := range grew {
		if delete(l.growing, o); live[o] {
			l.growing[o] = true
		}
	}
	return errors.Join(errs...)
}

// sweep bounds all files of the experiments that have some, and removes those that are
// too many or too much.
func (l *Logs) sweep(ids []string, t Terms, now time.Time) error {
	var errs []error
	var total quantity.Bytes
	var ended []File
	for _, id := range ids {
		files, err := l.Files(id)
		errs = append(errs, err)
		limits, known := t.Experiments[id]
		for i, f := range files {
			if known {
				errs = append(errs, l.bound(f.Path, limits.Size))
				f.Size = min(f.Size, limits.Size)
			}
			// What was written to a moment ago may be of a run that has begun since.
			mayGo := f.Run != limits.Live && now.Sub(f.Modified) > sweepEvery
			if known && mayGo && len(files)-i > limits.Runs {
				errs = append(errs, l.remove(f.Path))
				continue
			}
			if total += f.Size; mayGo {
				ended = append(ended, f)
			}
		}
	}
	slices.SortFunc(ended, func(a, b File) int { return a.Modified.Compare(b.Modified) })
	for _, f := range ended {
		if total <= t.Budget {
			break
		}
		errs = append(errs, l.remove(f.Path))
		total -= f.Size
	}
	for _, id := range ids {
		l.tidy(id)
	}
	return errors.Join(errs...)
}

func (l *Logs) remove(path string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.removed, path)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove an old log file: %w", err)
	}
	return nil
}

// tidy removes the directory of an experiment that has no files any more.
func (l *Logs) tidy(experiment string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = os.Remove(filepath.Join(l.dir, experiment)) // which fails if there are any
}

// bound cuts the older half off a file that is larger than it may be. The program
// that appends to it does not notice, and nothing that it writes meanwhile is lost:
// the bytes are taken out of the file (ext4, xfs) or, where the file system cannot
// do that, a hole is made in their place (btrfs, tmpfs). Where it can do neither,
// the file is emptied. See fallocate(2).
func (l *Logs) bound(path string, limit quantity.Bytes) error {
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot bound a log file: %w", err)
	}
	defer f.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot bound a log file: %w", err)
	}
	holds, keep := size(info), int64(limit/2)
	if holds <= int64(limit) {
		return nil
	}
	block := int64(4096)
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		block = int64(st.Blksize) //nolint:unconvert // an int32 on arm64
	}
	whole := (info.Size() - keep) / block * block // of less, zeros would be left
	err = l.allocate(f, unix.FALLOC_FL_COLLAPSE_RANGE, whole)
	if err == nil {
		l.removed[path] += whole
		return nil
	}
	if l.allocate(f, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, whole) == nil {
		return nil
	}
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("cannot bound a log file: %w", err)
	}
	l.removed[path] += info.Size()
	return nil
}

// allocate changes the beginning of a file, of a length in bytes.
func (l *Logs) allocate(f *os.File, mode uint32, length int64) error {
	for {
		err := l.fallocate(int(f.Fd()), mode, 0, length)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
