//go:build lab

package supervisor_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shippedHead is what the configuration of a shipped brainjar begins with.
const shippedHead = `
[supervisor]
max_concurrent = 8
memory_budget = "1G"
[thermal]
enabled = false
interval = "1s"
[memory]
reserve = "0M"
[defaults]
memory_max = "32M"
stop_timeout = "2s"
user = "nobody"
[defaults.restart]
delay = "300ms"
factor = 1.0
jitter = 0.0
`

// One that stays, one that comes and goes, one that is over.
const threeKinds = shippedHead + `
[experiments.stays]
command = ["/bin/sleep", "1h"]
[experiments.loops]
command = ["/bin/sleep", "0.2"]
restart.policy = "always"
[experiments.over]
command = ["/bin/true"]
`

// smallState is a state directory on a file system of its own.
func smallState(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, syscall.Mount("brainjar-lab", dir, "tmpfs", 0, options))
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// goesOn waits until an experiment has been started twice more while another
// was left alone.
func (b *shipped) goesOn(stays string) {
	b.Helper()
	for range 2 {
		before := property(b, "loops", "InvocationID")
		b.await("loops is started again", 20*time.Second, func() bool {
			now := property(b, "loops", "InvocationID")
			return now != "" && now != before
		})
	}
	if pid := property(b, "stays", "MainPID"); pid != stays {
		b.Errorf("stays was process %s and is %s", stays, pid)
	}
}

// steady waits until the experiments of threeKinds stand as they should, and
// returns the process of the one that stays.
func (b *shipped) steady() (pid string) {
	b.Helper()
	b.ready()
	b.await("stays runs, over is over", 20*time.Second, func() bool {
		pid = property(b, "stays", "MainPID")
		return pid != "" && pid != "0" && strings.Contains(b.logged(), "succeeded  over")
	})
	return pid
}

// isHealthy reports whether the status line tells of no trouble.
func (b *shipped) isHealthy() bool { return strings.HasSuffix(b.statusLine(), " 0 failed") }

// A disk that is full, when brainjar runs and when it begins.
func TestShippedFullDisk(t *testing.T) {
	state := smallState(t, "size=1m,mode=700")
	b := ship(t, state, threeKinds)
	pid := b.steady()
	ballast := filepath.Join(state, "ballast")
	fill(t, ballast)
	full := func() bool { return strings.Contains(b.statusLine(), "ledger: cannot ") }
	b.await("the status line tells of the full disk", 10*time.Second, full)
	b.goesOn(pid)
	t.Logf("status: %s", b.statusLine())
	b.kill()
	b = ship(t, state, threeKinds)
	b.ready()
	b.await("the next one tells it too", 10*time.Second, full)
	b.goesOn(pid)
	must(t, os.Remove(ballast))
	b.await("all is well again", time.Minute, b.isHealthy)
	if log := b.logged(); !strings.Contains(log, "ledger can be written again") {
		t.Error("the log does not say that the ledger can be written again")
	}
	b.goesOn(pid)
	b.drain(20 * time.Second)
	if n := len(b.whole(state, "over")); n != 1 {
		t.Errorf("over has run %d times", n)
	}
	b.whole(state, "loops")
}

// fill takes all room of a file system.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
}

// A state directory that is read-only when brainjar begins: what it says is
// remembered, and what happens is written when that is possible again.
func TestShippedReadOnly(t *testing.T) {
	state := smallState(t, "size=8m,mode=700")
	b := ship(t, state, threeKinds)
	pid := b.steady()
	b.kill()
	must(t, syscall.Mount("", state, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	b = ship(t, state, threeKinds)
	b.ready()
	b.await("the status line tells of the read-only directory", 10*time.Second, func() bool {
		return strings.Contains(b.statusLine(), "ledger: cannot ") && strings.Contains(b.statusLine(), "read-only file system")
	})
	b.goesOn(pid)
	t.Logf("status: %s", b.statusLine())
	must(t, syscall.Mount("", state, "", syscall.MS_REMOUNT, ""))
	b.await("all is well again", time.Minute, b.isHealthy)
	b.drain(20 * time.Second)
	if n := len(b.whole(state, "over")); n != 1 {
		t.Errorf("over has run %d times", n)
	}
	b.whole(state, "loops")
}

// A ledger that another program overwrites while brainjar has it open.
func TestShippedDamage(t *testing.T) {
	state := t.TempDir()
	b := ship(t, state, threeKinds)
	pid := b.steady()
	path := filepath.Join(state, "brainjar.db")
	garbage := make([]byte, 64<<10)
	_, err := rand.Read(garbage)
	must(t, err)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.Write(garbage)
	must(t, err)
	must(t, f.Close())
	b.await("the status line tells of the damage", 20*time.Second, func() bool {
		return strings.Contains(b.statusLine(), "a damaged ledger was set aside")
	})
	b.goesOn(pid)
	b.drain(20 * time.Second)
	if aside, err := filepath.Glob(path + ".damaged-*"); err != nil || len(aside) == 0 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
	b.whole(state, "loops")
}
