package supervisor_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"brainjar/internal/config"
	"brainjar/internal/quantity"
	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// A file that changed while brainjar was away is like one that was reloaded: the limit
// is in force at once, the command waits, and the history has what really runs.
func TestChangedWhileAway(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		h := st.begin(head + experiment("a", `memory_max = "80M"`, "sleep=1h") + experiment("same", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a", "same")
		was := st.book.runs["a/1"].Command
		h.leave()
		for _, second := range []bool{false, true} {
			h = st.begin(head + experiment("a", `memory_max = "96M"`, "sleep=2h") + experiment("same", "", "sleep=1h"))
			h.awaitPhase(supervisor.Running, time.Minute, "a", "same")
			time.Sleep(time.Second)
			// The second finds the limit that the first has set, and has none to set.
			if again := strings.Contains(h.logged(), "memory_max=96M tasks_max"); again != second {
				st.Errorf("second %v, found with 96M: %v", second, again)
			}
			if strings.Contains(h.logged(), "follow the configuration") == second {
				st.Errorf("second %v: limits set, or not", second)
			}
			if a, same := h.status("a"), h.status("same"); a.Run != 1 || !slices.Equal(a.Outdated, []string{"command"}) || len(same.Outdated) > 0 {
				st.Errorf("a %+v\nsame %+v", a, same)
			}
			if r := st.book.runs["a/1"]; r.Command != was {
				st.Errorf("the history says that run 1 has the command %s", r.Command)
			}
			if strings.Contains(h.logged(), "follow the configuration experiment=same") {
				st.Error("limits of what did not change were set")
			}
			if strings.Contains(h.logged(), "ERROR") {
				st.Error("errors in the log")
			}
			h.leave()
		}
	})
}

// All that needs another run is noticed, and still known to the brainjar after next.
func TestAllThatChangedWhileAway(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		const before = `tags = ["old"]` + "\n" + `environment = { SIZE = "1" }` + "\n" + `working_directory = "/tmp"`
		const after = `tags = ["new"]` + "\n" + `environment = { SIZE = "2" }` + "\n" + `working_directory = "/"` + "\n" + `sandbox = "strict"` + "\n" + `runtime_max = "9h"`
		h := st.begin(head + experiment("a", before, "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		for range 2 {
			h.leave()
			h = st.begin(head + experiment("a", after, "sleep=1h"))
			h.awaitPhase(supervisor.Running, time.Minute, "a")
			a := h.status("a")
			slices.Sort(a.Outdated)
			if want := []string{"environment", "runtime_max", "sandbox", "working_directory"}; !slices.Equal(a.Outdated, want) {
				st.Errorf("%q, want %q", a.Outdated, want)
			}
		}
		h.leave()
		h = st.begin(head + experiment("a", before, "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		if a := h.status("a"); len(a.Outdated) > 0 || a.Run != 1 {
			st.Errorf("as it was: %+v", a)
		}
		h.drain()
	})
}

// What an earlier reload left to the next run is done by a later one that may restart.
func TestReloadThatRestartsLater(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		h := st.begin(head + experiment("a", "", "sleep=1h") + experiment("b", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a", "b")
		h.rewrite(head + experiment("a", "", "sleep=2h") + experiment("b", "", "sleep=1h"))
		for _, restart := range []bool{false, true} {
			plan, err := h.Reload(h.ctx(), restart)
			h.must(err)
			if len(plan.Steps) != 1 || plan.Steps[0].Effect != supervisor.Renew || !slices.Equal(plan.Steps[0].Keys, []string{"command"}) {
				st.Errorf("restart %v: %+v", restart, plan.Steps)
			}
		}
		h.await("a has been restarted", time.Minute, func() bool { s := h.status("a"); return s.Run == 2 && s.Phase == supervisor.Running })
		if a, b := h.status("a"), h.status("b"); len(a.Outdated) > 0 || b.Run != 1 {
			st.Errorf("a %+v\nb %+v", a, b)
		}
		plan, err := h.Reload(h.ctx(), true)
		h.must(err)
		if len(plan.Steps) > 0 {
			st.Errorf("once more: %+v", plan.Steps)
		}
		h.drain()
	})
}

// Less memory than a run uses is refused, measured by the limit that is in force: that can
// be another than the configured one, which it was found to be above already.
func TestLimitInForce(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		text := func(limit string) string {
			return head + experiment("a", "memory_max = \""+limit+"\"", "alloc=500M", "sleep=1h")
		}
		h := st.begin(text("600M"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		h.leave()
		h = st.begin(text("100M"))
		time.Sleep(time.Minute)
		for name, change := range map[string]func() error{
			"set": func() error { return h.Set(h.ctx(), "a", config.Keys{"memory_max": "200M"}, false) },
			"reload": func() error {
				h.rewrite(text("300M"))
				_, err := h.Reload(h.ctx(), false)
				return err
			},
		} {
			err := change()
			time.Sleep(time.Minute)
			if s, r := h.status("a"), h.report(); s.Phase != supervisor.Running || s.Run != 1 || r.BudgetUsed != 600<<20 {
				st.Errorf("%s: %v, %s is used, %+v", name, err, r.BudgetUsed, s)
			}
		}
		h.drain()
	})
}

// What was changed and is changed back needs no other run.
func TestReloadAndBack(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		now := head + experiment("a", "", "sleep=1h")
		h := st.begin(now)
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		for _, restart := range []bool{false, true} {
			h.rewrite(head + experiment("a", `stop_timeout = "5s"`, "sleep=2h"))
			_, err := h.Reload(h.ctx(), false)
			h.must(err)
			if s := h.status("a"); !slices.Equal(s.Outdated, []string{"command", "stop_timeout"}) {
				st.Errorf("outdated: %v", s.Outdated)
			}
			h.rewrite(now)
			plan, err := h.Reload(h.ctx(), restart)
			h.must(err)
			if s := h.status("a"); len(s.Outdated) > 0 || plan.Steps[0].Effect != supervisor.Amend {
				st.Errorf("outdated: %v, %+v", s.Outdated, plan.Steps)
			}
		}
		time.Sleep(time.Minute)
		if s := h.status("a"); s.Run != 1 {
			st.Errorf("%+v", s)
		}
		h.drain()
	})
}

// slowLimits is a systemd that takes its time for the first change of limits.
type slowLimits struct {
	*transienttest.Fake
	mu  sync.Mutex
	set []quantity.Bytes // memory_max, as it was set
}

func (s *slowLimits) SetLimits(ctx context.Context, unit string, l transient.Limits) (transient.Limits, error) {
	s.mu.Lock()
	first := len(s.set) == 0
	s.set = append(s.set, 0)
	s.mu.Unlock()
	if first {
		time.Sleep(3 * time.Second)
	}
	s.mu.Lock()
	s.set = append(s.set, l.MemoryMax)
	s.mu.Unlock()
	return s.Fake.SetLimits(ctx, unit, l)
}

// Limits that change twice are set in that order.
func TestLimitsInOrder(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		slow := &slowLimits{Fake: fake}
		st.open = func() systemd { return slow }
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		for _, limit := range []string{"64M", "128M"} {
			h.rewrite(head + experiment("a", "memory_max = \""+limit+"\"", "sleep=1h"))
			_, err := h.Reload(h.ctx(), false)
			h.must(err)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		h.must(h.Set(h.ctx(), "a", config.Keys{"memory_max": "100M"}, false))
		if want := []quantity.Bytes{0, 64 << 20, 0, 128 << 20, 0, 100 << 20}; !slices.Equal(slow.set, want) {
			st.Errorf("set %v", slow.set)
		}
		h.drain()
	})
}
