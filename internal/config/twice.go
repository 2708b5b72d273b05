package config

import (
	"bytes"
	"errors"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxTwice is how many definitions that are there twice are told of one file: each costs
// another parse.
const maxTwice = 20

// parseOnce parses the text for the first time. To TOML a key or a table that is there
// twice is an error of syntax, after which it reads no further: it is told as a problem
// and left out, so that what else is wrong is told too.
func (d *document) parseOnce() (parsed *syntax, twice []Problem, err error) {
	for {
		if parsed, err = d.parse(); err == nil {
			return parsed, twice, nil
		}
		p := syntaxProblem(d.name, err)
		key, again := definedTwice(err)
		if len(twice) == maxTwice || !again || !d.leaveOut(p.Line, key) {
			return nil, twice, err
		}
		p.Key, p.Message = key, "is defined twice"
		p.Hint = "what stands here belongs to the first one, or needs another name"
		twice = append(twice, *p)
	}
}

// definedTwice returns the key that an error says is defined already. The TOML package
// says it in words alone.
func definedTwice(err error) (key string, ok bool) {
	var syntax toml.ParseError
	if !errors.As(err, &syntax) {
		return "", false
	}
	before, ok := strings.CutSuffix(syntax.Message, "' has already been defined.")
	key, named := strings.CutPrefix(before, "Key '")
	return key, ok && named
}

// leaveOut makes spaces of the definition of a key in a line, from 1: of a table up to
// the next one, of another key of its line. Others keep their lines. It reports whether
// there is such a definition.
func (d *document) leaveOut(line int, key string) bool {
	lines := bytes.SplitAfter(bytes.Clone(d.text), []byte("\n"))
	if line > len(lines) {
		return false
	}
	first, last := line-1, line
	switch text := string(bytes.TrimSpace(lines[first])); {
	case isHeader(lines[first]):
		for last < len(lines) && !isHeader(lines[last]) {
			last++
		}
	default:
		name, _, _ := strings.Cut(text, "=")
		if !strings.HasSuffix(key, strings.TrimSpace(name)) { // it is within a table in one line
			return false
		}
	}
	for _, l := range lines[first:last] {
		blank(l)
	}
	d.text = bytes.Join(lines, nil)
	return true
}

// isHeader reports whether a line begins a table.
func isHeader(line []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(line), []byte("[")) }

// blank makes spaces of a line.
func blank(line []byte) {
	for i, c := range line {
		if c != '\n' {
			line[i] = ' '
		}
	}
}
