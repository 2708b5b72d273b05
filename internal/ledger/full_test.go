package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"brainjar/internal/ledger"
)

// TestNoDirectory: where the file cannot be made, the ledger holds what it is
// told, and writes it when it can.
func TestNoDirectory(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, "state")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil { // a file, where a directory should be
		t.Fatal(err)
	}
	path := filepath.Join(blocked, "brainjar.db")
	w := open(t, path, ledger.Options{})
	if err := w.put(ledger.Write{Run: ptr(aRun(1))}); err == nil || !strings.Contains(err.Error(), blocked) {
		t.Errorf("an error that names no file: %v", err)
	}
	if past, err := w.Restore(t.Context()); err != nil || len(past.Wanted) != 0 {
		t.Errorf("%+v, %v", past, err)
	}
	if known, err := w.Counted(t.Context(), aRun(1).Invocation); err != nil || known {
		t.Errorf("%v, %v", known, err)
	}
	for i := range 30_000 {
		w.Put(ledger.Write{Event: &ledger.Event{At: noon, Kind: "phase", Reason: fmt.Sprint(i)}, Wanted: &ledger.Wanted{Experiment: "a", Phase: fmt.Sprint(i)}}, nil)
	}
	if s := w.State(); s.Err == nil || s.Since.IsZero() {
		t.Errorf("%+v", s)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); w.put(ledger.Write{}) != nil; { // the attempt under way may still fail
		if time.Now().After(end) {
			t.Fatal("the ledger does not work again")
		}
	}
	kept, err := strconv.Atoi(query(t, path, "SELECT count(*) FROM events WHERE kind = 'phase'"))
	if err != nil || kept < 9_900 || kept > 20_000 { // and what came during the last attempt
		t.Errorf("%d events", kept)
	}
	if got := query(t, path, "SELECT phase FROM wanted"); got != "29999" {
		t.Errorf("phase %s", got)
	}
	w.must(ledger.Write{})
	if got := query(t, path, "SELECT reason FROM events WHERE kind = 'ledger'"); !strings.Contains(got, fmt.Sprintf("events lost: %d", 30_000-kept)) {
		t.Error(got)
	}
	if s := w.State(); s.Err != nil || s.Dropped != 30_000-kept {
		t.Errorf("%+v", s)
	}
}

// TestRunsAreBounded: of the runs that end while nothing can be written the newest are
// kept, and all that have not ended; how many are not is told.
func TestRunsAreBounded(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(blocked, "brainjar.db")
	w := open(t, path, ledger.Options{})
	_ = w.put(ledger.Write{})
	const runs = 25_000
	for run := range runs {
		r := ledger.Run{Experiment: "a", Run: run + 1, StartedAt: noon.Add(time.Duration(run) * time.Second)}
		if run > 0 {
			r.EndedAt, r.Result = r.StartedAt, "success"
		}
		w.Put(ledger.Write{Run: &r}, nil)
	}
	if n := w.State().Waiting; n > 20_000 { // and what came during the last attempt
		t.Errorf("%d rows wait", n)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); w.put(ledger.Write{}) != nil; {
		if time.Now().After(end) {
			t.Fatal("the ledger does not work again")
		}
	}
	w.must(ledger.Write{})
	var kept, first, last int
	row := query(t, path, "SELECT count(*) || ' ' || min(run) || ' ' || max(run) FROM runs")
	if _, err := fmt.Sscan(row, &kept, &first, &last); err != nil || kept < 9_000 || kept > 20_000 || first != 1 || last != runs {
		t.Errorf("kept %s, %v", row, err)
	}
	if got := query(t, path, "SELECT reason FROM events WHERE kind = 'ledger'"); !strings.Contains(got, fmt.Sprintf("runs lost: %d", runs-kept)) {
		t.Errorf("%d kept: %s", kept, got)
	}
}

// TestFullDisk: SQLite's own word for a full disk keeps the file, and everything
// that was put meanwhile is written when there is room, in one piece.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	w := open(t, path, ledger.Options{})
	w.must(ledger.Write{Run: ptr(aRun(1))})
	room, err := w.Fill(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 4000) // a page each
	for run := 2; run <= 40; run++ {
		err = w.put(ledger.Write{Run: ptr(aRun(run)), Event: &ledger.Event{At: noon, Kind: "phase", Run: run, Reason: long}})
	}
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("%v", err)
	}
	if s := w.State(); s.Err == nil || s.Since.IsZero() || s.SetAside != 0 || s.Waiting < 2 {
		t.Errorf("%+v", s)
	}
	begin := time.Now()
	for range 1000 {
		if w.put(ledger.Write{Event: &ledger.Event{At: noon, Kind: "later"}}) == nil {
			t.Fatal("written to a full disk")
		}
	}
	t.Logf("1000 answers while the disk is full took %v", time.Since(begin))
	if err := room(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); w.put(ledger.Write{}) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the ledger does not work again")
		}
	}
	if got := query(t, path, "SELECT (SELECT count(*) FROM runs) || ' ' || (SELECT count(*) FROM events WHERE kind <> 'ledger')"); got != "40 1039" {
		t.Errorf("runs and events: %s", got)
	}
	if s := w.State(); s.Err != nil || s.Dropped != 0 {
		t.Errorf("%+v", s)
	}
}

// TestRetention: what is too old or too much goes; runs that have not ended stay.
func TestRetention(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	w := open(t, path, ledger.Options{MaxEvents: 100, MaxRuns: 10, MaxAge: time.Hour, SampleAge: time.Hour, MaxSamples: 600})
	old, now := time.Now().Add(-2*time.Hour), time.Now()
	for i := range 30 {
		r := aRun(i + 1)
		if i > 0 {
			r.EndedAt = now
		}
		if i == 25 {
			r.EndedAt = old
		}
		w.Put(ledger.Write{Run: &r}, nil)
	}
	for i := range 1300 {
		w.Put(ledger.Write{Event: &ledger.Event{ID: now.UnixMicro() + int64(i)*1000, At: now, Kind: "phase", Run: i}, Samples: []ledger.Sample{{At: old, Name: "tj", Value: 1}}}, nil)
	}
	for i := range 1200 {
		w.Put(ledger.Write{Samples: []ledger.Sample{{At: now, Name: "tj", Value: float64(i)}}}, nil)
	}
	w.must(ledger.Write{})
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for statement, want := range map[string]string{
		"SELECT count(*) FROM events":                      "100",
		"SELECT min(run) FROM events":                      "1200",
		"SELECT count(*) FROM runs":                        "10", // the first, which runs, and 9 of the newest 10
		"SELECT count(*) FROM runs WHERE ended_at IS NULL": "1",
		"SELECT count(*) FROM samples":                     "600",
		"SELECT min(value) FROM samples":                   "600",
	} {
		if got := query(t, path, statement); got != want {
			t.Errorf("%s: %s, want %s", statement, got, want)
		}
	}
}

// TestReaderBesideWriter: who reads sees whole writes, and keeps nobody waiting.
func TestReaderBesideWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	if _, err := ledger.OpenReader(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	w := open(t, path, ledger.Options{})
	w.must(ledger.Write{Run: ptr(aRun(1))})
	for i := range 50 {
		r, err := ledger.OpenReader(path)
		if err != nil {
			t.Fatal(err)
		}
		w.must(ledger.Write{Run: ptr(aRun(i + 2)), Event: &ledger.Event{At: noon, Kind: "phase"}})
		runs, err := history(t, r, ledger.Query{})
		if err != nil || len(runs) != i+2 {
			t.Fatalf("%d runs, want %d, %v", len(runs), i+2, err)
		}
		r.Close()
	}
	w.stop()
	r, err := ledger.OpenReader(path) // nobody writes it any more
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if known, err := r.Knows(t.Context(), "a"); err != nil || !known {
		t.Errorf("%v, %v", known, err)
	}
	if known, err := r.Knows(t.Context(), "b"); err != nil || known {
		t.Errorf("%v, %v", known, err)
	}
}
