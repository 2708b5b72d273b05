package ledger_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"brainjar/internal/ledger"
)

// TestDocumentedQueries: what the guide tells people to ask works, and finds
// something.
func TestDocumentedQueries(t *testing.T) {
	text, err := os.ReadFile("../../docs/history.md")
	if err != nil {
		t.Fatal(err)
	}
	queries := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(queries) < 5 {
		t.Fatalf("%d queries", len(queries))
	}
	path := filepath.Join(t.TempDir(), "brainjar.db")
	w := open(t, path, ledger.Options{})
	night := time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC)
	r := aRun(1)
	r.EndedAt, r.Result, r.MemoryPeak = r.StartedAt.Add(time.Hour), "success", r.MemoryMax
	r.Figures = ledger.Figures{EnergyJoules: ptr(9000.0), EnergySeconds: ptr(3600.0), EnergyShared: ptr(false), Tainted: ledger.Clean}
	w.must(ledger.Write{Run: &r, Event: &ledger.Event{At: night, Kind: "phase", Experiment: "a", Run: 1, To: "running"},
		Samples: []ledger.Sample{{At: night, Name: "tj-thermal", Value: 51.5}}})
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range queries {
		statement := strings.TrimSuffix(strings.TrimSpace(q[1]), ";")
		if n := 0; db.QueryRowContext(t.Context(), "SELECT count(*) FROM ("+statement+")").Scan(&n) != nil || n == 0 {
			t.Errorf("nothing found: %s", statement)
		}
	}
	for _, column := range columns(t, db, "runs") {
		if column != "id" && !strings.Contains(string(text), "`"+column+"`") {
			t.Errorf("column %s of runs is not documented", column)
		}
	}
}

func columns(t *testing.T, db *sql.DB, table string) (names []string) {
	t.Helper()
	rows, err := db.Query("SELECT name FROM pragma_table_info(?)", table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}
