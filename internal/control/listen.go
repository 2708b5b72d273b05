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
	path   string
	system bool
	Group  int // gid of the members; -1: there is no such group

	mu     sync.Mutex
	socket *net.UnixListener
	file   os.FileInfo // of the socket
	closed bool
	conns  int
	byUID  map[uint32]int
}

// Listen makes the control socket. A socket that another brainjar left is replaced:
// the caller must be the only one. For the system's, the group brainjar may connect
// if there is such a group; nobody else ever, at no moment.
func Listen(path string, system bool) (*Listener, error) {
	l := &Listener{path: path, system: system, Group: -1, byUID: make(map[uint32]int)}
	if g, err := user.LookupGroup(GroupName); system && err == nil {
		if l.Group, err = strconv.Atoi(g.Gid); err != nil {
			return nil, fmt.Errorf("cannot give the control socket to group %s: %w", GroupName, err)
		}
	}
	if err := l.make(); err != nil {
		return nil, err
	}
	return l, nil
}

// make makes the socket, in a directory that is root's alone, and puts it in its place.
func (l *Listener) make() error {
	private := filepath.Join(filepath.Dir(l.path), ".control")
	err := errors.Join(os.RemoveAll(private), os.Mkdir(private, 0o700))
	if err != nil {
		return fmt.Errorf("cannot make the control socket: %w", err)
	}
	defer os.RemoveAll(private)
	born := filepath.Join(private, "s")
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: born, Net: "unix"})
	if err != nil {
		return fmt.Errorf("cannot make the control socket: %w", err)
	}
	socket.SetUnlinkOnClose(false)
	mode := os.FileMode(0o600)
	if l.system && l.Group >= 0 {
		if err = os.Chown(born, -1, l.Group); err != nil {
			_ = socket.Close()
			return fmt.Errorf("cannot give the control socket to group %s: %w", GroupName, err)
		}
		mode = 0o660
	}
	file, failed := os.Lstat(born)
	if err = errors.Join(failed, os.Chmod(born, mode), os.Rename(born, l.path)); err != nil {
		_ = socket.Close()
		return fmt.Errorf("cannot make the control socket: %w", err)
	}
	l.socket, l.file = socket, file
	return nil
}

// Renew makes the socket once more if somebody has removed it, and reports whether it
// did. What was put in its place is left alone.
func (l *Listener) Renew() (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := os.Lstat(l.path); l.closed || !errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	before := l.socket
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil { //nolint:gosec // as systemd makes a RuntimeDirectory
		return false, fmt.Errorf("cannot make the directory of the control socket: %w", err)
	}
	if err := l.make(); err != nil {
		return false, err
	}
	_ = before.Close() // Accept goes on with the new one
	return true, nil
}

// Addr is where the socket lies.
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close ends listening and removes the socket.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if file, err := os.Lstat(l.path); err == nil && os.SameFile(file, l.file) {
		_ = os.Remove(l.path)
	}
	l.closed = true
	return l.socket.Close()
}

// current is the socket that connections come from.
func (l *Listener) current() *net.UnixListener {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.socket
}

// Accept waits for the next connection. One too many is closed at once.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		socket := l.current()
		c, err := socket.AcceptUnix()
		if err != nil {
			if l.current() != socket {
				continue
			}
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
