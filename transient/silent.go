package transient

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// firstExecutor is the first systemd that starts programs by way of a program of its own,
// systemd-executor. That reads LogExtraFields without their lengths (at least until 257),
// so that often none of what it says comes into the journal.
const firstExecutor = 254

// spawnsSilently reports whether a program may have failed to be executed although the
// journal does not say so. There, one that was never active and ended with a status of
// systemd's own was not executed: since 256 that is certain, for systemd sees the program
// executed before it sees it end, and before that it is more likely than a program that
// ends so at once.
func (h Host) spawnsSilently() bool { return h.Version >= firstExecutor }

// spawnSteps are the steps of a start that may fail, by their exit status, systemd.exec(5).
var spawnSteps = map[int]string{
	200: "CHDIR", 202: "FDS", 203: "EXEC", 205: "LIMITS", 206: "OOM_ADJUST", 208: "STDIN", 209: "STDOUT",
	214: "SETSCHEDULER", 216: "GROUP", 217: "USER", 218: "CAPABILITIES", 219: "CGROUP", 220: "SETSID", 222: "STDERR",
	225: "NETWORK", 226: "NAMESPACE", 227: "NO_NEW_PRIVILEGES", 228: "SECCOMP", 230: "PERSONALITY",
	233: "RUNTIME_DIRECTORY", 235: "CHOWN", 238: "STATE_DIRECTORY", 239: "CACHE_DIRECTORY", 240: "LOGS_DIRECTORY",
	243: "CREDENTIALS",
}

// spawnWords says, in systemd's words, why a program was not executed, as far as its exit
// status and the program's file tell. The program is "" if it is not known.
func (m *Manager) spawnWords(ctx context.Context, unit, program string, status int) string {
	step, known := spawnSteps[status]
	if !known {
		step = fmt.Sprint(status)
	}
	words := "Failed at step " + step
	if program == "" {
		return words
	}
	words += " spawning " + program
	if step != "EXEC" {
		return words
	}
	err := m.inspect(ctx, unit, func() error { return unix.Access(program, unix.X_OK) })
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		words += ": " + errno.Error()
	}
	return words
}
