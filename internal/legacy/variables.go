package legacy

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"brainjar/internal/config"
	"brainjar/internal/envfile"
)

// variable is an environment variable of an experiment or of the coordinator.
type variable struct {
	value string
	at    place
	own   bool // of experiments/ID.env: it becomes part of the configuration
}

// experimentVariables are those that were limits of an experiment.
var experimentVariables = []struct {
	name, key string
	directive string // that says the same in a unit
	convert   converter
}{
	{"EXPERIMENT_RAM_LIMIT", "memory_max", "MemoryMax", size},
	{"EXPERIMENT_CPU_QUOTA", "cpu_quota", "CPUQuota", percent},
	{"NVPMODEL_MODE", "power_mode", "", func(old string) (string, error) {
		if old == "" {
			return "", fmt.Errorf("is no power mode")
		}
		return quoted(old), nil
	}},
	{"MAX_TEMP_CELSIUS", "max_temperature", "", celsius},
}

// coordinatorVariables are those of coordinator.env. One without a key has no counterpart.
var coordinatorVariables = []struct {
	name, key string
	convert   converter
	words     string // why there is no counterpart
}{
	{"MAX_CONCURRENT_EXPERIMENTS", "supervisor.max_concurrent", whole(1, 10000), ""},
	{"TOTAL_RAM_LIMIT_GB", "supervisor.memory_budget", gigabytes, ""},
	{"THROTTLE_TEMP_CELSIUS", "thermal.throttle", celsius, ""},
	{"CRITICAL_TEMP_CELSIUS", "thermal.critical", celsius, ""},
	{"TEMPERATURE_CHECK_INTERVAL_SECONDS", "thermal.interval", func(old string) (string, error) {
		d, err := parseSpan(old)
		if err != nil || d < 100*time.Millisecond || d > time.Hour {
			return "", fmt.Errorf("is no number of seconds from 0.1 to 3600")
		}
		return quoted(writeSpan(d)), nil
	}, ""},
	{"HEALTH_CHECK_INTERVAL_SECONDS", "", nil, "has no counterpart: brainjar hears at once when an experiment ends; for a check of its health there is probe, with every"},
	{"EXPERIMENT_QUEUE_PATH", "", nil, "has no counterpart: what is wanted and what ran is in brainjar's ledger; what waits in the old queue is not carried over"},
}

var (
	variableName = pattern(`^[A-Za-z_][A-Za-z0-9_]*$`)
	secretName   = pattern(`(?i)(key|token|secret|passw|credential|auth)`)
)

// given are the variables that brainjar or systemd set themselves.
var given = map[string]bool{
	"EXPERIMENT_ID": true, "PYTHONUNBUFFERED": true, "BRAINJAR_EXPERIMENT": true, "BRAINJAR_RUN": true, "BRAINJAR_ATTEMPT": true,
	"BRAINJAR_LAST_RESULT": true, "SERVICE_RESULT": true, "EXIT_CODE": true, "EXIT_STATUS": true, "INVOCATION_ID": true,
}

// readVariables gathers the variables of Environment=, then of all environment files.
func (c *conversion) readVariables() {
	for _, d := range c.unit.values("Service", "Environment") {
		words, err := splitWords(d.value)
		if err != nil {
			c.note(d.at, "Environment= cannot be read: "+err.Error()) // without its value, as in what follows
			continue
		}
		for _, word := range words {
			name, value, found := strings.Cut(word, "=")
			if !found || !variableName().MatchString(name) {
				c.note(d.at, "a word in Environment= is not NAME=value: blanks in a value want quotes around NAME=value")
				continue
			}
			c.variables[name] = variable{value: c.specifiers(value, d), at: d.at, own: true}
		}
	}
	read := make(map[string]bool)
	for _, d := range c.unit.values("Service", "EnvironmentFile") {
		file := c.inside(c.plain(strings.TrimPrefix(d.value, "-"), d))
		if c.instance == "" && strings.Contains(d.value, "%") {
			continue // there is none for the template
		}
		read[file] = c.addVariables(file, strings.Contains(d.value, "%"))
	}
	if c.instance == "" {
		return
	}
	for _, dir := range settingDirs {
		if file := path.Join(dir, "experiments", c.instance+".env"); !read[file] && c.addVariables(file, true) {
			return
		}
	}
}

// addVariables adds those of a file, false if it is not there or cannot be read.
func (c *conversion) addVariables(file string, own bool) bool {
	if _, ok := c.find([]string{"."}, file); !ok {
		return false
	}
	text, err := c.read(file)
	if err != nil {
		c.note(place{file: file}, "cannot be read: "+reason(err))
		return false
	}
	variables, problems := envfile.Parse(text)
	for _, p := range problems {
		c.note(place{file, p.Line}, p.Message+"; the line is left out")
	}
	for _, v := range variables {
		c.variables[v.Name] = variable{v.Value, place{file, v.Line}, own}
	}
	return true
}

// knownVariables converts the variables that were limits. One that says nonsense is
// told and forgotten, so that what held without it holds.
func (c *conversion) knownVariables() map[string]setting {
	known := make(map[string]setting)
	for _, k := range experimentVariables {
		v, ok := c.variables[k.name]
		if !ok {
			continue
		}
		toml, err := k.convert(strings.TrimSpace(v.value))
		if err != nil {
			c.note(v.at, fmt.Sprintf("%s=%s %v; it is not carried over", k.name, v.value, err))
			delete(c.variables, k.name)
			continue
		}
		known[k.key] = setting{toml, printable(fmt.Sprintf("%s %s=%s", v.at, k.name, v.value))}
	}
	return known
}

// ownDirective says whether the instance's own unit or drop-in, such as one that
// systemctl set-property made, sets what a variable of its also sets: that one held.
func (c *conversion) ownDirective(key string) bool {
	for _, k := range experimentVariables {
		set := c.unit.values("Service", k.directive)
		if k.key != key || len(set) == 0 {
			continue
		}
		last := set[len(set)-1]
		_, converted := c.settings[key]
		return converted && c.own[last.at.file] && !strings.Contains(last.value, "$")
	}
	return false
}

// convertVariables writes what is left as the experiment's environment.
func (c *conversion) convertVariables() {
	isKey := make(map[string]bool)
	for _, k := range experimentVariables {
		isKey[k.name] = true
	}
	for name, v := range c.variables {
		switch {
		case !v.own || given[name] || isKey[name]:
		case !variableName().MatchString(name):
			c.note(v.at, fmt.Sprintf("%q is not the name of a variable; it is left out", name))
		case strings.Contains(v.value, "\n"):
			c.note(v.at, name+" has a line break in its value; it is left out: brainjar takes it from environment_files")
		default:
			c.set("environment."+name, quoted(c.stated(v.value)), v.at.String())
			c.secret = c.secret || secretName().MatchString(name)
		}
	}
}

// coordinator converts coordinator.env and the variables in the coordinator's unit.
func (r *reader) coordinator() bool {
	c := &conversion{reader: r, variables: make(map[string]variable), settings: make(map[string]setting)}
	r.supervisor = c
	found := false
	for _, name := range coordinatorUnits {
		if file, ok := r.find(unitDirs, name); ok {
			c.addFile(file)
			for _, dropIn := range r.dropIns(name) {
				c.addFile(dropIn)
			}
			c.readVariables()
			found = true
			break
		}
	}
	for _, dir := range settingDirs {
		file := path.Join(dir, "coordinator.env")
		if _, ok := r.find([]string{"."}, file); ok {
			c.addVariables(file, true)
			found = true
			break
		}
	}
	for _, k := range coordinatorVariables {
		v, ok := c.variables[k.name]
		if !ok {
			continue
		}
		delete(c.variables, k.name)
		if k.key == "" {
			r.note(v.at, k.name+" "+k.words)
			continue
		}
		toml, err := k.convert(strings.TrimSpace(v.value))
		if err != nil {
			r.note(v.at, fmt.Sprintf("%s=%s %v; it is not carried over", k.name, v.value, err))
			continue
		}
		c.set(k.key, toml, fmt.Sprintf("%s %s=%s", v.at, k.name, v.value))
	}
	c.otherVariables()
	return found
}

// otherVariables tells of what the coordinator read, and no experiment did, and of which
// nothing becomes. Values of unknown ones are left out: they may be passwords.
func (c *conversion) otherVariables() {
	for _, name := range slices.Sorted(maps.Keys(c.variables)) {
		v := c.variables[name]
		if !given[name] && !c.experimentsRead(name, v.at) {
			c.note(v.at, name+" is not carried over: "+whyNotVariable(name, strings.TrimSpace(v.value)))
		}
	}
}

// whyNotVariable says what a variable of the coordinator would have to be.
func whyNotVariable(name, value string) string {
	var known []string
	for _, k := range coordinatorVariables {
		known = append(known, k.name)
	}
	for _, k := range experimentVariables {
		if k.name == name {
			words := "it is a variable of experiments, and none of them read it here"
			if toml, err := k.convert(value); err == nil {
				words += fmt.Sprintf("; %s = %s in [defaults] would give it to all of them, in [experiments.ID] to one", k.key, toml)
			}
			return words
		}
		known = append(known, k.name)
	}
	words := "import knows no variable of the coordinator with this name"
	if hint := config.DidYouMean(name, known); hint != "" {
		words += "; " + hint
	}
	return words
}

// experimentsRead says whether an experiment, or the template, has that variable from
// the same place: then it is in the configuration.
func (r *reader) experimentsRead(name string, at place) bool {
	all := r.experiments
	if r.template != nil {
		all = append([]*conversion{r.template}, all...)
	}
	return slices.ContainsFunc(all, func(c *conversion) bool {
		v, ok := c.variables[name]
		return ok && v.at == at
	})
}
