package config

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestLines(t *testing.T) {
	const text = "\ufeff# comment\r\n" +
		"a = 1\r\n" + // 2
		"b = \"\"\"\nx\n\"\"\"\n" + // 3 to 5
		"c = [\n 1, # one\n 2]\n" + // 6 to 8
		"[d.e]\n" + // 9
		"f.g.h = 1\n" + // 10
		"\"q u.o\" = { k = 1, l = { m = '''\n''' } }\n" + // 11, 12
		"[[n]]\no = 1\n" + // 13, 14
		"[p]\n" // 15
	doc, keys, problem := parseDocument("x.toml", []byte(text))
	if problem != nil {
		t.Fatal(problem)
	}
	for key, want := range map[string]int{
		"a": 2, "b": 3, "c": 6, "d": 9, "d/e": 9, "d/e/f": 10, "d/e/f/g": 10, "d/e/f/g/h": 10, "d/e/q u.o": 11,
		"d/e/q u.o/k": 11, "d/e/q u.o/l/m": 11, "n": 13, "p": 15,
	} {
		runtime.GC() // what was parsed goes, and comes back
		if got := doc.line(strings.Split(key, "/")); got != want {
			t.Errorf("%s is on line %d, want %d", key, got, want)
		}
	}
	var names []string
	for _, e := range keys {
		names = append(names, e.name)
	}
	if got := strings.Join(names, " "); got != "a b c d n p" {
		t.Errorf("order is %q", got)
	}
}

// hasList reports whether a table that the key is in is an element of a list.
func hasList(parsed *syntax, key toml.Key) bool {
	for n := range key {
		if kind := parsed.meta.Type(key[:n+1]...); kind == "Array" || kind == "ArrayHash" {
			return true
		}
	}
	return false
}

// FuzzLoad: no text makes Load panic; each error has a file and a line that
// the text has; and each key of a file that parses has a line of its own.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "[experiments.a]\ncommand = [\"true\"]\nmemory_max = \"1G\"\n", "a.b.\"c d\" = { x = [1, {y = 2}] }\n",
		"[[experiments.a]]\nb = 1\n", "[defaults]\nmatrix = { a = [1] }\n", "\"\" = 1\n[\"\".\"\"]\n",
		"[experiments.a]\nmatrix = { x = [1, 2.5, true, \"s\"] }\nafter = { a = \"started\" }\nenvironment = { A = \"{matrix.x}{run}\" }\n",
		"[template]\ncommand = [\"{config}\"]\n[thermal]\nthrottle = nan\n", "x = '''\n", "[a]\n[a.b]\nc = 2020-01-01\n",
		"[experiments.a]\nrestart.delay = \"9999d\"\ncpus = \"0-8191\"\n[experiments.a.probe]\nhttp = \"http://[::1\"\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := strings.Count(string(text), "\n") + 1
		_, err := load("x.toml", text)
		var problems Errors
		if err != nil && !errors.As(err, &problems) {
			t.Fatalf("not Errors: %v", err)
		}
		for _, p := range problems {
			if p.File == "" || p.Line < 1 || p.Line > lines || p.Message == "" {
				t.Errorf("%d lines: problem %+v", lines, p)
			}
		}
		doc, _, problem := parseDocument("x.toml", text)
		if problem != nil {
			return
		}
		parsed, err := doc.parse()
		if err != nil {
			t.Fatal(err)
		}
		for i, key := range parsed.meta.Keys() {
			if i > 100 {
				break
			}
			if line := doc.line(key); line < 1 || line > lines {
				t.Errorf("%s is said to be on line %d of %d", key, line, lines)
			}
			// The TOML package knows no place of an empty key, and none in a list.
			if parsed.position(key) == 0 && !slices.Contains(key, "") && !hasList(parsed, key) {
				t.Errorf("%s has no line", key)
			}
		}
	})
}
