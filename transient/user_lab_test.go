//go:build lab

package transient_test

import (
	"os"
	"os/exec"
	"testing"

	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// TestUserManager holds a user's service manager to the same contract. One is
// started for the test, as a service of the system's.
func TestUserManager(t *testing.T) {
	const unit, runtime = "brainjar.user-manager-test.service", "/run/brainjar-user-manager-test"
	if err := os.MkdirAll(runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(runtime) })
	out, err := exec.Command("systemd-run", "--unit", unit, "--property=Type=notify", "--property=Delegate=yes",
		"--setenv=XDG_RUNTIME_DIR="+runtime, "--setenv=HOME=/root", "/lib/systemd/systemd", "--user").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { systemctl(t, "stop", unit) })
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	transienttest.Contract(t, func(t *testing.T) transienttest.Systemd {
		m, _ := launch(t, transient.Options{User: true}, nil)
		return m
	}, executable(t))
}
