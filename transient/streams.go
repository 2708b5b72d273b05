package transient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	sddbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// checkStreams refuses what cannot be said of where output goes.
func checkStreams(spec Spec) error {
	if spec.Streams == nil {
		return nil
	}
	for _, f := range spec.Streams {
		if f == nil {
			return errors.New("cannot hand over standard input, output and error: one of them is missing")
		}
	}
	if spec.LogFile != "" {
		return errors.New("cannot both hand over standard output and append it to a log file")
	}
	return nil
}

// addStreams adds where input comes from and where output goes. systemd 245 knows
// all of these.
func addStreams(props *propertyList, spec Spec) {
	if s := spec.Streams; s != nil {
		props.add("StandardInputFileDescriptor", descriptor(s[0]))
		props.add("StandardOutputFileDescriptor", descriptor(s[1]))
		props.add("StandardErrorFileDescriptor", descriptor(s[2]))
		return
	}
	props.add("StandardInput", "null")
	if spec.LogFile != "" {
		props.add("StandardOutputFileToAppend", spec.LogFile)
		props.add("StandardErrorFileToAppend", spec.LogFile)
		return
	}
	props.add("StandardOutput", "journal")
	props.add("StandardError", "journal")
}

// descriptor is a file as D-Bus passes it, type h. Fd makes it wait, which
// programs expect of their streams.
func descriptor(f *os.File) dbus.UnixFD { return dbus.UnixFD(f.Fd()) }

// submitStreams is submit for a unit that gets descriptors. These need a
// connection that passes them, which godbus makes by itself alone: then it is not
// the one of this package, whose writes have a time limit. So they get one of
// their own, which is closed when the time of the start is over.
func (m *Manager) submitStreams(ctx context.Context, c *conn, t *tracked, spec Spec, props []sddbus.Property) error {
	passing, err := m.dialPassing(ctx)
	if err != nil {
		m.drop(t)
		return err
	}
	defer passing.close()
	defer runtime.KeepAlive(spec.Streams)
	return m.submitOver(ctx, c, passing, t, props)
}

// dialPassing makes a connection that passes descriptors. systemd takes none
// before the authentication is over, which the greeting's answer shows.
func (m *Manager) dialPassing(ctx context.Context) (*conn, error) {
	failed := func(err error) (*conn, error) {
		return nil, fmt.Errorf("%w that passes descriptors: %w", ErrDisconnected, err)
	}
	s := &socket{limit: m.options.CallTimeout}
	bus, err := dbus.Dial(m.options.Address, dbus.WithContext(ctx),
		dbus.WithIncomingInterceptor(func(*dbus.Message) { s.hear() }))
	if err != nil {
		return failed(err)
	}
	c := &conn{bus: bus, limit: m.options.CallTimeout, socket: s}
	greeting := time.AfterFunc(m.options.CallTimeout, c.close)
	defer greeting.Stop()
	err = bus.Auth([]dbus.Auth{dbus.AuthExternal(fmt.Sprint(os.Geteuid()))})
	if err == nil && !bus.SupportsUnixFDs() {
		err = ErrUnsupported
	}
	if err == nil {
		err = askVersion(ctx, c)
	}
	if err != nil {
		c.close()
		return failed(err)
	}
	return c, nil
}

// prepareLog makes the file that output is appended to. systemd opens it as
// root and would follow links, so nobody else may write in its directory.
func prepareLog(path string) error {
	if path == "" {
		return nil
	}
	f, err := openLog(path)
	if err != nil {
		return err
	}
	return f.Close()
}

func openLog(path string) (*os.File, error) {
	if filepath.Clean(path) != path || !filepath.IsAbs(path) || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' }) {
		return nil, fmt.Errorf("cannot append the output to %q: no clean absolute path", path)
	}
	dir := filepath.Dir(path)
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot append the output to a file: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("cannot append the output to %s: others may write in its directory", path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o640) //nolint:gosec // an administrator may give the directory a group that reads
	if err != nil {
		return nil, fmt.Errorf("cannot append the output to a file: %w", err)
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot append the output to %s: %w", path, err)
	}
	return f, nil
}
