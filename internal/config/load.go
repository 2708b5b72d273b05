package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile is the size in bytes of the largest file that is read.
const maxFile = 1 << 20

// maxExperiments is how many experiments a configuration may have.
const maxExperiments = 10000

// ErrUnreadable says that there is no main file, or that it cannot be read.
var ErrUnreadable = errors.New("cannot read the configuration")

// Load reads the main file and what it includes. For files that say something
// wrong the error is Errors, with everything that is wrong; else it is ErrUnreadable,
// and says why.
func Load(path string) (*Config, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w %w", ErrUnreadable, err)
	}
	return load(path, text)
}

// load is Load of a main file that was read.
func load(path string, text []byte) (*Config, error) {
	doc, keys, problems := parseDocument(path, text)
	if doc == nil {
		return nil, Errors(problems)
	}
	c := Default()
	c.Path, c.written.head = path, place{doc: doc}
	l := &loader{config: c, ids: make(map[string]place)}
	l.errors.problems = problems
	l.main(keys)
	resolveDependencies(c, &l.errors)
	if c.Supervisor.MemoryBudget > 0 {
		l.errors.problems = append(l.errors.problems, c.CheckFits(0, false)...)
	}
	if problems = l.errors.sorted(); len(problems) > 0 {
		return nil, Errors(problems)
	}
	return c, nil
}

// loader is the work of one Load.
type loader struct {
	config   *Config
	defaults table
	ids      map[string]place // of experiments and matrices, where they were defined
	errors   report
}

// main reads the main file, settings and defaults first.
func (l *loader) main(keys table) {
	var experiments, template *entry
	for _, e := range keys {
		switch e.name {
		case "experiments":
			experiments = &e
		case "template":
			template = &e
		case "defaults":
			l.readDefaults(e)
		default:
			l.readSetting(e)
		}
	}
	c := l.config
	checkSettings(c, &l.errors)
	if experiments != nil {
		each, _ := l.tableOf(*experiments)
		for _, e := range each {
			if keys, ok := l.tableOf(e); ok {
				l.addExperiment(e.name, e.at, keys)
			}
		}
	}
	if template != nil {
		l.readTemplate(*template)
	}
	l.readIncludes()
}

// readSetting reads a table of settings such as [thermal].
func (l *loader) readSetting(e entry) {
	if settingKeys.holds(e.name) {
		settingKeys.apply(l.config, table{e}, "", l.config.written, &l.errors)
		return
	}
	hint := DidYouMean(e.name, []string{"supervisor", "thermal", "memory", "defaults", "experiments", "template"})
	if hint == "" {
		hint = homeOf(e.name)
	}
	l.errors.add(e.at, hint, "unknown key")
}

// readDefaults keeps [defaults] for every experiment, having reported what is
// wrong in it.
func (l *loader) readDefaults(e entry) {
	l.defaults, _ = l.tableOf(e)
	l.config.defaults = l.defaults
	scratch := defaultExperiment()
	m := marks{head: e.at, keys: make(map[string]mark)}
	experimentKeys.apply(&scratch, l.defaults, "", m, &l.errors)
	if matrix, written := m.keys["matrix"]; written {
		l.errors.add(matrix.at, "", "a matrix belongs to one experiment")
	}
}

// tableOf returns the table that an entry must be.
func (l *loader) tableOf(e entry) (table, bool) {
	t, ok := e.value.(table)
	if !ok {
		l.errors.add(e.at, "", "wants a table, not %s", typeName(e.value))
	}
	return t, ok
}

// layered makes an experiment of the defaults and of its own keys, and checks
// it. What is wrong with the defaults alone has been reported.
func (l *loader) layered(id string, head place, own table) *Experiment {
	e := defaultExperiment()
	e.ID = id
	e.written = marks{head: head, keys: make(map[string]mark)}
	var reported report
	experimentKeys.apply(&e, l.defaults, "", e.written, &reported)
	if own.has("probe") { // takes the place of another probe as a whole
		e.Probe = defaultExperiment().Probe
		maps.DeleteFunc(e.written.keys, func(key string, _ mark) bool { return strings.HasPrefix(key, "probe.") })
	}
	experimentKeys.apply(&e, own, "", e.written, &l.errors)
	checkExperiment(&e, l.config.Supervisor, &l.errors)
	return &e
}

// addExperiment adds an experiment, or the members of its matrix.
func (l *loader) addExperiment(id string, head place, own table) {
	if err := CheckID(id); err != nil {
		l.errors.add(head, "", "%q is not an id: %v", id, err)
	}
	e := l.layered(id, head, own)
	l.claim(id, head)
	if !e.written.sound("matrix") {
		l.config.Experiments = append(l.config.Experiments, e)
		return
	}
	members := e.members()
	if len(l.config.Experiments)+len(members) > maxExperiments {
		l.errors.add(head, "", "is one too many: there may be %d experiments in all", maxExperiments)
		return
	}
	for _, member := range members {
		if member.Matrix != "" {
			at := e.written.where("matrix")
			if err := CheckID(member.ID); err != nil {
				l.errors.add(at, "", "makes the id %q: %v", member.ID, err)
			}
			l.claim(member.ID, at)
		}
		l.config.Experiments = append(l.config.Experiments, member.expand("", &l.errors))
	}
}

// claim reports an id that was given before.
func (l *loader) claim(id string, at place) {
	if first, taken := l.ids[id]; taken {
		l.errors.add(at, "", "there is another experiment %q (%s:%d)", id, first.file(), first.line())
		return
	}
	l.ids[id] = at
}

// readTemplate keeps [template], having tried it with an id and a config.
func (l *loader) readTemplate(e entry) {
	own, ok := l.tableOf(e)
	if !ok {
		return
	}
	t := l.layered("", e.at, own)
	if len(t.axes) > 0 {
		l.errors.add(t.written.where("matrix"), "", "a matrix belongs to one experiment")
	}
	trial := *t
	trial.ID = "id"
	config := ""
	if t.Config == "" {
		config = "/config" // start gives it
	}
	trial.expand(config, &l.errors)
	l.config.Template = t
}

// readIncludes reads the experiments in files of their own, in the order of
// the patterns, then of the names.
func (l *loader) readIncludes() {
	at := l.config.written.where("supervisor.include")
	seen := make(map[string]bool)
	for _, pattern := range l.config.Supervisor.Include {
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(l.config.Path), pattern)
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			l.errors.add(at, "", "cannot look for %s: %v", pattern, err)
		}
		if !strings.ContainsAny(pattern, `*?[\`) {
			files = []string{pattern} // a name, not a pattern: it must be there
		}
		slices.Sort(files)
		for _, file := range files {
			if !seen[file] && !strings.HasPrefix(filepath.Base(file), ".") {
				l.readIncluded(file, at)
			}
			seen[file] = true
		}
	}
}

func (l *loader) readIncluded(file string, at place) {
	text, err := readFile(file)
	if err != nil {
		l.errors.add(at, "", "cannot read the included file %v", err)
		return
	}
	doc, keys, problems := parseDocument(file, text)
	l.errors.problems = append(l.errors.problems, problems...)
	if doc == nil {
		return
	}
	id := strings.TrimSuffix(filepath.Base(file), ".toml")
	l.addExperiment(id, place{doc: doc}, keys)
}

// readFile reads a file of bounded size. It does not wait for a pipe that
// nobody writes to: what is not a regular file is refused.
func readFile(path string) ([]byte, error) {
	text, err := readRegular(path)
	var of *fs.PathError // which names the system call
	if errors.As(err, &of) {
		err = of.Err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

// readRegular reads a file: a directory, a device and a pipe are none.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("it is a directory")
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	return text, err
}
