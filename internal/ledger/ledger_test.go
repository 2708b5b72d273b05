package ledger_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"brainjar/internal/ledger"
)

// TestMain is also the programs that some tests run.
func TestMain(m *testing.M) {
	if path := os.Getenv("LEDGER_WRITER"); path != "" {
		writeUntilKilled(path)
	}
	if path := os.Getenv("LEDGER_VISITOR"); path != "" {
		visit(path)
	}
	if path := os.Getenv("LEDGER_STUNTED"); path != "" {
		rememberStunted(path)
	}
	os.Exit(m.Run())
}

// writer is a ledger that runs.
type writer struct {
	*ledger.Ledger
	t    *testing.T
	path string
	stop func()
	mu   sync.Mutex
	log  bytes.Buffer
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func open(t *testing.T, path string, o ledger.Options) *writer {
	t.Helper()
	w := &writer{t: t, path: path}
	o.Log = slog.New(slog.NewTextHandler(w, nil))
	w.Ledger = ledger.Open(t.Context(), path, o)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); w.Run(ctx) }()
	w.stop = func() { cancel(); <-over }
	t.Cleanup(w.stop)
	return w
}

// put writes and waits for the answer.
func (w *writer) put(write ledger.Write) error {
	w.t.Helper()
	answer := make(chan error, 1)
	w.Put(write, func(err error) { answer <- err })
	select {
	case err := <-answer:
		return err
	case <-time.After(20 * time.Second):
		w.t.Fatal("no answer")
		return nil
	}
}

func (w *writer) must(write ledger.Write) {
	w.t.Helper()
	if err := w.put(write); err != nil {
		w.t.Fatal(err)
	}
}

// query runs a statement on the file, as another program would.
func query(t *testing.T, path, statement string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var v any
	if err := db.QueryRow(statement).Scan(&v); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return fmt.Sprint(v)
}

func ptr[T any](v T) *T { return &v }

var noon = time.Date(2026, 3, 4, 12, 0, 0, 123456000, time.UTC)

func aRun(run int) ledger.Run {
	return ledger.Run{
		Experiment: "a", Run: run, Attempt: 1, Invocation: fmt.Sprintf("%032x", run), Unit: "brainjar-a.service",
		Command: `["/bin/true"]`, Limits: `{"memory_max":1024}`, QueuedAt: noon, StartedAt: noon.Add(time.Second), MemoryMax: 1024, Boot: "b",
	}
}

// history returns what a query finds.
func history(t *testing.T, r *ledger.Reader, q ledger.Query) (runs []ledger.Run, err error) {
	for run, err := range r.History(t.Context(), q) {
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

// What was put is there after the file was closed and opened again, whole.
func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "brainjar.db")
	w := open(t, path, ledger.Options{})
	want := ledger.Wanted{
		Experiment: "a", Phase: "backoff", Reason: "why", Since: noon, Run: 2, Attempt: 1, Requeues: 3, Invocation: "i", Unit: "u",
		Cause: "heat", LastResult: "oom-kill", QueuedAt: noon, ScarceSince: noon.Add(1000), DueAt: noon.Add(2000), RanAt: noon.Add(3000), Hold: "held",
		Enabled: ptr(false), Definition: "d", Overrides: "{}", Submitted: `{"x":1}`, Boot: "b",
	}
	w.must(ledger.Write{Wanted: &want, Run: ptr(aRun(1)), Event: &ledger.Event{At: noon, Experiment: "a", Run: 1, Kind: "phase", From: "idle", To: "running", Reason: "r"}})
	w.must(ledger.Write{Wanted: &ledger.Wanted{Experiment: "gone", Phase: "idle"}})
	w.must(ledger.Write{Remove: "gone"})
	// The end says only what is new.
	w.must(ledger.Write{Run: &ledger.Run{Experiment: "a", Run: 1, Attempt: 1, EndedAt: noon.Add(time.Hour), Result: "exit-code", Reason: "bad", ExitCode: ptr(0), MemoryPeak: 7, CPUSeconds: 1.5}})
	w.must(ledger.Write{Run: ptr(aRun(2))})
	if known, err := w.Counted(t.Context(), fmt.Sprintf("%032x", 1)); err != nil || !known {
		t.Errorf("run 1 is not counted: %v", err)
	}
	if known, err := w.Counted(t.Context(), fmt.Sprintf("%032x", 2)); err != nil || known {
		t.Errorf("run 2 is counted: %v", err)
	}
	w.stop()

	past, err := open(t, path, ledger.Options{}).Restore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(past.Wanted) != 1 || !reflect.DeepEqual(past.Wanted[0], want) {
		t.Errorf("%+v\nwant %+v", past.Wanted, want)
	}
	if len(past.Open) != 1 || !reflect.DeepEqual(past.Open[0], aRun(2)) {
		t.Errorf("open %+v", past.Open)
	}
	if past.LastRun["a"] != 2 {
		t.Errorf("last run %v", past.LastRun)
	}
	r, err := ledger.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	runs, err := history(t, r, ledger.Query{Results: []string{"exit-code"}})
	if err != nil || len(runs) != 1 {
		t.Fatalf("%v, %v", runs, err)
	}
	ended := aRun(1)
	ended.EndedAt, ended.Result, ended.Reason, ended.ExitCode, ended.MemoryPeak, ended.CPUSeconds = noon.Add(time.Hour), "exit-code", "bad", ptr(0), 7, 1.5
	if !reflect.DeepEqual(runs[0], ended) {
		t.Errorf("%+v\nwant %+v", runs[0], ended)
	}
	events, err := r.Events(t.Context(), ledger.Query{Experiments: []string{"a", "b"}, Since: noon, Limit: 5})
	if err != nil || len(events) != 1 || events[0].To != "running" || !events[0].At.Equal(noon) {
		t.Errorf("%+v, %v", events, err)
	}
}

// writeUntilKilled says each number that is on disk.
func writeUntilKilled(path string) {
	l := ledger.Open(context.Background(), path, ledger.Options{})
	go l.Run(context.Background())
	out := bufio.NewWriter(os.Stdout)
	var mu sync.Mutex
	for i := 1; ; i++ {
		done := make(chan struct{})
		l.Put(ledger.Write{Run: ptr(aRun(i)), Wanted: &ledger.Wanted{Experiment: "a", Phase: "running", Run: i}}, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				fmt.Fprintln(out, i)
				_ = out.Flush()
			}
			close(done)
		})
		if i%7 != 0 {
			continue // several on their way at once
		}
		<-done
	}
}

// self is this test program once more, as another process, with something to do
// that TestMain finds in its environment. An emulated program is started by its
// emulator, BRAINJAR_EMULATOR.
func self(t *testing.T, do string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	if emulator := os.Getenv("BRAINJAR_EMULATOR"); emulator != "" {
		cmd = exec.CommandContext(t.Context(), emulator, os.Args[0])
	}
	cmd.Env = append(os.Environ(), do)
	return cmd
}

// TestKilled: whenever the writer is killed, the file is sound, and every write
// that was answered is in it.
func TestKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("BRAINJAR_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("BRAINJAR_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "brainjar.db")
	for range 5 {
		cmd := self(t, "LEDGER_WRITER="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last, lines := 0, bufio.NewScanner(out)
		for more := 1 + random.IntN(200); lines.Scan(); more-- {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				break // a line that was cut
			}
			last = max(last, n)
			if more == 0 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		if got := query(t, path, "PRAGMA integrity_check"); got != "ok" {
			t.Errorf("integrity: %s", got)
		}
		if got := query(t, path, fmt.Sprintf("SELECT count(*) FROM runs WHERE run <= %d", last)); got != fmt.Sprint(last) {
			t.Errorf("%s of %d runs", got, last)
		}
		if got, _ := strconv.Atoi(query(t, path, "SELECT run FROM wanted")); got < last {
			t.Errorf("wanted says run %d, answered was %d", got, last)
		}
	}
}

// TestDamage: whatever happens to the file, the ledger goes on with all that it
// knows, and what was there is kept.
func TestDamage(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	garbage := make([]byte, 64<<10)
	_, _ = random.Read(garbage)
	wanted := ledger.Wanted{Experiment: "keeper", Phase: "held", Hold: "mine", Run: 4}
	for name, harm := range map[string]func(t *testing.T, path string){
		"overwritten": func(t *testing.T, path string) {
			if err := os.WriteFile(path, garbage, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"deleted": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"empty": func(t *testing.T, path string) {
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		},
		"replaced": func(t *testing.T, path string) {
			if err := os.WriteFile(path+".new", garbage, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		},
		"another program's": func(t *testing.T, path string) {
			_ = os.Remove(path)
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec("CREATE TABLE cats (name)"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name+" while open", func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "brainjar.db")
			w := open(t, path, ledger.Options{})
			over := aRun(7)
			over.EndedAt = noon
			w.must(ledger.Write{Run: &over})
			w.must(ledger.Write{Wanted: &wanted, Run: ptr(aRun(1))})
			harm(t, path)
			w.must(ledger.Write{Run: ptr(aRun(2))})
			w.must(ledger.Write{}) // what the new file had to be told
			if got := query(t, path, "SELECT count(*) FROM runs WHERE ended_at IS NULL"); got != "2" {
				t.Errorf("%s open runs", got)
			}
			if got := query(t, path, "SELECT count(*) FROM runs WHERE run = 7 AND ended_at IS NOT NULL"); got != "1" {
				t.Errorf("%s of 1 ended run", got)
			}
			if got := query(t, path, "SELECT phase FROM wanted"); got != "held" {
				t.Errorf("phase %s", got)
			}
			if known, err := w.Counted(t.Context(), over.Invocation); err != nil || !known {
				t.Errorf("what the old file counted is forgotten: %v, %v", known, err)
			}
			if s := w.State(); s.Err != nil || s.SetAside != 1 {
				t.Errorf("%+v", s)
			}
		})
		if name == "deleted" || name == "empty" {
			continue // nothing to set aside
		}
		t.Run(name+" before it is opened", func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "brainjar.db")
			harm(t, path)
			w := open(t, path, ledger.Options{})
			if _, err := w.Restore(t.Context()); err != nil {
				t.Error(err)
			}
			w.must(ledger.Write{Wanted: &wanted})
			aside, err := filepath.Glob(path + ".damaged-*")
			if err != nil || len(aside) != 1 {
				t.Errorf("set aside: %v, %v", aside, err)
			}
			if !strings.Contains(w.log.String(), "set aside") {
				t.Errorf("log: %s", w.log.String())
			}
			w.must(ledger.Write{})
			if got := query(t, path, "SELECT count(*) FROM events WHERE kind = 'ledger'"); got != "1" {
				t.Errorf("%s events", got)
			}
		})
	}
}

// TestSetAsideKeepsThree: files that were set aside do not fill the disk.
func TestSetAsideKeepsThree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	for range 5 {
		if err := os.WriteFile(path, []byte(strings.Repeat("no database", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		open(t, path, ledger.Options{}).stop()
	}
	aside, err := filepath.Glob(path + ".damaged-*")
	if err != nil || len(aside) != 3 {
		t.Errorf("%v, %v", aside, err)
	}
}

// TestNewer: a file of a later version is left as it is.
func TestNewer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brainjar.db")
	open(t, path, ledger.Options{}).stop()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 1000"); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	w := open(t, path, ledger.Options{})
	if err := w.put(ledger.Write{Run: ptr(aRun(1))}); err == nil || !strings.Contains(err.Error(), "later brainjar") {
		t.Errorf("%v", err)
	}
	if got := query(t, path, "SELECT count(*) FROM runs"); got != "0" {
		t.Errorf("%s runs were written", got)
	}
	if s := w.State(); s.Err == nil || s.SetAside != 0 {
		t.Errorf("%+v", s)
	}
}
