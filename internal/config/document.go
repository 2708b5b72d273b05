package config

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"sync"
	"weak"

	"github.com/BurntSushi/toml"
)

// maxDepth is how deep tables are looked into: deeper than any key of the
// schema lies ("experiments.ID.environment.NAME").
const maxDepth = 6

// document is one TOML file. What was parsed of it is kept only as long as somebody
// reads it: a configuration lives for weeks, and needs its lines only to say what is
// wrong.
type document struct {
	name string // its path, as a person would write it
	text []byte

	mu   sync.Mutex
	last weak.Pointer[syntax]
}

// syntax is what the TOML package makes of a text.
type syntax struct {
	text  []byte
	meta  toml.MetaData
	roots map[string]toml.Primitive
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

// parseDocument reads a file's text, and returns its keys. Problems are those of TOML's
// syntax. With some there is a document all the same: what else is wrong with it can be
// told with them.
func parseDocument(name string, text []byte) (*document, table, []Problem) {
	d := &document{name: name, text: bytes.TrimPrefix(text, []byte("\ufeff"))}
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, nil, []Problem{{File: name, Line: 1, Message: "not valid TOML: the text is UTF-16", Hint: "save it as UTF-8"}}
	}
	parsed, twice, err := d.parseOnce()
	if err != nil && len(twice) > 0 {
		return nil, nil, twice // the rest may only follow from what was left out
	}
	if err != nil {
		return nil, nil, []Problem{*syntaxProblem(name, err)}
	}
	values := make(map[string]any, len(parsed.roots))
	for key, root := range parsed.roots {
		var value any
		if err := parsed.meta.PrimitiveDecode(root, &value); err != nil {
			return nil, nil, []Problem{*syntaxProblem(name, err)}
		}
		values[key] = value
	}
	return d, d.ordered(values, nil, parsed.order()), twice
}

// parse parses the text, or returns what is still there of the last time.
func (d *document) parse() (*syntax, error) {
	if parsed := d.last.Value(); parsed != nil {
		return parsed, nil
	}
	parsed := &syntax{text: d.text, roots: make(map[string]toml.Primitive)}
	var err error
	if parsed.meta, err = toml.Decode(string(d.text), &parsed.roots); err != nil {
		return nil, err
	}
	d.last = weak.Make(parsed)
	return parsed, nil
}

// line returns the line of a key, from 1.
func (d *document) line(path toml.Key) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	parsed, err := d.parse()
	if err != nil { // not of a text that was parsed before
		return 1
	}
	return parsed.line(path)
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
func (s *syntax) order() map[string]int {
	rank := make(map[string]int)
	for _, key := range s.meta.Keys() {
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
func (s *syntax) line(path toml.Key) int {
	if line := s.position(path); line > 0 {
		return line
	}
	for _, key := range s.meta.Keys() {
		if len(key) >= len(path) && slices.Equal(key[:len(path)], path) {
			if line := s.position(key); line > 0 {
				return line
			}
		}
	}
	if len(path) > 1 {
		return s.line(path[:len(path)-1])
	}
	return 1
}

// position asks the TOML package for the line of a key, 0 if it has none. The
// package keeps the positions of keys to itself, but puts the position on the
// error of an Unmarshaler that refuses a value: so the key is decoded by one
// that refuses everything.
func (s *syntax) position(path toml.Key) int {
	if len(path) == 0 {
		return 0
	}
	value, ok := s.roots[path[0]]
	for _, name := range path[1:] {
		var children map[string]toml.Primitive
		if err := s.meta.PrimitiveDecode(value, &children); err != nil {
			return 0
		}
		value, ok = children[name]
		if !ok {
			return 0
		}
	}
	var refused toml.ParseError
	if !ok || !errors.As(s.meta.PrimitiveDecode(value, &refuser{}), &refused) {
		return 0
	}
	if refused.Position.Line == 0 {
		return 0
	}
	// Position.Line is the line of a value's end, Start is its beginning.
	return 1 + bytes.Count(s.text[:min(refused.Position.Start, len(s.text))], []byte("\n"))
}

// refuser is a toml.Unmarshaler that takes no value.
type refuser struct{}

var errRefused = errors.New("refused")

// UnmarshalTOML always fails.
func (*refuser) UnmarshalTOML(any) error { return errRefused }
