package journal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	silence   = 30 * time.Second // of journalctl while there is more to come
	lastLimit = 5 * time.Second  // for the last lines of a run
	maxEntry  = 4 << 20          // bytes of JSON; longer entries are left out
	maxErrors = 4 << 10          // bytes of what journalctl complains of
	maxUnits  = 5000             // whose names fit into the arguments of a process
)

// Read reads entries, oldest first, until ctx ends or the caller breaks; then no
// process is left. An error is the last thing that comes.
func Read(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		err := read(ctx, q, func(e Entry) bool { return yield(e, nil) })
		if err != nil && ctx.Err() == nil {
			yield(Entry{}, err)
		}
	}
}

// Last returns the newest n lines that a query finds, for somebody who waits: it
// takes a few seconds at most.
func Last(ctx context.Context, q Query, n int) ([]Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, lastLimit)
	defer cancel()
	q.Lines, q.Follow = n, false
	var entries []Entry
	err := read(ctx, q, func(e Entry) bool { entries = append(entries, e); return true })
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("cannot read the journal: %w", ctx.Err())
	}
	return entries, err
}

func read(ctx context.Context, q Query, yield func(Entry) bool) error {
	if !kept() {
		return fmt.Errorf("%w: journald keeps none on this machine: systemd-journald.service must run, with Storage= other than none", ErrNoJournal)
	}
	experiments := q.Experiments
	if len(experiments) == 0 {
		seen := make(map[string]bool)
		field := strings.TrimSuffix(q.unitField(), "=")
		err := journalctl(ctx, []string{"--quiet", "--no-pager", "--field=" + field}, false, func(line []byte) (bool, error) {
			if id := experimentIn(strings.TrimSpace(string(line))); id != "" && !seen[id] && len(experiments) < maxUnits {
				seen[id] = true
				experiments = append(experiments, id)
			}
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	return journalctl(ctx, q.arguments(experiments), q.Follow, func(line []byte) (bool, error) {
		e, err := parse(line)
		if errors.Is(err, errForeign) {
			return true, nil
		} else if err != nil {
			return false, err
		}
		if e.Run == 0 {
			e.Run = q.Run
		}
		return yield(e), nil
	})
}

// journalctl runs journalctl and gives each line that it prints to take, until that
// wants no more or ctx ends.
func journalctl(ctx context.Context, args []string, follow bool, take func(line []byte) (more bool, err error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot read the journal: %w", err)
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, "journalctl", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.WaitDelay = time.Second
	complaints := limited{left: maxErrors}
	cmd.Stdout, cmd.Stderr = w, &complaints
	err = cmd.Start()
	w.Close()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: there is no journalctl: it comes with systemd", ErrNoJournal)
	} else if err != nil {
		return fmt.Errorf("cannot read the journal: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = out.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	more, err := lines(ctx, out, follow, take)
	if more && err == nil { // it has closed its output
		defer time.AfterFunc(silence, cancel).Stop()
		err := cmd.Wait()
		if ctx.Err() != nil {
			return fmt.Errorf("cannot read the journal: %w", ctx.Err())
		}
		return explain(err, complaints.text.String())
	}
	cancel()
	reap(cmd)
	return err
}

// reap waits for a process that is being killed, but not for long: one that hangs
// in the kernel is left to a goroutine.
func reap(cmd *exec.Cmd) {
	over := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it was killed
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(time.Second):
	}
}

// lines gives the lines that come out of journalctl to take. More is false if that
// wants no more.
func lines(ctx context.Context, out *os.File, follow bool, take func([]byte) (bool, error)) (more bool, err error) {
	r := bufio.NewReaderSize(patient{ctx, out, follow}, 64<<10)
	for {
		line, err := readLine(r)
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case ctx.Err() != nil:
			return true, fmt.Errorf("cannot read the journal: %w", ctx.Err())
		case errors.Is(err, os.ErrDeadlineExceeded):
			return true, fmt.Errorf("cannot read the journal: journalctl says nothing for %v", silence)
		case err != nil:
			return true, fmt.Errorf("cannot read the journal: %w", err)
		case line == nil:
			continue
		}
		if more, err := take(line); !more || err != nil {
			return false, err
		}
	}
}

// readLine reads a line; nil is one that is too long.
func readLine(r *bufio.Reader) (line []byte, err error) {
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxEntry; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return nil, err
		case long:
			return nil, nil
		default:
			return line, nil
		}
	}
}

// patient reads from a process that may be silent for so long, or for ever.
type patient struct {
	ctx    context.Context // of one call of read
	file   *os.File
	follow bool
}

func (p patient) Read(b []byte) (int, error) {
	if !p.follow {
		_ = p.file.SetReadDeadline(time.Now().Add(silence))
	}
	if p.ctx.Err() != nil {
		return 0, p.ctx.Err()
	}
	return p.file.Read(b)
}

// limited keeps the beginning of what is written to it.
type limited struct {
	text bytes.Buffer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.left -= n
	_, _ = l.text.Write(b[:n]) // which cannot fail
	return len(b), nil
}

// explain turns the end of journalctl into an error.
func explain(err error, complaints string) error {
	complaints = strings.TrimSpace(complaints)
	switch {
	case err == nil:
		return nil
	case strings.Contains(complaints, "insufficient permissions"):
		return fmt.Errorf("%w: %s: root may read it, and members of the group systemd-journal", ErrNoJournal, complaints)
	case complaints == "":
		return fmt.Errorf("cannot read the journal: %w", err)
	}
	return fmt.Errorf("cannot read the journal: %s", complaints)
}

// directories are where journald keeps the journal, until the end of the boot or
// for longer.
var directories = []string{"/run/log/journal", "/var/log/journal"}

// kept reports whether there is a journal, or may be one.
func kept() bool {
	return slices.ContainsFunc(directories, func(dir string) bool {
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		return err == nil && len(files) > 0
	})
}
