//go:build lab

package transient_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// TestMain makes the test binary serve as the recorder, as the helper of
// scopes and as the program of the workloads.
func TestMain(m *testing.M) {
	if code, handled := transient.Hidden(os.Args[1:]); handled {
		os.Exit(code)
	}
	if transienttest.RunWorkload(os.Args[1:]) {
		return
	}
	os.Exit(m.Run())
}

// open runs a Manager of the system's service manager until the test ends.
func open(t *testing.T) transienttest.Systemd {
	return run(t, transient.Options{RecordDir: t.TempDir()})
}

func run(t *testing.T, o transient.Options) *transient.Manager {
	t.Helper()
	o.Recorder = []string{executable(t), "record"}
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	manager := transient.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- manager.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-stopped:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not return")
		}
	})
	return manager
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestContract holds real systemd to what the fake also does.
func TestContract(t *testing.T) { transienttest.Contract(t, open, executable(t)) }
