//go:build lab

package transient_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"brainjar/transient"
)

// TestRecordDirRemoved: the directory of the records that somebody removes is there again
// before the next start, and after the next connection; while it cannot be made, systemd is
// not dialled again and again.
func TestRecordDirRemoved(t *testing.T) {
	p := newProxy(t)
	dir := filepath.Join(t.TempDir(), "ended")
	b := newBench(t, transient.Options{Address: p.address, RecordDir: dir})
	b.synced(1)
	remove := func() {
		t.Helper()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	isThere := func() {
		t.Helper()
		if info, err := os.Stat(dir); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", info, err)
		}
	}
	remove()
	unit := b.start(b.spec("exits", "on=USR1:exit=3", "status=set", "sleep=1h"))
	isThere()
	await(b, "a status", 1, anyOf[transient.Status])
	remove()
	p.cut()
	b.synced(2)
	isThere()

	remove()
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := p.dialled()
	p.cut()
	time.Sleep(3 * time.Second)
	if n := p.dialled() - before; n < 2 || n > 6 { // after 0.1, 0.3, 0.7, 1.5 and 3.1 s
		t.Errorf("dialled %d times in 3 s", n)
	}
	remove() // the file
	b.synced(3)
	isThere()
	systemctl(t, "kill", "--kill-who=main", "--signal=USR1", unit)
	if o := b.ended(unit).Outcome; o.ExitCode != 3 {
		t.Errorf("%+v", o)
	}
	b.forget()
}

// dialled is how many connections there were.
func (p *proxy) dialled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sockets) / 2
}
