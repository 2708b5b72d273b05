package transient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
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
	version string            // of systemd, such as "252.39-1~deb12u2"
}

// dial connects to a service manager. Where it does not answer in a tenth of
// the limit, it dials again, until the limit has passed.
func dial(ctx context.Context, address string, limit time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		c, err := dialOnce(ctx, address, limit)
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return c, err
		}
	}
}

func dialOnce(ctx context.Context, address string, limit time.Duration) (*conn, error) {
	path, ok := strings.CutPrefix(address, "unix:path=")
	if !ok {
		return nil, fmt.Errorf("cannot connect to %q: not of the form unix:path=SOCKET", address)
	}
	ctx, cancel := context.WithTimeout(ctx, max(limit/10, 100*time.Millisecond))
	defer cancel()
	var d net.Dialer
	socket, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to systemd: %w", err)
	}
	// godbus's authentication knows no time limit: the socket has it.
	deadline, _ := ctx.Deadline()
	_ = socket.SetReadDeadline(deadline)
	c := &conn{signals: make(chan *dbus.Signal, 64), limit: limit}
	c.bus, err = dbus.NewConn(&limitedWriter{socket, limit},
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
	if err := c.greet(ctx); err != nil {
		c.bus.Close()
		return nil, err
	}
	return c, nil
}

// greet makes the first calls. sd-bus reads the authentication into a buffer
// of 256 bytes; a first message that fits into what is left of that, and comes
// together with the end of the authentication, lies there until another one
// comes (src/libsystemd/sd-bus/bus-socket.c). So the first one is longer: it
// asks for units of a name that no unit has.
func (c *conn) greet(ctx context.Context) error {
	var none []listedUnit
	longer := []string{Prefix + strings.Repeat("-", 1024)}
	if err := c.manager(ctx, "ListUnitsByPatterns", []any{[]string{}, longer}, &none); err != nil {
		return err
	}
	return c.get(ctx, managerPath, managerIface, "Version", &c.version)
}

// limitedWriter gives up on a peer that does not read: a write that does not
// finish within the limit fails, and godbus closes the connection.
type limitedWriter struct {
	net.Conn
	limit time.Duration
}

func (w *limitedWriter) Write(b []byte) (int, error) {
	_ = w.SetWriteDeadline(time.Now().Add(w.limit))
	return w.Conn.Write(b)
}

func (c *conn) close() { c.bus.Close() }

// call calls a method and stores what it returns. Every error that is not
// systemd's own answer is ErrUncertain. After a time-out, which means that
// systemd hangs, the connection is closed: whoever keeps it makes a new one and
// finds out what became of everything.
func (c *conn) call(ctx context.Context, path dbus.ObjectPath, method string, args []any, results ...any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, errNoAnswer)
	defer cancel()
	short := method[strings.LastIndexByte(method, '.')+1:]
	call := c.bus.Object(busName, path).CallWithContext(ctx, method, 0, args...)
	switch {
	case call.Err == nil:
	case isBusError(call.Err):
		return fmt.Errorf("%s: %w", short, call.Err)
	case errors.Is(context.Cause(ctx), errNoAnswer):
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

// errNoAnswer tells the connection's own time limit from the caller's.
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
