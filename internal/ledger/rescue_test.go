package ledger_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brainjar/internal/ledger"
)

// TestRescue: where a file is damaged in one place when brainjar starts, the rest
// is remembered, by the new file too.
func TestRescue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	w := open(t, path, ledger.Options{})
	ended := aRun(1)
	ended.EndedAt, ended.Result = noon.Add(time.Hour), "success"
	w.must(ledger.Write{Wanted: &ledger.Wanted{Experiment: "a", Phase: "held", Hold: "mine", Run: 2}, Run: &ended})
	w.must(ledger.Write{Run: ptr(aRun(2))})
	for range 1000 {
		w.Put(ledger.Write{Event: &ledger.Event{At: noon, Kind: "phase", Reason: "needle"}}, nil)
	}
	w.must(ledger.Write{})
	w.stop()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for begin := 0; begin < len(content); begin += page {
		if p := content[begin : begin+page]; bytes.Contains(p, []byte("needle")) {
			copy(p, strings.Repeat("garbage ", page/8))
		}
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for life := range 2 { // the second has the new file only
		w := open(t, path, ledger.Options{})
		if got := w.State().SetAside; got != 1-life {
			t.Errorf("set aside %d times", got)
		}
		past, err := w.Restore(t.Context())
		if err != nil || len(past.Wanted) != 1 || past.Wanted[0].Hold != "mine" || len(past.Open) != 1 || past.LastRun["a"] != 2 {
			t.Errorf("%+v, %v", past, err)
		}
		if known, err := w.Counted(t.Context(), ended.Invocation); err != nil || !known {
			t.Errorf("the end is not counted: %v", err)
		}
		w.must(ledger.Write{})
		w.stop()
	}
}

// TestClockWentBack: what was just set aside is not what goes, whatever the time.
func TestClockWentBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	for year := 2097; year < 2100; year++ {
		if err := os.WriteFile(fmt.Sprintf("%s.damaged-%d0101-000000", path, year), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	precious := []byte(strings.Repeat("no database", 1000))
	if err := os.WriteFile(path, precious, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, path, ledger.Options{}).stop()
	aside, err := filepath.Glob(path + ".damaged-*")
	if err != nil || len(aside) != 3 {
		t.Fatalf("%v, %v", aside, err)
	}
	if content, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(content, precious) {
		t.Errorf("%d bytes, %v", len(content), err)
	}
}

// TestNumberGivenTwice: two runs do not become one row because a brainjar that
// could not read the ledger began to count anew.
func TestNumberGivenTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	w := open(t, path, ledger.Options{})
	older, newer := aRun(1), aRun(1)
	older.EndedAt, older.Result, older.OOMKills = noon.Add(time.Hour), "oom-kill", 1
	newer.Invocation = "another"
	w.must(ledger.Write{Run: &older})
	w.must(ledger.Write{Run: &newer})
	w.must(ledger.Write{Run: &ledger.Run{Experiment: "a", Run: 1, Result: "success", EndedAt: noon.Add(2 * time.Hour)}})
	if got := query(t, path, "SELECT group_concat(run || ' ' || invocation || ' ' || result || ' ' || oom_kills, ', ' ORDER BY id) FROM runs"); got !=
		"-1 "+older.Invocation+" oom-kill 1, 1 another success 0" {
		t.Error(got)
	}
}
