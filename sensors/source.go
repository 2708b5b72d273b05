package sensors

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// source is one part of the machine that is read, and can fail or hang, on its
// own. Its fields belong to the goroutine of the sampling, but for read, which
// runs in a goroutine of its own and may never return. There is at most one
// such goroutine for each source.
type source struct {
	name   string
	read   func() (accept func(), err error) // accept stores what was read, also before an error
	report func(r *Reading, err error)       // what was stored last, or that it failed

	every time.Duration // the least time from question to question; 0: it is asked in each round
	keep  time.Duration // how long the last answer counts while the next is made; 0: no answer is a failure

	busy        bool      // read has not returned
	asked       time.Time // when read was called last
	round       int       // in which round that was
	answered    bool      // read has returned once
	err         error     // of the last read
	failedSince time.Time // zero while it can be read
}

// newSource makes a source of a function that reads a value and one that puts
// it into a Reading. put never sees a value that read is still making.
func newSource[T any](name string, read func() (T, error), put func(*Reading, T, error)) *source {
	var latest T
	return &source{
		name: name,
		read: func() (func(), error) {
			value, err := read()
			return func() { latest = value }, err
		},
		report: func(r *Reading, err error) { put(r, latest, err) },
	}
}

// answer is what came of asking a source.
type answer struct {
	from   *source
	accept func()
	err    error
}

// due says whether the source is to be asked in a round that begins now.
func (s *source) due(now time.Time) bool {
	return !s.busy && (s.asked.IsZero() || now.Sub(s.asked) >= s.every)
}

// awaited says whether a round waits for the source once it was asked.
func (s *source) awaited() bool { return s.busy && (s.keep == 0 || !s.answered) }

// silence is the error of a source that has not answered: nothing of what it told
// before is true any more.
type silence struct {
	source string
	waited time.Duration
}

func (s silence) Error() string {
	return fmt.Sprintf("cannot read %s: no answer for %s", s.source, s.waited.Round(time.Millisecond))
}

// silent says whether an error is that of a source that has not answered.
func silent(err error) bool {
	var s silence
	return errors.As(err, &s)
}

// result returns how the source fared in a round that ends now.
func (s *source) result(now time.Time) error {
	if waited := now.Sub(s.asked); s.busy && (waited >= s.keep || !s.answered) {
		return silence{s.name, waited}
	}
	return s.err
}

// family is a kind of sensor of which a machine has any number, whose members
// come and go: each member is a source, and so is the list of them.
type family struct {
	listing *source
	order   []string           // directories of the members that exist
	members map[string]*source // and of those that are gone, but still busy
}

// newFamily makes a family of a function that lists the directories of its
// members and one that makes a source of such a directory.
func newFamily(name string, list func() ([]string, error), member func(dir string) *source) *family {
	f := &family{members: make(map[string]*source)}
	f.listing = &source{
		name:   name,
		report: func(*Reading, error) {},
		read: func() (func(), error) {
			dirs, err := list()
			return func() {
				if err == nil {
					f.update(dirs, member)
				}
			}, err
		},
	}
	return f
}

// update makes a source for each directory that is new and forgets those that
// are gone. A busy one that is gone is kept until it answers, so that it has
// no second goroutine if it comes back.
func (f *family) update(dirs []string, member func(dir string) *source) {
	f.order = dirs
	gone := make(map[string]*source, len(f.members))
	for dir, s := range f.members {
		gone[dir] = s
	}
	for _, dir := range dirs {
		delete(gone, dir)
		if f.members[dir] == nil {
			f.members[dir] = member(dir)
		}
	}
	for dir, s := range gone {
		if !s.busy {
			delete(f.members, dir)
		}
	}
}

// newMembers makes a family of things that are read alike: one reads a thing in a
// directory, given what was known of it before, and put puts what is known into a
// Reading, with the error of the last attempt.
func newMembers[T any](name string, list func() ([]string, error), read func(dir string, known T) (T, error), put func(r *Reading, dir string, known T, err error)) *family {
	return newFamily(name, list, func(dir string) *source {
		var known T
		return &source{
			name: filepath.Base(dir),
			read: func() (func(), error) {
				now, err := read(dir, known)
				return func() { known = now }, err
			},
			report: func(r *Reading, err error) { put(r, dir, known, err) },
		}
	})
}
