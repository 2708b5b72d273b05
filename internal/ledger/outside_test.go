package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/ledger"
)

// visit is another program, which asks what the sqlite3 shell asks when it closes a
// database: whether nobody else has it open. If so, that shell deletes the log of
// changes.
func visit(path string) {
	f, err := os.Open(path)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	// The bytes of which every user of a database locks one, or all to be alone
	// (https://www.sqlite.org/src/file/src/os.h, SHARED_FIRST).
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 0x40000002, Len: 510}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if lock.Type == unix.F_UNLCK {
		fmt.Print("alone")
	}
	os.Exit(0)
}

// TestVisitor: no other program takes itself for the last that has the file open.
func TestVisitor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	w := open(t, path, ledger.Options{})
	for run := 1; run <= 3; run++ {
		w.must(ledger.Write{Run: ptr(aRun(run))})
		cmd := self(t, "LEDGER_VISITOR="+path)
		if out, err := cmd.Output(); err != nil || len(out) > 0 {
			t.Errorf("another program believes to be %s, %v", out, err)
		}
	}
}

// TestHangs: while the disk does not answer, everybody is answered with that,
// also who comes later; and what they wrote is there afterwards.
func TestHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	w := open(t, path, ledger.Options{SlowCommit: 200 * time.Millisecond})
	w.must(ledger.Write{Run: ptr(aRun(1))})
	release := w.Hang()
	for run := 2; run <= 4; run++ {
		begin := time.Now()
		if err := w.put(ledger.Write{Run: ptr(aRun(run))}); !errors.Is(err, ledger.ErrSlow) {
			t.Errorf("run %d: %v", run, err)
		}
		if waited := time.Since(begin); waited > 5*time.Second {
			t.Errorf("run %d: the answer took %v", run, waited)
		}
	}
	_, counted := w.Counted(t.Context(), "x")
	_, last := w.LastRun(t.Context(), "a")
	_, has := w.HasRun(t.Context(), "a", 1)
	if !errors.Is(counted, ledger.ErrSlow) || !errors.Is(has, ledger.ErrSlow) || !errors.Is(last, ledger.ErrSlow) {
		t.Errorf("questions: %v, %v, %v", counted, has, last)
	}
	release()
	for end := time.Now().Add(20 * time.Second); w.put(ledger.Write{}) != nil; {
		if time.Now().After(end) {
			t.Fatal("the ledger does not work again")
		}
	}
	if got := query(t, path, "SELECT count(*) FROM runs"); got != "4" {
		t.Errorf("%s runs", got)
	}
}

// A number is given once it was written, whatever became of its run.
func TestHasRun(t *testing.T) {
	w := open(t, filepath.Join(t.TempDir(), "brainjar.db"), ledger.Options{})
	ended := aRun(1)
	ended.EndedAt = noon.Add(time.Hour)
	w.must(ledger.Write{Run: &ended})
	w.must(ledger.Write{Run: ptr(aRun(2))})
	for run, want := range map[int]bool{1: true, 2: true, 3: false} {
		if has, err := w.HasRun(t.Context(), "a", run); err != nil || has != want {
			t.Errorf("it has run %d: %v, %v", run, has, err)
		}
	}
	if has, err := w.HasRun(t.Context(), "b", 1); err != nil || has {
		t.Errorf("it has a run of another: %v, %v", has, err)
	}
}

// TestReadOnly: what is on a file system that became read-only is remembered all
// the same, or brainjar would begin everything anew.
func TestReadOnly(t *testing.T) {
	dir, err := os.MkdirTemp("", "ledger") //nolint:usetesting // only root reaches what is in t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "brainjar.db")
	w := open(t, path, ledger.Options{})
	ended := aRun(4)
	ended.EndedAt = noon.Add(time.Hour)
	w.must(ledger.Write{Wanted: &ledger.Wanted{Experiment: "a", Phase: "succeeded", Run: 4}, Run: &ended})
	w.stop()
	for name, mode := range map[string]os.FileMode{path: 0o444, dir: 0o555} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	powerless(t)
	l := ledger.Open(t.Context(), path, ledger.Options{})
	if l.State().Err == nil {
		t.Fatal("it can be written")
	}
	past, err := l.Restore(t.Context())
	if err != nil || len(past.Wanted) != 1 || past.Wanted[0].Phase != "succeeded" || past.LastRun["a"] != 4 {
		t.Errorf("%+v, %v", past, err)
	}
	if known, err := l.Counted(t.Context(), ended.Invocation); err != nil || !known {
		t.Errorf("counted: %v, %v", known, err)
	}
	if has, err := l.HasRun(t.Context(), "a", 4); err != nil || !has {
		t.Errorf("it has the run: %v, %v", has, err)
	}
}

// powerless takes root's power over files from this process until the test ends.
func powerless(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	if err := syscall.Seteuid(65534); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Seteuid(0); err != nil {
			panic(err)
		}
	})
}

// TestDamageInside: what another program does to the log of changes or to the
// tables is damage too.
func TestDamageInside(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string) error{
		"log deleted": func(_ *testing.T, path string) error { return os.Remove(path + "-wal") },
		"log overwritten": func(_ *testing.T, path string) error {
			return os.WriteFile(path+"-wal", make([]byte, 50_000), 0o600)
		},
		"table dropped": func(t *testing.T, path string) error {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				return err
			}
			defer db.Close()
			_, err = db.ExecContext(t.Context(), "DROP TABLE events")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "brainjar.db")
			w := open(t, path, ledger.Options{})
			w.must(ledger.Write{Wanted: &ledger.Wanted{Experiment: "a", Phase: "running", Run: 1}, Run: ptr(aRun(1))})
			if err := damage(t, path); err != nil {
				t.Fatal(err)
			}
			if err := w.put(ledger.Write{Run: ptr(aRun(2)), Event: &ledger.Event{At: noon, Kind: "phase"}}); err != nil {
				t.Errorf("after the damage: %v", err)
			}
			w.stop()
			if s := w.State(); s.SetAside != 1 {
				t.Errorf("%+v", s)
			}
			past, err := open(t, path, ledger.Options{}).Restore(context.Background())
			if err != nil || len(past.Open) != 2 || len(past.Wanted) != 1 {
				t.Errorf("%+v, %v", past, err)
			}
		})
	}
}

// TestPoison: a row that SQLite would refuse does not keep all others from the
// disk.
func TestPoison(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	w := open(t, path, ledger.Options{})
	w.must(ledger.Write{
		Run: ptr(aRun(1)), Event: &ledger.Event{Kind: "phase"},
		Samples: []ledger.Sample{{At: noon, Name: "a", Value: math.NaN()}, {Name: "b", Value: 1}, {At: noon, Name: "c", Value: 1}},
	})
	if got := query(t, path, "SELECT group_concat(name) || count(*) FROM samples, events"); got != "c1" {
		t.Errorf("samples and events: %s", got)
	}
	if s := w.State(); s.SetAside != 0 {
		t.Errorf("%+v", s)
	}
}
