package supervisor_test

import (
	"strings"
	"testing"
	"time"

	"brainjar/internal/quantity"
	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// An experiment that comes back into the file while its old unit is being stopped waits
// for the end of that; then its own run goes on, and nothing of the old one is counted.
func TestOrphanComesBack(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		text := head + experiment("old", "stop_timeout = \"1m\"", "on=TERM:sleep=20s,exit=0", "sleep=10h")
		first := st.begin(text)
		first.awaitPhase(supervisor.Running, time.Minute, "old")
		first.leave()
		h := st.begin(head)
		h.await("it is stopped", time.Minute, func() bool { return strings.Contains(h.logged(), "it is stopped") })
		h.rewrite(text)
		_, err := h.Reload(h.ctx(), false)
		h.must(err)
		h.awaitPhase(supervisor.Running, time.Minute, "old")
		time.Sleep(10 * time.Minute)
		if s := h.status("old"); s.Phase != supervisor.Running || s.Run != 2 || h.report().SlotsUsed != 1 {
			st.Errorf("%+v, %d slots used", s, h.report().SlotsUsed)
		}
		h.drain()
	})
}

// An experiment that comes back into the file while its old unit is kept has it again,
// under the limits that are configured now.
func TestKeptOrphanComesBack(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		keep := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 8\nkeep_orphans = true", 1)
		first := st.begin(keep + experiment("old", `memory_max = "64M"`, "sleep=1h"))
		first.awaitPhase(supervisor.Running, time.Minute, "old")
		before := first.status("old").Unit
		first.leave()
		h := st.begin(keep)
		h.await("it is kept", time.Minute, func() bool { return strings.Contains(h.logged(), "it is left running") })
		h.rewrite(keep + experiment("old", `memory_max = "96M"`, "sleep=1h"))
		_, err := h.Reload(h.ctx(), false)
		h.must(err)
		h.awaitPhase(supervisor.Running, time.Minute, "old")
		time.Sleep(time.Minute)
		if s := h.status("old"); s.Unit.Invocation != before.Invocation || s.Run != 1 || h.report().SlotsUsed != 1 {
			st.Errorf("it was %+v, and is %+v, with %d slots used", before, s, h.report().SlotsUsed)
		}
		if !strings.Contains(h.logged(), "limits follow the configuration\" experiment=old") || h.status("old").MemoryMax != 96*quantity.MiB {
			st.Errorf("limits: %+v", h.status("old"))
		}
		h.must(h.Supervisor.Stop(h.ctx(), "old"))
		h.awaitPhase(supervisor.Stopped, time.Minute, "old")
		h.drain()
	})
}

// The memory of an orphan that is found before it is ready counts once its limit is known.
func TestOrphanLoading(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		spec := transient.Spec{
			Experiment: "old", Run: 1, Kind: transient.Service, Ready: transient.ReadyNotify, Limits: transient.Limits{MemoryMax: 600 << 20},
			Command: transienttest.Command("x", "sleep=10s", "ready", "sleep=1h"),
		}
		if err := fake.Plant(spec, time.Now()); err != nil {
			st.Fatal(err)
		}
		h := st.begin(strings.Replace(head, "[thermal]", "keep_orphans = true\n[thermal]", 1))
		time.Sleep(time.Minute)
		if r := h.report(); r.SlotsUsed != 1 || r.BudgetUsed != 600<<20 {
			st.Errorf("%d slots and %s used", r.SlotsUsed, r.BudgetUsed)
		}
		if n := strings.Count(h.logged(), "no experiment of the configuration owns"); n != 1 {
			st.Errorf("told %d times", n)
		}
		h.drain()
	})
}
