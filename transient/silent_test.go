package transient

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
)

// TestSilentSpawn: where systemd may say nothing of a program that it could not execute,
// its exit status and the program's file do.
func TestSilentSpawn(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		version, status int
		program, said   string
		result          Result
		detail          string
	}{
		{257, 203, "/nonexistent/x", "", StartFailed, "Failed at step EXEC spawning /nonexistent/x: no such file or directory"},
		{257, 203, plain, "", StartFailed, "Failed at step EXEC spawning " + plain + ": permission denied"},
		{257, 203, "/nonexistent/x", "systemd's own words", StartFailed, "systemd's own words"},
		{257, 203, "", "", StartFailed, "Failed at step EXEC"},
		{257, 203, "/bin/sh", "", StartFailed, "Failed at step EXEC spawning /bin/sh"},
		{257, 217, "/nonexistent/x", "", StartFailed, "Failed at step USER spawning /nonexistent/x"},
		{257, 204, "", "", StartFailed, "Failed at step 204"},
		{257, 7, "/nonexistent/x", "", ExitCode, ""},
		{252, 203, "/nonexistent/x", "", ExitCode, ""}, // whose journal tells everything
	} {
		synctest.Test(t, func(t *testing.T) {
			m := New(Options{RecordDir: t.TempDir()})
			m.host.Version, m.ctx = test.version, t.Context()
			m.journal = func(context.Context, string, bool) (string, error) { return test.said, nil }
			u := &tracked{unit: Unit{Name: "brainjar-x.service", Experiment: "x", Run: 1, Kind: Service, Invocation: anInvocation}, program: test.program}
			m.mu.Lock()
			m.finish(u, &facts{result: "exit-code", code: cldExited, status: test.status})
			m.mu.Unlock()
			synctest.Wait()
			m.background.Wait()
			event, _ := m.stream.take()
			if e, ok := event.(Ended); !ok || e.Outcome.Result != test.result || e.Outcome.Detail != test.detail {
				t.Errorf("%+v: %+v", test, event)
			}
		})
	}
}
