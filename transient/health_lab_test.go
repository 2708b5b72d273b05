//go:build lab

package transient_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"brainjar/transient"
)

// TestHealthAsTheUnit: the program of a check has the unit's user and
// directory, and nothing else of it or of brainjar.
func TestHealthAsTheUnit(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	directory, err := os.MkdirTemp("/var/lib", "brainjar-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	if err := os.Chown(directory, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*transient.Spec)
		script string
		want   string
	}{
		{"user", func(s *transient.Spec) { s.User, s.WorkingDirectory = "nobody", directory },
			"id -u; id -g; id -G; pwd; cat /proc/self/oom_score_adj; env | wc -l; touch here", "65534 65534 65534 " + directory + " 500 6"},
		{"dynamic", func(s *transient.Spec) { s.User, s.Group, s.DynamicUser = "", "", true },
			"test $(id -u) -ge 61184 && touch in-the-state-directory && ls; echo $HOME", "in-the-state-directory /"},
		{"root", func(s *transient.Spec) { s.User, s.WorkingDirectory = "root", "/" }, "id -u; pwd", "0 /"},
		{"scope", func(s *transient.Spec) { s.Kind, s.User, s.WorkingDirectory = transient.Scope, "nobody", directory },
			"id -u; ls", "65534 here"},
	} {
		spec := b.spec(test.name, "sleep=1h")
		spec.Sandbox = transient.SandboxOff
		test.change(&spec)
		if err := b.Start(t.Context(), spec); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		unit := b.started(spec.Unit()).Unit
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := b.CheckHealth(ctx, unit, transient.HealthCheck{
			Exec: []string{"sh", "-c", test.script + "; exit 9"}, WorkingDirectory: spec.WorkingDirectory,
		})
		cancel()
		if err == nil || err.Error() != "exited with code 9: "+test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
		if err := b.Stop(t.Context(), spec.Unit()); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		b.ended(spec.Unit())
		if err := b.CheckHealth(t.Context(), unit, transient.HealthCheck{Exec: []string{"true"}}); err == nil || !strings.Contains(err.Error(), "main process") {
			t.Errorf("%s: when it has ended: %v", test.name, err)
		}
	}
}

// TestStartNamesWhatIsMissing: no unit is made, and the error says what to mend.
func TestStartNamesWhatIsMissing(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	for want, change := range map[string]func(*transient.Spec){
		"there is no user nobody-of-that-name":  func(s *transient.Spec) { s.User = "nobody-of-that-name" },
		"there is no group no-such-group":       func(s *transient.Spec) { s.Group = "no-such-group" },
		"environment_files: stat /nonexistent":  func(s *transient.Spec) { s.EnvironmentFiles = []string{"/nonexistent"} },
		"devices: there is no /dev/nonexistent": func(s *transient.Spec) { s.Devices = []transient.Device{{Path: "/dev/nonexistent", Access: "rw"}} },
		"working_directory: stat /nonexistent":  func(s *transient.Spec) { s.WorkingDirectory = "/nonexistent" },
	} {
		spec := b.spec("missing", "sleep=1h")
		change(&spec)
		if err := b.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if ends := all(b, anyOf[transient.Ended]); len(ends) > 0 {
		t.Errorf("%+v", ends)
	}
}
