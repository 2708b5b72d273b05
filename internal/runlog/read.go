package runlog

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"time"
)

// Query says what is read of the output of an experiment.
type Query struct {
	Experiment string
	Run        int       // 0: all that there are, one after the other
	Since      time.Time // leaves out runs that wrote nothing since then: lines have no times
	Lines      int       // the newest so many; 0: all
	// Follow waits for more, and for further runs if Run is 0. It ends with the
	// context or, if Run is not 0, when there is a later run.
	Follow bool
}

// Line is a line of output, without its end. A very long one comes in pieces, of which
// each counts as a line.
type Line struct {
	Run  int    `json:"run"`
	Text string `json:"text"` // valid UTF-8: what is not is replaced
}

// followEvery is how often a file is looked at for more.
const followEvery = 200 * time.Millisecond

// Read reads output, oldest line first. An error is the last thing that comes; it is
// fs.ErrNotExist if there is no file of the run that was asked for. Files that are
// being cut have to be read through the Logs that cut them.
func (l *Logs) Read(ctx context.Context, q Query) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		if err := l.read(ctx, q, func(line Line) bool { return yield(line, nil) }); err != nil {
			yield(Line{}, err)
		}
	}
}

func (l *Logs) read(ctx context.Context, q Query, yield func(Line) bool) error {
	readers, err := l.begin(q)
	defer func() {
		for _, r := range readers {
			r.close()
		}
	}()
	if err != nil {
		return err
	}
	last := 0
	for i, r := range readers {
		last = r.run
		over := !q.Follow || i < len(readers)-1
		if more, err := r.lines(ctx, yield, over); !more || err != nil {
			return err
		}
	}
	if !q.Follow {
		return nil
	}
	return l.follow(ctx, q, yield, readers, last)
}

// follow waits for more than the readers have read, the last of which is of a run.
func (l *Logs) follow(ctx context.Context, q Query, yield func(Line) bool, readers []*reader, last int) error {
	var r *reader
	if len(readers) > 0 {
		r = readers[len(readers)-1]
	}
	defer func() { r.close() }()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		files, err := l.Files(q.Experiment)
		if err != nil {
			return err
		}
		next := slices.IndexFunc(files, func(f File) bool { return f.Run > last })
		if r != nil { // that there is a next run is known before the end is read
			if more, err := r.lines(ctx, yield, next >= 0); !more || err != nil {
				return err
			}
		}
		if next < 0 {
			continue
		}
		if q.Run != 0 {
			return nil
		}
		r.close()
		last = files[next].Run
		if r, err = l.open(files[next]); err != nil {
			return err
		}
	}
}

// begin opens the files to be read, each where its first line is. Also after an
// error there may be some that are open.
func (l *Logs) begin(q Query) (readers []*reader, err error) {
	files, err := l.Files(q.Experiment)
	if err != nil {
		return nil, err
	}
	if q.Run != 0 {
		files = slices.DeleteFunc(files, func(f File) bool { return f.Run != q.Run })
		if len(files) == 0 {
			return nil, fmt.Errorf("cannot read the output of run %d of %s: %w", q.Run, q.Experiment, fs.ErrNotExist)
		}
	}
	left := q.Lines
	for i, f := range slices.Backward(files) {
		early := f.Modified.Before(q.Since)
		if early && (!q.Follow || i < len(files)-1) {
			continue
		}
		r, err := l.open(f)
		if err != nil {
			return readers, err
		}
		readers = slices.Insert(readers, 0, r)
		if early {
			if err := r.end(); err != nil {
				return readers, err
			}
			continue
		}
		if q.Lines == 0 {
			continue
		}
		found, err := r.tail(left)
		if err != nil {
			return readers, err
		}
		if left -= found; left == 0 {
			break
		}
	}
	return readers, nil
}
