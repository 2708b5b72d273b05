package legacy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"brainjar/internal/config"
	"brainjar/internal/quantity"
)

// outLine is a line of the configuration.
type outLine struct {
	text  string
	isKey bool
}

// Text is the configuration.
func (in *Installation) Text() string {
	var b strings.Builder
	for _, line := range in.lines {
		b.WriteString(line.text + "\n")
	}
	return b.String()
}

// Settle makes the configuration one that brainjar takes: each line that load refuses
// with a config.Errors becomes a comment, and a note. Its error is one of load that no
// line is to blame for.
func (in *Installation) Settle(load func(text string) error) error {
	for {
		err := load(in.Text())
		var problems config.Errors
		if !errors.As(err, &problems) {
			return err
		}
		rejected := false
		for _, p := range problems {
			rejected = in.reject(p.Line, p.Message) || rejected
		}
		if !rejected {
			return err
		}
	}
}

// reject turns a line, counted from 1, into a comment; false if it holds no key.
func (in *Installation) reject(line int, why string) bool {
	if line < 1 || line > len(in.lines) || !in.lines[line-1].isKey {
		return false
	}
	l := &in.lines[line-1]
	in.Notes = append(in.Notes, Note{Text: printable(fmt.Sprintf("%s is not carried over: %s", l.text, why))})
	*l = outLine{text: "# " + l.text}
	return true
}

// writer makes the lines.
type writer struct{ lines []outLine }

func (w *writer) say(format string, args ...any) {
	w.lines = append(w.lines, outLine{text: strings.TrimRight(fmt.Sprintf(format, args...), " ")})
}

// keys writes settings in the order of names, each with where it came from: after it, or
// before it where the line would be long.
func (w *writer) keys(names []string, settings map[string]setting) {
	for _, name := range names {
		s, ok := settings[name]
		if !ok {
			continue
		}
		text := keyName(name) + " = " + s.value
		if s.from != "" && len(text)+len(s.from) < 100 {
			text += "  # " + s.from
		} else if s.from != "" {
			w.say("# %s", s.from)
		}
		w.lines = append(w.lines, outLine{text, true})
	}
}

// keyName is the name of a key in its table.
func keyName(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, "supervisor."), "thermal.")
}

func (r *reader) write() *Installation {
	r.experiments = slices.DeleteFunc(r.experiments, func(c *conversion) bool {
		if c.settings["command"].value != "" {
			return false
		}
		r.note(place{file: "brain-experiment@" + c.instance}, "is left out: no ExecStart= was found for it, in no brain-experiment@.service and in no unit of its own")
		return true
	})
	r.settleCoordinator()
	if r.template != nil && r.template.settings["command"].value == "" {
		r.template = nil
	}
	for _, c := range r.experiments {
		if c.enabled == "" || c.masked {
			c.set("autostart", "false", "it was not enabled")
		}
	}
	defaults := r.defaults()

	var body writer
	body.settings("supervisor", r.supervisor.settings)
	body.settings("thermal", r.supervisor.settings)
	if len(defaults) > 0 {
		body.say("")
		body.say("# What the template said, and no experiment said otherwise.")
		body.table("defaults", defaults, nil)
	}
	if r.template != nil {
		body.say("")
		body.say("# `brainjar start ID` makes an experiment of this for an id that stands nowhere below,")
		body.say("# as `systemctl start brain-experiment@ID` did.")
		body.table("template", r.template.settings, defaults)
	}
	for _, c := range r.experiments {
		body.say("")
		if c.enabled != "" && !c.masked {
			body.say("# it was enabled in %s", printable(c.enabled))
		}
		body.table("experiments."+tableName(c.id), c.settings, defaults)
	}
	var head writer
	head.say("# Made by `brainjar import` from the installation of brain-experiment@.service. Behind")
	head.say("# each value stands where it came from.")
	if len(r.notes) > 0 {
		head.say("#")
		head.say("# To look at:")
		for _, n := range r.notes {
			head.say("# - %s", n)
		}
	}
	return &Installation{
		Notes: r.notes, Experiments: len(r.experiments), Secret: r.secret,
		lines: append(head.lines, body.lines...),
	}
}

// tableName quotes an id that has a dot in it.
func tableName(id string) string {
	if strings.Contains(id, ".") {
		return quoted(id)
	}
	return id
}

// settings writes a table of the daemon's settings, if there are any.
func (w *writer) settings(name string, settings map[string]setting) {
	var names []string
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if strings.HasPrefix(key, name+".") {
			names = append(names, key)
		}
	}
	if len(names) == 0 {
		return
	}
	w.say("")
	w.say("[%s]", name)
	w.keys(names, settings)
}

// table writes the keys of an experiment that are not the same in defaults, in the order
// in which docs/configuration.md has them.
func (w *writer) table(name string, settings, defaults map[string]setting) {
	w.say("[%s]", name)
	var names []string
	for _, key := range config.ExperimentKeys() {
		if key.Name != "environment" {
			names = append(names, key.Name)
			continue
		}
		for _, variable := range slices.Sorted(maps.Keys(settings)) {
			if strings.HasPrefix(variable, "environment.") {
				names = append(names, variable)
			}
		}
	}
	w.keys(slices.DeleteFunc(names, func(name string) bool {
		d, ok := defaults[name]
		return ok && d.value == settings[name].value
	}), settings)
}

// defaults are the settings of the template, but for those that some experiment does not
// have at all: a key of [defaults] cannot be taken back.
func (r *reader) defaults() map[string]setting {
	defaults := make(map[string]setting)
	if r.template == nil {
		return defaults
	}
	for key, s := range r.template.settings {
		everywhere := true
		for _, c := range r.experiments {
			_, has := c.settings[key]
			everywhere = everywhere && has
		}
		if everywhere {
			defaults[key] = s
		}
	}
	return defaults
}

// settleCoordinator makes the settings of coordinator.env agree with each other and with
// the experiments.
func (r *reader) settleCoordinator() {
	s := r.supervisor.settings
	drop := func(key, why string) {
		r.note(place{}, fmt.Sprintf("%s = %s (%s) is not carried over: %s", key, s[key].value, s[key].from, why))
		delete(s, key)
	}
	throttle, critical := number(s, "thermal.throttle", 75), number(s, "thermal.critical", 85)
	if throttle >= critical {
		for _, key := range []string{"thermal.throttle", "thermal.critical"} {
			if _, ok := s[key]; ok {
				drop(key, "throttling has to begin below the critical temperature; brainjar's own are 75 and 85 °C")
			}
		}
	} else if _, ok := s["thermal.throttle"]; ok {
		r.supervisor.set("thermal.resume", decimal(max(throttle-5, throttle/2, 1)), "5 °C below throttle: it was not said")
		if throttle <= 2 {
			drop("thermal.throttle", "no machine is so cool")
			delete(s, "thermal.resume")
		}
	}
	defaults := config.Default()
	if d, err := parseSpan(strings.Trim(s["thermal.interval"].value, `"`)); err == nil && d > defaults.Memory.Grace {
		r.note(place{}, fmt.Sprintf("thermal.interval = %s (%s) is longer than memory.grace (%v): memory is looked at no more often, so what fills it may be stopped too late; brainjar's own interval is %v",
			writeSpan(d), s["thermal.interval"].from, defaults.Memory.Grace, defaults.Thermal.Interval))
	}
	budget, ok := s["supervisor.memory_budget"]
	if !ok {
		return
	}
	limit, _ := quantity.ParseBytes(strings.Trim(budget.value, `"`))
	for _, c := range r.experiments {
		need, _ := quantity.ParseBytes(strings.Trim(c.settings["memory_max"].value, `"`))
		if need > limit {
			drop("supervisor.memory_budget", fmt.Sprintf("%s alone may take %v, and could never start", c.id, need))
			return
		}
	}
}

// number is the value of a setting that is a number.
func number(settings map[string]setting, key string, otherwise float64) float64 {
	var n float64
	if _, err := fmt.Sscan(settings[key].value, &n); err != nil {
		return otherwise
	}
	return n
}
