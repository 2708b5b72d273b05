package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brainjar/internal/ledger"
)

// writeRuns makes a ledger with n runs of a few experiments.
func writeRuns(t testing.TB, dir string, n int) {
	t.Helper()
	book := ledger.Open(t.Context(), filepath.Join(dir, ledgerName), ledger.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); book.Run(ctx) }()
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range n {
		started := begin.Add(time.Duration(i) * time.Minute)
		r := ledger.Run{
			Experiment: fmt.Sprintf("e%d", i%7), Run: 1 + i/7, Attempt: i % 3, Invocation: fmt.Sprintf("%032x", i), Unit: "brainjar-e.service",
			Command: `["/bin/sh","-c","exit 3"]`, Limits: `{"memory_max":67108864}`, QueuedAt: started, StartedAt: started, EndedAt: started.Add(90 * time.Second),
			Result: "exit-code", Reason: "exited with code 3; restart 1 of 3 in 5s", MemoryMax: 64 << 20, MemoryPeak: 1 << 20, CPUSeconds: 0.25,
		}
		code := 3
		r.ExitCode = &code
		celsius, joules, throttled, shared := 61.25, 1234.4, 12.0, i == 1
		switch i {
		case 0:
			r.Figures = ledger.Figures{MaxTemperature: &celsius, EnergyJoules: &joules, EnergyShared: &shared, ThrottledSeconds: new(float64), Tainted: ledger.Clean}
		case 1:
			overloads := 3
			r.Figures = ledger.Figures{EnergyJoules: &joules, EnergyShared: &shared, ThrottledSeconds: &throttled, OverCurrentEvents: &overloads, Tainted: "throttled by hardware 12s, over-current 3"}
			r.GPUMemoryPeak = 13 << 29
		}
		if i%5 == 4 {
			r.ExitCode, r.Result, r.Signal, r.Reason, r.OOMKills = nil, "oom-kill", "SIGKILL", "killed for memory", 1
		}
		if i == n-1 {
			r = ledger.Run{Experiment: r.Experiment, Run: r.Run, StartedAt: started}
		}
		book.Put(ledger.Write{Run: &r}, nil)
	}
	done := make(chan error, 1)
	book.Put(ledger.Write{Wanted: &ledger.Wanted{Experiment: "idle", Phase: "idle"}}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	cancel()
	<-over
}

// runMain runs the command line and returns what it wrote.
func runMain(args ...string) (code int, stdout, stderr string) {
	var out, errs strings.Builder
	code = Main(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestHistory(t *testing.T) {
	dir := t.TempDir()
	writeRuns(t, dir, 21)
	code, out, errs := runMain("history", "--state", dir)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || errs != "" || len(lines) != 22 || !strings.HasPrefix(lines[0], "EXPERIMENT  RUN  ATTEMPT") {
		t.Fatalf("%d %s\n%s", code, errs, out)
	}
	if got := strings.Join(strings.Fields(lines[1])[:3], " "); got != "e0 1 0" || !strings.Contains(lines[1], "1m30s") ||
		!strings.HasSuffix(lines[1], "0.2s  exited with code 3; restart 1 of 3 in 5s") {
		t.Error(lines[1])
	}
	if !strings.Contains(lines[5], "oom-kill   SIGKILL  1M") || !strings.Contains(lines[21], "running") {
		t.Errorf("%s\n%s", lines[5], lines[21])
	}
	for _, test := range []struct {
		args string
		want int
	}{
		{"e0", 3}, {"e0 e1", 6}, {"-n 5", 5}, {"--result oom-kill", 4}, {"--result oom-kill,exit-code -n 7", 7},
		{"--since 2026-03-01T12:10:00Z", 11}, {"idle", 0}, {"--since 1h", 0},
	} {
		args := append([]string{"history", "--state", dir, "-o", "json"}, strings.Fields(test.args)...)
		code, out, errs := runMain(args...)
		var runs []map[string]any
		if err := json.Unmarshal([]byte(out), &runs); code != 0 || err != nil || len(runs) != test.want {
			t.Errorf("%s: exit %d, %d runs, want %d, %v %s", test.args, code, len(runs), test.want, err, errs)
		}
	}
	_, out, _ = runMain("history", "--state", dir, "-o", "json", "-n", "3")
	var runs []map[string]any
	if err := json.Unmarshal([]byte(out), &runs); err != nil {
		t.Fatal(err)
	}
	r := runs[0]
	if r["experiment"] != "e4" || r["exit_code"] != 3.0 || r["started_at"] != "2026-03-01T12:18:00.000000Z" || r["signal"] != nil ||
		fmt.Sprint(r["command"]) != "[/bin/sh -c exit 3]" || r["memory_peak"] != 1048576.0 || runs[2]["result"] != nil || runs[2]["ended_at"] != nil {
		t.Errorf("%v", runs)
	}
}

// -o wide shows what runs felt, and where that is not known it says nothing.
func TestHistoryWide(t *testing.T) {
	dir := t.TempDir()
	writeRuns(t, dir, 4)
	code, out, errs := runMain("history", "--state", dir, "-o", "wide")
	lines := strings.Split(out, "\n")
	if code != 0 || errs != "" || len(lines) != 6 {
		t.Fatalf("%d %s\n%s", code, errs, out)
	}
	for i, want := range []string{
		"HOTTEST ENERGY THROTTLED OVER-CURRENT GPU-PEAK TAINTED REASON", "61.2°C 1234J 0.0s - - clean exited",
		"- ~1234J 12.0s 3 6.5G throttled by hardware 12s, over-current 3 exited", "- - - - - - exited",
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); !strings.Contains(got, " "+want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Bad questions get an answer that helps.
func TestHistoryRefuses(t *testing.T) {
	dir := t.TempDir()
	writeRuns(t, dir, 3)
	garbage := filepath.Join(t.TempDir(), ledgerName)
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--state", dir, "e1", "nobody"}, ExitUnknown, "no experiment nobody"},
		{[]string{"--state", t.TempDir()}, ExitFailed, "no such file"},
		{[]string{"--state", filepath.Dir(garbage)}, ExitFailed, "not a database"},
		{[]string{"--state", dir, "-o", "xml"}, ExitUsage, `"xml"`},
		{[]string{"--state", dir, "--since", "soon"}, ExitUsage, `"soon"`},
		{[]string{"--state", dir, "--result", "oom"}, ExitUsage, `no run has the result "oom": --result wants success, `},
		{[]string{"--state", dir, "-n", "-3"}, ExitUsage, "-3"},
	} {
		code, out, errs := runMain(append([]string{"history"}, test.args...)...)
		if code != test.code || !strings.Contains(errs, test.want) || out != "" {
			t.Errorf("%v: exit %d, want %d; %s%s", test.args, code, test.code, out, errs)
		}
	}
}

func BenchmarkHistory(b *testing.B) {
	dir := b.TempDir()
	writeRuns(b, dir, 10_000)
	for _, format := range []string{"table", "json"} {
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				if code := Main([]string{"history", "--state", dir, "-o", format}, io.Discard, io.Discard); code != 0 {
					b.Fatal(code)
				}
			}
		})
	}
}

// Who may not read the file is told the same by the brainjar that runs.
func TestHistoryAsked(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking)
	d.run("start", "b")
	d.run("wait", "b").is(t, ExitAwaited)
	if err := d.Written(t.Context()); err != nil { // what is told may be ahead of the file
		t.Fatal(err)
	}
	for _, more := range [][]string{nil, {"-o", "wide"}, {"-o", "json"}, {"b"}, {"-n", "1"}, {"--result", "exit-code"}, {"--result", "lost"}, {"--since", "1h", "b"}} {
		code, read, errs := runMain(append([]string{"history", "--state", d.dir}, more...)...)
		if code != 0 || errs != "" {
			t.Fatalf("%v: exit %d: %s", more, code, errs)
		}
		if asked := d.run(append([]string{"history"}, more...)...); asked.code != 0 || asked.out != read {
			t.Errorf("%v: exit %d, was told\n%s%s\nand the ledger says\n%s", more, asked.code, asked.out, asked.errors, read)
		}
	}
	d.run("history", "big").is(t, 0, "EXPERIMENT")
	d.run("history", "b", "nobody").is(t, ExitUnknown, "no experiment nobody in the ledger")
	d.end()
	d.run("history").is(t, ExitUnreachable, "does not answer")
}
