package transient

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMainOfAScope: the program of a scope that this Manager did not start gets the
// signals that are for it; its children, whatever their numbers, do not.
func TestMainOfAScope(t *testing.T) {
	sleep := func() *exec.Cmd {
		cmd := exec.Command("/bin/sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	program := sleep()
	time.Sleep(50 * time.Millisecond) // the kernel tells when a process began in hundredths of a second
	child := sleep()

	m := New(Options{})
	dir := t.TempDir()
	m.cgroups = cgroups{unified: true, mounts: map[string]cgroupMount{"": {point: dir, root: "/"}}}
	const name = "brainjar-x.scope"
	m.units[unitPath(name)] = &tracked{unit: Unit{Name: name, Kind: Scope}}
	if handled, err := m.killScopeMain(name, syscall.SIGUSR1); !handled || err == nil {
		t.Errorf("one that is gone: %v, %v", handled, err)
	}
	group := filepath.Join(dir, Slice, name)
	if err := os.MkdirAll(group, 0o700); err != nil {
		t.Fatal(err)
	}
	procs := fmt.Sprintf("%d\n%d\n", child.Process.Pid, program.Process.Pid)
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(procs), 0o600); err != nil {
		t.Fatal(err)
	}
	if handled, err := m.killScopeMain(name, syscall.SIGUSR1); !handled || err != nil {
		t.Errorf("%v, %v", handled, err)
	}
	_ = program.Wait()
	if status, ok := program.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGUSR1 {
		t.Errorf("the program: %v", program.ProcessState)
	}
	if err := child.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the child: %v", err)
	}
}

// TestHelperThatHangs: a helper that may not execute the program, or did not say in time
// that it has, does not do so later.
func TestHelperThatHangs(t *testing.T) {
	sleep := exec.Command("/bin/sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(sleep.Process.Pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	control, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	m := New(Options{})
	u := &tracked{unit: Unit{Name: "brainjar-x.scope", Kind: Scope}}
	u.scope = &scopeProcess{child: &child{sleep.Process.Pid, control, os.NewFile(uintptr(pidfd), "pidfd")}}
	began := time.Now()
	m.runScope(t.Context(), nil, u, scopePlan{}) // it is in no scope
	if took := time.Since(began); took > 30*time.Second || u.scope.detail == "" || u.scope.status.Signal() != syscall.SIGKILL {
		t.Errorf("took %v: %q, %v", took, u.scope.detail, u.scope.status)
	}
}
