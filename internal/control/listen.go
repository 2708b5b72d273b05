package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
)

// GroupName is the group whose members may use the socket of the system's brainjar.
const GroupName = "brainjar"

const (
	// maxConns is how many connections there may be at once, of which keptForRoot are
	// for root alone; maxConnsOfOne is how many one user may have who is not root.
	maxConns      = 256
	keptForRoot   = 16
	maxConnsOfOne = 128
)

// Listener accepts connections to the control socket, within bounds.
type Listener struct {
	*net.UnixListener
	path  string
	Group int // gid of the members; -1: there is no such group

	mu    sync.Mutex
	conns int
	byUID map[uint32]int
}

// Listen makes the control socket. A socket that another brainjar left is replaced:
// the caller must be the only one. For the system's, the group brainjar may connect
// if there is such a group; nobody else ever, at no moment.
func Listen(path string, system bool) (*Listener, error) {
	l := &Listener{path: path, Group: -1, byUID: make(map[uint32]int)}
	private := filepath.Join(filepath.Dir(path), ".control")
	err := errors.Join(os.RemoveAll(private), os.Mkdir(private, 0o700))
	if err != nil {
		return nil, fmt.Errorf("cannot make the control socket: %w", err)
	}
	defer os.RemoveAll(private)
	born := filepath.Join(private, "s")
	if l.UnixListener, err = net.ListenUnix("unix", &net.UnixAddr{Name: born, Net: "unix"}); err != nil {
		return nil, fmt.Errorf("cannot make the control socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	mode := os.FileMode(0o600)
	if g, err := user.LookupGroup(GroupName); system && err == nil {
		if l.Group, err = strconv.Atoi(g.Gid); err == nil {
			err = os.Chown(born, -1, l.Group)
		}
		if err != nil {
			_ = l.UnixListener.Close()
			return nil, fmt.Errorf("cannot give the control socket to group %s: %w", GroupName, err)
		}
		mode = 0o660
	}
	if err = errors.Join(os.Chmod(born, mode), os.Rename(born, path)); err != nil {
		_ = l.UnixListener.Close()
		return nil, fmt.Errorf("cannot make the control socket: %w", err)
	}
	return l, nil
}

// Close ends listening and removes the socket.
func (l *Listener) Close() error {
	_ = os.Remove(l.path)
	return l.UnixListener.Close()
}

// Accept waits for the next connection. One too many is closed at once.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		peer, err := peerOf(c)
		if err != nil || !l.take(peer) {
			_ = c.Close()
			continue
		}
		return &conn{UnixConn: c, peer: peer, release: sync.OnceFunc(func() { l.give(peer) })}, nil
	}
}

func (l *Listener) take(p Peer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns >= maxConns || p.UID != 0 && (l.conns >= maxConns-keptForRoot || l.byUID[p.UID] >= maxConnsOfOne) {
		return false
	}
	l.conns++
	l.byUID[p.UID]++
	return true
}

func (l *Listener) give(p Peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns--
	if l.byUID[p.UID]--; l.byUID[p.UID] == 0 {
		delete(l.byUID, p.UID)
	}
}

// conn is a connection whose peer is known.
type conn struct {
	*net.UnixConn
	peer    Peer
	release func()
}

// Close closes the connection.
func (c *conn) Close() error {
	c.release()
	return c.UnixConn.Close()
}
