package ledger_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/ledger"
)

// endedRuns writes runs 1 to n of experiment a, which succeeded.
func (w *writer) endedRuns(n int) {
	w.t.Helper()
	for i := range n {
		r := aRun(i + 1)
		r.EndedAt, r.Result = noon.Add(time.Hour), "success"
		w.Put(ledger.Write{Run: &r}, nil)
	}
	w.must(ledger.Write{})
}

// TestReaderStandsStill: a history that somebody leaves standing, in less(1) say,
// lets the log of changes begin anew meanwhile, and goes on where it was.
func TestReaderStandsStill(t *testing.T) {
	const runs = 100
	path := filepath.Join(t.TempDir(), "brainjar.db")
	w := open(t, path, ledger.Options{})
	w.endedRuns(runs)
	r, err := ledger.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.SetTurn(10 * time.Millisecond)
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for name, read := range map[string]func(each func()) error{
		"runs": func(each func()) error {
			next := 1
			for run, err := range r.History(t.Context(), ledger.Query{Limit: runs}, "run") {
				if err != nil || run.Run != next {
					return fmt.Errorf("run %d, want %d, %w", run.Run, next, err)
				}
				next++
				each()
			}
			return nil
		},
		"json": func(each func()) error {
			for object, err := range r.HistoryJSON(t.Context(), ledger.Query{}) {
				if err != nil || !json.Valid(object) {
					return fmt.Errorf("%s, %w", object, err)
				}
				each()
			}
			return nil
		},
	} {
		count := 0
		err := read(func() {
			if count++; count%40 != 10 {
				return
			}
			w.must(ledger.Write{Event: &ledger.Event{At: noon, Kind: "phase"}})
			for end := time.Now().Add(10 * time.Second); ; {
				var busy, pages, moved int
				if err := other.QueryRow("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved); err != nil {
					t.Fatal(err)
				}
				if busy == 0 {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%s: the log of changes cannot begin anew", name)
				}
			}
		})
		if err != nil || count != runs {
			t.Errorf("%s: %d runs, %v", name, count, err)
		}
	}
}

// TestLeftLog: what a brainjar that was killed left in the log of changes is read
// also where the file that users of a database share cannot be made.
func TestLeftLog(t *testing.T) {
	from := filepath.Join(t.TempDir(), "brainjar.db")
	path := filepath.Join(t.TempDir(), "brainjar.db")
	w := open(t, from, ledger.Options{})
	w.must(ledger.Write{Run: ptr(aRun(7)), Wanted: &ledger.Wanted{Experiment: "a", Phase: "held", Run: 7}})
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(from + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := self(t, "LEDGER_STUNTED="+path)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "map[a:7] held" {
		t.Errorf("%s, %v", out, err)
	}
}

// rememberStunted says what a process remembers that cannot make files grow, as on
// a full disk.
func rememberStunted(path string) {
	signal.Ignore(unix.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: 4096}); err != nil {
		fmt.Print(err)
		os.Exit(1)
	}
	l := ledger.Open(context.Background(), path, ledger.Options{})
	past, err := l.Restore(context.Background())
	if l.State().Err == nil || err != nil || len(past.Wanted) != 1 {
		fmt.Printf("%+v %+v %v", l.State(), past, err)
		os.Exit(1)
	}
	fmt.Print(past.LastRun, " ", past.Wanted[0].Phase)
	os.Exit(0)
}

// TestEventIDs: ids are those that were given, and ascend whatever was given; they are
// how a reader goes on where it was.
func TestEventIDs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	w := open(t, path, ledger.Options{})
	for i, id := range []int64{1000, 1001, 5000, 5000, 300, 0, 9000} {
		w.Put(ledger.Write{Event: &ledger.Event{ID: id, At: noon, Kind: "phase", Run: i, Experiment: string(rune('a' + i%2))}}, nil)
	}
	w.must(ledger.Write{})
	past, err := w.Restore(t.Context())
	if err != nil || past.LastEvent != 9000 {
		t.Errorf("the last event is %d, %v", past.LastEvent, err)
	}
	r, err := ledger.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	idsOf := func(events []ledger.Event, err error) string {
		var ids []int64
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		return fmt.Sprint(ids, err)
	}
	if got := idsOf(r.Events(t.Context(), ledger.Query{})); got != "[1000 1001 5000 5001 5002 5003 9000] <nil>" {
		t.Errorf("all: %s", got)
	}
	if got := idsOf(r.Events(t.Context(), ledger.Query{After: 1001, Limit: 2, Experiments: []string{"b"}})); got != "[5001 5003] <nil>" {
		t.Errorf("the newest 2 of b after 1001: %s", got)
	}
	if got := idsOf(r.Events(t.Context(), ledger.Query{Before: 5002, Limit: 2})); got != "[5000 5001] <nil>" {
		t.Errorf("the newest 2 before 5002: %s", got)
	}
	if got := idsOf(r.EventsAfter(t.Context(), 1001, 3)); got != "[5000 5001 5002] <nil>" {
		t.Errorf("3 after 1001: %s", got)
	}
	if got := idsOf(r.EventsAfter(t.Context(), 9000, 3)); got != "[] <nil>" {
		t.Errorf("after the last: %s", got)
	}
}

// A file in which the power left nothing is no ledger yet; somebody else's database never is.
func TestReadNothingYet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.OpenReader(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty file: %v", err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE other (x)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if _, err := ledger.OpenReader(path); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "no ledger of brainjar") {
		t.Errorf("another database: %v", err)
	}
}
