package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A disk that does not answer is waited for, and that is said. The kernel keeps whoever
// opens a file waiting while somebody else has a lease on it, fcntl(2) F_SETLEASE.
func TestLedgerOnADeadDisk(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, ledgerName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("NOT TESTED: a disk that does not answer: the file system of %s knows no leases: %v", dir, err)
	}
	var log shown
	b := &brainjar{log: slog.New(slog.NewTextHandler(&log, nil))}
	over := make(chan struct{})
	go func() {
		defer close(over)
		book, _ := b.remember(dir, 50*time.Millisecond)
		if book == nil {
			t.Error("no ledger")
		}
	}()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(log.String(), "waits for the disk"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not say what it waits for")
		}
	}
	select {
	case <-over:
		t.Error("it did not wait")
	default:
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		t.Fatal(err)
	}
	<-over
}
