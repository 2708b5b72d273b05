// Package envfile reads environment files as systemd.exec(5) has them under
// EnvironmentFile=: NAME=value lines, comments with # or ;, quotes, and a \ at the end
// of a line that goes on. It knows text alone: neither files, nor what a variable means.
package envfile

import (
	"fmt"
	"strings"
)

// Variable is one assignment of a file.
type Variable struct {
	Name, Value string
	Line        int // from 1, where it begins
}

// SyntaxError is a line that is no assignment.
type SyntaxError struct {
	Line    int // from 1
	Message string
}

// Error writes "line 3: want NAME=value".
func (e SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// maxProblems is how many problems of a file are told: what follows the last is not
// read, for it is no such file at all.
const maxProblems = 100

// Parse returns all variables in the order of the file, one that is assigned twice
// included, and the lines that are no assignments: those are passed over.
func Parse(text string) (variables []Variable, problems []SyntaxError) {
	rest := strings.ReplaceAll(text, "\r\n", "\n")
	line := 1
	for rest != "" && len(problems) < maxProblems {
		trimmed := strings.TrimLeft(rest, " \t")
		if trimmed == "" {
			break
		}
		first, following, _ := strings.Cut(trimmed, "\n")
		if first == "" || first[0] == '#' || first[0] == ';' {
			rest = following
			line++
			continue
		}
		name, after, found := strings.Cut(trimmed, "=")
		name = strings.TrimSpace(name)
		message := "want NAME=value"
		if found && name != "" && !strings.ContainsAny(name, " \t\n\"'") {
			value, remaining, err := parseValue(after)
			if err == nil {
				variables = append(variables, Variable{name, value, line})
				line += strings.Count(rest[:len(rest)-len(remaining)], "\n")
				rest = remaining
				continue
			}
			message = err.Error()
		}
		problems = append(problems, SyntaxError{line, message})
		rest = following
		line++
	}
	return variables, problems
}

// parseValue reads a value to the end of its line, and returns what follows.
func parseValue(text string) (value, rest string, err error) {
	text = strings.TrimLeft(text, " \t")
	var b strings.Builder
	kept := 0 // length up to which blanks belong to the value
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\n':
			return b.String()[:kept], text[i+1:], nil
		case '\'', '"':
			inner, length, closed := quotedPart(text[i+1:], c)
			if !closed {
				return "", "", fmt.Errorf("a quote %c is not closed", c)
			}
			b.WriteString(inner)
			kept = b.Len()
			i += length
		case '\\':
			i++
			if i < len(text) && text[i] != '\n' {
				b.WriteByte(text[i])
				kept = b.Len()
			}
		default:
			b.WriteByte(c)
			if c != ' ' && c != '\t' {
				kept = b.Len()
			}
		}
	}
	return b.String()[:kept], "", nil
}

// quotedPart reads up to the closing quote, whose position is the length. Between
// double quotes \ keeps its meaning before ", \, `, $ and a line break alone.
func quotedPart(text string, quote byte) (inner string, length int, closed bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == quote:
			return b.String(), i + 1, true
		case c == '\\' && quote == '"' && i+1 < len(text) && strings.IndexByte("\"\\`$\n", text[i+1]) >= 0:
			i++
			if text[i] != '\n' {
				b.WriteByte(text[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, false
}
