//go:build lab

package transient_test

import (
	"os/exec"
	"testing"

	"brainjar/transient"
)

// TestSystemctlFreeze: what a person does with systemctl freeze and thaw is noticed, and
// a signal that follows a Thaw is heard. On control groups v1 systemd refuses to freeze.
func TestSystemctlFreeze(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	host, err := b.Host(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	unit := b.start(b.spec("frozen", "on=USR1:exit=7", "status=set", "sleep=1h"))
	await(b, "a status", 1, anyOf[transient.Status])
	if !host.Unified {
		if out, err := exec.Command("systemctl", "freeze", unit).CombinedOutput(); err == nil {
			t.Errorf("control groups v1, and systemctl freeze succeeds: %s", out)
		}
		if err := b.Stop(t.Context(), unit); err != nil {
			t.Error(err)
		}
		b.ended(unit)
		b.forget()
		return
	}
	told := func(frozen bool) func() bool {
		return func() bool {
			if _, err := b.Usage(unit); err != nil {
				t.Fatal(err)
			}
			events := all(b, anyOf[transient.Frozen])
			return len(events) > 0 && events[len(events)-1] == transient.Frozen{Unit: unit, Frozen: frozen}
		}
	}
	systemctl(t, "freeze", unit)
	eventually(t, "the freeze is told", told(true))
	systemctl(t, "thaw", unit)
	eventually(t, "the thaw is told", told(false))
	systemctl(t, "freeze", unit)
	for range 2 { // the second time it is not frozen
		if err := b.Thaw(t.Context(), unit); err != nil {
			t.Fatal(err)
		}
	}
	systemctl(t, "kill", "--kill-who=main", "--signal=USR1", unit)
	if o := b.ended(unit).Outcome; o.ExitCode != 7 {
		t.Errorf("%+v", o)
	}
	b.forget()
}
