package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// key is one key of the schema; T is what its value is stored in.
type key[T any] struct {
	name    string // "restart.delay": a key of a table has the table's name before it
	kind    string // of value, for people: "size", "duration"
	initial string // the default, as TOML; "" if there is none
	doc     string // what it means, in one or two sentences
	limits  string // "at least 16M"; "" if the kind says it all

	// set checks the value and stores it. What is wrong goes to the report.
	set func(*T, entry, *report)
	get func(*T) any
}

// field makes a key whose value is checked by itself and stored in one place.
func field[T, V any](name string, k kind[V], initial, doc string, at func(*T) *V, rules ...rule[V]) key[T] {
	words := make([]string, len(rules))
	for i, rule := range rules {
		words[i] = rule.words
	}
	return key[T]{
		name: name, kind: k.name, initial: initial, doc: doc, limits: strings.Join(words, ", "),
		get: func(t *T) any { return *at(t) },
		set: func(t *T, e entry, r *report) {
			value, err := k.parse(e.value)
			if errors.Is(err, errType) {
				r.add(e.at, "", "wants %s, not %s", k.like, typeName(e.value))
				return
			}
			if err != nil {
				r.add(e.at, "", "%v", err)
				return
			}
			for _, rule := range rules {
				if !rule.holds(value) {
					r.add(e.at, "", "must be %s, is %s", rule.words, show(value))
					return
				}
			}
			*at(t) = value
		},
	}
}

// marks remembers which keys were written, and where.
type marks struct {
	head place // where it would have to be written: the table's header
	keys map[string]mark
}

type mark struct {
	at    place
	value any
	sound bool // nothing was wrong with its value
}

// where returns the place of the first of the keys that was written, else of
// the table. What an experiment says itself comes before what [defaults] says.
func (m marks) where(keys ...string) place {
	var inDefaults *place
	for _, key := range keys {
		mark, ok := m.keys[key]
		if !ok {
			continue
		}
		if mark.at.path[0] != "defaults" {
			return mark.at
		}
		if inDefaults == nil {
			inDefaults = &mark.at
		}
	}
	if inDefaults != nil {
		return *inDefaults
	}
	return m.head
}

// own reports whether an experiment itself, and not [defaults], says a key.
func (m marks) own(key string) bool {
	mark, ok := m.keys[key]
	return ok && (len(mark.at.path) == 0 || mark.at.path[0] != "defaults")
}

// sound reports whether the values of all these keys can be relied on: that
// none of them was refused before.
func (m marks) sound(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(key string) bool {
		mark, ok := m.keys[key]
		return ok && !mark.sound
	})
}

// meant marks the key that an unknown one was probably meant to be as written
// wrongly: that it is missing would be said of the same mistake again.
func (m marks) meant(prefix string, e entry, names []string) {
	name, ok := nearest(e.name, names)
	if _, written := m.keys[prefix+name]; ok && !written {
		m.keys[prefix+name] = mark{at: e.at}
	}
}

// schema is a table of keys.
type schema[T any] []key[T]

func (s schema[T]) find(name string) (key[T], bool) {
	i := slices.IndexFunc(s, func(k key[T]) bool { return k.name == name })
	if i < 0 {
		return key[T]{}, false
	}
	return s[i], true
}

// names lists the keys and tables that a table may hold.
func (s schema[T]) names(prefix string) []string {
	var names []string
	for _, k := range s {
		if rest, ok := strings.CutPrefix(k.name, prefix); ok {
			name, _, _ := strings.Cut(rest, ".")
			names = append(names, name)
		}
	}
	return slices.Compact(names)
}

// holds reports whether name is a table that has keys of the schema in it.
func (s schema[T]) holds(name string) bool {
	return slices.ContainsFunc(s, func(k key[T]) bool { return strings.HasPrefix(k.name, name+".") })
}

// apply stores what a TOML table says, marks what was written, and reports
// what is wrong. prefix is "" or the name of the table with a dot.
func (s schema[T]) apply(t *T, from table, prefix string, m marks, r *report) {
	for _, e := range from {
		name := prefix + e.name
		k, known := s.find(name)
		switch {
		case strings.Contains(e.name, "."):
			r.add(e.at, "", "unknown key")
		case known:
			before := r.count
			k.set(t, e, r)
			m.keys[name] = mark{at: e.at, value: e.value, sound: r.count == before}
		case s.holds(name):
			if inner, ok := e.value.(table); ok {
				s.apply(t, inner, name+".", m, r)
				continue
			}
			r.add(e.at, "", "wants a table, not %s", typeName(e.value))
		default:
			r.add(e.at, s.hint(prefix, e), "unknown key")
			m.meant(prefix, e, s.names(prefix))
		}
	}
}

// fill stores the defaults. They are TOML in the schema, and go the way of
// every other value: a default that does not hold is an error of this
// package, which its tests find.
func (s schema[T]) fill(t *T) {
	for _, k := range s {
		if k.initial == "" {
			continue
		}
		var parsed struct{ Value any }
		if _, err := toml.Decode("Value = "+k.initial, &parsed); err != nil {
			panic(fmt.Sprintf("config: default of %s: %v", k.name, err))
		}
		var r report
		k.set(t, entry{name: k.name, value: parsed.Value, at: place{doc: builtIn}}, &r)
		if len(r.problems) > 0 {
			panic(fmt.Sprintf("config: default of %s: %v", k.name, r.problems[0]))
		}
	}
}

// builtIn is the document that defaults stand in.
var builtIn = &document{name: "built-in defaults"}
