package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestArguments(t *testing.T) {
	const fixed = "--quiet --no-pager --all --output=json --output-fields=" + fields
	at := time.Unix(1700000000, 123456789)
	me := fmt.Sprintf("_UID=%d", os.Getuid())
	for _, test := range []struct {
		name string
		q    Query
		want string
	}{
		{"all", Query{}, " -- _SYSTEMD_UNIT=brainjar-known.service _SYSTEMD_UNIT=brainjar-known.scope + _SYSTEMD_SLICE=brainjar.slice"},
		{"one", Query{Experiments: []string{"a"}, Lines: 5}, " --lines=5 -- _SYSTEMD_UNIT=brainjar-a.service _SYSTEMD_UNIT=brainjar-a.scope"},
		{"a run of two", Query{Experiments: []string{"a", "b"}, Run: 7, Since: at},
			" --since=@1700000000.123456 -- _SYSTEMD_UNIT=brainjar-a.service _SYSTEMD_UNIT=brainjar-a.scope _SYSTEMD_UNIT=brainjar-b.service _SYSTEMD_UNIT=brainjar-b.scope BRAINJAR_RUN=7"},
		{"an invocation", Query{Experiments: []string{"a"}, Run: 7, Invocation: "c0ffee", System: true, Until: at},
			" --until=@1700000000.123456 -- _SYSTEMD_UNIT=brainjar-a.service _SYSTEMD_UNIT=brainjar-a.scope _SYSTEMD_INVOCATION_ID=c0ffee" +
				" + _PID=1 UNIT=brainjar-a.service UNIT=brainjar-a.scope INVOCATION_ID=c0ffee"},
		{"follow", Query{Follow: true}, " --follow --no-tail -- _SYSTEMD_UNIT=brainjar-known.service _SYSTEMD_UNIT=brainjar-known.scope + _SYSTEMD_SLICE=brainjar.slice"},
		{"follow the last", Query{Follow: true, Lines: 1, Experiments: []string{"a"}}, " --lines=1 --follow -- _SYSTEMD_UNIT=brainjar-a.service _SYSTEMD_UNIT=brainjar-a.scope"},
		{"one's own", Query{User: true, Experiments: []string{"a"}, Run: 7, System: true},
			" -- " + me + " _SYSTEMD_USER_UNIT=brainjar-a.service _SYSTEMD_USER_UNIT=brainjar-a.scope" +
				" + " + me + " _SYSTEMD_USER_UNIT=init.scope USER_UNIT=brainjar-a.service USER_UNIT=brainjar-a.scope"},
		{"all of one's own", Query{User: true}, " -- " + me + " _SYSTEMD_USER_UNIT=brainjar-known.service _SYSTEMD_USER_UNIT=brainjar-known.scope + " + me + " _SYSTEMD_USER_SLICE=brainjar.slice"},
	} {
		experiments := test.q.Experiments
		if len(experiments) == 0 {
			experiments = []string{"known"}
		}
		if got := strings.Join(test.q.arguments(experiments), " "); got != fixed+test.want {
			t.Errorf("%s: %s\nwant %s", test.name, got, fixed+test.want)
		}
	}
}

func TestParse(t *testing.T) {
	at := time.UnixMicro(1700000000123456)
	const begin = `{"__REALTIME_TIMESTAMP":"1700000000123456","_SYSTEMD_UNIT":"brainjar-a.b-1.service",`
	for _, test := range []struct {
		line string
		want Entry
	}{
		{begin + `"MESSAGE":"hello \"you\"","PRIORITY":"3","_PID":"42","BRAINJAR_RUN":"7"}`, Entry{at, "a.b-1", 7, 42, 3, `hello "you"`}},
		{begin + `"MESSAGE":[104,105,255,10]}`, Entry{at, "a.b-1", 0, 0, 6, "hi\uFFFD\n"}},
		{begin + `"MESSAGE":["one","two"],"BRAINJAR_RUN":["7","99"]}`, Entry{at, "a.b-1", 7, 0, 6, "one"}},
		{begin + `"MESSAGE":[[104,105],"two"]}`, Entry{at, "a.b-1", 0, 0, 6, "hi"}},
		{begin + `"MESSAGE":null,"PRIORITY":"x","_PID":"-1"}`, Entry{at, "a.b-1", 0, 0, 6, ""}},
		{`{"__REALTIME_TIMESTAMP":"1700000000123456","_SYSTEMD_UNIT":"init.scope","_PID":"1","UNIT":"brainjar-x.scope","MESSAGE":"Stopped"}`, Entry{at, "x", 0, 1, 6, "Stopped"}},
		{`{"__REALTIME_TIMESTAMP":"1700000000123456","_SYSTEMD_UNIT":"user@0.service","_SYSTEMD_USER_UNIT":"brainjar-x.service","MESSAGE":"y"}`, Entry{at, "x", 0, 0, 6, "y"}},
	} {
		if got, err := parse([]byte(test.line)); err != nil || got != test.want {
			t.Errorf("%s: %+v, %v", test.line, got, err)
		}
	}
	for line, want := range map[string]error{
		`{"__REALTIME_TIMESTAMP":"1","_SYSTEMD_UNIT":"ssh.service","MESSAGE":"brainjar-x.service"}`:         errForeign,
		`{"__REALTIME_TIMESTAMP":"1","_SYSTEMD_UNIT":"brainjar.service"}`:                                   errForeign,
		`{"__REALTIME_TIMESTAMP":"1","_SYSTEMD_UNIT":"ssh.service","_PID":"7","UNIT":"brainjar-x.service"}`: errForeign,
		`{"_SYSTEMD_UNIT":"brainjar-x.service"}`:                                                            nil,
		`no entry`:                                                                                          nil,
	} {
		if _, err := parse([]byte(line)); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"__REALTIME_TIMESTAMP":"1","_SYSTEMD_UNIT":"brainjar-x.service","MESSAGE":[1,2],"_PID":["3"]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if e, err := parse(line); err == nil && (e.Experiment == "" || !strings.Contains(string(line), "brainjar-")) {
			t.Errorf("%q is of %+v", line, e)
		}
	})
}

// pretend makes a shell script the journalctl of a test, on a machine that has a
// journal.
func pretend(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "journalctl"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	old := directories
	directories = []string{dir}
	t.Cleanup(func() { directories = old })
}

const anEntry = `{"__REALTIME_TIMESTAMP":"1","_SYSTEMD_UNIT":"brainjar-x.service","MESSAGE":"%s"}\n`

func all(ctx context.Context, q Query) (messages []string, err error) {
	for e, err := range Read(ctx, q) {
		if err != nil {
			return messages, err
		}
		messages = append(messages, e.Message)
	}
	return messages, nil
}

// TestFailures: whatever journalctl does, it is said in words.
func TestFailures(t *testing.T) {
	for _, test := range []struct {
		name, script string
		want         []string
		err          string
		none         bool // it is ErrNoJournal
	}{
		{"well", fmt.Sprintf("printf '"+anEntry+anEntry+"'", "a", "b"), []string{"a", "b"}, "", false},
		{"nothing", "exit 0", nil, "", false},
		{"fails later", fmt.Sprintf("printf '"+anEntry+"'; echo boom >&2; exit 1", "a"), []string{"a"}, "boom", false},
		{"fails in silence", "exit 3", nil, "exit status 3", false},
		{"may not", "echo No journal files were opened due to insufficient permissions. >&2; exit 1", nil, "group systemd-journal", true},
		{"talks nonsense", "echo nonsense; sleep 60", nil, "no entry", false},
		{"talks for ever", "yes complaint | head -c 1000000 >&2; exit 1", nil, "complaint", false},
		{"very long entry", fmt.Sprintf("printf '"+anEntry+"'; head -c 5000000 /dev/zero | tr '\\0' x; echo; printf '"+anEntry+"'", "a", "b"), []string{"a", "b"}, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			pretend(t, test.script)
			got, err := all(t.Context(), Query{Experiments: []string{"x"}})
			if strings.Join(got, " ") != strings.Join(test.want, " ") {
				t.Errorf("%q, want %q", got, test.want)
			}
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) || errors.Is(err, ErrNoJournal) != test.none {
				t.Errorf("%.200v, want %q", err, test.err)
			}
			if err != nil && len(err.Error()) > 2*maxErrors {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestNoJournal(t *testing.T) {
	pretend(t, "exit 0")
	t.Setenv("PATH", "/nonexistent")
	if _, err := all(t.Context(), Query{Experiments: []string{"x"}}); !errors.Is(err, ErrNoJournal) || !strings.Contains(err.Error(), "no journalctl") {
		t.Errorf("without journalctl: %v", err)
	}
	directories = []string{t.TempDir()}
	if _, err := all(t.Context(), Query{Experiments: []string{"x"}}); !errors.Is(err, ErrNoJournal) || !strings.Contains(err.Error(), "systemd-journald.service") {
		t.Errorf("without a journal: %v", err)
	}
}

// TestEnds: no process is left when the reader goes away, or its context ends.
func TestEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	pretend(t, "echo $$ > "+file+fmt.Sprintf("; printf '"+anEntry+"'; exec sleep 3600", "a"))
	gone := func(how string) {
		t.Helper()
		var pid int
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(string(text), &pid); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s: journalctl still runs: %v", how, err)
		}
	}
	for range Read(t.Context(), Query{Experiments: []string{"x"}, Follow: true}) {
		break
	}
	gone("the reader goes away")
	ctx, cancel := context.WithCancel(t.Context())
	for e, err := range Read(ctx, Query{Experiments: []string{"x"}, Follow: true}) {
		if err != nil || e.Message != "a" {
			t.Errorf("%+v, %v", e, err)
		}
		cancel()
	}
	gone("the context ends")
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Last(short, Query{Experiments: []string{"x"}}, 10); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the time is over: %v", err)
	}
	gone("the time is over")
}

func TestField(t *testing.T) {
	for name, want := range map[string]string{
		"experiment": "BRAINJAR_EXPERIMENT", "at_once": "BRAINJAR_AT_ONCE", "é.x": "BRAINJAR___X",
		strings.Repeat("a", 100): "BRAINJAR_" + strings.Repeat("A", 55),
	} {
		if got := field(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
