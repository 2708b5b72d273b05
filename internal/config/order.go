package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/BurntSushi/toml"
)

// Keys are keys of an experiment that came in an order and not in a file, with
// values as encoding/json or a TOML file give them: {"memory_max": "8G"}.
type Keys map[string]any

// Submitted makes an experiment that no file names; [defaults] hold for it too.
// others are ids, beside the configured ones, that its after may name. The error
// is Errors; it names no file.
func (c *Config) Submitted(id string, keys Keys, others []string) (*Experiment, error) {
	own, problems := inOrder(keys)
	if problems != nil {
		return nil, problems
	}
	l := &loader{config: c, defaults: c.defaults}
	head := place{doc: new(document)}
	if err := CheckID(id); err != nil {
		l.errors.add(head, "", "%q is not an id: %v", id, err)
	}
	e := l.layered(id, head, own)
	if len(e.axes) > 0 {
		l.errors.add(e.written.where("matrix"), "submit its members one by one", "a matrix belongs to a file")
	}
	e.After = c.resolveSubmitted(e, others, &l.errors)
	x := e.expand("", &l.errors)
	if problems := l.errors.errors(); len(problems) > 0 {
		return nil, problems
	}
	return x, nil
}

// resolveSubmitted is resolveDependencies for an experiment that comes later.
func (c *Config) resolveSubmitted(e *Experiment, others []string, r *report) (resolved []Dependency) {
	for _, d := range e.After {
		meant := c.Select(d.ID)
		for _, other := range meant {
			resolved = append(resolved, Dependency{other.ID, d.Condition})
		}
		switch {
		case d.ID == e.ID:
			r.add(e.written.where("after"), "", "waits for itself")
		case len(meant) == 0 && slices.Contains(others, d.ID):
			resolved = append(resolved, d)
		case len(meant) == 0:
			r.add(e.written.where("after"), DidYouMean(d.ID, others), "there is no experiment %q", d.ID)
		}
	}
	return resolved
}

// Override returns an experiment with other keys than its own, and with another
// config if configPath is not empty. What the keys do not say stays as it is. The
// error is Errors; it names no file.
func (c *Config) Override(e *Experiment, configPath string, keys Keys) (*Experiment, error) {
	own, problems := inOrder(keys)
	if problems != nil {
		return nil, problems
	}
	var r report
	changed := e.unexpanded()
	changed.written = marks{head: place{doc: new(document)}, keys: maps.Clone(e.written.keys)}
	experimentKeys.apply(&changed, own, "", changed.written, &r)
	for _, key := range []string{"matrix", "after", "autostart", "kind"} {
		if own.has(key) {
			r.add(changed.written.where(key), "", "cannot be changed by an order")
		}
	}
	checkExperiment(&changed, c.Supervisor, &r)
	x := changed.expand(configPath, &r)
	if problems := r.errors(); len(problems) > 0 {
		return nil, problems
	}
	return x, nil
}

// inOrder turns keys into a table as a file would have it.
func inOrder(keys Keys) (table, Errors) {
	plain, err := plainValue(map[string]any(keys))
	if err != nil {
		return nil, Errors{{Message: err.Error()}}
	}
	text, err := toml.Marshal(plain)
	if err != nil {
		return nil, Errors{{Message: fmt.Sprintf("cannot be written as TOML: %v", err)}}
	}
	_, written, problems := parseDocument("", text)
	if len(problems) > 0 {
		problems[0].Line = 0
		return nil, Errors(problems[:1])
	}
	return written, nil
}

// plainValue gives numbers of JSON the type that TOML would give them.
func plainValue(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if whole, err := v.Int64(); err == nil {
			return whole, nil
		}
		return v.Float64()
	case float64:
		if whole := int64(v); float64(whole) == v {
			return whole, nil
		}
		return v, nil
	case map[string]any:
		plain := make(map[string]any, len(v))
		for name, inner := range v {
			value, err := plainValue(inner)
			if err != nil {
				return nil, err
			}
			plain[name] = value
		}
		return plain, nil
	case []any:
		plain := make([]any, len(v))
		for i, inner := range v {
			value, err := plainValue(inner)
			if err != nil {
				return nil, err
			}
			plain[i] = value
		}
		return plain, nil
	case nil:
		return nil, fmt.Errorf("null is no value")
	default:
		return v, nil
	}
}

// Differences are the names of the keys whose values differ, in the order of the
// schema.
func (e *Experiment) Differences(other *Experiment) []string {
	return experimentKeys.differences(e, other)
}

// Values are the values of all keys, by their names.
func (e *Experiment) Values() map[string]any {
	values := make(map[string]any, len(experimentKeys))
	for _, k := range experimentKeys {
		values[k.name] = k.get(e)
	}
	return values
}

// DefaultValues are the Values of an experiment that says nothing.
func DefaultValues() map[string]any {
	e := defaultExperiment()
	return e.Values()
}

// Differences are the names of the settings whose values differ, such as
// "thermal.throttle". The experiments do not count.
func (c *Config) Differences(other *Config) []string { return settingKeys.differences(c, other) }

func (s schema[T]) differences(a, b *T) []string {
	var names []string
	for _, k := range s {
		if !reflect.DeepEqual(k.get(a), k.get(b)) {
			names = append(names, k.name)
		}
	}
	return names
}

// KeyInfo says what a key of an experiment is, for command lines and the like.
type KeyInfo struct {
	Name string // "restart.delay"
	Kind string // "duration"
	Doc  string
}

// ExperimentKeys are all keys that an experiment may have.
func ExperimentKeys() []KeyInfo {
	infos := make([]KeyInfo, len(experimentKeys))
	for i, k := range experimentKeys {
		infos[i] = KeyInfo{k.name, k.kind, k.doc}
	}
	return infos
}
