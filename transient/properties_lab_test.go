//go:build lab

package transient

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sddbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"brainjar/internal/quantity"
)

// labSpec is fullSpec with paths and names that exist in the lab.
func labSpec(t *testing.T, name string) Spec {
	t.Helper()
	directory, err := os.MkdirTemp("/var/lib", "brainjar-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	file := filepath.Join(directory, "environment")
	if err := os.WriteFile(file, []byte("FROM_FILE=yes\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := fullSpec()
	spec.Experiment = "properties-" + name
	spec.Command = []string{"/bin/sleep", "3600"}
	spec.EnvironmentFiles = []string{file, "-/nope"}
	spec.User, spec.Group = "nobody", "nogroup"
	spec.WorkingDirectory, spec.WritablePaths = directory, nil
	spec.Limits.CPUs = []int{0}
	spec.Limits.MemoryMax, spec.Limits.MemoryHigh = 256*quantity.MiB, 200*quantity.MiB
	spec.Ready, spec.Watchdog = ReadyExec, 0
	return spec
}

// TestPropertiesAccepted: this machine's systemd takes every property that
// would be sent to it, and the process is as confined as they say.
func TestPropertiesAccepted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	host, err := Probe(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	systemd, err := sddbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	const confined = "NoNewPrivs:\t1 Seccomp:\t2 CapBnd:\t0000000000000000 CapEff:\t0000000000000000"
	tests := []struct {
		name   string
		change func(*Spec)
		status string // lines of /proc/PID/status
		env    string // variables that must be there
	}{
		{"strict", func(s *Spec) { s.GPU = false }, confined, "FROM_FILE=yes BRAINJAR_RUN=7 CUDA_CACHE_PATH=/var/cache/brainjar-properties-strict/cuda"},
		{"gpu", func(*Spec) {}, confined, "EXPERIMENT_ID=properties-gpu HF_HOME=/models"},
		{"default", func(s *Spec) { s.Sandbox = SandboxDefault }, confined, ""},
		{"dynamic", func(s *Spec) {
			s.User, s.Group, s.DynamicUser, s.WorkingDirectory, s.Sandbox = "", "", true, "", SandboxDefault
		}, confined, ""},
		{"tmp", func(s *Spec) { s.WritablePaths = []string{"/tmp"} }, confined, ""},
		{"off", func(s *Spec) { s.Sandbox, s.Devices, s.User, s.Group = SandboxOff, nil, "root", "root" }, "NoNewPrivs:\t0 Seccomp:\t0", "BRAINJAR_ATTEMPT=2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spec := labSpec(t, test.name)
			test.change(&spec)
			if spec.WorkingDirectory != "" && spec.User == "nobody" {
				if err := os.Chown(spec.WorkingDirectory, 65534, 65534); err != nil {
					t.Fatal(err)
				}
			}
			props, warnings, err := properties(spec, host, []string{"/bin/true", "recorder"})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("warnings %q", warnings)
			startUnit(t, ctx, systemd, spec.Unit(), props)
			pid, err := systemd.GetServicePropertyContext(ctx, spec.Unit(), "MainPID")
			if err != nil {
				t.Fatal(err)
			}
			for file, want := range map[string][]string{
				"status":  strings.Split(test.status, " "),
				"environ": strings.Fields(test.env),
			} {
				var text []byte
				lacks := func(w string) bool { return !strings.Contains(string(text), w) }
				for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // it may still be between two programs
					text, err = os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid.Value.Value(), file))
					if err != nil {
						t.Fatal(err)
					}
					if !slices.ContainsFunc(want, lacks) {
						break
					}
					if time.Now().After(end) {
						t.Errorf("%s without one of %q:\n%q", file, want, text)
						break
					}
				}
			}
			for _, l := range []Limits{spec.Limits, {MemoryMax: 128 * quantity.MiB}, {}} {
				live, _, err := liveLimits(l, host, true)
				if err != nil {
					t.Fatal(err)
				}
				if err := systemd.SetUnitPropertiesContext(ctx, spec.Unit(), true, live...); err != nil {
					t.Errorf("limits %+v: %v", l, err)
				}
			}
		})
	}
	t.Run("scope", func(t *testing.T) {
		spec := labSpec(t, "scope")
		spec.Kind, spec.Sandbox = Scope, SandboxOff
		props, _, err := properties(spec, host, nil)
		if err != nil {
			t.Fatal(err)
		}
		sleep := exec.CommandContext(ctx, "/bin/sleep", "3600")
		if err := sleep.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sleep.Process.Kill(); _ = sleep.Wait() })
		pids := sddbus.Property{Name: "PIDs", Value: dbus.MakeVariant([]uint32{uint32(sleep.Process.Pid)})}
		startUnit(t, ctx, systemd, spec.Unit(), append(props, pids))
	})
}

// startUnit starts a transient unit and kills it when the test ends.
func startUnit(t *testing.T, ctx context.Context, systemd *sddbus.Conn, name string, props []sddbus.Property) {
	t.Helper()
	done := make(chan string, 1)
	if _, err := systemd.StartTransientUnitContext(ctx, name, "fail", props, done); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stopped := make(chan string, 1)
		if _, err := systemd.StopUnitContext(context.WithoutCancel(ctx), name, "replace", stopped); err == nil {
			<-stopped
		}
		_ = systemd.ResetFailedUnitContext(context.WithoutCancel(ctx), name) // it may be gone
	})
	select {
	case result := <-done:
		if result != "done" {
			log, _ := exec.CommandContext(ctx, "journalctl", "-u", name, "--no-pager", "-n", "20").CombinedOutput()
			t.Fatalf("job %s\n%s", result, log)
		}
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
}
