package transient

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Process is a process that runs already, to be adopted. Its number alone does not
// name it: the kernel gives that to another one later.
type Process struct {
	PID   int    `json:"pid"`
	Began uint64 `json:"began"` // field starttime of /proc/PID/stat, proc(5): clock ticks since boot
}

// ErrNoProcess says that a process does not run, or not any more.
var ErrNoProcess = errors.New("no such process")

// FindProcess returns a process with the name of its user, or the number of one
// that has no name, and its command, with the path of its program.
func FindProcess(pid int) (p Process, username string, command []string, err error) {
	if pid <= 1 || pid == os.Getpid() {
		return Process{}, "", nil, fmt.Errorf("%w that could be adopted: %d", ErrNoProcess, pid)
	}
	if owner, taken := Whose(pid); taken {
		return Process{}, "", nil, fmt.Errorf("%w that could be adopted: %d is one of experiment %s", ErrNoProcess, pid, owner)
	}
	p = Process{PID: pid}
	if p.Began, err = processBegan(pid); err != nil {
		return Process{}, "", nil, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Process{}, "", nil, fmt.Errorf("%w: %d", ErrNoProcess, pid)
	}
	who, err := parseOwner(status)
	if err != nil {
		return Process{}, "", nil, fmt.Errorf("cannot read the user of process %d: %w", pid, err)
	}
	username = strconv.FormatUint(uint64(who.uid), 10)
	if u, err := user.LookupId(username); err == nil {
		username = u.Username
	}
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil { // a thread of the kernel has none
		return Process{}, "", nil, fmt.Errorf("%w that could be adopted: %d", ErrNoProcess, pid)
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // empty while it is being executed
	if err != nil {
		return Process{}, "", nil, fmt.Errorf("%w: %d", ErrNoProcess, pid)
	}
	command = strings.Split(string(bytes.TrimSuffix(line, []byte{0})), "\x00")
	command[0] = program
	return p, username, command, nil
}

// processBegan reads when a process began.
func processBegan(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("%w: %d", ErrNoProcess, pid)
	}
	began := statField(b, 22)
	if began == "" {
		return 0, fmt.Errorf("cannot read /proc/%d/stat", pid)
	}
	return strconv.ParseUint(began, 10, 64)
}

// statField returns a field of /proc/PID/stat by its number in proc(5), 3 or higher; "" if
// there is none. Field 2 is the name of the program, in parentheses, with anything in it.
func statField(stat []byte, number int) string {
	const first = 3
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= number-first {
		return ""
	}
	return fields[number-first]
}

// runs returns ErrNoProcess if it is not that process any more.
func (p Process) runs() error {
	began, err := processBegan(p.PID)
	if err == nil && began != p.Began {
		err = fmt.Errorf("%w any more: %d", ErrNoProcess, p.PID)
	}
	return err
}
