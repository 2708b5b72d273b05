package transient

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// firstExec is the first systemd that can be asked for Type=exec. Before it (JetPack 5
// has 245, Debian 11 has 247) a program that ends before systemd has seen that it was
// executed leaves the pipe between the two in PID 1's event loop, if the unit has an
// ExecStopPost: PID 1 then handles nothing but the end of that pipe, for ever
// (systemd pull request 20030).
const firstExec = 249

// activeEarly reports whether a unit is active as soon as its process was forked, and
// so before it is known whether the program can be executed: Type=simple.
func (h Host) activeEarly() bool { return h.Version < firstExec }

// runsProgram asks the kernel whether a process that systemd forked runs a program: has
// called execve(2), and is not over. What is over cannot be told from what never ran one.
func runsProgram(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && statRunsProgram(stat)
}

// statRunsProgram reads fields 3 and 9 of /proc/PID/stat, proc(5): the state, and the
// flags, of which PF_FORKNOEXEC is set from fork(2) to execve(2) (include/linux/sched.h).
func statRunsProgram(stat []byte) bool {
	const forkNoExec = 0x40
	switch statField(stat, 3) {
	case "", "Z", "X":
		return false
	}
	flags, err := strconv.ParseUint(statField(stat, 9), 10, 32)
	return err != nil || flags&forkNoExec == 0 // a kernel that says it in another way is not waited for
}

// hasExecuted reports whether the program of an active unit runs. If not, the unit begins
// when it does; one that ends before has not begun. The caller holds mu.
func (m *Manager) hasExecuted(c *conn, t *tracked) bool {
	if !m.host.activeEarly() || t.unit.Kind == Scope || t.executed {
		return true // the process of a scope is not one that systemd forked
	}
	if t.executed = runsProgram(t.unit.MainPID); t.executed || t.awaited {
		return t.executed
	}
	t.awaited = true
	invocation := t.unit.Invocation
	m.spawn(func(ctx context.Context) {
		const longest = 200 * time.Millisecond // between two looks: a dead file system can keep it for ever
		for delay := time.Millisecond; ; delay = min(2*delay, longest) {
			if sleep(ctx, delay) != nil || m.lookExecuted(c, t, invocation) {
				return
			}
		}
	})
	return false
}

// lookExecuted looks once more whether the program of an invocation runs, and begins it
// then. It returns true when there is nothing more to wait for: a process that is over is
// waited for until systemd says so too.
func (m *Manager) lookExecuted(c *conn, t *tracked, invocation string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.unit.Invocation != invocation || t.started || t.ended || t.doubted != nil {
		return true
	}
	if !runsProgram(t.unit.MainPID) {
		return false
	}
	t.executed = true
	m.begin(c, t, false)
	return true
}
