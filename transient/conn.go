package transient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"
)

// The names of systemd's D-Bus API, org.freedesktop.systemd1(5).
const (
	busName      = "org.freedesktop.systemd1"
	managerPath  = dbus.ObjectPath("/org/freedesktop/systemd1")
	managerIface = "org.freedesktop.systemd1.Manager"
	unitIface    = "org.freedesktop.systemd1.Unit"
	serviceIface = "org.freedesktop.systemd1.Service"
	scopeIface   = "org.freedesktop.systemd1.Scope"
	propsIface   = "org.freedesktop.DBus.Properties"
)

// privateAddress is the socket on which a service manager serves its own user
// without a message bus between: all signals come without being subscribed to,
// and it survives a restart of dbus-daemon.
func privateAddress(user bool) string {
	if user {
		return "unix:path=" + os.Getenv("XDG_RUNTIME_DIR") + "/systemd/private"
	}
	return "unix:path=/run/systemd/private"
}

// conn is one connection to a service manager. Nothing in it waits for longer
// than its limit.
type conn struct {
	bus     *dbus.Conn
	signals chan *dbus.Signal // in the order they came; closed with the connection
	limit   time.Duration     // for each call
	socket  *socket
	version string // of systemd, such as "252.39-1~deb12u2"
}

// dial connects to a service manager and makes the first call of a connection,
// greet. Where it does not answer in a tenth of the limit, it dials again, until
// the limit has passed.
//
// sd-bus reads the authentication into a buffer of 256 bytes; a first message
// that fits into what is left of that, and comes together with the end of the
// authentication, lies there until another one comes
// (src/libsystemd/sd-bus/bus-socket.c). So the first call must be longer.
func dial(ctx context.Context, address string, limit time.Duration, greet func(context.Context, *conn) error) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		c, err := dialOnce(ctx, address, limit, greet)
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return c, err
		}
	}
}

func dialOnce(ctx context.Context, address string, limit time.Duration, greet func(context.Context, *conn) error) (*conn, error) {
	path, ok := strings.CutPrefix(address, "unix:path=")
	if !ok {
		return nil, fmt.Errorf("cannot connect to %q: not of the form unix:path=SOCKET", address)
	}
	ctx, cancel := context.WithTimeout(ctx, max(limit/10, 100*time.Millisecond))
	defer cancel()
	var d net.Dialer
	unix, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		var call *os.SyscallError // below what names the kind of socket, and the call
		if errors.As(err, &call) {
			err = call.Err
		}
		return nil, fmt.Errorf("cannot connect to systemd on %s: %w", path, err)
	}
	socket := &socket{Conn: unix, limit: limit}
	socket.in = bufio.NewReader(readFunc(socket.receive))
	// godbus's authentication knows no time limit: the socket has it.
	deadline, _ := ctx.Deadline()
	_ = socket.SetReadDeadline(deadline)
	c := &conn{signals: make(chan *dbus.Signal, 64), limit: limit, socket: socket}
	c.bus, err = dbus.NewConn(socket,
		dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("cannot connect to systemd: %w", err)
	}
	if err := c.bus.Auth([]dbus.Auth{dbus.AuthExternal(fmt.Sprint(os.Geteuid()))}); err != nil {
		c.bus.Close()
		if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
			err = context.DeadlineExceeded
		}
		return nil, fmt.Errorf("cannot authenticate to systemd: %w", err)
	}
	_ = socket.SetReadDeadline(time.Time{})
	c.bus.Signal(c.signals)
	if err := greet(ctx, c); err != nil {
		c.bus.Close()
		return nil, err
	}
	return c, nil
}

// padding is a pattern that no unit's name has, and that makes a call long
// enough to be the first of a connection.
var padding = Prefix + strings.Repeat("-", 1024)

// askVersion is the greeting of those who want to know whom they talk to.
func askVersion(ctx context.Context, c *conn) error {
	if _, err := c.list(ctx, padding); err != nil {
		return err
	}
	return c.get(ctx, managerPath, managerIface, "Version", &c.version)
}

// list returns the units whose names match one of the patterns, glob(7).
func (c *conn) list(ctx context.Context, patterns ...string) (units []listedUnit, err error) {
	err = c.manager(ctx, "ListUnitsByPatterns", []any{[]string{}, patterns}, &units)
	return units, err
}

// socket gives up on a peer that does not read: a write that does not finish
// within the limit fails, and godbus closes the connection. And it knows when
// the peer was last heard. godbus reads a message in small pieces: one call of
// the kernel takes them, and the messages that follow.
type socket struct {
	net.Conn
	limit time.Duration
	heard atomic.Pointer[time.Time]
	in    *bufio.Reader // of receive
}

func (s *socket) Write(b []byte) (int, error) {
	_ = s.SetWriteDeadline(time.Now().Add(s.limit))
	return s.Conn.Write(b)
}

func (s *socket) Read(b []byte) (int, error) { return s.in.Read(b) }

// receive is a Read that comes from the peer.
func (s *socket) receive(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if n > 0 {
		s.hear()
	}
	return n, err
}

// readFunc makes an io.Reader of a function.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

func (s *socket) hear() {
	now := time.Now()
	s.heard.Store(&now)
}

// silent returns for how long the peer has not been heard.
func (s *socket) silent() time.Duration {
	if heard := s.heard.Load(); heard != nil {
		return time.Since(*heard)
	}
	return s.limit
}

func (c *conn) close() { c.bus.Close() }

// busyLimits is how many limits a call may take while systemd is heard: it then
// works on something else, such as hundreds of deaths, and does not hang.
const busyLimits = 3

// call calls a method and stores what it returns. Every error that is not
// systemd's own answer is ErrUncertain. When systemd hangs, the connection is
// closed: whoever keeps it makes a new one and finds out what became of
// everything.
func (c *conn) call(ctx context.Context, path dbus.ObjectPath, method string, args []any, results ...any) error {
	short := method[strings.LastIndexByte(method, '.')+1:]
	call, answered := c.ask(ctx, path, method, args)
	switch {
	case answered && call.Err == nil:
	case answered && isBusError(call.Err):
		return fmt.Errorf("%s: %w", short, call.Err)
	case !answered || errors.Is(context.Cause(ctx), errNoAnswer):
		c.close()
		return fmt.Errorf("%s: %w: %w", short, ErrUncertain, context.DeadlineExceeded)
	default: // the connection was lost, or the caller did not want to wait
		return fmt.Errorf("%s: %w: %w", short, ErrUncertain, call.Err)
	}
	if len(results) == 0 {
		return nil
	}
	if err := call.Store(results...); err != nil {
		return fmt.Errorf("%s: cannot read the answer: %w", short, err)
	}
	return nil
}

// ask calls a method and waits until it is over, or until the limit has passed
// in which nothing was heard from systemd.
func (c *conn) ask(ctx context.Context, path dbus.ObjectPath, method string, args []any) (call *dbus.Call, answered bool) {
	ctx, cancel := context.WithTimeout(ctx, busyLimits*c.limit)
	defer cancel()
	call = c.bus.Object(busName, path).GoWithContext(ctx, method, 0, make(chan *dbus.Call, 1), args...)
	begin, silence := time.Now(), time.NewTimer(c.limit)
	defer silence.Stop()
	for {
		select {
		case <-call.Done:
			return call, !errors.Is(call.Err, context.DeadlineExceeded) || time.Since(begin) < busyLimits*c.limit
		case <-silence.C:
			left := c.limit - c.socket.silent()
			if left <= 0 {
				return call, false
			}
			silence.Reset(left)
		}
	}
}

// errNoAnswer tells a time limit of this package from a caller's.
var errNoAnswer = errors.New("no answer from systemd")

// manager calls a method of systemd's Manager object.
func (c *conn) manager(ctx context.Context, method string, args []any, results ...any) error {
	return c.call(ctx, managerPath, managerIface+"."+method, args, results...)
}

// get reads one property.
func (c *conn) get(ctx context.Context, path dbus.ObjectPath, iface, property string, result any) error {
	var v dbus.Variant
	if err := c.call(ctx, path, propsIface+".Get", []any{iface, property}, &v); err != nil {
		return err
	}
	if err := dbus.Store([]any{v.Value()}, result); err != nil {
		return fmt.Errorf("property %s: %w", property, err)
	}
	return nil
}

// getAll reads all properties of an interface.
func (c *conn) getAll(ctx context.Context, path dbus.ObjectPath, iface string) (map[string]dbus.Variant, error) {
	var all map[string]dbus.Variant
	err := c.call(ctx, path, propsIface+".GetAll", []any{iface}, &all)
	return all, err
}

// isBusError reports whether systemd itself answered with an error.
func isBusError(err error) bool {
	var e dbus.Error
	return errors.As(err, &e)
}

// busErrorName returns the name of the error that systemd answered with, such
// as "org.freedesktop.systemd1.UnitExists", or "".
func busErrorName(err error) string {
	var e dbus.Error
	if errors.As(err, &e) {
		return e.Name
	}
	return ""
}
