package cli

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"brainjar/internal/journal"
)

// TestScript runs testdata/script/*.txtar: the command line as a person sees
// it. It is called in this process, so the scripts also run under an emulator.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"brainjar": func(ts *testscript.TestScript, neg bool, args []string) {
				if code := call(ts, args); (code != ExitOK) != neg {
					ts.Fatalf("exit status %d", code)
				}
			},
			"status": wantStatus,
		},
	})
}

// No command asks brainjar about what cannot be an id.
func TestNotAnID(t *testing.T) {
	const hint = `error: "../x" is not an id: 1 to 64 letters, digits, _, - and . are allowed, with a letter or digit first`
	more := map[string][]string{"set": {"priority=1"}, "submit": {"--", "true"}, "adopt": {"--pid", "1"}}
	tried := 0
	for _, c := range newRoot(io.Discard, io.Discard).Commands() {
		if strings.Contains(c.Use, "ID") {
			tried++
			d := &testDaemon{socket: "/nonexistent", fatal: t.Fatalf}
			d.run(append([]string{c.Name(), "../x"}, more[c.Name()]...)...).is(t, ExitUsage, hint, "hint: see `brainjar "+c.Name()+" --help`")
		}
	}
	if tried < 15 {
		t.Errorf("tried %d commands", tried)
	}
	d := &testDaemon{socket: "/nonexistent", fatal: t.Fatalf}
	d.run("exec", "--id", "../x", "--", "true").is(t, ExitUsage, hint)
	d.run("stop", "a", "b/../c").is(t, ExitUsage, `"b/../c"`)
}

// call runs the command line; the files, and the directory for import, that it names
// lie in the script's directory.
func call(ts *testscript.TestScript, args []string) int {
	args = slices.Clone(args)
	for i, arg := range args {
		if strings.HasSuffix(arg, ".toml") || i == 1 && args[0] == "import" {
			args[i] = ts.MkAbs(arg)
		}
	}
	return Main(args, ts.Stdout(), ts.Stderr())
}

// wantStatus checks the exit status: status 78 brainjar check bad.toml
func wantStatus(ts *testscript.TestScript, _ bool, args []string) {
	if got := strconv.Itoa(call(ts, args[2:])); got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

// Without a service manager of one's own there is nothing to run on.
func TestNoUserManager(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "")
	path := t.TempDir() + "/config.toml"
	if err := os.WriteFile(path, []byte("[experiments.a]\ncommand = [\"/bin/true\"]\nmemory_max = \"64M\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code := Main([]string{"run", "--user", path}, &stdout, &stderr)
	if code != ExitUnreachable || !strings.Contains(stderr.String(), "XDG_RUNTIME_DIR is not set") || !strings.Contains(stderr.String(), "hint: ") {
		t.Errorf("exit status %d: %s", code, stderr.String())
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
		h.write = func(line string) { out.WriteString(line) }
		test.do(slog.New(&h))
		got := clock.ReplaceAllString(out.String(), "")
		if got != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, test.want)
		}
	}
}

// The journal gets the line, without the time, and each fact as well.
func TestLogForTheJournal(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelDebug: 7, slog.LevelInfo: 6, slog.LevelWarn: 4, slog.LevelError: 3} {
		var sent []journal.Message
		log := slog.New(&lines{level: slog.LevelDebug, colour: true, send: func(m journal.Message) { sent = append(sent, m) }})
		log.With("unit", "u").Log(t.Context(), level, "phase changed", "experiment", "a", "phase", "backoff", "from", "running", "run", 2, "reason", "two\nlines of it")
		facts := map[string]string{"event": "phase changed", "experiment": "a", "to": "backoff", "from": "running", "run": "2", "unit": "u", "reason": "two\nlines of it"}
		message := journal.Message{Text: "backoff    a                unit=u run=2: two lines of it", Priority: want, Facts: facts}
		if len(sent) != 1 || !reflect.DeepEqual(sent[0], message) {
			t.Errorf("%+v, want %+v", sent, message)
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
