package config

import (
	"fmt"
	"slices"
	"strings"
)

var condition = oneOf(Started, Succeeded, Ended)

// setAfter reads the list or the table of dependencies. That the ids exist is
// found out when all experiments are known.
func setAfter(e *Experiment, from entry, r *report) {
	e.After = nil
	switch value := from.value.(type) {
	case []any:
		for i, item := range value {
			id, ok := item.(string)
			if !ok {
				r.add(from.at, "", "element %d wants the id of an experiment, not %s", i+1, typeName(item))
				continue
			}
			e.After = append(e.After, Dependency{id, Succeeded})
		}
	case table:
		for _, item := range value {
			reached, err := condition.parse(item.value)
			if err != nil {
				r.add(item.at, "", "must be %s", condition.like)
				continue
			}
			e.After = append(e.After, Dependency{item.name, reached})
		}
	default:
		r.add(from.at, "", `wants a list of ids like ["a"], or a table like { a = "started" }, not %s`, typeName(from.value))
	}
}

// Never reports whether the dependency on another experiment cannot be met, as that is
// configured: Doubt says why.
func (d Dependency) Never(on *Experiment) bool {
	return d.Condition == Succeeded && on.Restart.Policy == RestartAlways
}

// Doubt says why the dependency on another experiment may never be met; "": it may well be.
func (d Dependency) Doubt(on *Experiment) string {
	switch {
	case d.Never(on):
		return fmt.Sprintf("waits for ever: %s never has succeeded, for restart.policy = \"always\" starts it again after each success", on.ID)
	case d.Condition == Ended && on.Restart.Policy == RestartAlways:
		return fmt.Sprintf("%s has ended only when it was stopped or has failed for good: restart.policy = \"always\" starts it again after each success", on.ID)
	}
	return ""
}

// neverHint is what to do about a dependency that cannot be met.
const neverHint = `wait for "started", or give that one another restart.policy`

// resolveDependencies replaces the ids of matrices by those of their members,
// and reports ids that do not exist and experiments that wait for themselves.
func resolveDependencies(c *Config, r *report) {
	var ids []string
	known := make(map[string][]*Experiment) // those that an id means
	for _, e := range c.Experiments {
		ids = append(ids, e.ID)
		known[e.ID] = []*Experiment{e}
	}
	for _, e := range c.Experiments {
		if e.Matrix != "" {
			ids = append(ids, e.Matrix)
			known[e.Matrix] = append(known[e.Matrix], e)
		}
	}
	waiting := slices.Clone(c.Experiments)
	if c.Template != nil {
		waiting = append(waiting, c.Template)
	}
	for _, e := range waiting {
		var resolved []Dependency
		for _, d := range e.After {
			if len(known[d.ID]) == 0 {
				r.add(e.written.where("after"), DidYouMean(d.ID, ids), "there is no experiment %q", d.ID)
			}
			for _, other := range known[d.ID] {
				resolved = append(resolved, Dependency{other.ID, d.Condition})
			}
			if i := slices.IndexFunc(known[d.ID], d.Never); i >= 0 {
				r.add(e.written.where("after"), neverHint, "%s", d.Doubt(known[d.ID][i]))
			}
		}
		e.After = resolved
	}
	reportCycles(c, r)
}

// reportCycles reports each circle of experiments that wait for each other,
// once. All members of a matrix wait for the same, so that circles are looked
// for between matrices and experiments, not between members: a circle there
// is one of members too.
func reportCycles(c *Config, r *report) {
	group := func(e *Experiment) string {
		if e.Matrix != "" {
			return e.Matrix
		}
		return e.ID
	}
	groupOf := make(map[string]string, len(c.Experiments))
	first := make(map[string]*Experiment)
	for _, e := range c.Experiments {
		groupOf[e.ID] = group(e)
		if first[group(e)] == nil {
			first[group(e)] = e
		}
	}
	done := make(map[string]bool)
	var path []string
	var visit func(id string)
	visit = func(id string) {
		if start := slices.Index(path, id); start >= 0 {
			circle := append(slices.Clone(path[start:]), id)
			r.add(first[id].written.where("after"), "", "waits for itself: %s", strings.Join(circle, " -> "))
			return
		}
		if done[id] {
			return
		}
		path = append(path, id)
		for _, d := range first[id].After {
			visit(groupOf[d.ID])
		}
		path = path[:len(path)-1]
		done[id] = true
	}
	for _, e := range c.Experiments {
		visit(group(e))
	}
}
