package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Access is what a route needs, or a peer has.
type Access int

// The access of peers, each with that of those before it.
const (
	None  Access = iota
	Read         // to see everything
	Act          // to act on what is configured, and on what one submitted oneself
	Admin        // everything
)

// String is the access in a word.
func (a Access) String() string { return [...]string{"none", "read", "act", "admin"}[a] }

// Peer is who is at the other end of a connection, as the kernel says.
type Peer struct {
	UID, GID uint32
	PID      int32
	Groups   []uint32 // supplementary
}

// peerOf asks the kernel who made a connection: SO_PEERCRED and, since Linux 4.13,
// SO_PEERGROUPS of socket(7) and unix(7).
func peerOf(c *net.UnixConn) (p Peer, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return p, fmt.Errorf("cannot ask who the peer is: %w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); failed == nil {
			p = Peer{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}
			p.Groups, failed = peerGroups(int(fd))
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return p, fmt.Errorf("cannot ask who the peer is: %w", err)
	}
	return p, nil
}

// peerGroups reads SO_PEERGROUPS, for which no package has a function.
func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // as getsockopt(2) wants it
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case errno == unix.ENOPROTOOPT: // an older kernel: the group that the peer runs with is known all the same
			return nil, nil
		case errno == unix.ERANGE && int(size/4) > len(groups): // the kernel says how many there are
			groups = make([]uint32, size/4)
		default:
			return nil, errno
		}
	}
}

// access is what a peer may do: group is that of members, -1 if there is none.
func (p Peer) access(group int) Access {
	switch {
	case p.UID == 0 || int(p.UID) == os.Getuid():
		return Admin
	case group >= 0 && (int(p.GID) == group || slices.Contains(p.Groups, uint32(group))):
		return Act
	}
	return None
}

// Name is the name of the peer's user, or the number of one that has none.
func (p Peer) Name() string {
	uid := strconv.FormatUint(uint64(p.UID), 10)
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return uid
}

// GroupName is the name of the peer's group, or the number of one that has none.
func (p Peer) GroupName() string {
	gid := strconv.FormatUint(uint64(p.GID), 10)
	if g, err := user.LookupGroupId(gid); err == nil {
		return g.Name
	}
	return gid
}

type peerKey struct{}

// peerOfRequest is who made a request; nobody if that is not known.
func peerOfRequest(ctx context.Context) (Peer, bool) {
	p, ok := ctx.Value(peerKey{}).(Peer)
	return p, ok
}
