package legacy

import (
	"errors"
	"fmt"
	"strings"

	"brainjar/internal/config"
)

// idMark stands for the experiment's id in a text that is being converted; files are
// read without NUL characters.
const idMark = "\x00"

// specifier is one of systemd.unit(5): %i and the like.
var specifier = pattern(`%[%a-zA-Z]`)

// specifiers replaces those of systemd that mean the same everywhere.
func (c *conversion) specifiers(text string, d directive) string {
	id := idMark
	if c.instance != c.id {
		id = c.instance
	}
	return specifier().ReplaceAllStringFunc(text, func(s string) string {
		switch s {
		case "%%":
			return "%"
		case "%i":
			return id
		case "%I":
			if strings.ContainsAny(c.instance, `-\`) {
				return strings.ReplaceAll(c.id, "-", "/")
			}
			return id
		case "%n":
			return "brain-experiment@" + id + ".service"
		case "%N":
			return "brain-experiment@" + id
		case "%p":
			return "brain-experiment"
		case "%t":
			return "/run"
		case "%S":
			return "/var/lib"
		case "%C":
			return "/var/cache"
		case "%L":
			return "/var/log"
		case "%E":
			return "/etc"
		}
		c.note(d.at, fmt.Sprintf("%s in %s= is not known here; it stands as it is", s, d.name))
		return s
	})
}

// plain replaces specifiers in what is no text of the configuration, such as the path
// of a file to read.
func (c *conversion) plain(text string, d directive) string {
	return strings.ReplaceAll(c.specifiers(text, d), idMark, c.instance)
}

// stated writes a text so that nothing in it but the id is a placeholder.
func (c *conversion) stated(text string) string {
	if strings.Contains(text, "{"+idMark) || strings.Contains(text, idMark+"}") {
		text = strings.ReplaceAll(text, idMark, c.id) // would be taken for a {{...}}
	}
	return strings.ReplaceAll(config.Literal(text), idMark, "{id}")
}

// reference is a variable in a unit file: ${NAME}, ${NAME:-otherwise}.
var reference = pattern(`\$\{([A-Za-z_][A-Za-z0-9_]*)(:?-([^}]*))?\}`)

// meant returns what a directive's value was meant to be, where its author wrote
// variables that systemd does not expand there; from says so.
func (c *conversion) meant(d directive) (text, from string, err error) {
	text, from = c.plain(d.value, d), fmt.Sprintf("%s %s=%s", d.at, d.name, d.value)
	if !strings.Contains(text, "$") {
		return text, from, nil
	}
	from += ", as it was meant"
	text = reference().ReplaceAllStringFunc(text, func(found string) string {
		m := reference().FindStringSubmatch(found)
		if v, ok := c.variables[m[1]]; ok && v.value != "" {
			from += "; " + v.at.String()
			return strings.TrimSpace(v.value)
		}
		return m[3]
	})
	if strings.Contains(text, "$") || text == "" {
		return "", "", errors.New("has variables, which systemd does not expand there, and which are not set")
	}
	c.note(d.at, fmt.Sprintf("systemd expands no variables in %s=: what was meant did not hold so far, and holds now", d.name))
	return text, from, nil
}

// words splits a command and expands the variables in it as systemd does: ${NAME}
// within a word, $NAME as a word of its own, $$ as $.
func (c *conversion) words(d directive) ([]string, error) {
	split, err := splitWords(d.value)
	if err != nil {
		return nil, err
	}
	var words []string
	for _, word := range split {
		word = c.specifiers(word, d)
		if name, ok := strings.CutPrefix(word, "$"); ok && variableName().MatchString(name) {
			words = append(words, strings.Fields(c.variable(name, d))...)
			continue
		}
		words = append(words, commandReference().ReplaceAllStringFunc(word, func(found string) string {
			if found == "$$" {
				return "$"
			}
			return c.variable(found[2:len(found)-1], d)
		}))
	}
	return words, nil
}

var commandReference = pattern(`\$\$|\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

// variable returns the value that a command gets, "" if there is none, as in systemd.
func (c *conversion) variable(name string, d directive) string {
	if name == "EXPERIMENT_ID" {
		return idMark
	}
	v, ok := c.variables[name]
	c.secret = c.secret || ok && secretName().MatchString(name)
	if !ok && c.instance != "" {
		c.note(d.at, fmt.Sprintf("$%s in %s= of %s is not set in any file that was read; nothing stands in its place", name, d.name, c.instance))
	}
	return v.value
}
