package control_test

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// becomeOnThisThread makes the calling thread another user's, alone of all threads:
// the functions of package syscall would change them all.
func becomeOnThisThread(uid int, groups []int) error {
	gids := make([]uint32, len(groups))
	for i, g := range groups {
		gids[i] = uint32(g)
	}
	gid := uid // with no group at all: one of the user's own
	if len(groups) > 0 {
		gid = groups[0]
	}
	if err := setGroups(gids); err != nil {
		return err
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
		return errno
	}
	return nil
}

func setGroups(gids []uint32) error {
	gids = append(gids, 0) // whose address there is
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(gids)-1), uintptr(unsafe.Pointer(&gids[0])), 0); errno != 0 {
		return errno
	}
	return nil
}
