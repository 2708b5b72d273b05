//go:build lab

package faults

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWalk walks for BRAINJAR_FAULTS seconds (60), or until brainjar was killed
// BRAINJAR_KILLS times. BRAINJAR_SEED repeats a walk.
func TestWalk(t *testing.T) {
	seed := uint64(number(t, "BRAINJAR_SEED", int(time.Now().UnixNano()&0x7fffffff)))
	seconds, kills := number(t, "BRAINJAR_FAULTS", 60), number(t, "BRAINJAR_KILLS", 0)
	fmt.Printf("faults: BRAINJAR_SEED=%d\n", seed)
	w := newWorld(t, seed)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", w.tail())
			w.leaveLog()
		}
	})
	w.begin("")
	w.await("the steady ones run", 30*time.Second, func() bool {
		w.steady = w.pids()
		for _, pid := range w.steady {
			if pid == "0" {
				return false
			}
		}
		return true
	})
	begin := time.Now()
	for {
		if kills > 0 && w.killed() >= kills && min(w.kills[afterStart], w.kills[beforeEnd]) >= kills/4 {
			break
		}
		if kills == 0 && time.Since(begin) > time.Duration(seconds)*time.Second {
			break
		}
		w.step(kills > 0)
		if pids := w.pids(); !maps.Equal(pids, w.steady) {
			t.Fatalf("main processes were %v and are %v\n%s", w.steady, pids, w.tail())
		}
	}
	w.ready()
	w.must(w.brainjar.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-w.over:
		if err != nil {
			t.Errorf("at the end: %v\n%s", err, w.tail())
		}
	case <-time.After(time.Minute):
		t.Fatalf("brainjar does not end\n%s", w.tail())
	}
	v := w.check()
	fmt.Printf("faults: %d s, brainjar killed %d times %v, other faults %v\n", int(time.Since(begin).Seconds()), w.killed(), w.kills, w.faults)
	fmt.Printf("faults: %d runs checked, %d lost, %d doubled, %d miscounted\n", v.runs, v.lost, v.doubled, v.miscounted)
	if v.runs < loops || w.killed() == 0 {
		t.Errorf("too little has happened: %+v", v)
	}
	left := ""
	t.Cleanup(func() {
		if left != "" {
			t.Logf("left over:\n%s", left)
		}
	})
	w.await("no unit is left over", 20*time.Second, func() bool { // systemd clears away when nothing else waits
		out, err := w.command("systemctl", "list-units", "--all", "--plain", "--no-legend", "brainjar-*")
		w.must(err)
		left = out
		return left == ""
	})
}

func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

func (w *world) killed() (n int) {
	for _, k := range w.kills {
		n += k
	}
	return n
}

// step lets one thing go wrong.
func (w *world) step(killsOnly bool) {
	w.Helper()
	w.lives()
	choices := []func(){w.killSoon, w.killAt(afterStart), w.killAt(beforeEnd), w.killAt(beforeForget), w.killAt(beforeStart)}
	if !killsOnly {
		choices = append(choices, w.reexec, w.reload, w.restartBus, w.leave, w.restartUnit, w.stopAndStart, w.holdAndRelease, w.fillDisk, w.overwrite, w.deleteLedger, w.failSensors)
	}
	choices[w.random.IntN(len(choices))]()
}

func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.random.Int64N(int64(high-low)))
}

// killSoon kills brainjar at a moment of its own choice, and begins another.
func (w *world) killSoon() {
	w.Helper()
	time.Sleep(w.between(0, 1500*time.Millisecond))
	w.kill()
	w.kills["anywhere"]++
	time.Sleep(w.between(0, 500*time.Millisecond))
	w.begin("")
}

func (w *world) kill() {
	w.Helper()
	_ = w.brainjar.Process.Kill()
	if !w.death(10 * time.Second) {
		w.Fatal("brainjar survives SIGKILL")
	}
}

// killAt lets the next brainjar kill itself at a place.
func (w *world) killAt(place string) func() {
	return func() {
		w.Helper()
		w.kill()
		w.kills["anywhere"]++
		w.begin(fmt.Sprintf("%s:%d", place, 1+w.random.IntN(6)))
		if !w.death(20 * time.Second) {
			w.Fatalf("no death %s\n%s", place, w.tail())
		}
		w.kills[place]++
		time.Sleep(w.between(0, 500*time.Millisecond))
		w.begin("")
	}
}

func (w *world) fault(name string) { w.faults[name]++ }

func (w *world) reexec() {
	w.fault("daemon-reexec")
	_, err := w.command("systemctl", "daemon-reexec")
	w.must(err)
	time.Sleep(w.between(0, time.Second))
}

func (w *world) reload() {
	w.fault("daemon-reload")
	_, err := w.command("systemctl", "daemon-reload")
	w.must(err)
	time.Sleep(w.between(0, time.Second))
}

func (w *world) restartBus() {
	w.fault("dbus-daemon")
	_, err := w.command("systemctl", "kill", "--signal=KILL", "dbus.service")
	w.must(err)
	time.Sleep(w.between(0, time.Second))
	_, _ = w.command("systemctl", "reset-failed", "dbus.service") // how often it may be started is not what is tried
	_, err = w.command("systemctl", "restart", "dbus.service")
	w.must(err)
}

// leave lets brainjar go in good order, and another come.
func (w *world) leave() {
	w.fault("leave")
	w.ready()
	w.must(w.brainjar.Process.Signal(syscall.SIGUSR2))
	select {
	case err := <-w.over:
		w.must(err)
	case <-time.After(15 * time.Second):
		w.Fatalf("brainjar does not leave\n%s", w.tail())
	}
	w.begin("")
}

// restartUnit is a person who restarts an experiment behind brainjar's back.
func (w *world) restartUnit() {
	w.fault("systemctl restart")
	id := fmt.Sprintf("loop%d", w.random.IntN(2)) // the others are left alone
	w.touched[id] = true
	_, _ = w.command("systemctl", "restart", "brainjar-"+id+".service") // it may not run just now
}

// stopAndStart stops an experiment through brainjar, and starts it again. What was
// acknowledged holds meanwhile, also for another brainjar.
func (w *world) stopAndStart() {
	w.fault("stop and start")
	id := w.orderly()
	w.order("stop", id)
	w.perhapsKill("stopped")
	w.phase(id, "stopped")
	w.order("start", id)
}

// holdAndRelease holds an experiment, and lets it go on.
func (w *world) holdAndRelease() {
	w.fault("hold and release")
	id := w.orderly()
	w.order("hold", id)
	w.await(id+" is held", 20*time.Second, func() bool {
		out, err := w.command(w.binary, "status", id)
		return err == nil && strings.Contains(out, "held")
	})
	w.perhapsKill("held")
	w.phase(id, "held")
	w.order("release", id)
}

// orderly is an experiment that is given orders.
func (w *world) orderly() string {
	id := fmt.Sprintf("loop%d", 2+w.random.IntN(2))
	w.touched[id] = true
	return id
}

// order gives brainjar an order, as soon as it takes one.
func (w *world) order(words ...string) {
	w.Helper()
	w.await(strings.Join(words, " "), 30*time.Second, func() bool {
		_, err := w.command(w.binary, words...)
		return err == nil
	})
}

// perhapsKill lets another brainjar find what the one before was told, every other time.
func (w *world) perhapsKill(place string) {
	w.Helper()
	if w.random.IntN(2) == 0 {
		w.kill()
		w.kills[place]++
		w.begin("")
	}
}

// phase fails unless brainjar, once it knows what runs, says that an experiment is in a
// phase, or will be when its run has ended.
func (w *world) phase(id, want string) {
	w.Helper()
	var out string
	w.await("brainjar tells of "+id, 30*time.Second, func() bool {
		var err error
		out, err = w.command(w.binary, "status", id)
		return err == nil && !strings.Contains(out, "not ready") && !strings.Contains(out, " stopping ")
	})
	if !strings.Contains(out, " "+want+" ") {
		w.Errorf("%s is not %s:\n%s", id, want, out)
	}
}

// fillDisk leaves the ledger no room for a while.
func (w *world) fillDisk() {
	w.fault("full disk")
	ballast := filepath.Join(w.state, "ballast")
	f, err := os.Create(ballast)
	w.must(err)
	for block := make([]byte, 64<<10); ; {
		if _, err := f.Write(block); err != nil {
			break
		}
	}
	_ = f.Close()
	time.Sleep(w.between(time.Second, 3*time.Second))
	if w.random.IntN(2) == 0 {
		w.kill()
		w.kills["full disk"]++
		w.begin("")
		time.Sleep(w.between(0, 2*time.Second))
	}
	w.must(os.Remove(ballast))
	time.Sleep(w.between(0, time.Second))
}

// overwrite makes garbage of the ledger while brainjar has it open.
func (w *world) overwrite() {
	w.fault("ledger overwritten")
	w.harm(func(path string) {
		info, err := os.Stat(path)
		w.must(err)
		garbage := make([]byte, info.Size())
		for i := range garbage {
			garbage[i] = byte(w.random.Uint32())
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		w.must(err)
		_, err = f.Write(garbage)
		w.must(err)
		w.must(f.Close())
	})
}

func (w *world) deleteLedger() {
	w.fault("ledger deleted")
	w.harm(func(path string) { w.must(os.Remove(path)) })
}

// harm does something to the ledger, and waits until brainjar has a new one. What
// the old one said is kept for the checker; brainjar stands still meanwhile.
func (w *world) harm(do func(path string)) {
	w.Helper()
	const words = "ledger is damaged, it was set aside"
	w.ready()
	before := w.logged(words)
	w.must(w.brainjar.Process.Signal(syscall.SIGSTOP))
	for _, r := range w.history() {
		if r.EndedAt != nil {
			w.seen[fmt.Sprintf("%s/%d/%s", r.Experiment, r.Run, r.Invocation)] = r
		}
	}
	do(filepath.Join(w.state, "brainjar.db"))
	w.must(w.brainjar.Process.Signal(syscall.SIGCONT))
	w.await("the ledger was begun anew", 20*time.Second, func() bool { return w.logged(words) > before })
	w.await("and is whole", 20*time.Second, func() bool { // each experiment has a row
		_, err := w.command(w.binary, append([]string{"history", "--state", w.state}, w.ids()...)...)
		return err == nil
	})
}

// ready waits until brainjar has read its ledger and hears signals.
func (w *world) ready() {
	w.Helper()
	w.await("brainjar runs", 20*time.Second, func() bool { return w.logged("brainjar runs") > 0 })
}

// leaveLog copies brainjar's log and the diary to where the lab's caller finds
// them.
func (w *world) leaveLog() {
	out := os.Getenv("BRAINJAR_LAB_OUT")
	if out == "" {
		return
	}
	for _, path := range []string{w.log.Name(), w.diary} {
		b, err := os.ReadFile(path)
		w.must(err)
		w.must(os.WriteFile(filepath.Join(out, "faults-"+filepath.Base(path)), b, 0o600))
	}
}

func (w *world) ids() (ids []string) {
	for i := range loops {
		ids = append(ids, fmt.Sprintf("loop%d", i))
	}
	for i := range steady {
		ids = append(ids, fmt.Sprintf("steady%d", i))
	}
	return slices.Concat(ids, []string{"once"})
}
