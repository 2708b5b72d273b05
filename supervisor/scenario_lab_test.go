//go:build lab

package supervisor_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// TestMain lets this test binary be what brainjar's units run: the recorder of
// their ends, the helper of scopes, and the workload itself.
func TestMain(m *testing.M) {
	if code, handled := transient.Hidden(os.Args[1:]); handled {
		os.Exit(code)
	}
	transienttest.RunWorkload(os.Args[1:])
	os.Exit(m.Run())
}

// TestScenariosOnSystemd plays every scenario on the systemd of this machine.
func TestScenariosOnSystemd(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(scenarios)) {
		play(t, name, func(t *testing.T, do func(stage)) {
			dir := t.TempDir()
			do(stage{TB: t, dir: dir, program: program, real: true, open: func() systemd {
				return transient.New(transient.Options{
					User:      os.Geteuid() != 0,
					RecordDir: filepath.Join(dir, "ended"),
					Recorder:  []string{program, "record"},
				})
			}})
		})
	}
}
