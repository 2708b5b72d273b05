package transient

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

func TestStreamProperties(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	handedOver := fullSpec()
	handedOver.Streams = &[3]*os.File{null, null, null}
	logged := fullSpec()
	logged.LogFile = "/var/log/x.log"
	fd := dbus.UnixFD(null.Fd())
	all := "StandardInput StandardInputFileDescriptor StandardOutput StandardOutputFileToAppend StandardOutputFileDescriptor " +
		"StandardError StandardErrorFileToAppend StandardErrorFileDescriptor"
	for _, test := range []struct {
		name string
		spec Spec
		want map[string]any
	}{
		{"journal", fullSpec(), map[string]any{"StandardInput": "null", "StandardOutput": "journal", "StandardError": "journal"}},
		{"streams", handedOver, map[string]any{"StandardInputFileDescriptor": fd, "StandardOutputFileDescriptor": fd, "StandardErrorFileDescriptor": fd}},
		{"log file", logged, map[string]any{"StandardInput": "null", "StandardOutputFileToAppend": "/var/log/x.log", "StandardErrorFileToAppend": "/var/log/x.log"}},
	} {
		for _, host := range []Host{jetpack5, debian13} {
			props, _, err := properties(test.spec, host, recorder)
			if err != nil {
				t.Fatal(err)
			}
			for name := range strings.FieldsSeq(all) {
				if got := sent(props, name); got != test.want[name] {
					t.Errorf("%s: %s is %v, want %v", test.name, name, got, test.want[name])
				}
			}
		}
	}
	handedOver.LogFile = "/var/log/x.log"
	if _, _, err := properties(handedOver, debian12, recorder); err == nil {
		t.Error("both streams and a log file: no error")
	}
	handedOver.Streams, handedOver.LogFile = &[3]*os.File{null, nil, null}, ""
	if _, _, err := properties(handedOver, debian12, recorder); err == nil {
		t.Error("one stream is missing: no error")
	}
}

// TestPrepareLog: the file is made where nobody else can put a link in its place.
func TestPrepareLog(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.log")
	for range 2 {
		if err := prepareLog(good); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(good); err != nil || info.Mode()&^0o640 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(good, filepath.Join(dir, "link.log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"relative.log":                      "absolute",
		dir + "/../x.log":                   "clean",
		dir + "/a\nb.log":                   "clean",
		filepath.Join(dir, "no", "x.log"):   "no such file",
		filepath.Join(open, "x.log"):        "others may write",
		filepath.Join(dir, "link.log"):      "symbolic links",
		filepath.Join(dir, "link", "x.log"): "others may write",
		open:                                "directory",
	} {
		if err := prepareLog(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestPassingHangs: a systemd that does not answer keeps nobody, and leaves no
// connection behind.
func TestPassingHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "private")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	m := New(Options{Address: "unix:path=" + path, CallTimeout: 20 * time.Millisecond})
	if _, err := m.dialPassing(t.Context()); !errors.Is(err, ErrDisconnected) {
		t.Errorf("%v, want ErrDisconnected", err)
	}
	silent, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_ = silent.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(io.Discard, silent); err != nil {
		t.Errorf("the connection is not closed: %v", err)
	}
	listener.Close()
	if _, err := m.dialPassing(t.Context()); !errors.Is(err, ErrDisconnected) {
		t.Errorf("nobody listens: %v, want ErrDisconnected", err)
	}
}
