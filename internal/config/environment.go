package config

import (
	"maps"
	"slices"
	"strings"
)

var variableName = lazily(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ownVariables are set by brainjar or by systemd for every run.
var ownVariables = []string{
	"EXPERIMENT_ID", "BRAINJAR_EXPERIMENT", "BRAINJAR_RUN", "BRAINJAR_ATTEMPT", "BRAINJAR_LAST_RESULT",
	// systemd tells the recorder with these how the run ended.
	"SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS", "INVOCATION_ID",
}

// maxArgument is how long an argument, or a variable with its name, may be that the
// kernel passes on to a program: MAX_ARG_STRLEN, execve(2), with pages of 4K, less the
// NUL at its end.
const maxArgument = 32*4096 - 1 // bytes

// setEnvironment adds variables to those that are there.
func setEnvironment(e *Experiment, from entry, r *report) {
	assignments, ok := from.value.(table)
	if !ok {
		r.add(from.at, "", `wants a table of strings like { NAME = "value" }, not %s`, typeName(from.value))
		return
	}
	e.Environment, e.variables = cloned(e.Environment), cloned(e.variables)
	for _, a := range assignments {
		value, isString := a.value.(string)
		switch {
		case !variableName().MatchString(a.name):
			r.add(a.at, "", "not the name of a variable: letters, digits and _ are allowed, with no digit first")
		case slices.Contains(ownVariables, a.name):
			r.add(a.at, "", "is set by brainjar or by systemd itself")
		case !isString:
			r.add(a.at, "", "wants a string, not %s", typeName(a.value))
		case strings.ContainsAny(value, "\x00\n"):
			r.add(a.at, "", "must not contain a NUL character or a line break")
		case len(a.name)+1+len(value) > maxArgument:
			r.add(a.at, "", "is %d bytes long, and the kernel passes no variable on that is longer than 128K: put it into a file", len(value))
		default:
			e.Environment[a.name], e.variables[a.name] = value, a.at
		}
	}
}

// cloned returns a copy of a map that can be written to.
func cloned[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return make(map[K]V)
	}
	return maps.Clone(m)
}
