// Package legacy reads the installation that brainjar replaces (coordinator.env,
// experiments/*.env, the units brain-experiment@.service with their drop-ins, the
// coordinator's unit) and writes a configuration that says the same, with comments that
// say where each value came from and what could not be carried over.
//
// It reads a file system and makes text: it writes nothing, asks the machine nothing,
// and does not know what of the old installation runs.
package legacy

import (
	"errors"
	"io/fs"

	"brainjar/internal/config"
	"brainjar/internal/quantity"
)

// ErrNothing says that there is no old installation.
var ErrNothing = errors.New("no coordinator.env, no experiments/*.env and no brain-experiment@.service are here")

// Note is something that a person has to know: what could not be read, what was not
// carried over, what is different now.
type Note struct {
	Where string // file:line below the root, or a file, or "" for the whole
	Text  string
}

// String writes the note on one line.
func (n Note) String() string {
	if n.Where == "" {
		return n.Text
	}
	return n.Where + ": " + n.Text
}

// Installation is what was found.
type Installation struct {
	Notes       []Note
	Experiments int  // how many the configuration has
	Secret      bool // something in it looks like a password or a key

	lines []outLine
}

// Read reads the installation below a root: the machine's own, or a copy of it, of its
// /etc, or of the directory with the units alone. What cannot be read of it becomes a note,
// and the rest goes on. A memory limit is lowered to what an experiment can get on a machine
// with that much memory; 0: the size does not matter. The error is ErrNothing.
func Read(root fs.FS, memTotal quantity.Bytes) (*Installation, error) {
	settings := config.Default()
	_ = settings.Fit(memTotal, false) // it has no experiments that would not fit
	r := &reader{tree: tree{root}, told: make(map[Note]bool), room: settings.Budget(memTotal)}
	if !r.survey() {
		return nil, ErrNothing
	}
	return r.write(), nil
}

// reader is the work of one Read.
type reader struct {
	tree
	room   quantity.Bytes // for one experiment; 0: not known
	notes  []Note
	told   map[Note]bool
	secret bool

	template    *conversion // of brain-experiment@.service; nil if there is none
	experiments []*conversion
	supervisor  *conversion // of coordinator.env: the keys of [supervisor] and [thermal]
}

// note tells something once: what the template says is else told for each instance. It
// stands in the configuration too, with what could not be read.
func (r *reader) note(at place, words string) {
	n := Note{Where: printable(at.String()), Text: printable(words)}
	if !r.told[n] {
		r.told[n] = true
		r.notes = append(r.notes, n)
		r.secret = r.secret || secretName().MatchString(words)
	}
}

// setting is a key of the configuration with its value.
type setting struct {
	value string // as TOML
	from  string // what the comment says
}

// conversion makes the keys of one experiment, or of the template.
type conversion struct {
	*reader
	instance  string // as the unit's name has it; "" for the template
	id        string
	unit      unit
	own       map[string]bool     // files of this instance alone
	variables map[string]variable // of environment files and Environment=
	settings  map[string]setting
	enabled   string // what says that it is started; "" if nothing does
	masked    bool
}

// set keeps a value, unless brainjar would have none.
func (c *conversion) set(key, toml, from string) {
	c.settings[key] = setting{toml, printable(from)}
}
