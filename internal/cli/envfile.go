package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// readVariables adds the variables of an environment file, as systemd.exec(5) has
// them under EnvironmentFile=: NAME=value lines, comments with # or ;, quotes, and a
// \ at the end of a line that goes on. A "-" before the path allows it to be absent.
func readVariables(path string, into map[string]any) error {
	path, optional := strings.CutPrefix(path, "-")
	content, err := os.ReadFile(path)
	switch {
	case optional && errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot read the environment file: %w", err)
	}
	parsed, err := parseVariables(string(content))
	if err != nil {
		return fmt.Errorf("cannot read the environment file %s: %w", path, err)
	}
	for name, value := range parsed {
		into[name] = value
	}
	return nil
}

func parseVariables(text string) (map[string]string, error) {
	variables := make(map[string]string)
	rest := strings.ReplaceAll(text, "\r\n", "\n")
	line := 1
	for rest != "" {
		trimmed := strings.TrimLeft(rest, " \t")
		if trimmed == "" {
			break
		}
		if strings.ContainsRune("#;\n", rune(trimmed[0])) {
			_, rest, _ = strings.Cut(trimmed, "\n")
			line++
			continue
		}
		name, after, found := strings.Cut(trimmed, "=")
		name = strings.TrimSpace(name)
		if !found || name == "" || strings.ContainsAny(name, " \t\n\"'") {
			return nil, fmt.Errorf("line %d: want NAME=value", line)
		}
		value, remaining, err := parseValue(after)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		line += strings.Count(rest[:len(rest)-len(remaining)], "\n")
		variables[name], rest = value, remaining
	}
	return variables, nil
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
