package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in a file.
type Problem struct {
	File    string // "" if it came in no file
	Line    int    // from 1
	Key     string // "experiments.a.memory_max"; "" if the file as a whole is wrong
	Message string
	Hint    string // what to do about it, "" if the message says it
}

// String writes the problem on one line:
//
//	config.toml:12: experiments.a.memory_mx: unknown key; did you mean memory_max?
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		fmt.Fprintf(&b, "%s:%d: ", p.File, p.Line)
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Errors is everything that is wrong with a configuration, by file and line.
// It is the error that Load returns for files that it could read:
//
//	var problems config.Errors
//	if errors.As(err, &problems) { … }
type Errors []Problem

// Error writes one line for each problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// maxProblems is how many problems are told of at once. To find a line is slow
// in a large file, and nobody reads on: what is left is told the next time.
const maxProblems = 1000

// report collects problems. Its zero value is ready.
type report struct {
	problems []Problem
	count    int // also of those that are not kept
}

// add records a problem with what stands at a place.
func (r *report) add(at place, hint, format string, args ...any) {
	r.count++
	if len(r.problems) == maxProblems {
		return
	}
	r.problems = append(r.problems, Problem{
		File:    at.file(),
		Line:    at.line(),
		Key:     at.key(),
		Message: fmt.Sprintf(format, args...),
		Hint:    hint,
	})
}

// sorted returns the problems by file and line, each once: what stands in
// [defaults] would else be told again for every experiment.
func (r *report) sorted() []Problem {
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
	seen := make(map[Problem]bool)
	return slices.DeleteFunc(r.problems, func(p Problem) bool {
		p.Hint = "" // may differ where the mistake is the same
		again := seen[p]
		seen[p] = true
		return again
	})
}

// errors returns the problems as an error list: nil if there are none.
func (r *report) errors() Errors { return r.sorted() }
