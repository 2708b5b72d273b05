package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the tests compare with: look at the difference")

// write makes files in a directory of their own and returns the path of
// config.toml there.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config.toml")
}

// mustLoad loads a configuration that must be right.
func mustLoad(t *testing.T, content string) *Config {
	t.Helper()
	c, err := Load(write(t, map[string]string{"config.toml": content}))
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

// problems loads a configuration that must be wrong.
func problems(t *testing.T, path string) Errors {
	t.Helper()
	_, err := Load(path)
	var problems Errors
	if !errors.As(err, &problems) {
		t.Fatalf("Load returned %v, want Errors", err)
	}
	return problems
}

// TestBadFiles compares all errors of each testdata/bad/NAME.toml with
// NAME.txt.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			got := problems(t, file).Error() + "\n"
			golden := strings.TrimSuffix(file, ".toml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// What some editors of other systems save.
func TestUTF16(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte("\xff\xfe[\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	if want := path + ":1: not valid TOML: the text is UTF-16; save it as UTF-8"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestUnreadableMainFile(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.toml")
	if err := os.WriteFile(large, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "absent.toml"): "cannot read the configuration " + filepath.Join(dir, "absent.toml") + ": no such file",
		dir:                               dir + ": it is a directory",
		"/dev/null":                       "not a regular file",
		large:                             "larger than",
	} {
		_, err := Load(path)
		var problems Errors
		if err == nil || errors.As(err, &problems) || !strings.Contains(err.Error(), want) {
			t.Errorf("Load(%s): %v, want an I/O error with %q", path, err, want)
		}
	}
}

func TestIncludes(t *testing.T) {
	const one = "command = [\"true\"]\nmemory_max = \"1G\"\n"
	path := write(t, map[string]string{
		"config.toml": "[supervisor]\ninclude = [\"d/*.toml\", \"d/b*.toml\", \"none/*.toml\"]\n" +
			"[defaults]\nenvironment = { A = \"1\" }\n[experiments.z]\n" + one,
		"d/b.toml":       one + "environment = { B = \"{id}\" }\n",
		"d/a.toml":       one,
		"d/.hidden.toml": "nonsense",
		"d/a.toml~":      "nonsense",
		"d/README":       "nonsense",
	})
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range c.Experiments {
		ids = append(ids, e.ID)
	}
	if got := strings.Join(ids, " "); got != "z a b" {
		t.Errorf("experiments are %q, want z a b", got)
	}
	b, _ := c.Experiment("b")
	if got := strings.Join(b.EnvironmentFor(1, 0), " "); got != "A=1 B=b" {
		t.Errorf("environment of b is %q", got)
	}
}

// Where people mean directories of any depth, silence would be no experiments at all.
func TestIncludeOfAnyDepth(t *testing.T) {
	path := write(t, map[string]string{
		"config.toml":    "[supervisor]\nmax_concurrent = 2\ninclude = [\"d/**/*.toml\"]\n",
		"d/e/f/a.toml":   "command = [\"true\"]\nmemory_max = \"1G\"\n",
		"d/e/f/g/b.toml": "command = [\"true\"]\nmemory_max = \"1G\"\n",
	})
	got := strings.ReplaceAll(problems(t, path).Error(), filepath.Dir(path)+"/", "")
	want := `config.toml:3: supervisor.include: element 1: "d/**/*.toml": ** does not mean directories of any depth here; write a pattern for each, like "d/*.toml" and "d/*/*.toml"`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestBadIncludes(t *testing.T) {
	path := write(t, map[string]string{
		"config.toml": "[supervisor]\ninclude = [\"d/*.toml\", \"absent.toml\"]\n" +
			"[experiments.a]\ncommand = [\"true\"]\nmemory_max = \"1G\"\n",
		"d/a.toml":             "command = [\"true\"]\nmemory_max = \"1G\"\n",
		"d/b.toml":             "command = [\"true\"]\n\nmemory_mx = \"1G\"\n",
		"d/c.toml":             "command = [\"true\"]\n",
		"d/bad name.toml":      "command = [\"true\"]\nmemory_max = \"1G\"\n",
		"d/syntax.toml":        "command = [\"true\"]\nmemory_max = \n",
		"d/directory.toml/foo": "",
	})
	dir := filepath.Dir(path) + "/"
	got := strings.ReplaceAll(problems(t, path).Error(), dir, "")
	want := `config.toml:2: supervisor.include: cannot read the included file absent.toml: no such file or directory
config.toml:2: supervisor.include: cannot read the included file d/directory.toml: it is a directory
d/a.toml:1: there is another experiment "a" (config.toml:3)
d/c.toml:1: memory_max is required; write it here or in [defaults], like memory_max = "4G"
d/b.toml:3: memory_mx: unknown key; did you mean memory_max?
d/bad name.toml:1: "bad name" is not an id: 1 to 64 letters, digits, _, - and . are allowed, with a letter or digit first
d/syntax.toml:2: memory_max: not valid TOML: expected value but found '\n' instead`
	for line := range strings.SplitSeq(want, "\n") {
		if !strings.Contains(got+"\n", line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	if t.Failed() || strings.Count(got, "\n") != strings.Count(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestLargeFiles: many experiments, many mistakes and many lines are read, or
// refused, within seconds.
func TestLargeFiles(t *testing.T) {
	fill := func(line string) string { return strings.Repeat(line, (maxFile-100)/len(line)) }
	many := minimal
	for i := range 5000 {
		many += fmt.Sprintf("[experiments.e%d]\ncpu_quota = \"50%%\"\nafter = [\"e0\"]\n", i+1)
	}
	var unknown strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&unknown, "k%d = 1\n", i)
	}
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"experiments": {many + "[experiments.e0]\n", true},
		"unknown":     {unknown.String(), false},
		"comments":    {fill("# nothing\n"), true},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := load("x.toml", []byte(c.text))
			var problems Errors
			if errors.As(err, &problems); len(problems) > maxProblems || (err == nil) != c.ok {
				t.Errorf("%.200v", err)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}
