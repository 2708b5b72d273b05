package sensors

import (
	"fmt"
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

	busy        bool      // read has not returned
	asked       time.Time // when read was called last
	round       int       // in which round that was
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

// result returns how the source fared in a round that ends now.
func (s *source) result(now time.Time) error {
	if s.busy {
		return fmt.Errorf("cannot read %s: no answer for %s", s.name, now.Sub(s.asked).Round(time.Millisecond))
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
