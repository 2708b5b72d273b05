package transient

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestProbeAgain: a service manager that drops the connection, as one does that
// executes itself again, is asked again; one that is not there is not waited for.
func TestProbeAgain(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	socket := filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd", "private")
	if _, err := Probe(t.Context(), true); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("no service manager: %v", err)
	}
	if err := os.Mkdir(filepath.Dir(socket), 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	const drops = 3
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		defer cancel() // it has been asked often enough
		for range drops {
			c, err := listener.Accept()
			if err != nil {
				t.Errorf("accept: %v", err)
				return
			}
			c.Close()
		}
	}()
	if _, err := Probe(ctx, true); err == nil {
		t.Error("nobody answered, and that is no error")
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("it was not asked %d times", drops)
	}
}
