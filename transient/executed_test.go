package transient

import (
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestRunsProgram: the flags of a process tell whether it has executed a program; its
// name can be anything.
func TestRunsProgram(t *testing.T) {
	for stat, want := range map[string]bool{
		"7 ((a) b 64) R 1 7 7 0 -1 64 0 0":     false, // PF_FORKNOEXEC
		"7 (systemd) S 1 7 7 0 -1 4194368":     false, // with PF_RANDOMIZE
		"7 (python3) S 1 7 7 0 -1 4194304 0 0": true,
		"7 (python3) S 1 7 7 0 -1 x 0 0":       true,
		"7 (python3) Z 1 7 7 0 -1 4194368 0 0": false,
		"7 (python3) X 1 7 7 0 -1 4194304 0 0": false,
		"7 (python3)":                          false,
		"":                                     false,
	} {
		if got := statRunsProgram([]byte(stat)); got != want {
			t.Errorf("%q: %t, want %t", stat, got, want)
		}
	}
	if !runsProgram(os.Getpid()) {
		t.Error("this test runs no program")
	}
	if runsProgram(0) {
		t.Error("no process runs a program")
	}
}

// TestBeginsWhenExecuted: a unit that is active before its program runs begins once, when
// that is executed; one that ends before never began.
func TestBeginsWhenExecuted(t *testing.T) {
	for _, test := range []struct {
		name string
		kind Kind
		pids []int
		want int
	}{
		{"at once", Service, []int{os.Getpid()}, 1},
		{"later", Service, []int{0, os.Getpid()}, 1},
		{"never", Service, []int{0, 0}, 0},
		{"a scope", Scope, []int{0}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := New(Options{RecordDir: t.TempDir()})
				m.host.Version, m.ctx = firstExec-1, t.Context()
				u := &tracked{unit: Unit{Name: UnitName("x", test.kind), Experiment: "x", Run: 1, Kind: test.kind}}
				apply := func(s unitState, pid int) {
					m.mu.Lock()
					defer m.mu.Unlock()
					u.service = serviceState{mainPID: pid, result: "success", code: cldExited}
					m.apply(nil, u, s, false)
				}
				state := unitState{invocation: anInvocation, began: 10, changed: 11, active: "active"}
				for _, pid := range test.pids {
					apply(state, pid)
					time.Sleep(time.Minute)
				}
				state.active, state.changed = "inactive", 12
				apply(state, 0)
				started, ended := 0, 0
				for {
					event, ok := m.stream.take()
					if !ok {
						break
					}
					switch event.(type) {
					case Started:
						started++
					case Ended:
						ended++
					}
				}
				if started != test.want || ended != 1 {
					t.Errorf("began %d times, want %d; ended %d times", started, test.want, ended)
				}
				time.Sleep(time.Minute) // nobody looks at it any more
			})
		})
	}
}
