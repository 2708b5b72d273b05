package runlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	chunk   = 64 << 10 // bytes that are read at once
	maxLine = 48 << 10 // bytes; journald has the same
)

// reader reads one file. Where it is, it counts from the first byte that was ever
// written, so that a cut meanwhile does not matter.
type reader struct {
	logs    *Logs
	file    *os.File
	run     int
	path    string
	at      int64
	pending []byte // the beginning of a line
	buffer  []byte
}

func (l *Logs) open(f File) (*reader, error) {
	file, err := os.OpenFile(f.Path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read the output: %w", err)
	}
	return &reader{logs: l, file: file, run: f.Run, path: f.Path, buffer: make([]byte, chunk)}, nil
}

// close may be called on nil, and twice.
func (r *reader) close() {
	if r != nil {
		r.file.Close()
	}
}

// lines gives all lines that there are now to yield, and what is left at the end
// if the run is over. More is false when yield wants no more, or ctx has ended.
func (r *reader) lines(ctx context.Context, yield func(Line) bool, over bool) (more bool, err error) {
	for ctx.Err() == nil {
		n, err := r.fill()
		if err != nil {
			return false, fmt.Errorf("cannot read the output: %w", err)
		}
		if n == 0 {
			if over && len(r.pending) > 0 {
				more = r.give(yield, r.pending)
				r.pending = nil
				return more, nil
			}
			return true, nil
		}
		for {
			line, rest, whole := bytes.Cut(r.pending, []byte("\n"))
			if !whole && len(line) <= maxLine {
				break
			}
			if len(line) > maxLine {
				line, rest = r.pending[:maxLine], r.pending[maxLine:]
			}
			if !r.give(yield, line) {
				return false, nil
			}
			r.pending = rest
		}
		r.pending = bytes.Clone(r.pending) // what was given goes
	}
	return false, nil
}

func (r *reader) give(yield func(Line) bool, line []byte) bool {
	return yield(Line{r.run, strings.ToValidUTF8(string(line), "\uFFFD")})
}

// fill reads a chunk; 0 bytes is the end of the file.
func (r *reader) fill() (n int, err error) {
	r.logs.mu.RLock()
	defer r.logs.mu.RUnlock()
	removed := r.logs.removed[r.path]
	at, err := r.data(max(r.at-removed, 0))
	if err != nil {
		return 0, err
	}
	n, err = r.file.ReadAt(r.buffer, at)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if at+removed > r.at {
		r.pending = nil // its end was cut off before it could be read
	}
	r.at = at + removed + int64(n)
	r.pending = append(r.pending, r.buffer[:n]...)
	return n, err
}

// data returns where data goes on at or after an offset: the beginning of the file
// may be a hole.
func (r *reader) data(at int64) (int64, error) {
	data, err := r.file.Seek(at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) { // there is none
		return at, nil
	}
	return data, err
}

// end goes to where nothing has been written yet.
func (r *reader) end() error {
	r.logs.mu.RLock()
	defer r.logs.mu.RUnlock()
	info, err := r.file.Stat()
	if err != nil {
		return fmt.Errorf("cannot read the output: %w", err)
	}
	r.at = r.logs.removed[r.path] + info.Size()
	return nil
}

// tail goes to where the last n lines begin, and returns how many there are. Each piece
// of a long line counts as one.
func (r *reader) tail(n int) (found int, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot read the output: %w", err)
		}
	}()
	r.logs.mu.RLock()
	defer r.logs.mu.RUnlock()
	removed := r.logs.removed[r.path]
	begin, err := r.data(0)
	if err != nil {
		return 0, err
	}
	info, err := r.file.Stat()
	if err != nil {
		return 0, err
	}
	end := info.Size()
	before := end                  // the end of the line that is counted next
	count := func(at int64) bool { // the line that begins there; true: it is enough
		pieces := max(1, int((before-at+maxLine-1)/maxLine))
		if more := found + pieces - n; more >= 0 {
			r.at, found = removed+at+int64(more)*maxLine, n
			return true
		}
		found, before = found+pieces, at-1
		return false
	}
	for at := end; at > begin; {
		part := r.buffer[:min(chunk, at-begin)]
		at -= int64(len(part))
		if _, err := r.file.ReadAt(part, at); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for {
			i := bytes.LastIndexByte(part, '\n')
			if i < 0 {
				break
			}
			part = part[:i]
			if at+int64(i) == end-1 {
				before-- // the end of the last line begins none
			} else if count(at + int64(i) + 1) {
				return found, nil
			}
		}
	}
	if end > begin && count(begin) {
		return found, nil
	}
	r.at = removed + begin
	return found, nil
}
