package runlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const patience = time.Minute

// program is what appends to the file of a run.
type program struct {
	t    *testing.T
	file *os.File
	path string
}

func start(t *testing.T, l *Logs, experiment string, run int) *program {
	t.Helper()
	path, err := l.Create(experiment, run)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &program{t, f, path}
}

func (p *program) says(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.file, format, args...); err != nil {
		p.t.Fatal(err)
	}
}

// texts reads what a query gives.
func texts(t *testing.T, l *Logs, q Query) (lines []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for line, err := range l.Read(ctx, q) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%d:%s", line.Run, line.Text))
	}
	return lines
}

func TestRead(t *testing.T) {
	l := New(filepath.Join(t.TempDir(), "logs"), nil)
	if got := texts(t, l, Query{Experiment: "a"}); got != nil {
		t.Errorf("before there is anything: %q", got)
	}
	start(t, l, "a", 9).says("one\ntwo\n")
	start(t, l, "a", 10).says("")
	start(t, l, "a", 11).says("three\n\nbad \xff\xfe byte\nunfinished")
	start(t, l, "b", 1).says("of another\n")
	long := strings.Repeat("x", maxLine)
	start(t, l, "long", 1).says("%s%sy\nend\n", long, long)
	for _, test := range []struct {
		q    Query
		want string
	}{
		{Query{Experiment: "a"}, "9:one 9:two 11:three 11: 11:bad � byte 11:unfinished"},
		{Query{Experiment: "a", Run: 9}, "9:one 9:two"},
		{Query{Experiment: "a", Run: 10}, ""},
		{Query{Experiment: "a", Lines: 1}, "11:unfinished"},
		{Query{Experiment: "a", Lines: 4}, "11:three 11: 11:bad � byte 11:unfinished"},
		{Query{Experiment: "a", Lines: 5}, "9:two 11:three 11: 11:bad � byte 11:unfinished"},
		{Query{Experiment: "a", Lines: 1000}, "9:one 9:two 11:three 11: 11:bad � byte 11:unfinished"},
		{Query{Experiment: "a", Run: 9, Lines: 1}, "9:two"},
		{Query{Experiment: "a", Since: time.Now().Add(time.Hour)}, ""},
		{Query{Experiment: "long"}, "1:" + long + " 1:" + long + " 1:y 1:end"},
		{Query{Experiment: "long", Lines: 2}, "1:y 1:end"},
		{Query{Experiment: "long", Lines: 3}, "1:" + long + " 1:y 1:end"},
		{Query{Experiment: "long", Lines: 4}, "1:" + long + " 1:" + long + " 1:y 1:end"},
		{Query{Experiment: "long", Lines: 5}, "1:" + long + " 1:" + long + " 1:y 1:end"},
	} {
		if got := strings.Join(texts(t, l, test.q), " "); got != test.want {
			t.Errorf("%+v: %.300q, want %.300q", test.q, got, test.want)
		}
	}
	for _, err := range l.Read(t.Context(), Query{Experiment: "a", Run: 12}) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a run that there is not: %v", err)
		}
	}
	for range l.Read(t.Context(), Query{Experiment: "a"}) {
		break // a reader may go away
	}
}

// TestTail: the last lines are found wherever the chunks end that are read.
func TestTail(t *testing.T) {
	l := New(t.TempDir(), nil)
	p := start(t, l, "a", 1)
	random := rand.New(rand.NewPCG(1, 2))
	var all []string
	for range 2000 {
		line := strings.Repeat("z", random.IntN(200))
		all = append(all, "1:"+line)
		p.says("%s\n", line)
	}
	for _, n := range []int{1, 2, 3, 100, 655, 1999, 2000, 2001} {
		want := all[max(0, len(all)-n):]
		if got := texts(t, l, Query{Experiment: "a", Lines: n}); !slices.Equal(got, want) {
			t.Errorf("the last %d lines: %d, or others", n, len(got))
		}
	}
}

// TestTailOfLongLines: each piece of a line counts as one.
func TestTailOfLongLines(t *testing.T) {
	l := New(t.TempDir(), nil)
	p := start(t, l, "a", 1)
	for _, length := range []int{0, 1, maxLine - 1, maxLine, maxLine + 1, 2 * maxLine, 0, 2*maxLine + 1, 3*maxLine - 1, 5} {
		p.says("%s\n", strings.Repeat("z", length))
	}
	for _, end := range []string{"", strings.Repeat("e", maxLine+1), "\n", "\n"} {
		p.says("%s", end)
		all := texts(t, l, Query{Experiment: "a"})
		for n := 1; n <= len(all)+1; n++ {
			want := all[max(0, len(all)-n):]
			if got := texts(t, l, Query{Experiment: "a", Lines: n}); !slices.Equal(got, want) {
				t.Errorf("of %d pieces the last %d: %d, or others", len(all), n, len(got))
			}
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	l := New(dir, nil)
	for _, id := range []string{"", "..", "../x", "a/b", "/etc"} {
		if path, err := l.Create(id, 1); err == nil {
			t.Errorf("%q became %s", id, path)
		}
	}
	if _, err := l.Create("a", 0); err == nil {
		t.Error("run 0 has a file")
	}
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "a", "1.log")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Create("a", 1); err == nil {
		t.Error("a link was followed")
	}
	if got := texts(t, l, Query{Experiment: "a"}); got != nil {
		t.Errorf("a link was read: %q", got)
	}
}

// TestFollow: following goes from one run to the next, or ends with its run.
func TestFollow(t *testing.T) {
	l := New(t.TempDir(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	follow := func(q Query) <-chan string {
		lines := make(chan string)
		go func() {
			defer close(lines)
			for line, err := range l.Read(ctx, q) {
				text := fmt.Sprintf("%d:%s", line.Run, line.Text)
				if err != nil {
					text = err.Error()
				}
				lines <- text
			}
		}()
		return lines
	}
	expect := func(lines <-chan string, want ...string) {
		t.Helper()
		for _, want := range want {
			if got := <-lines; got != want {
				t.Fatalf("%q, want %q", got, want)
			}
		}
	}
	all := follow(Query{Experiment: "a", Follow: true})
	first := start(t, l, "a", 1)
	first.says("zero\none\n")
	expect(all, "1:zero", "1:one")
	one := follow(Query{Experiment: "a", Run: 1, Follow: true, Lines: 1})
	expect(one, "1:one")
	late := follow(Query{Experiment: "a", Follow: true, Since: time.Now().Add(time.Hour)})
	first.says("tw")
	first.says("o\nthree\n")
	expect(all, "1:two", "1:three")
	expect(one, "1:two", "1:three")
	first.says("unfinished")
	second := start(t, l, "a", 2)
	second.says("four\n")
	expect(all, "1:unfinished", "2:four")
	expect(one, "1:unfinished")
	if text, more := <-one; more {
		t.Errorf("after the end of its run: %q", text)
	}
	for got := range late { // how much it has missed is chance
		if got == "2:four" {
			break
		}
	}
	cancel()
	if text, more := <-all; more {
		t.Errorf("after the end: %q", text)
	}
}
