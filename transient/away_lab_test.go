//go:build lab

package transient_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"brainjar/transient"
)

// TestEndsWhileAway: what ended while no brainjar was there is learnt by the
// next one, once, with all that is known of it; what still runs is found.
func TestEndsWhileAway(t *testing.T) {
	dir := t.TempDir()
	first := newBench(t, transient.Options{RecordDir: dir})
	first.synced(1)
	n := 3 + first.rand.IntN(6)
	lies := filepath.Join(t.TempDir(), "environment") // which the recorder's own becomes
	if err := os.WriteFile(lies, []byte("SERVICE_RESULT=core-dump\nEXIT_CODE=dumped\nEXIT_STATUS=11\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	specs := make([]transient.Spec, n)
	codes := make([]int, n)
	for i := range specs {
		codes[i] = i % 2 * (1 + first.rand.IntN(255)) // every other a success, of which no unit stays
		specs[i] = first.spec(fmt.Sprint(i), fmt.Sprintf("on=USR1:exit=%d", codes[i]), "alloc=20M", "status=set", "sleep=1h")
		if i%4 < 2 {
			specs[i].EnvironmentFiles = []string{lies}
		}
		unit := first.start(specs[i])
		await(first, "a status", 1, func(e transient.Status) bool { return e.Unit == unit && e.Text == "set" })
	}
	stays := first.spec("stays", "sleep=1h")
	stays.Limits.MemoryMax = 64 << 20
	first.started(first.start(stays))
	invocation := first.started(stays.Unit()).Unit.Invocation
	first.die()
	for _, spec := range specs {
		systemctl(t, "kill", "--kill-who=main", "--signal=USR1", spec.Unit())
	}
	eventually(t, "records of all runs", func() bool {
		entries, err := os.ReadDir(dir)
		return err == nil && len(entries) == n
	})

	second := newBench(t, transient.Options{RecordDir: dir})
	second.synced(1)
	for i, spec := range specs {
		e := second.ended(spec.Unit())
		o := e.Outcome
		if want := map[bool]transient.Result{true: transient.Success, false: transient.ExitCode}[codes[i] == 0]; o.Result != want {
			t.Errorf("exit code %d: %s", codes[i], o.Result)
		}
		if o.ExitCode != codes[i] || e.Unit.Run != spec.Run || e.Unit.Attempt != spec.Attempt ||
			o.MemoryPeak < 20<<20 || o.CPUTime == 0 || !o.Started.Before(o.Ended) {
			t.Errorf("exit code %d: %+v", codes[i], e)
		}
	}
	found := second.started(stays.Unit())
	if !found.Found || found.Unit.Invocation != invocation || found.Unit.Run != stays.Run ||
		found.Unit.Attempt != stays.Attempt || found.Effective.MemoryMax != 64<<20 ||
		found.StopSignal != stays.StopSignal || found.StopTimeout != stays.StopTimeout {
		t.Errorf("found %+v", found)
	}
	if err := second.Stop(t.Context(), stays.Unit()); err != nil {
		t.Error(err)
	}
	if o := second.ended(stays.Unit()).Outcome; o.Result != transient.Stopped {
		t.Errorf("%+v", o)
	}
	second.forget()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("records left over: %v, %v", entries, err)
	}
}

// TestLost: without a record nobody knows, and that is what is said.
func TestLost(t *testing.T) {
	dir := t.TempDir()
	first := newBench(t, transient.Options{RecordDir: dir})
	first.synced(1)
	unit := first.start(first.spec("lost", "sleep=1h"))
	first.started(unit)
	second := newBench(t, transient.Options{RecordDir: t.TempDir()})
	second.synced(1)
	if !second.started(unit).Found {
		t.Error("not found")
	}
	second.die()
	systemctl(t, "stop", unit)
	if o := first.ended(unit).Outcome; o.Result != transient.Stopped || !o.StopRequested {
		t.Errorf("a person's stop: %+v", o)
	}
	first.forget()
}

// TestReloadAndReexec: neither ends a run, nor reports one twice, nor takes its
// recorder away.
func TestReloadAndReexec(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	code := 1 + b.rand.IntN(255)
	waits := b.spec("waits", "on=USR1:exit="+fmt.Sprint(code), "sleep=1h")
	goes := b.spec("goes", "alloc=20M", "sleep=2s", "exit=0")
	stopped := b.spec("stopped", "sleep=1h")
	for _, spec := range []transient.Spec{waits, goes, stopped} {
		b.started(b.start(spec))
	}
	systemctl(t, "daemon-reload")
	systemctl(t, "daemon-reload")
	for _, e := range all(b, anyOf[transient.Ended]) {
		if e.Unit.Name != goes.Unit() { // which ends by itself, sooner or later
			t.Errorf("daemon-reload ended %+v", e)
		}
	}
	systemctl(t, "daemon-reexec")
	await(b, "Disconnected", 1, anyOf[transient.Disconnected])
	b.synced(2)
	if o := b.ended(goes.Unit()).Outcome; o.Result != transient.Success || o.MemoryPeak < 20<<20 {
		t.Errorf("%+v", o)
	}
	if err := b.Kill(t.Context(), waits.Unit(), transient.Main, 10); err != nil {
		t.Error(err)
	}
	if o := b.ended(waits.Unit()).Outcome; o.Result != transient.ExitCode || o.ExitCode != code {
		t.Errorf("%+v", o)
	}
	systemctl(t, "stop", stopped.Unit())
	if o := b.ended(stopped.Unit()).Outcome; o.Result != transient.Stopped || !o.StopRequested {
		t.Errorf("%+v", o)
	}
	for _, spec := range []transient.Spec{waits, goes, stopped} {
		n := len(all(b, func(e transient.Started) bool { return e.Unit.Name == spec.Unit() }))
		if n != 1 {
			t.Errorf("%s: %d times Started", spec.Unit(), n)
		}
	}
	b.forget()
}

// TestRestartByPerson: one invocation ends, another begins.
func TestRestartByPerson(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	unit := b.start(b.spec("again", "sleep=1h"))
	first := b.started(unit).Unit.Invocation
	systemctl(t, "restart", unit)
	e := b.ended(unit)
	if e.Unit.Invocation != first || e.Outcome.Result != transient.Stopped || !e.Outcome.StopRequested {
		t.Errorf("%+v", e)
	}
	again := await(b, "Started", 2, func(e transient.Started) bool { return e.Unit.Name == unit })
	if again.Unit.Invocation == first || again.Unit.Run != e.Unit.Run {
		t.Errorf("%+v", again)
	}
	if err := b.Forget(t.Context(), e.Unit); err != nil { // of the first: the second must not feel it
		t.Error(err)
	}
	if err := b.Stop(t.Context(), unit); err != nil {
		t.Error(err)
	}
	await(b, "Ended", 2, func(e transient.Ended) bool { return e.Unit.Name == unit })
	b.forget()
}

// TestFailedStays: a failed unit that was not forgotten is reported to the
// next Manager also without its record.
func TestFailedStays(t *testing.T) {
	first := newBench(t, transient.Options{})
	first.synced(1)
	code := 1 + first.rand.IntN(199)
	spec := first.spec("failed", fmt.Sprintf("exit=%d", code))
	first.ended(first.start(spec))
	first.die()
	second := newBench(t, transient.Options{RecordDir: t.TempDir()})
	second.synced(1)
	if e := second.ended(spec.Unit()); e.Outcome.ExitCode != code || e.Unit.Run != spec.Run {
		t.Errorf("%+v", e)
	}
	second.forget()
}

// TestStoppedWhileLoading: that a person stopped a unit before it was ready is also known
// where the recorder could not tell, and is told from a start that fails by itself.
func TestStoppedWhileLoading(t *testing.T) {
	b := newBench(t, transient.Options{Recorder: []string{"/bin/true"}})
	b.synced(1)
	loading := func(name string, limit time.Duration) string {
		spec := b.spec(name, "sleep=1h")
		spec.Ready, spec.ReadyTimeout = transient.ReadyNotify, limit
		return b.start(spec)
	}
	stopped, late := loading("stopped", time.Hour), loading("late", time.Second)
	systemctl(t, "stop", stopped)
	if o := b.ended(stopped).Outcome; o.Result != transient.Stopped || !o.StopRequested {
		t.Errorf("stopped by a person: %+v", o)
	}
	if o := b.ended(late).Outcome; o.Result != transient.Timeout || o.StopRequested {
		t.Errorf("not ready in time: %+v", o)
	}
	b.forget()
}
