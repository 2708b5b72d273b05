package transient

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// owner is who a unit's program runs as: the real user and group, so that a
// program with the set-user-ID bit does not lend its rights.
type owner struct {
	pid      int
	uid, gid uint32
	groups   []uint32
}

// credential is what a process needs to become the same; nil where brainjar is
// that already, and could not change it.
func (o owner) credential() *syscall.Credential {
	if os.Geteuid() != 0 && int(o.uid) == os.Getuid() {
		return nil
	}
	return &syscall.Credential{Uid: o.uid, Gid: o.gid, Groups: o.groups}
}

// owner finds out who the main process of a unit is; where that is not known,
// as with a scope that was found running, the oldest of its processes.
func (m *Manager) owner(unit Unit) (owner, error) {
	g := m.lockedGroup(unit.Name)
	pid := unit.MainPID
	if pid == 0 {
		var err error
		if pid, err = g.oldest(); err != nil {
			return owner{}, named("find a process of", unit.Name, err)
		}
	}
	return g.owner(unit.Name, pid)
}

// oldest returns the process of the group that began first: the others are its children.
func (g group) oldest() (oldest int, err error) {
	pids, err := g.pids()
	first := uint64(math.MaxUint64)
	for _, pid := range slices.Sorted(slices.Values(pids)) {
		if began, err := processBegan(pid); err == nil && began < first {
			oldest, first = pid, began
		}
	}
	if oldest == 0 {
		return 0, errors.Join(ErrNoUnit, err)
	}
	return oldest, nil
}

// killOldest sends a signal to the oldest process of the group. Its descriptor is opened
// before the group is looked at again, so that it cannot be another's by then.
func (g group) killOldest(sig syscall.Signal) error {
	pid, err := g.oldest()
	if err != nil {
		return err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		defer unix.Close(fd)
		if again, _ := g.oldest(); again != pid {
			return ErrNoUnit
		}
		err = unix.PidfdSendSignal(fd, sig, nil, 0)
	}
	if errors.Is(err, unix.ESRCH) {
		err = ErrNoUnit
	}
	return err
}

// owner reads who a process of the group is. The group is looked at last:
// if the number has gone to another process meanwhile, that shows.
func (g group) owner(unit string, pid int) (owner, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return owner{}, named("find the main process of", unit, err)
	}
	who, err := parseOwner(status)
	if err != nil {
		return owner{}, named("read the user of", unit, err)
	}
	who.pid = pid
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return owner{}, named("find the main process of", unit, err)
	}
	if own := path.Clean(g.ownGroup(b)); own != g.path && !strings.HasPrefix(own, g.path+"/") {
		return owner{}, named("find the main process of", unit, fmt.Errorf("process %d belongs to %s", pid, own))
	}
	return who, nil
}

// parseOwner reads the lines Uid, Gid (real, effective, saved, file system)
// and Groups of /proc/PID/status, proc(5).
func parseOwner(status []byte) (owner, error) {
	var who owner
	found := 0
	for line := range bytes.Lines(status) {
		key, value, _ := strings.Cut(string(line), ":")
		var numbers []uint32
		switch key {
		case "Uid", "Gid", "Groups":
			for field := range strings.FieldsSeq(value) {
				n, err := strconv.ParseUint(field, 10, 32)
				if err != nil {
					return owner{}, fmt.Errorf("cannot read %s: %w", key, err)
				}
				numbers = append(numbers, uint32(n))
			}
		}
		switch {
		case key == "Groups":
			who.groups = numbers
		case key == "Uid" && len(numbers) == 4:
			who.uid = numbers[0]
			found++
		case key == "Gid" && len(numbers) == 4:
			who.gid = numbers[0]
			found++
		}
	}
	if found != 2 {
		return owner{}, errors.New("it is not said")
	}
	return who, nil
}
