//go:build lab

package transient_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brainjar/transient"
)

// pipes are the ends of a program's streams that a test keeps.
type pipes struct {
	in       *os.File
	out, err *os.File
}

// connected hands the other ends to a spec. The returned function closes them, as
// whoever starts a spec has to.
func connected(t *testing.T, spec *transient.Spec) (p pipes, handedOver func()) {
	t.Helper()
	var theirs [3]*os.File
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		return r, w
	}
	theirs[0], p.in = pipe()
	p.out, theirs[1] = pipe()
	p.err, theirs[2] = pipe()
	spec.Streams = &theirs
	return p, func() {
		for _, f := range theirs {
			f.Close()
		}
	}
}

// kinds are services and scopes, for what both must do.
var kinds = []transient.Kind{transient.Service, transient.Scope}

// TestStreams: a program gets the descriptors themselves. What goes in comes out,
// byte for byte; errors are apart; the end of the input arrives, and so do the end
// of the output and the exit code; nothing is left open.
func TestStreams(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	for i, size := range []int{64 << 20, b.rand.IntN(1 << 20), 0} {
		for _, kind := range kinds {
			name := fmt.Sprintf("%s-%d", kind, size)
			before := openFiles(t)
			spec := b.spec(name)
			spec.Kind = kind
			spec.Command = []string{"/bin/sh", "-c", fmt.Sprintf("cat; echo to errors >&2; exit %d", 40+i)}
			p, handedOver := connected(t, &spec)
			unit := b.start(spec)
			handedOver()

			sent := sha256.New()
			go func() {
				_, _ = io.CopyN(io.MultiWriter(p.in, sent), rand.NewChaCha8([32]byte{byte(i)}), int64(size))
				p.in.Close()
			}()
			_ = p.out.SetReadDeadline(time.Now().Add(patience))
			_ = p.err.SetReadDeadline(time.Now().Add(patience))
			received := sha256.New()
			n, err := io.Copy(received, p.out)
			if err != nil || n != int64(size) || !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
				t.Errorf("%s: %d bytes of %d came out, %v", name, n, size, err)
			}
			if text, err := io.ReadAll(p.err); err != nil || string(text) != "to errors\n" {
				t.Errorf("%s: errors %q, %v", name, text, err)
			}
			if o := b.ended(unit).Outcome; o.Result != transient.ExitCode || o.ExitCode != 40+i {
				t.Errorf("%s: %+v", name, o)
			}
			p.out.Close()
			p.err.Close()
			eventually(t, name+": as many descriptors as before", func() bool { return openFiles(t) <= before })
		}
	}
	b.forget()
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestStreamsOutlive: the program's streams are its own: they work while the
// Manager is gone, and after a daemon-reload.
func TestStreamsOutlive(t *testing.T) {
	dir := t.TempDir()
	first := newBench(t, transient.Options{RecordDir: dir})
	first.synced(1)
	spec := first.spec("cat")
	spec.Command = []string{"/bin/cat"}
	p, handedOver := connected(t, &spec)
	unit := first.start(spec)
	handedOver()
	first.started(unit)
	first.die()
	systemctl(t, "daemon-reload")
	if _, err := p.in.WriteString("still here"); err != nil {
		t.Error(err)
	}
	p.in.Close()
	_ = p.out.SetReadDeadline(time.Now().Add(patience))
	if text, err := io.ReadAll(p.out); err != nil || string(text) != "still here" {
		t.Errorf("%q, %v", text, err)
	}
	second := newBench(t, transient.Options{RecordDir: dir})
	second.synced(1)
	if o := second.ended(unit).Outcome; o.Result != transient.Success {
		t.Errorf("%+v", o)
	}
	second.forget()
}

// TestStreamsFail: a start that fails leaves no descriptor open, and says why.
func TestStreamsFail(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	before := openFiles(t)
	for _, kind := range kinds {
		running := b.spec("twice-"+string(kind), "sleep=1h")
		running.Kind = kind
		b.started(b.start(running))
		spec := running
		p, handedOver := connected(t, &spec)
		if err := b.Start(t.Context(), spec); !errors.Is(err, transient.ErrExists) {
			t.Errorf("%s: %v, want ErrExists", kind, err)
		}
		handedOver()
		_ = p.out.SetReadDeadline(time.Now().Add(patience))
		if text, err := io.ReadAll(p.out); err != nil || len(text) > 0 {
			t.Errorf("%s: %q, %v", kind, text, err)
		}
		p.in.Close()
		p.out.Close()
		p.err.Close()
		if err := b.Stop(t.Context(), running.Unit()); err != nil {
			t.Error(err)
		}
		b.ended(running.Unit())
	}
	missing := b.spec("missing")
	missing.Command = []string{"/nonexistent/program"}
	p, handedOver := connected(t, &missing)
	if o := b.ended(b.start(missing)).Outcome; o.Result != transient.StartFailed {
		t.Errorf("%+v", o)
	}
	handedOver()
	b.forget()
	_ = p.out.SetReadDeadline(time.Now().Add(patience))
	if text, err := io.ReadAll(p.out); err != nil || len(text) > 0 {
		t.Errorf("output of a missing program: %q, %v", text, err)
	}
	p.in.Close()
	p.out.Close()
	p.err.Close()
	eventually(t, "as many descriptors as before", func() bool { return openFiles(t) <= before })
}

// TestLogFile: output and errors are appended to the file, which only root
// reads and writes, whoever the program runs as; a link is not followed.
func TestLogFile(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	dir := t.TempDir()
	for _, kind := range kinds {
		spec := b.spec("log-" + string(kind))
		spec.Kind, spec.User = kind, "nobody"
		spec.Command = []string{"/bin/sh", "-c", "echo out; echo err >&2; read line || exit 5"}
		spec.LogFile = filepath.Join(dir, string(kind)+" 100%$HOME.log")
		for range 2 {
			if o := b.ended(b.start(spec)).Outcome; o.ExitCode != 5 {
				t.Errorf("%s: %+v", kind, o)
			}
			b.forget()
			b.mu.Lock()
			b.events = nil
			b.mu.Unlock()
		}
		text, err := os.ReadFile(spec.LogFile)
		if want := strings.Repeat("out\nerr\n", 2); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v, want %q", kind, text, err, want)
		}
		if info, err := os.Stat(spec.LogFile); err != nil || info.Mode().Perm()&^0o640 != 0 {
			t.Errorf("%s: %v, %v", kind, info.Mode(), err)
		}

		link := spec
		link.Experiment += "-link"
		link.LogFile = filepath.Join(dir, string(kind)+".link")
		if err := os.Symlink("/etc/passwd", link.LogFile); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := b.Start(ctx, link); err == nil {
			t.Errorf("%s: a link was followed", kind)
		}
		cancel()
	}
}
