package envfile

import (
	"maps"
	"strings"
	"testing"
)

func TestVariables(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"":                                  {},
		"A=1\n# no\n;no\n\n  B = two  \nC=": {"A": "1", "B": "two", "C": ""},
		"A=\"a b\" c'd e'\n":                {"A": "a b cd e"},
		"A='x\ny' \nB=2":                    {"A": "x\ny", "B": "2"},
		"A=a\\\nb\nB=\\\"\\ \n":             {"A": "ab", "B": "\" "},
		"A=\"\\\"\\$\\n\\\nx\"":             {"A": `"$\nx`},
		"A='\\'\r\nA=2 # no comment\r\n":    {"A": "2 # no comment"},
	} {
		variables, problems := Parse(text)
		got := make(map[string]string)
		for _, v := range variables {
			got[v.Name] = v.Value
		}
		if problems != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %q, %v, want %q", text, got, problems, want)
		}
	}
}

// A line that cannot be read is named, and what follows is read all the same.
func TestProblems(t *testing.T) {
	for _, test := range []struct {
		text, want, last string
		line             int // of the last variable
	}{
		{"A=1\nnonsense\n", "line 2: want NAME=value", "1", 1},
		{"=1\n\nB=2", "line 1: want NAME=value", "2", 3},
		{"A='x\nB=y", "line 1: a quote ' is not closed", "y", 2},
		{"A=1\\\n2\nB=\"x\nC=3", "line 3: a quote \" is not closed", "3", 4},
		{"A B=1\nC=\\\n1\nD=4", "line 1: want NAME=value", "4", 4},
	} {
		variables, problems := Parse(test.text)
		if len(problems) != 1 || problems[0].Error() != test.want {
			t.Errorf("%q: problems are %v, want %q", test.text, problems, test.want)
		}
		last := variables[len(variables)-1]
		if last.Value != test.last || last.Line != test.line {
			t.Errorf("%q: the last variable is %+v, want %q in line %d", test.text, last, test.last, test.line)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"A=1\n", "A='x\\", "A=\"\\\n\"b\n#", "=\n", "A=\\", "x\nA=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		variables, problems := Parse(text)
		lines := 1 + strings.Count(text, "\n")
		for _, v := range variables {
			if v.Name == "" || strings.ContainsAny(v.Name, " \t\n=") || v.Line < 1 || v.Line > lines {
				t.Errorf("%q gives %+v", text, v)
			}
		}
		for _, p := range problems {
			if p.Line < 1 || p.Line > lines {
				t.Errorf("%q gives %v", text, p)
			}
		}
	})
}
