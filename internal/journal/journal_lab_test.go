//go:build lab

package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
)

// The tests of the build tag lab want a real systemd with its journal.

const patience = 2 * time.Minute

// TestMain makes the test binary read the journal as somebody else, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "read-journal" {
		_, err := all(context.Background(), Query{})
		fmt.Print(err)
		if errors.Is(err, ErrNoJournal) {
			os.Exit(77)
		}
		return
	}
	os.Exit(m.Run())
}

// experiment returns an id that no other test has.
func experiment(t *testing.T) string {
	t.Helper()
	id := fmt.Sprintf("journal%08x", rand.Uint32())
	t.Cleanup(func() {
		_ = exec.Command("systemctl", "stop", "brainjar-"+id+".service").Run() // it may be gone
		_ = exec.Command("systemctl", "reset-failed", "brainjar-"+id+".service").Run()
	})
	return id
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// systemdRun runs a command as a unit, and returns when the name of that is free again:
// systemd forgets a unit some time after its end.
func systemdRun(t *testing.T, unit string, args ...string) {
	t.Helper()
	command(t, "systemd-run", append([]string{"--quiet", "--collect", "--slice=brainjar.slice", "--unit=" + unit}, args...)...)
	for end := time.Now().Add(patience); command(t, "systemctl", "show", "--property=LoadState", unit) != "LoadState=not-found"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s is not forgotten", unit)
		}
	}
}

// runs runs a shell script as the unit of an experiment.
func runs(t *testing.T, id string, run int, script string) {
	t.Helper()
	systemdRun(t, "brainjar-"+id+".service", "--wait",
		fmt.Sprintf("--property=LogExtraFields=BRAINJAR_RUN=%d", run), "/bin/sh", "-c", script)
}

// awaitLines reads until a query finds what it should, for the journal may be behind.
func awaitLines(t *testing.T, q Query, want ...string) {
	t.Helper()
	var got []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var err error
		if got, err = all(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		if slices.Equal(got, want) {
			return
		}
	}
	t.Errorf("%+v: %q, want %q", q, got, want)
}

// TestReal: runs are told apart, lines come whole and in order, and nobody can write
// into the output of an experiment.
func TestReal(t *testing.T) {
	id, other := experiment(t), experiment(t)
	begin := time.Now()
	runs(t, id, 7, `echo one; printf 'bad \377 byte\n'; echo '<3>three' >&2`)
	middle := time.Now()
	runs(t, id, 8, "head -c 20000 /dev/zero | tr '\\0' x; echo; echo five")
	runs(t, other, 1, "echo of another")
	for _, unit := range []string{"_SYSTEMD_UNIT", "UNIT"} { // by a process that is no experiment
		err := journal.Send("forged", journal.PriErr, map[string]string{
			"BRAINJAR_EXPERIMENT": id, "BRAINJAR_RUN": "8", "SYSLOG_IDENTIFIER": "brainjar-" + id, strings.TrimPrefix(unit, "_"): "brainjar-" + id + ".service",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	command(t, "journalctl", "--sync")
	long := strings.Repeat("x", 20000)
	mine := []string{id}
	awaitLines(t, Query{Experiments: mine}, "one", "bad \uFFFD byte", "three", long, "five")
	awaitLines(t, Query{Experiments: mine, Run: 7}, "one", "bad \uFFFD byte", "three")
	awaitLines(t, Query{Experiments: mine, Run: 8}, long, "five")
	awaitLines(t, Query{Experiments: mine, Lines: 1}, "five")
	awaitLines(t, Query{Experiments: mine, Since: middle}, long, "five")
	awaitLines(t, Query{Experiments: mine, Until: middle}, "one", "bad \uFFFD byte", "three")
	awaitLines(t, Query{Experiments: []string{id, other}, Lines: 2}, "five", "of another")
	awaitLines(t, Query{Experiments: []string{"journal-of-nobody"}})
	slice, err := all(t.Context(), Query{Since: begin})
	if err != nil || !slices.Contains(slice, "one") || !slices.Contains(slice, "of another") || slices.Contains(slice, "forged") {
		t.Errorf("all experiments: %q, %v", slice, err)
	}

	last, err := Last(t.Context(), Query{Experiments: mine, Run: 7}, 1)
	if err != nil || len(last) != 1 || last[0].Message != "three" || last[0].Run != 7 || last[0].Experiment != id || last[0].PID < 2 || last[0].At.Before(begin.Truncate(time.Millisecond)) {
		t.Errorf("%+v, %v", last, err)
	}
	said, err := all(t.Context(), Query{Experiments: mine, System: true})
	if err != nil || !slices.ContainsFunc(said, func(line string) bool { return strings.HasPrefix(line, "Started ") }) || slices.Contains(said, "forged") {
		t.Errorf("with what systemd says: %.300q, %v", said, err)
	}
}

// awaited is a program that stays until journald has seen its line, and so whose it is:
// a busy machine gets to it later. Not by -u, which also shows what systemd says of the
// scope, and with that this text.
const awaited = `{ echo "scope %d, $INVOCATION_ID"; timeout 30 sh -c 'until journalctl -q -o cat _SYSTEMD_UNIT=brainjar-%s.scope | grep -q "scope %d,"; do sleep 0.1; done'; } | systemd-cat`

// TestRealInvocation: what systemd calls an invocation is enough to find a run; for
// a scope there is nothing else.
func TestRealInvocation(t *testing.T) {
	id := experiment(t)
	for i := range 2 {
		systemdRun(t, "brainjar-"+id+".scope", "--scope", "/bin/sh", "-c", fmt.Sprintf(awaited, i, id, i))
	}
	command(t, "journalctl", "--sync")
	messages, err := all(t.Context(), Query{Experiments: []string{id}})
	if err != nil || len(messages) != 2 {
		t.Fatalf("%q, %v", messages, err)
	}
	_, invocation, _ := strings.Cut(messages[1], ", ")
	if invocation == "" {
		t.Fatalf("no invocation in %q", messages)
	}
	found, err := Last(t.Context(), Query{Experiments: []string{id}, Invocation: invocation, Run: 5}, 10)
	if err != nil || len(found) != 1 || found[0].Message != messages[1] || found[0].Run != 5 {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestRealFollow: lines come as they are written, also after journald was started
// anew.
func TestRealFollow(t *testing.T) {
	id := experiment(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	runs(t, id, 1, "echo before")
	awaitLines(t, Query{Experiments: []string{id}}, "before")
	lines := make(chan string)
	go func() {
		defer close(lines)
		for e, err := range Read(ctx, Query{Experiments: []string{id}, Follow: true, Lines: 1}) {
			if err != nil {
				t.Error(err)
				return
			}
			lines <- e.Message
		}
	}()
	if got := <-lines; got != "before" {
		t.Errorf("at first %q", got)
	}
	for i := range 3 {
		want := fmt.Sprintf("line %d", i)
		runs(t, id, 2, "echo "+want)
		if got := <-lines; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		command(t, "systemctl", "restart", "systemd-journald.service")
	}
	cancel()
	if got, more := <-lines; more {
		t.Errorf("after the end: %q", got)
	}
}

// TestRealPermission: who may not read is told what to do.
func TestRealPermission(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "read-journal")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 77 || !strings.Contains(string(out), "systemd-journal") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestRealSend: what brainjar writes has its facts as fields.
func TestRealSend(t *testing.T) {
	id := experiment(t)
	m := Message{"running " + id, 5, map[string]string{"experiment": id, "to": "running", "reason": "two\nlines", "run": "12"}}
	if err := m.Send(); err != nil {
		t.Fatal(err)
	}
	command(t, "journalctl", "--sync")
	out, err := exec.Command("journalctl", "-q", "-o", "export", "BRAINJAR_EXPERIMENT="+id, "BRAINJAR_TO=running", "PRIORITY=5", "SYSLOG_IDENTIFIER=brainjar").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MESSAGE=running " + id + "\n", "BRAINJAR_RUN=12\n", "two\nlines\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
}
