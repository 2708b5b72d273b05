package config

import (
	"strconv"
	"strings"
)

// axis is one of the lists of a matrix.
type axis struct {
	name   string
	values []string
}

// maxMembers is how many experiments one matrix may make: far more than a
// machine runs in a year, far fewer than a slip of the pen can ask for.
const maxMembers = 1000

var axisName = lazily(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func setMatrix(e *Experiment, from entry, r *report) {
	axes, ok := from.value.(table)
	if !ok {
		r.add(from.at, "", `wants a table of lists like { model = ["7b", "13b"] }, not %s`, typeName(from.value))
		return
	}
	e.axes = nil
	members := 1
	for _, a := range axes {
		values, ok := a.value.([]any)
		switch {
		case !axisName().MatchString(a.name):
			r.add(a.at, "", "not a name for {matrix.NAME}: letters, digits, _ and - are allowed, with a letter first")
		case !ok:
			r.add(a.at, "", "wants a list of values, not %s", typeName(a.value))
		case len(values) == 0:
			r.add(a.at, "", "has no values, so there would be no experiment at all")
		default:
			members *= min(len(values), maxMembers+1)
			if members > maxMembers {
				r.add(from.at, "", "makes more than %d experiments", maxMembers)
				return
			}
			e.axes = append(e.axes, axis{a.name, axisValues(a, values, r)})
		}
	}
	if len(axes) == 0 {
		r.add(from.at, "", "has no lists, so there would be no experiment at all")
	}
}

func axisValues(from entry, values []any, r *report) []string {
	texts := make([]string, len(values))
	for i, value := range values {
		switch value := value.(type) {
		case string:
			texts[i] = value
		case int64:
			texts[i] = strconv.FormatInt(value, 10)
		case float64:
			texts[i] = strconv.FormatFloat(value, 'f', -1, 64)
		case bool:
			texts[i] = strconv.FormatBool(value)
		default:
			r.add(from.at, "", "element %d wants a string, a number or true or false, not %s", i+1, typeName(value))
			continue
		}
		if texts[i] == "" || strings.ContainsAny(texts[i], "\x00\n") {
			r.add(from.at, "", "element %d must be one line of text, and not empty", i+1)
		}
	}
	return texts
}

// members returns one experiment for each combination of the matrix' values,
// the first list varying slowest; the experiment itself if it has no matrix.
func (e *Experiment) members() []*Experiment {
	if len(e.axes) == 0 {
		return []*Experiment{e}
	}
	bare := *e
	bare.Matrix, bare.dimensions = e.ID, map[string]string{}
	members := []*Experiment{&bare}
	for _, axis := range e.axes {
		var longer []*Experiment
		for _, member := range members {
			for _, value := range axis.values {
				m := *member
				m.ID = member.ID + "." + idPart(value)
				m.dimensions = cloned(member.dimensions)
				m.dimensions[axis.name] = value
				longer = append(longer, &m)
			}
		}
		members = longer
	}
	return members
}

var notInID = lazily(`[^A-Za-z0-9_.-]`)

// idPart writes a value so that it can be part of an id.
func idPart(value string) string { return notInID().ReplaceAllString(value, "_") }
