package archtest

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"testing"
)

// maxLines is how long a Go file may be.
const maxLines = 400

// A file that is longer than a person keeps in mind holds two things.
func TestGoFilesAreShort(t *testing.T) { hold(t, shortFiles) }

func shortFiles(files []file) (complaints []string) {
	for _, f := range files {
		if lines := strings.Count(f.text, "\n"); f.isGo() && lines > maxLines {
			complaints = append(complaints, fmt.Sprintf("%s: %d lines, and %d are the most: find the second thing that it holds and move it out", f.path, lines, maxLines))
		}
	}
	return complaints
}

// personalPath is a path that exists on one developer's machine only. It is
// put together so that this file does not break its own rule.
var personalPath = regexp.MustCompile("(?m)(^|[\\s\"'`=:(\\[])(/" + "work/|/" + "home/[a-z_][a-z0-9_-]*/)")

// Nothing depends on where somebody has the project.
func TestNoPathOfOneMachine(t *testing.T) { hold(t, noPersonalPath) }

func noPersonalPath(files []file) (complaints []string) {
	for _, f := range files {
		for number, line := range strings.Split(f.text, "\n") {
			if found := personalPath.FindString(line); found != "" {
				complaints = append(complaints, fmt.Sprintf("%s:%d: %s is a path of one machine: make it relative, or a setting", f.path, number+1, strings.TrimSpace(found)))
			}
		}
	}
	return complaints
}

// The lab runs scripts of this tree as root: nobody else may change them.
func TestNothingIsWorldWritable(t *testing.T) { hold(t, notWorldWritable) }

func notWorldWritable(files []file) (complaints []string) {
	for _, f := range files {
		if f.mode&0o002 != 0 {
			complaints = append(complaints, fmt.Sprintf("%s: everybody may write it (%v): chmod o-w", f.path, f.mode))
		}
	}
	return complaints
}

// link is one of Markdown to a file of the project, or to a heading of one.
var link = regexp.MustCompile(`\]\(([^):#]*)(#[^)]*)?\)`)

// Links of the documentation lead somewhere.
func TestLinksLead(t *testing.T) { hold(t, linksLead) }

func linksLead(files []file) (complaints []string) {
	texts := make(map[string]string)
	for _, f := range files {
		texts[f.path] = f.text
	}
	for _, f := range files {
		if !strings.HasSuffix(f.path, ".md") {
			continue
		}
		for _, l := range link.FindAllStringSubmatch(f.text, -1) {
			to := f.path
			if l[1] != "" {
				to = path.Join(f.dir(), l[1])
			}
			text, there := texts[to]
			if !there || l[2] != "" && !hasHeading(text, l[2]) {
				complaints = append(complaints, fmt.Sprintf("%s: the link to %s%s leads nowhere", f.path, l[1], l[2]))
			}
		}
	}
	return complaints
}

// hasHeading reports whether a text has the heading that an anchor means: its words in
// small letters, with dashes between them, and nothing else of it.
func hasHeading(text, anchor string) bool {
	other := regexp.MustCompile(`[^a-z0-9 _-]`)
	for line := range strings.Lines(text) {
		words := strings.TrimLeft(line, "#")
		if words != line && strings.ReplaceAll(other.ReplaceAllString(strings.ToLower(strings.TrimSpace(words)), ""), " ", "-") == anchor[1:] {
			return true
		}
	}
	return false
}
