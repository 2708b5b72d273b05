package ledger_test

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
)

func allFigures() ledger.Figures {
	return ledger.Figures{
		MaxTemperature: ptr(71.5), MaxTemperatureZone: "tj-thermal", EnergyJoules: ptr(1234.5), EnergySeconds: ptr(99.5),
		EnergyShared: ptr(true), ThrottledSeconds: ptr(12.0), ThrottledHardware: ptr(5.0), ThrottledBrainjar: ptr(9.0),
		OverCurrentEvents: ptr(3), SwapPeak: ptr(4 * quantity.MiB), WatchedSeconds: ptr(100.0),
	}
}

// Figures that are written while a run goes on are there for the brainjar after; those
// at its end are added to them, and what is left out stays as it was.
func TestFigures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	w := open(t, path, ledger.Options{})
	r := aRun(1)
	w.must(ledger.Write{Run: &r})
	r.Figures = allFigures()
	w.must(ledger.Write{Run: &ledger.Run{Experiment: r.Experiment, Run: r.Run, Attempt: r.Attempt, Figures: r.Figures}})
	past, err := w.Restore(t.Context())
	if err != nil || len(past.Open) != 1 || !reflect.DeepEqual(past.Open[0].Figures, allFigures()) || past.Open[0].Command != r.Command {
		t.Fatalf("%+v, %v", past.Open, err)
	}
	r.Figures = ledger.Figures{EnergyJoules: ptr(2000.0), EnergyShared: ptr(false), Tainted: ledger.Clean}
	r.EndedAt = r.StartedAt.Add(time.Minute)
	w.must(ledger.Write{Run: &r})
	reader, err := ledger.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	want := allFigures()
	want.EnergyJoules, want.EnergyShared, want.Tainted = ptr(2000.0), ptr(false), ledger.Clean
	runs, err := history(t, reader, ledger.Query{})
	if err != nil || len(runs) != 1 || !reflect.DeepEqual(runs[0].Figures, want) {
		t.Fatalf("%+v, %v", runs, err)
	}
	for object, err := range reader.HistoryJSON(t.Context(), ledger.Query{}) {
		var shown struct {
			Shared  *bool    `json:"energy_shared"`
			Joules  *float64 `json:"energy_joules"`
			Swap    int64    `json:"swap_peak"`
			Tainted string   `json:"tainted"`
		}
		if err == nil {
			err = json.Unmarshal(object, &shown)
		}
		decoded := ledger.Run{Command: runs[0].Command, Limits: runs[0].Limits}
		if err := json.Unmarshal(object, &decoded); err != nil || !reflect.DeepEqual(decoded, runs[0]) {
			t.Errorf("%+v, %v; want %+v", decoded, err, runs[0])
		}
		if err != nil || shown.Shared == nil || *shown.Shared || *shown.Joules != 2000 || shown.Swap != 4<<20 || shown.Tainted != ledger.Clean {
			t.Errorf("%s: %v", object, err)
		}
	}
}

// A run of which nothing is known has NULL, not 0.
func TestNoFigures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	w := open(t, path, ledger.Options{})
	r := aRun(1)
	r.EndedAt = noon.Add(time.Minute)
	w.must(ledger.Write{Run: &r})
	if got := query(t, path, `SELECT count(*) FROM runs WHERE max_temperature IS NULL AND energy_joules IS NULL AND energy_shared IS NULL
		AND throttled_seconds IS NULL AND over_current_events IS NULL AND swap_peak IS NULL AND watched_seconds IS NULL AND tainted IS NULL`); got != "1" {
		t.Errorf("%s rows", got)
	}
}

// A file of the first schema gets the columns, keeps its rows, and what it said of
// throttling, which nobody had measured, becomes unknown.
func TestFiguresOfOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		ledger.FirstSchema, "PRAGMA application_id = 1651665522", "PRAGMA user_version = 1",
		"INSERT INTO runs (experiment, run, attempt, throttled_seconds) VALUES ('a', 7, 0, 0.0)",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	reader, err := ledger.OpenReader(path) // by whoever comes before the brainjar that brings it up to date
	if err != nil {
		t.Fatal(err)
	}
	runs, err := history(t, reader, ledger.Query{})
	if err != nil || len(runs) != 1 || runs[0].Run != 7 || runs[0].WatchedSeconds != nil {
		t.Errorf("%+v, %v", runs, err)
	}
	for object, err := range reader.HistoryJSON(t.Context(), ledger.Query{}) {
		if err != nil || !strings.Contains(string(object), `"energy_shared":null`) {
			t.Errorf("%s, %v", object, err)
		}
	}
	reader.Close()
	w := open(t, path, ledger.Options{})
	past, err := w.Restore(t.Context())
	if err != nil || len(past.Open) != 1 || past.Open[0].Run != 7 || past.Open[0].Figures != (ledger.Figures{}) {
		t.Errorf("%+v, %v", past, err)
	}
}
