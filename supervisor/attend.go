package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Streams are what a program has as its standard input, output and error.
type Streams [3]*os.File

// Close closes all of them.
func (s *Streams) Close() {
	if s == nil {
		return
	}
	for _, f := range s {
		_ = f.Close()
	}
}

// duplicate returns descriptors of its own, which outlive those of s.
func (s *Streams) duplicate() (*Streams, error) {
	var d Streams
	for i, f := range s {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			for _, made := range d[:i] {
				_ = made.Close()
			}
			return nil, fmt.Errorf("cannot pass on %s: %w", f.Name(), err)
		}
		d[i] = os.NewFile(uintptr(fd), f.Name())
	}
	return &d, nil
}

// attended is what an experiment needs whose client stays until it has ended: it
// runs with the client's own standard streams, and goes when the client goes.
type attended struct {
	clients int       // that are there
	streams *Streams  // nil: none was handed over to this brainjar
	by      time.Time // when it goes if no client has come back; zero: there was one
}

// attendGrace is how long the client of an experiment has to come back after a new
// start of brainjar.
const attendGrace = 30 * time.Second

// ErrNotYours says that an experiment is attended by somebody else.
var ErrNotYours = errors.New("it was submitted by somebody else")

// Attend submits an experiment that runs with streams of its client, and goes when
// the client does; or it takes up one again, which the same owner submitted, after a
// new start of brainjar. The streams are the supervisor's then, also after an error.
// The client is there until leave is called; gone says whether it went by itself, or
// brainjar is about to go.
func (s *Supervisor) Attend(ctx context.Context, id string, sub Submission, streams *Streams) (leave func(gone bool), err error) {
	known, err := ask(ctx, s, func() (bool, error) { e := s.byID[id]; return e != nil && e.isAttended(), nil })
	if err == nil && known {
		err = s.attendAgain(ctx, id, sub.Owner, streams)
	} else if err == nil {
		err = s.submit(ctx, id, sub, func(e *experiment) { e.attended = attended{clients: 1, streams: streams} })
	}
	leave = func(gone bool) {
		s.order(func() {
			if e := s.byID[id]; e != nil && e.isAttended() && gone {
				e.attended.clients--
				s.unattended(e)
			}
		})
	}
	switch {
	case err == nil:
		return leave, nil
	case ctx.Err() != nil: // it may have been taken all the same
		leave(true)
	default:
		streams.Close()
	}
	return nil, err
}

func (s *Supervisor) attendAgain(ctx context.Context, id, owner string, streams *Streams) error {
	return s.obey(ctx, id, func(e *experiment, written func(error)) error {
		switch {
		case !e.isAttended():
			return fmt.Errorf("%w: %s is %s", ErrExists, id, e.phase)
		case e.submission.Owner != owner:
			return fmt.Errorf("%w: %s", ErrNotYours, id)
		case e.removed:
			return fmt.Errorf("%w: %s is %s", ErrExists, id, e.phase)
		}
		e.attended.streams.Close()
		e.attended = attended{clients: e.attended.clients + 1, streams: streams}
		written(nil)
		return nil
	})
}

func (e *experiment) isAttended() bool { return e.submission != nil && e.submission.Attended }

// unattended lets an experiment go whose last client has gone.
func (s *Supervisor) unattended(e *experiment) {
	if e.attended.clients > 0 {
		return
	}
	e.attended.by = time.Time{}
	if e.submission.Detach && e.phase.Active() {
		sub := *e.submission
		sub.Attended = false
		e.submission = &sub
		e.attended.streams.Close() // of which the run has its own; another one would write to nobody
		e.attended = attended{}
		s.keep(e, nil)
		return
	}
	s.remove(e, "its client has gone")
}

// tickAttended does what is due for an experiment whose client may come back.
func (s *Supervisor) tickAttended(e *experiment, now time.Time, next *time.Time) {
	switch {
	case !e.isAttended() || e.removed || e.attended.by.IsZero() || e.attended.clients > 0:
	case now.Before(e.attended.by):
		*next = earlier(*next, e.attended.by)
	default:
		s.unattended(e)
	}
}
