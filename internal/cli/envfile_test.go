package cli

import (
	"maps"
	"strings"
	"testing"
)

func TestEnvironmentFile(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"":                                  {},
		"A=1\n# no\n;no\n\n  B = two  \nC=": {"A": "1", "B": "two", "C": ""},
		"A=\"a b\" c'd e'\n":                {"A": "a b cd e"},
		"A='x\ny' \nB=2":                    {"A": "x\ny", "B": "2"},
		"A=a\\\nb\nB=\\\"\\ \n":             {"A": "ab", "B": "\" "},
		"A=\"\\\"\\$\\n\\\nx\"":             {"A": `"$\nx`},
		"A='\\'\r\nA=2 # no comment\r\n":    {"A": "2 # no comment"},
	} {
		got, err := parseVariables(text)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"A=1\nnonsense\n": "line 2: want NAME=value",
		"=1":              "line 1",
		"A='x\ny":         "line 1: a quote ' is not closed",
		"A=1\\\n2\nB=\"x": "line 3: a quote",
		"A B=1":           "line 1",
	} {
		if got, err := parseVariables(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzEnvironmentFile(f *testing.F) {
	for _, seed := range []string{"A=1\n", "A='x\\", "A=\"\\\n\"b\n#", "=\n", "A=\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		variables, err := parseVariables(text)
		if err != nil {
			return
		}
		for name := range variables {
			if name == "" || strings.ContainsAny(name, " \t\n=") {
				t.Errorf("%q gives a variable %q", text, name)
			}
		}
	})
}
