package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// A start that systemd does not carry out, and a hold that comes and goes, cost
// an experiment that waits for room neither its place nor its ten minutes.
func TestPlaceOutlivesALostStart(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		text := head + experiment("base", `memory_max = "600M"`, "sleep=30m") + experiment("big", `memory_max = "800M"`, "sleep=1h")
		for i := range 20 { // three at once beside base, seven beside nothing
			text += experiment(fmt.Sprintf("s%02d", i), "memory_max = \"140M\"\npriority = -1", "sleep=4m")
		}
		h := st.begin(text)
		h.awaitPhase(supervisor.Running, time.Minute, "base")
		time.Sleep(9 * time.Minute)
		h.feel(76)
		time.Sleep(time.Second)
		h.cool()
		time.Sleep(6 * time.Minute) // those that had begun by then have ended
		if s := h.status("s19"); !strings.Contains(s.Reason, "the place of big is kept") {
			st.Errorf("after a hold: %q", s.Reason)
		}
		fake.FailStart("brainjar-big.service", fmt.Errorf("busy: %w", transient.ErrNotNow))
		h.awaitPhase(supervisor.Backoff, time.Hour, "big") // base has ended, systemd does not start it
		fake.FailStart("brainjar-big.service", nil)
		begin := time.Now()
		h.awaitPhase(supervisor.Running, time.Hour, "big")
		if took := time.Since(begin); took > 5*time.Minute {
			st.Errorf("it waited %v for more than those that had passed it meanwhile", took)
		}
		h.drain()
	})
}

// asked is a systemd whose checks all hang until their time is over, and that
// notes how many there are.
type asked struct {
	systemd
	mu        sync.Mutex
	now, most int
	units     map[string]int
	cancelled int
}

func (a *asked) CheckHealth(ctx context.Context, unit transient.Unit, _ transient.HealthCheck) error {
	a.mu.Lock()
	a.now++
	a.most = max(a.most, a.now)
	a.units[unit.Name]++
	a.mu.Unlock()
	<-ctx.Done()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now--
	if errors.Is(ctx.Err(), context.Canceled) {
		a.cancelled++
	}
	return ctx.Err()
}

// Few checks are under way at once, each experiment gets its turn, and what
// stops is not waited for.
func TestProbesAreFew(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		a := &asked{systemd: fake, units: map[string]int{}}
		st.open = func() systemd { return a }
		text := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 20", 1)
		for i := range 20 {
			text += experiment(fmt.Sprintf("e%02d", i), "probe = { http = \"http://127.0.0.1/\", every = \"10s\", timeout = \"10s\", failures = 100 }", "sleep=1h")
		}
		h := st.begin(text)
		time.Sleep(2*time.Minute + 5*time.Second)
		a.mu.Lock()
		if a.most != 8 || len(a.units) != 20 {
			st.Errorf("at most %d at once, of %d experiments", a.most, len(a.units))
		}
		for unit, n := range a.units {
			if n < 2 || n > 12 {
				st.Errorf("%s was asked %d times", unit, n)
			}
		}
		a.mu.Unlock()
		begin := time.Now()
		if s := h.status("e00"); s.Phase != supervisor.Running || time.Since(begin) != 0 {
			st.Errorf("the loop waits for checks: %v", time.Since(begin))
		}
		if took := h.drain(); took > 2*time.Second {
			st.Errorf("a drain waits %v for checks", took)
		}
		if a.now != 0 || a.cancelled == 0 {
			st.Errorf("%d checks are left, %d were cancelled", a.now, a.cancelled)
		}
	})
}

// While it is frozen it is not asked, and a freeze begins the count anew.
func TestProbeAndFreeze(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		h := st.begin(head + experiment("a", "probe = { http = \"http://127.0.0.1/\", every = \"10s\", failures = 3 }", "sleep=10h"))
		h.awaitPhase(supervisor.Running, time.Second, "a")
		fake.SetHealth("brainjar-a.service", errors.New("connection refused"))
		time.Sleep(25 * time.Second) // two have failed
		if err := h.Supervisor.Freeze(context.Background(), "a"); err != nil {
			st.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := h.Supervisor.Thaw(context.Background(), "a"); err != nil {
			st.Fatal(err)
		}
		time.Sleep(25 * time.Second) // two again
		if s := h.status("a"); s.Phase != supervisor.Running || s.Run != 1 {
			st.Fatalf("%s in run %d: %s", s.Phase, s.Run, s.Reason)
		}
		fake.SetHealth("brainjar-a.service", nil)
		time.Sleep(10 * time.Second)
		fake.SetHealth("brainjar-a.service", errors.New("connection refused"))
		time.Sleep(20 * time.Second) // two once more
		if s := h.status("a"); s.Run != 1 || len(h.ends("a")) != 0 {
			st.Fatalf("a good answer in between did not count: %+v", s)
		}
		h.await("it is tried again", time.Minute, func() bool { return len(h.ends("a")) == 1 })
		if end := h.ends("a")[0]; end.Result != supervisor.ResultProbe {
			st.Errorf("ended with %+v", end)
		}
		h.drain()
	})
}

// The end of a run whose check failed is the same, whoever counts it: a brainjar
// that died meanwhile knows why it was stopped.
func TestProbeOutlivesBrainjar(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		text := strings.Replace(head, `stop_timeout = "1s"`, `stop_timeout = "1m"`, 1) +
			experiment("a", "probe = { http = \"http://127.0.0.1/\", every = \"1s\", failures = 1 }\nrestart.policy = \"no\"", "on=TERM:sleep=10s,exit=0", "sleep=10h")
		first := st.begin(text)
		first.awaitPhase(supervisor.Running, time.Second, "a")
		fake.SetHealth("brainjar-a.service", errors.New("connection refused"))
		first.awaitPhase(supervisor.Stopping, time.Minute, "a")
		time.Sleep(time.Second)
		first.leave()
		time.Sleep(time.Minute)
		second := st.begin(text)
		second.awaitPhase(supervisor.Failed, time.Minute, "a")
		if s := second.status("a"); s.LastResult != supervisor.ResultProbe || s.Reason != "probe failed: connection refused" {
			st.Errorf("%s: %q", s.LastResult, s.Reason)
		}
		second.drain()
	})
}

// An order to stop an orphan that hangs is given again; a drain in which systemd
// waits for brainjar ends it by signals, and names what does not end.
func TestOrphanThatDoesNotEnd(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		first := st.begin(head + experiment("old", "", "ignore=TERM", "sleep=10h"))
		first.awaitPhase(supervisor.Running, time.Second, "old")
		first.leave()
		fake.Hang(true)
		second := st.begin(head)
		time.Sleep(30 * time.Second)
		fake.Hang(false)
		second.await("it is killed by systemd", time.Minute, func() bool { return len(fake.Running()) == 0 })
		if n := strings.Count(second.logged(), "cannot stop, tried again"); n != 1 {
			st.Errorf("told %d times of an order that hangs", n)
		}
		second.drain()
	})
	onFake(t, func(st stage, fake *transienttest.Fake) {
		first := st.begin(head + experiment("old", "stop_timeout = \"10m\"", "ignore=TERM", "sleep=10h"))
		first.awaitPhase(supervisor.Running, time.Second, "old")
		first.leave()
		second := st.begin(strings.Replace(head, "max_concurrent = 8", "max_concurrent = 8\nstop_timeout = \"3s\"", 1))
		time.Sleep(time.Minute)
		if len(fake.Running()) != 1 {
			st.Errorf("it was killed before its own stop_timeout")
		}
		fake.SetOwnJob("stop")
		if took := second.drain(); took < 3*time.Second || took > 5*time.Second || len(fake.Running()) != 0 {
			st.Errorf("took %v, left %v", took, fake.Running())
		}
	})
	onFake(t, func(st stage, fake *transienttest.Fake) {
		first := st.begin(head + experiment("old", "", "sleep=10h"))
		first.awaitPhase(supervisor.Running, time.Second, "old")
		first.leave()
		second := st.begin(head)
		second.await("it is found", time.Second, func() bool { return strings.Contains(second.logged(), "it is stopped") })
		fake.Hang(true)
		second.Drain()
		<-second.over
		fake.Hang(false)
		if len(fake.Running()) > 0 && (second.err == nil || !strings.Contains(second.err.Error(), "brainjar-old.service")) {
			st.Errorf("left %v, error %v", fake.Running(), second.err)
		}
	})
}

// With the breaker open nothing starts, restarts included; what runs goes on; and
// releasing everything lets it go on.
func TestBreakerHoldsAll(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		text := strings.Replace(head, "[thermal]", "breaker = { failures = 3, within = \"60s\" }\n[thermal]", 1) +
			experiment("runs", "", "sleep=1h") + experiment("later", `after = { runs = "started" }`+"\nautostart = false", "exit=0")
		for _, id := range []string{"x", "y", "z"} {
			text += experiment(id, `restart = { delay = "5s" }`, "sleep=1s", "exit=1")
		}
		h := st.begin(text)
		h.await("the breaker opens", time.Minute, func() bool { return strings.Contains(h.logged(), "circuit breaker") })
		if err := h.Supervisor.Start(st.Context(), "later"); err != nil {
			st.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		for _, id := range []string{"x", "y", "z"} {
			if n := len(h.ends(id)); n != 1 {
				st.Errorf("%s ran %d times", id, n)
			}
		}
		if s := h.status("later"); s.Phase != supervisor.Queued || !strings.Contains(s.Reason, "3 experiments failed within 60s of their start (") {
			st.Errorf("%+v", s)
		}
		if s := h.status("runs"); s.Phase != supervisor.Running {
			st.Errorf("%+v", s)
		}
		if err := h.ReleaseAll(st.Context()); err != nil {
			st.Fatal(err)
		}
		h.awaitPhase(supervisor.Succeeded, time.Minute, "later")
		h.drain()
	})
}

// An experiment that is not configured any more runs on where that is wanted, and
// takes its place and its memory.
func TestOrphansAreKept(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		first := st.begin(head + experiment("old", `memory_max = "600M"`, "sleep=1h"))
		first.awaitPhase(supervisor.Running, time.Minute, "old")
		first.leave()
		h := st.begin(strings.Replace(head, "[thermal]", "keep_orphans = true\n[thermal]", 1) + experiment("new", `memory_max = "600M"`, "sleep=1h"))
		time.Sleep(time.Minute)
		if s := h.status("new"); s.Phase != supervisor.Queued || !strings.Contains(s.Reason, "needs 600M, 424M of 1G left") {
			st.Errorf("%+v", s)
		}
		if n := strings.Count(h.logged(), "no experiment of the configuration owns"); n != 1 {
			st.Errorf("told %d times", n)
		}
		fake.Finish("brainjar-old.service", transient.Outcome{Result: transient.Success})
		h.awaitPhase(supervisor.Running, time.Minute, "new")
		h.drain()
	})
}
