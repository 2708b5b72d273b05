package supervisor_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

const crashing = `restart.delay = "10s"` + "\n" + `restart.factor = 2.0` + "\n" + `restart.max_restarts = 2`

// Wherever brainjar dies, before or after any of its writes: each run is counted
// once, and life goes on where it stood.
func TestDeathAtEveryWrite(t *testing.T) {
	writes := 1
	for at := 0; at <= writes; at++ {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d %v", at, before), func(t *testing.T) {
				onFake(t, func(st stage, fake *transienttest.Fake) {
					b := newBook()
					st.book = b
					b.dieAt, b.before = at, before
					died := make(chan struct{})
					b.die = func() { close(died) }
					text := head +
						experiment("crashes", crashing, "sleep=3s", "exit=3") +
						experiment("works", "", "sleep=20s", "exit=0") +
						experiment("quick", `restart.policy = "no"`, "exit=7")
					h := st.begin(text)
					done := func() bool {
						h.mu.Lock()
						defer h.mu.Unlock()
						return strings.Count(h.log.String(), "phase=failed") >= 2 && strings.Contains(h.log.String(), "phase=succeeded")
					}
					if at == 0 {
						h.await("all is over", 5*time.Minute, done)
						b.mu.Lock()
						writes = b.writes
						b.mu.Unlock()
					} else {
						select {
						case <-died:
						case <-time.After(5 * time.Minute):
							st.Fatalf("write %d never came", at)
						}
					}
					h.kill()
					b.mu.Lock()
					b.dead, b.dieAt = false, 0
					b.mu.Unlock()
					time.Sleep(2 * time.Second)
					h = st.begin(text)
					h.await("all is over", 10*time.Minute, func() bool {
						s := []supervisor.Status{h.status("crashes"), h.status("works"), h.status("quick")}
						return s[0].Phase == supervisor.Failed && s[1].Phase == supervisor.Succeeded && s[2].Phase == supervisor.Failed
					})
					h.drain()
					for id, want := range map[string]string{
						"crashes": "[1:exit-code 3 2:exit-code 3 3:exit-code 3]", "works": "[1:success 0]", "quick": "[1:exit-code 7]",
					} {
						if got := fmt.Sprint(b.ends(id)); got != want {
							st.Errorf("%s: %s, want %s", id, got, want)
						}
						if starts := fake.Starts("brainjar-" + id + ".service"); starts != len(b.ends(id)) {
							st.Errorf("%s: %d starts", id, starts)
						}
					}
					if n := fake.Records(); n != 0 {
						st.Errorf("%d records were not cleared away", n)
					}
				})
			})
		}
	}
}

// After a power cut what ran is lost and wanted again, with the count of
// restarts as it was; what waited, waits; what was over, stays so.
func TestPowerCut(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		text := head + experiment("runs", crashing, "sleep=30s", "exit=3") +
			experiment("over", "", "exit=0") + experiment("last", `after = ["runs"]`, "exit=0")
		h := st.begin(text)
		h.awaitPhase(supervisor.Backoff, time.Minute, "runs")
		h.awaitPhase(supervisor.Running, time.Minute, "runs")
		if err := h.Hold(st.Context(), "last", "not today"); err != nil {
			st.Fatal(err)
		}
		h.kill()
		fake.PowerCut()
		st.book.boot = "two"
		h = st.begin(text)
		h.awaitPhase(supervisor.Running, time.Minute, "runs")
		if s := h.status("runs"); s.Run != 3 || s.Attempt != 1 || s.LastResult != transient.Lost {
			st.Errorf("%+v", s)
		}
		if s := h.status("over"); s.Phase != supervisor.Succeeded || s.Run != 1 {
			st.Errorf("%+v", s)
		}
		if s := h.status("last"); s.Phase != supervisor.Held || !strings.Contains(s.Reason, "not today") {
			st.Errorf("%+v", s)
		}
		if ends := fmt.Sprint(st.book.ends("runs")); ends != "[1:exit-code 3 2:lost 3:]" {
			st.Error(ends)
		}
		if r := st.book.runs["runs/2"].Reason; !strings.HasPrefix(r, "lost: power") {
			st.Error(r)
		}
		h.drain()
	})
}

// What a drain stopped is wanted again, as it stood; a backoff goes on where it
// was.
func TestDrainedIsWantedAgain(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		text := head + experiment("runs", "", "sleep=1h") + experiment("waits", crashing, "exit=3") +
			experiment("second", `after = ["runs"]`, "exit=0") + experiment("never", "autostart = false", "exit=0")
		h := st.begin(text)
		h.awaitPhase(supervisor.Running, time.Minute, "runs")
		h.awaitPhase(supervisor.Backoff, time.Minute, "waits")
		if err := h.Supervisor.Stop(st.Context(), "second"); err != nil {
			st.Fatal(err)
		}
		h.drain()
		time.Sleep(5 * time.Second)
		h = st.begin(text)
		h.awaitPhase(supervisor.Running, time.Second, "runs")
		if s := h.status("runs"); s.Run != 2 || s.Attempt != 0 || s.LastResult != transient.Stopped {
			st.Errorf("%+v", s)
		}
		for id, phase := range map[string]supervisor.Phase{"waits": supervisor.Backoff, "second": supervisor.Stopped, "never": supervisor.Idle} {
			if s := h.status(id); s.Phase != phase {
				st.Errorf("%+v", s)
			}
		}
		begin := time.Now()
		h.await("waits has run again", time.Minute, func() bool { return h.status("waits").Run == 2 })
		if waited := time.Since(begin); waited < 4*time.Second || waited > 6*time.Second {
			st.Errorf("its delay went on for %v", waited)
		}
		h.drain()
	})
}

// While the ledger cannot write, experiments go on, and nothing that it would
// need to know is cleared away.
func TestBrokenLedger(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		b := newBook()
		st.book, b.broken = b, errors.New("no space left on device")
		text := head + experiment("a", crashing, "exit=3")
		h := st.begin(text)
		h.awaitPhase(supervisor.Failed, 5*time.Minute, "a")
		if n := fake.Records(); n != 3 {
			st.Errorf("%d records, want 3", n)
		}
		if err := h.Hold(st.Context(), "a", ""); !errors.Is(err, supervisor.ErrNotWritten) {
			st.Errorf("an order that is not on disk: %v", err)
		}
		b.breaks(nil)
		h.await("the records are gone", time.Minute, func() bool { return fake.Records() == 0 })
		if ends := b.ends("a"); len(ends) != 3 {
			st.Error(ends)
		}
		h.drain()
	})
}

// What was over runs again when it was changed: the command of what succeeded,
// anything of what failed; never what a person stopped.
func TestChangedDefinition(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		text := func(limit, command string) string {
			keys := "memory_max = \"" + limit + "\"\nrestart.policy = \"no\""
			return head + experiment("works", keys, command+"exit=0") + experiment("fails", keys, command+"exit=4") +
				experiment("stopped", keys, command+"sleep=1h")
		}
		begin := func(limit, command string, works, fails int) {
			h := st.begin(text(limit, command))
			time.Sleep(10 * time.Second)
			_ = h.Supervisor.Stop(st.Context(), "stopped")
			time.Sleep(10 * time.Second)
			if a, b, c := h.status("works").Run, h.status("fails").Run, h.status("stopped").Run; a != works || b != fails || c != 1 {
				st.Errorf("%s %q: runs %d, %d, %d; want %d, %d, 1", limit, command, a, b, c, works, fails)
			}
			h.drain()
		}
		begin("32M", "", 1, 1)
		begin("32M", "", 1, 1)
		begin("64M", "", 1, 2)
		begin("64M", "sleep=1s,", 2, 3)
	})
}

// Runs that nobody could write down are found again by their records, each with
// its own number, when brainjar dies before the disk is back.
func TestDeathWhileLedgerIsBroken(t *testing.T) {
	for _, running := range []bool{true, false} {
		t.Run(fmt.Sprint("another runs: ", running), func(t *testing.T) {
			onFake(t, func(st stage, fake *transienttest.Fake) {
				b := newBook()
				st.book = b
				text := head + experiment("a", `restart = { delay = "10s", factor = 1.0, max_restarts = 9 }`, "sleep=5s", "exit=3")
				h := st.begin(text)
				h.awaitPhase(supervisor.Running, time.Minute, "a")
				b.breaks(errors.New("no space left on device"))
				time.Sleep(35 * time.Second) // the third runs
				if !running {
					time.Sleep(5 * time.Second)
				}
				h.kill()
				b.mu.Lock()
				b.queued = nil // what was only in its memory
				b.mu.Unlock()
				h = st.begin(text)
				time.Sleep(20 * time.Second)
				b.breaks(nil)
				h.await("the records are gone", time.Minute, func() bool { return fake.Records() == 0 })
				h.awaitPhase(supervisor.Running, time.Minute, "a")
				s := h.status("a")
				if s.Run != s.Attempt+1 || s.Run != fake.Starts("brainjar-a.service") {
					st.Errorf("%d starts: %+v", fake.Starts("brainjar-a.service"), s)
				}
				h.drain()
				owners := map[string]bool{}
				for _, r := range b.runs {
					owners[r.Invocation] = true
					if r.Attempt != r.Run-1 || r.EndedAt.IsZero() {
						st.Errorf("%+v", r)
					}
				}
				if len(b.runs) != s.Run || len(owners) != s.Run {
					st.Errorf("%d runs of %d: %v", len(b.runs), s.Run, b.ends("a"))
				}
			})
		})
	}
}
