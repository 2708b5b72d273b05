package config

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"github.com/BurntSushi/toml"
)

// maxDepth is how deep tables are looked into: deeper than any key of the
// schema lies ("experiments.ID.environment.NAME").
const maxDepth = 6

// document is one TOML file, parsed.
type document struct {
	name  string // its path, as a person would write it
	text  []byte
	meta  toml.MetaData
	roots map[string]toml.Primitive
	table table
}

// table is a TOML table in the order of its file.
type table []entry

// has reports whether the table has a key.
func (t table) has(name string) bool {
	return slices.ContainsFunc(t, func(e entry) bool { return e.name == name })
}

// entry is a key with its value: string, int64, float64, bool, time.Time,
// table, or a list.
type entry struct {
	name  string
	value any
	at    place
}

// place is where in a document a key stands.
type place struct {
	doc  *document
	path toml.Key
}

func (p place) file() string { return p.doc.name }
func (p place) key() string  { return p.path.String() }
func (p place) line() int    { return p.doc.line(p.path) }

// parseDocument reads a file's text. A problem is one of TOML's syntax.
func parseDocument(name string, text []byte) (*document, *Problem) {
	d := &document{
		name:  name,
		text:  bytes.TrimPrefix(text, []byte("\ufeff")),
		roots: make(map[string]toml.Primitive),
	}
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, &Problem{File: name, Line: 1, Message: "not valid TOML: the text is UTF-16", Hint: "save it as UTF-8"}
	}
	var err error
	if d.meta, err = toml.Decode(string(d.text), &d.roots); err != nil {
		return nil, syntaxProblem(name, err)
	}
	values := make(map[string]any, len(d.roots))
	for key, root := range d.roots {
		var value any
		if err := d.meta.PrimitiveDecode(root, &value); err != nil {
			return nil, syntaxProblem(name, err)
		}
		values[key] = value
	}
	d.table = d.ordered(values, nil, d.order())
	return d, nil
}

func syntaxProblem(name string, err error) *Problem {
	p := &Problem{File: name, Line: 1, Message: err.Error()}
	var syntax toml.ParseError
	if errors.As(err, &syntax) {
		p.Line = max(1, syntax.Position.Line)
		p.Key, p.Message = syntax.LastKey, "not valid TOML: "+syntax.Message
	}
	return p
}

// order returns the rank in the file of each key and each table, also of the
// tables that only their children's names imply.
func (d *document) order() map[string]int {
	rank := make(map[string]int)
	for _, key := range d.meta.Keys() {
		for n := range min(len(key), maxDepth) {
			name := key[:n+1].String()
			if _, known := rank[name]; !known {
				rank[name] = len(rank)
			}
		}
	}
	return rank
}

// ordered turns a map of values into a table in the order of the file.
func (d *document) ordered(values map[string]any, path toml.Key, rank map[string]int) table {
	t := make(table, 0, len(values))
	for name, value := range values {
		at := place{doc: d, path: append(slices.Clone(path), name)}
		if children, ok := value.(map[string]any); ok && len(at.path) < maxDepth {
			value = d.ordered(children, at.path, rank)
		}
		t = append(t, entry{name: name, value: value, at: at})
	}
	slices.SortFunc(t, func(a, b entry) int {
		return cmp.Compare(rank[a.at.path.String()], rank[b.at.path.String()])
	})
	return t
}

// line returns the line of a key, from 1. A table that no line names has the
// line of its first key, a key inside a list has the line of the list.
func (d *document) line(path toml.Key) int {
	if line := d.position(path); line > 0 {
		return line
	}
	for _, key := range d.meta.Keys() {
		if len(key) >= len(path) && slices.Equal(key[:len(path)], path) {
			if line := d.position(key); line > 0 {
				return line
			}
		}
	}
	if len(path) > 1 {
		return d.line(path[:len(path)-1])
	}
	return 1
}

// position asks the TOML package for the line of a key, 0 if it has none. The
// package keeps the positions of keys to itself, but puts the position on the
// error of an Unmarshaler that refuses a value: so the key is decoded by one
// that refuses everything.
func (d *document) position(path toml.Key) int {
	if len(path) == 0 {
		return 0
	}
	value, ok := d.roots[path[0]]
	for _, name := range path[1:] {
		var children map[string]toml.Primitive
		if err := d.meta.PrimitiveDecode(value, &children); err != nil {
			return 0
		}
		value, ok = children[name]
		if !ok {
			return 0
		}
	}
	var refused toml.ParseError
	if !ok || !errors.As(d.meta.PrimitiveDecode(value, &refuser{}), &refused) {
		return 0
	}
	if refused.Position.Line == 0 {
		return 0
	}
	// Position.Line is the line of a value's end, Start is its beginning.
	return 1 + bytes.Count(d.text[:min(refused.Position.Start, len(d.text))], []byte("\n"))
}

// refuser is a toml.Unmarshaler that takes no value.
type refuser struct{}

var errRefused = errors.New("refused")

// UnmarshalTOML always fails.
func (*refuser) UnmarshalTOML(any) error { return errRefused }
