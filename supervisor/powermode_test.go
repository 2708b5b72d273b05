package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// modes are the power modes of a board: what is set outlives a brainjar.
type modes struct {
	mu     sync.Mutex
	now    string
	before string // written down; "": nothing
	takes  time.Duration
	broken error
	orders []string
}

func newModes() *modes { return &modes{now: "15W"} }

func (m *modes) Name(mode string) (string, error) {
	for i, name := range []string{"15W", "25W", "MAXN"} {
		if strings.EqualFold(mode, name) || mode == fmt.Sprint(i) {
			return name, nil
		}
	}
	return "", errors.New("no such power mode; this board has 15W, 25W, MAXN")
}

func (m *modes) Set(_ context.Context, mode string) error {
	time.Sleep(m.takes)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.orders = append(m.orders, mode)
	if m.before == "" {
		m.before = m.now
	}
	if m.broken == nil {
		m.now = mode
	}
	return m.broken
}

func (m *modes) Restore(context.Context) error {
	time.Sleep(m.takes)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.orders = append(m.orders, "restore")
	if m.broken == nil && m.before != "" {
		m.now, m.before = m.before, ""
	}
	return m.broken
}

func (m *modes) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
}

func (m *modes) is() (mode string, orders []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now, slices.Clone(m.orders)
}

// onModes is onFake with a board that has power modes.
func onModes(t *testing.T, do func(st stage, m *modes)) {
	t.Helper()
	onFake(t, func(st stage, _ *transienttest.Fake) {
		m := newModes()
		st.board.PowerModes = m
		do(st, m)
	})
}

// Two that ask for the same mode share it, by whatever name; who asks for another one
// waits, and who asks for none does not. Between them the mode from before is put back.
func TestPowerModeIsShared(t *testing.T) {
	onModes(t, func(st stage, m *modes) {
		m.takes = 3 * time.Second
		h := st.begin(head +
			experiment("a", "priority = 3\npower_mode = \"maxn\"", "sleep=1m") +
			experiment("b", "priority = 2\npower_mode = \"2\"", "sleep=2m") +
			experiment("other", "priority = 1\npower_mode = \"25W\"", "sleep=1m") +
			experiment("any", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, 10*time.Second, "a", "b", "any")
		if s := h.status("other"); s.WaitsFor != supervisor.CheckPowerMode || s.Reason != "needs power mode 25W, a has MAXN" {
			st.Errorf("other waits for %s: %q", s.WaitsFor, s.Reason)
		}
		h.awaitPhase(supervisor.Succeeded, 2*time.Minute, "a")
		if now, _ := m.is(); now != "MAXN" {
			st.Errorf("while b runs the mode is %s", now)
		}
		h.awaitPhase(supervisor.Running, 2*time.Minute, "other")
		if now, _ := m.is(); now != "25W" {
			st.Errorf("other runs in %s", now)
		}
		h.awaitPhase(supervisor.Succeeded, 2*time.Minute, "other")
		h.await("the mode is put back", 10*time.Second, func() bool { now, _ := m.is(); return now == "15W" })
		time.Sleep(time.Hour)
		_, orders := m.is()
		last := len(orders) - 1
		set := slices.DeleteFunc(slices.Clone(orders), func(order string) bool { return order == "restore" })
		if got := strings.Join(set, " "); got != "MAXN MAXN 25W" || orders[last] != "restore" || orders[last-1] != "25W" {
			st.Errorf("orders: %q", orders)
		}
		h.drain()
	})
}

// Whatever ends brainjar, the mode from before comes back: at once when it drains, by
// the next one when it was killed, and not while what runs on needs its own.
func TestPowerModeComesBack(t *testing.T) {
	onModes(t, func(st stage, m *modes) {
		st.book = newBook()
		text := head + experiment("a", "power_mode = \"MAXN\"", "sleep=1h")
		first := st.begin(text)
		first.awaitPhase(supervisor.Running, 10*time.Second, "a")
		first.cancel() // as kill -9
		<-first.over
		second := st.begin(text)
		second.awaitPhase(supervisor.Running, 10*time.Second, "a")
		time.Sleep(time.Minute)
		if now, orders := m.is(); now != "MAXN" || orders[len(orders)-1] != "MAXN" {
			st.Errorf("while it runs on: %s, %q", now, orders)
		}
		second.drain()
		if now, _ := m.is(); now != "15W" {
			st.Errorf("after a drain the mode is %s", now)
		}
		m.now, m.before = "MAXN", "15W" // killed, and what ran has ended meanwhile
		third := st.begin(head + experiment("b", "", "sleep=1h"))
		third.await("the mode is put back", 10*time.Second, func() bool { now, _ := m.is(); return now == "15W" })
		third.drain()
	})
}

// Without power modes, with one that there is not, and when nvpmodel fails, the start
// is refused, and that ends.
func TestPowerModeIsRefused(t *testing.T) {
	broken := newModes()
	broken.broken = errors.New("cannot set power mode MAXN: the board must be rebooted for this power mode")
	for want, tc := range map[string]struct {
		board supervisor.Board
		mode  string
	}{
		"cannot set power_mode MAXN: this machine has no power modes": {supervisor.Board{}, "MAXN"},
		"no such power mode; this board has 15W, 25W, MAXN":           {supervisor.Board{PowerModes: newModes()}, "50W"},
		"must be rebooted for this power mode":                        {supervisor.Board{PowerModes: broken}, "MAXN"},
	} {
		onFake(t, func(st stage, fake *transienttest.Fake) {
			st.board = tc.board
			h := st.begin(head + experiment("a", "restart.max_restarts = 1\npower_mode = \""+tc.mode+"\"", "sleep=1h"))
			h.awaitPhase(supervisor.Failed, time.Minute, "a")
			if ends := h.ends("a"); len(ends) != 2 || ends[1].Result != transient.StartFailed || !strings.Contains(h.status("a").Reason, want) {
				st.Errorf("%+v, reason %q", ends, h.status("a").Reason)
			}
			if n := fake.Starts("brainjar-a.service"); n != 0 {
				st.Errorf("systemd was asked %d times", n)
			}
			h.drain()
		})
	}
}

// A mode that cannot be put back is tried again, and told once.
func TestPowerModeIsTriedAgain(t *testing.T) {
	onModes(t, func(st stage, m *modes) {
		h := st.begin(head + experiment("a", "power_mode = \"MAXN\"", "sleep=1m"))
		h.awaitPhase(supervisor.Running, 10*time.Second, "a")
		m.fail(errors.New("cannot run nvpmodel: no answer within 30s"))
		h.awaitPhase(supervisor.Succeeded, 2*time.Minute, "a")
		time.Sleep(time.Minute)
		if n := strings.Count(h.logged(), "power mode cannot be put back"); n != 1 {
			st.Errorf("told %d times", n)
		}
		m.fail(nil)
		h.await("it is put back", time.Minute, func() bool { now, _ := m.is(); return now == "15W" })
		h.drain()
	})
}

// A power mode moves the ceilings of the clocks: what they are without heat is looked at
// again when one is set and when it is put back.
func TestClocksFollowPowerMode(t *testing.T) {
	onModes(t, func(st stage, _ *modes) {
		clocks := &machineClocks{n: 1}
		st.clocks = clocks
		h := st.begin(strings.Replace(head, "[thermal]", "[thermal]\nclocks = true", 1) + experiment("a", "autostart = false\npower_mode = \"25W\"", "sleep=10s"))
		notes := func() (n int) {
			clocks.mu.Lock()
			defer clocks.mu.Unlock()
			return len(slices.DeleteFunc(slices.Clone(clocks.orders), func(order string) bool { return order != "note" }))
		}
		h.warm(50, 2)
		before := notes()
		h.must(h.Supervisor.Start(h.ctx(), "a"))
		h.awaitPhase(supervisor.Running, 5*time.Second, "a")
		h.warm(50, 2)
		during := notes()
		h.awaitPhase(supervisor.Succeeded, 20*time.Second, "a")
		h.warm(50, 2)
		if after := notes(); during == before || after == during {
			st.Errorf("looked at %d times before, %d in and %d after the mode", before, during, after)
		}
		h.drain()
	})
}
