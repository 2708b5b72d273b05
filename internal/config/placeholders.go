package config

import (
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// placeholder matches what is replaced in a text: {name}. A ${name} is left to
// the shell that it may be meant for, and {{name}} stands for {name} as it is.
var placeholder = lazily(`\{\{[A-Za-z_][A-Za-z0-9_.-]*\}\}|\$?\{[A-Za-z_][A-Za-z0-9_.-]*\}`)

// variables are the values that placeholders stand for, by name.
type variables map[string]string

// Literal writes a text so that nothing in it is taken for a placeholder.
func Literal(text string) string {
	return placeholder().ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "$") {
			return found
		}
		return "{" + found + "}"
	})
}

// replace replaces the placeholders that it has a value for, in one pass: what
// a value holds is not looked at again.
func (v variables) replace(text string) string {
	return placeholder().ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "{{") {
			return found[1 : len(found)-1]
		}
		if value, ok := v[strings.Trim(found, "{}")]; ok {
			return value
		}
		return found
	})
}

func (v variables) replaceAll(texts []string) []string {
	replaced := make([]string, len(texts))
	for i, text := range texts {
		replaced[i] = v.replace(text)
	}
	return replaced
}

// variablesOf returns what is known of an experiment before it runs.
func (e *Experiment) variablesOf() variables {
	v := variables{"id": e.ID}
	if e.Config != "" {
		v["config"] = e.Config
	}
	for name, value := range e.dimensions {
		v["matrix."+name] = value
	}
	return v
}

// variablesFor returns what is known of one run.
func (e *Experiment) variablesFor(run, attempt int) variables {
	v := e.variablesOf()
	v["run"], v["attempt"] = strconv.Itoa(run), strconv.Itoa(attempt)
	return v
}

// source holds the values of an experiment in which placeholders may stand, as written.
type source struct {
	config, description, workingDirectory    string
	environmentFiles, writablePaths, command []string
	environment                              map[string]string
	probeExec                                []string
	probeHTTP                                string
}

// unexpanded returns an experiment that expand made with its placeholders as they are
// written.
func (e *Experiment) unexpanded() Experiment {
	x, t := *e, e.source
	x.source = nil
	x.Config, x.Description, x.WorkingDirectory = t.config, t.description, t.workingDirectory
	x.EnvironmentFiles, x.WritablePaths, x.Command = t.environmentFiles, t.writablePaths, t.command
	x.Environment, x.Probe.Exec, x.Probe.HTTP = t.environment, t.probeExec, t.probeHTTP
	return x
}

// expand returns the experiment with its placeholders replaced. A config that
// is not empty takes the place of the configured one, as it stands.
func (e *Experiment) expand(config string, r *report) *Experiment {
	x := *e
	x.source = &source{
		config: e.Config, description: e.Description, workingDirectory: e.WorkingDirectory,
		environmentFiles: e.EnvironmentFiles, writablePaths: e.WritablePaths, command: e.Command,
		environment: e.Environment, probeExec: e.Probe.Exec, probeHTTP: e.Probe.HTTP,
	}
	x.Config = "" // has no {config} in itself
	expansion := expansion{known: x.variablesOf(), r: r}

	if x.Config = config; config == "" {
		x.Config = expansion.text(e.Config, e.written.where("config"))
	}
	expansion.known = x.variablesOf()
	x.Description = expansion.text(e.Description, e.written.where("description"))
	x.WorkingDirectory = expansion.path(e.WorkingDirectory, e.written.where("working_directory"))
	x.EnvironmentFiles = expansion.paths(e.EnvironmentFiles, e.written.where("environment_files"))
	x.WritablePaths = expansion.paths(e.WritablePaths, e.written.where("writable_paths"))

	expansion.atLaunch = true
	command := e.written.where("command")
	x.Command = make([]string, len(e.Command))
	for i, argument := range e.Command {
		x.Command[i] = expansion.text(argument, command)
	}
	expansion.program(x.Command, command)
	x.Environment = make(map[string]string, len(e.Environment))
	for _, name := range slices.Sorted(maps.Keys(e.Environment)) {
		x.Environment[name] = expansion.text(e.Environment[name], e.variables[name])
	}
	probe := e.written.where("probe.exec")
	x.Probe.Exec = make([]string, len(e.Probe.Exec))
	for i, argument := range e.Probe.Exec {
		x.Probe.Exec[i] = expansion.text(argument, probe)
	}
	expansion.program(x.Probe.Exec, probe)
	x.Probe.HTTP = expansion.address(e.Probe.HTTP, e.written.where("probe.http"))
	return &x
}

// expansion replaces placeholders and reports the ones that stand for nothing.
type expansion struct {
	known    variables
	atLaunch bool // {run} and {attempt} may stand, to be replaced then
	r        *report
}

func (x expansion) text(text string, at place) string {
	for _, found := range placeholder().FindAllString(text, -1) {
		if strings.HasPrefix(found, "$") || strings.HasPrefix(found, "{{") {
			continue
		}
		name := strings.Trim(found, "{}")
		_, known := x.known[name]
		launch := name == "run" || name == "attempt"
		switch {
		case known || launch && x.atLaunch:
		case launch:
			x.r.add(at, "", "{%s} is known at launch only: it may stand in command and environment", name)
		case name == "config":
			x.r.add(at, "set config, or write {{config}} for the text itself", "{config} stands here, but config is not set")
		default:
			x.r.add(at, "there are "+x.names()+", and {{"+name+"}} for the text itself", "unknown placeholder {%s}", name)
		}
	}
	return x.known.replace(text)
}

// names lists the placeholders that may be written.
func (x expansion) names() string {
	names := slices.Collect(maps.Keys(x.known))
	if x.atLaunch {
		names = append(names, "run", "attempt")
	}
	slices.Sort(names)
	return "{" + strings.Join(names, "}, {") + "}"
}

// program reports a command whose program is a relative path, and arguments that the
// kernel passes to no program.
func (x expansion) program(command []string, at place) {
	if len(command) > 0 && strings.Contains(command[0], "/") && !filepath.IsAbs(command[0]) {
		x.r.add(at, "", "the program must be an absolute path, or a name without / to look for in PATH, is %q", command[0])
	}
	for i, argument := range command {
		if len(argument) > maxArgument {
			x.r.add(at, "", "element %d is %d bytes long, and the kernel passes on none that is longer than 128K: put it into a file", i+1, len(argument))
		}
	}
}

// address replaces placeholders in a URL, which must be one with some run and
// attempt in it.
func (x expansion) address(text string, at place) string {
	address := x.text(text, at)
	if text != "" && !isWebAddress(variables{"run": "1", "attempt": "0"}.replace(address)) {
		x.r.add(at, "", "%q is not a URL like \"http://127.0.0.1:8080/health\"", address)
	}
	return address
}

func isWebAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// path replaces placeholders in a path that must be absolute.
func (x expansion) path(text string, at place) string {
	path := x.text(text, at)
	if text != "" && !filepath.IsAbs(strings.TrimPrefix(path, "-")) {
		x.r.add(at, "", "must be an absolute path, is %q", path)
	}
	return path
}

func (x expansion) paths(texts []string, at place) []string {
	paths := make([]string, len(texts))
	for i, text := range texts {
		paths[i] = x.path(text, at)
		if text == "" {
			x.r.add(at, "", "element %d is empty", i+1)
		}
	}
	return paths
}
