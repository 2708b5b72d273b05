package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"brainjar": func() { os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

// TestScript runs testdata/script/*.txtar: the command line as a person sees
// it. They need no service manager.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": exitStatus,
		},
	})
}

// exitStatus runs a program and checks its exit status: status 78 brainjar …
func exitStatus(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		got = strconv.Itoa(exit.ExitCode())
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

func TestLogLines(t *testing.T) {
	clock := regexp.MustCompile(`^\d\d:\d\d:\d\d `)
	for _, test := range []struct {
		name string
		h    lines
		do   func(*slog.Logger)
		want string
	}{
		{"phase", lines{}, func(l *slog.Logger) {
			l.Warn("phase changed", "experiment", "crash", "phase", "backoff", "run", 2, "reason", "exited with code 3; restart 1 of 3 in 1s")
		}, "backoff    crash            run=2: exited with code 3; restart 1 of 3 in 1s\n"},
		{"no experiment", lines{}, func(l *slog.Logger) { l.Info("stopping", "running", 4) }, "stopping running=4\n"},
		{"quoted", lines{}, func(l *slog.Logger) { l.Info("x", "err", errors.New("a b"), "empty", "") }, "x err=\"a b\" empty=\"\"\n"},
		{"one line", lines{}, func(l *slog.Logger) { l.Info("x", "reason", "a\nb") }, "x: a b\n"},
		{"colour", lines{colour: true}, func(l *slog.Logger) { l.Error("bad", "a", 1) }, "\x1b[31mbad\x1b[0m a=1\n"},
		{"calm", lines{colour: true}, func(l *slog.Logger) { l.Info("fine") }, "fine\n"},
		{"with", lines{}, func(l *slog.Logger) { l.With("unit", "u").Info("x") }, "x unit=u\n"},
		{"level", lines{}, func(l *slog.Logger) { l.Debug("unheard") }, ""},
	} {
		var out bytes.Buffer
		h := test.h
		h.w, h.mu = &out, &sync.Mutex{}
		test.do(slog.New(&h))
		got := clock.ReplaceAllString(out.String(), "")
		if got != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, test.want)
		}
	}
}

// Under systemd each line begins with its priority, and the journal has the time.
func TestLogForTheJournal(t *testing.T) {
	for level, want := range map[slog.Level]string{slog.LevelDebug: "<7>x\n", slog.LevelInfo: "<6>x\n", slog.LevelWarn: "<4>x\n", slog.LevelError: "<3>x\n"} {
		var out strings.Builder
		slog.New(&lines{w: &out, mu: &sync.Mutex{}, level: slog.LevelDebug, journal: true}).Log(t.Context(), level, "x")
		if out.String() != want {
			t.Errorf("%v: %q, want %q", level, out.String(), want)
		}
	}
}

// A second brainjar on the same units is refused, until the first has gone.
func TestLock(t *testing.T) {
	path := t.TempDir() + "/lock"
	unlock, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(path); err == nil || exitCode(err) != ExitFailed {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	again, err := lock(path)
	if err != nil {
		t.Errorf("after unlocking: %v", err)
	} else {
		again()
	}
}
