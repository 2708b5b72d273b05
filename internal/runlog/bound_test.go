package runlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// Ways to take the beginning off a file, from the best to the last resort.
var waysToCut = map[string]func(fd int, mode uint32, offset, length int64) error{
	"this file system's": unix.Fallocate,
	"hole": func(fd int, mode uint32, offset, length int64) error {
		if mode == unix.FALLOC_FL_COLLAPSE_RANGE {
			return unix.EOPNOTSUPP
		}
		return unix.Fallocate(fd, mode, offset, length)
	},
	"none": func(int, uint32, int64, int64) error { return unix.EOPNOTSUPP },
}

// TestBound: a file that becomes too large loses its older half while its program
// writes and somebody follows, who misses nothing and sees nothing twice.
func TestBound(t *testing.T) {
	const limit, count = 512 * quantity.KiB, 60_000
	for name, fallocate := range waysToCut {
		t.Run(name, func(t *testing.T) {
			l := New(t.TempDir(), nil)
			l.fallocate = fallocate
			p := start(t, l, "a", 1)
			terms := Terms{Budget: quantity.GiB, Experiments: map[string]Limits{"a": {Size: limit, Runs: 1, Live: 1}}}

			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			seen, progress := make(chan string, 1), make(chan int, count)
			go func() {
				defer close(seen)
				next := 0
				for line, err := range l.Read(ctx, Query{Experiment: "a", Follow: true}) {
					if want := fmt.Sprintf("line %d of many", next); err != nil || line.Text != want {
						seen <- fmt.Sprintf("%q, %v, want %q", line.Text, err, want)
						return
					}
					progress <- next
					if next++; next == count {
						return
					}
				}
			}()
			cuts, largest := 0, int64(0)
			for i := range count {
				p.says("line %d of many\n", i)
				if i%10_000 == 9_999 {
					for read := -1; read < i; { // nothing is cut off that has not been read
						select {
						case read = <-progress:
						case problem, wrong := <-seen:
							if wrong {
								t.Fatal(problem)
							}
							read = i // it was the last line
						}
					}
					before := held(t, p.path)
					if err := l.look([]string{"a"}, map[output]bool{}, terms); err != nil {
						t.Fatal(err)
					}
					after := held(t, p.path)
					if largest = max(largest, after); after < before {
						cuts++
					}
				}
			}
			if problem, wrong := <-seen; wrong {
				t.Error(problem)
			}
			if cuts < 2 || largest > int64(limit) {
				t.Errorf("%d cuts, at most %d bytes kept of %d", cuts, largest, limit)
			}
			p.says("the last\nlines\n")
			if last := texts(t, l, Query{Experiment: "a", Lines: 2}); !slices.Equal(last, []string{"1:the last", "1:lines"}) {
				t.Errorf("the last lines are %q", last)
			}
			if all := texts(t, l, Query{Experiment: "a"}); strings.Contains(all[0], "\x00") || all[len(all)-1] != "1:lines" {
				t.Errorf("%d lines, from %.80q", len(all), all[0])
			}
			info, err := os.Stat(p.path)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes long, of %d", info.Size(), len("line 100000 of many\n")*count)
		})
	}
}

func held(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return size(info)
}

// TestOvertaken: a reader who is slower than the program misses what was cut off,
// and goes on with what there is.
func TestOvertaken(t *testing.T) {
	l := New(t.TempDir(), nil)
	p := start(t, l, "a", 1)
	r, err := l.begin(Query{Experiment: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer r[0].close()
	for i := range 100_000 {
		p.says("line %d of many\n", i)
	}
	if err := l.bound(p.path, 100*quantity.KiB); err != nil {
		t.Fatal(err)
	}
	var got []string
	more, err := r[0].lines(t.Context(), func(line Line) bool { got = append(got, line.Text); return true }, true)
	if err != nil || !more || len(got) < 1000 || got[len(got)-1] != "line 99999 of many" {
		t.Errorf("%d lines, %v, %v", len(got), more, err)
	}
}

// TestSweep: too many files of an experiment go, and the oldest of all when they
// are too much; those that may be in use stay.
func TestSweep(t *testing.T) {
	l := New(t.TempDir(), nil)
	now := time.Now()
	for _, id := range []string{"live", "ended", "gone"} {
		for run := range 5 {
			p := start(t, l, id, run+1)
			p.says("%s", strings.Repeat("x", 100_000))
			at := now.Add(-time.Duration(10-run) * time.Hour)
			if id == "gone" {
				at = at.Add(-24 * time.Hour)
			}
			if err := os.Chtimes(p.path, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	start(t, l, "new", 1)
	terms := Terms{Budget: quantity.GiB, Experiments: map[string]Limits{
		"live":  {Size: quantity.MiB, Runs: 2, Live: 2},
		"ended": {Size: quantity.MiB, Runs: 3},
	}}
	kept := func(budget quantity.Bytes) (list string) {
		t.Helper()
		terms.Budget = budget
		ids, err := l.Experiments()
		if err == nil {
			err = l.sweep(ids, terms, now)
		}
		if err != nil {
			t.Fatal(err)
		}
		names, err := filepath.Glob(filepath.Join(l.dir, "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			rel, _ := filepath.Rel(l.dir, name)
			list += " " + strings.TrimSuffix(rel, ".log")
		}
		return list
	}
	for _, test := range []struct {
		budget quantity.Bytes
		want   string
	}{
		{quantity.GiB, " ended/3 ended/4 ended/5 gone/1 gone/2 gone/3 gone/4 gone/5 live/2 live/4 live/5 new/1"},
		{700 * quantity.KiB, " ended/3 ended/4 ended/5 gone/5 live/2 live/4 live/5 new/1"},
		{0, " live/2 new/1"},
	} {
		if got := kept(test.budget); got != test.want {
			t.Errorf("with %v: %s, want %s", test.budget, got, test.want)
		}
	}
	if _, err := os.Stat(filepath.Join(l.dir, "gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory without files: %v", err)
	}
}

// TestRun: what is under way is bounded by itself, and nothing is as long as it is
// not known what runs.
func TestRun(t *testing.T) {
	synctest.Test(t, testRun)
}

func testRun(t *testing.T) {
	l := New(t.TempDir(), nil)
	p := start(t, l, "a", 1)
	p.says("%s\n", strings.Repeat("x", 1<<20))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done, asked := make(chan struct{}), 0
	go func() {
		defer close(done)
		l.Run(ctx, func(context.Context) (Terms, error) {
			switch asked++; asked {
			case 1:
				return Terms{}, errors.New("not known yet")
			case 2:
				if n := held(t, p.path); n < 1<<20 {
					t.Errorf("%d bytes are left", n)
				}
			case 4:
				cancel()
			}
			return Terms{Experiments: map[string]Limits{"a": {Size: 64 * quantity.KiB, Runs: 1, Live: 1}}}, nil
		})
	}()
	<-done
	if n := held(t, p.path); n > 64<<10 || asked < 4 {
		t.Errorf("%d bytes are left, asked %d times", n, asked)
	}
}

// TestRunOfTheEnded: a run that ended since the last look, or that began since then too,
// is bounded at the next one, and then no more.
func TestRunOfTheEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(t.TempDir(), nil)
		ctx, cancel := context.WithCancel(t.Context())
		var live atomic.Int32
		live.Store(1)
		var over sync.WaitGroup
		over.Go(func() {
			l.Run(ctx, func(context.Context) (Terms, error) {
				limits := Limits{Size: 64 * quantity.KiB, Runs: 9, Live: int(live.Load())}
				return Terms{Budget: quantity.GiB, Experiments: map[string]Limits{"a": limits}}, nil
			})
		})
		long := start(t, l, "a", 1)
		time.Sleep(2*lookEvery + lookEvery/2) // the first look is a sweep
		short := start(t, l, "a", 2)
		much := strings.Repeat("x", 1<<20)
		long.says("%s\n", much)
		short.says("%s\n", much)
		live.Store(0)
		time.Sleep(lookEvery)
		for _, p := range []*program{long, short} {
			if n := held(t, p.path); n > 64<<10 {
				t.Errorf("%s: %d bytes are left", p.path, n)
			}
			p.says("%s\n", much)
		}
		time.Sleep(lookEvery)
		for _, p := range []*program{long, short} {
			if n := held(t, p.path); n < 1<<20 {
				t.Errorf("%s has ended and is looked at again and again", p.path)
			}
		}
		cancel()
		over.Wait()
	})
}

// TestRunIdle: while there are no files, nobody is asked what runs.
func TestRunIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*sweepEvery)
		defer cancel()
		New(filepath.Join(t.TempDir(), "none"), nil).Run(ctx, func(context.Context) (Terms, error) {
			t.Error("it was asked what runs")
			return Terms{}, nil
		})
	})
}
