package legacy

import (
	"fmt"
	"slices"
	"strings"
)

// place is a line of a file of the old installation.
type place struct {
	file string // relative to the root of the tree
	line int    // from 1; 0 for the file as a whole
}

func (p place) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d", p.file, p.line)
}

// directive is one assignment of a unit file.
type directive struct {
	section, name, value string
	at                   place
}

// unit is a unit's directives, with those of its drop-ins after them.
type unit []directive

// parseUnit reads a unit file, systemd.syntax(7). Lines that it cannot read are passed
// over, as systemd does, and told to wrong. It is not the parser of go-systemd, because
// that one stops at the first such line, and does not say where anything stands.
func parseUnit(file, text string, wrong func(at place, words string)) unit {
	var u unit
	section := ""
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		at := place{file, i + 1}
		line := strings.TrimSpace(lines[i])
		if line == "" || isComment(line) {
			continue
		}
		for strings.HasSuffix(line, `\`) {
			line = strings.TrimSuffix(line, `\`)
			for i++; i < len(lines) && isComment(strings.TrimSpace(lines[i])); i++ {
				continue
			}
			if i >= len(lines) {
				break
			}
			line += " " + strings.TrimSpace(lines[i])
		}
		name, value, found := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
		case !found || strings.TrimSpace(name) == "":
			wrong(at, fmt.Sprintf("cannot read %q: want NAME=value", line))
		case section == "":
			wrong(at, fmt.Sprintf("%q stands before the first [section]", line))
		default:
			u = append(u, directive{section, strings.TrimSpace(name), strings.TrimSpace(value), at})
		}
	}
	return u
}

func isComment(line string) bool {
	return strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";")
}

// values returns what a directive is set to: all its lines since it was last emptied.
func (u unit) values(section, name string) []directive {
	var set []directive
	for _, d := range u {
		if d.section != section || d.name != name {
			continue
		}
		if d.value == "" {
			set = nil
			continue
		}
		set = append(set, d)
	}
	return set
}

// names returns the directives of a section in the order of the files, each once.
func (u unit) names(section string) []string {
	var names []string
	for _, d := range u {
		if d.section == section && !slices.Contains(names, d.name) {
			names = append(names, d.name)
		}
	}
	return names
}

// splitWords splits a value as systemd does: at blanks that are not within quotes, with
// the escapes of C.
func splitWords(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, inWord := byte(0), false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			word.WriteByte(unescaped(text[i]))
			inWord = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote %c is not closed", quote)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// unescaped is the character that \c stands for.
func unescaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 's':
		return ' '
	}
	return c
}
