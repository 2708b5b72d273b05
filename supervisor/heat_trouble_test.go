package supervisor_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// A person's freeze is a person's: the heat neither ends it nor takes its place.
func TestFreezeByHandInTheHeat(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		clocks := &machineClocks{n: 1}
		st.book, st.heat, st.clocks = newBook(), &heatFile{}, clocks
		h := heated(st, "")
		h.heatTo("freeze 3/4")
		for i, id := range []string{"a", "b"} {
			time.Sleep(time.Duration(i) * 1900 * time.Millisecond) // in a turn, and between two
			if err := h.Supervisor.Freeze(st.Context(), id); err != nil {
				st.Fatal(err)
			}
			h.awaitPhase(supervisor.Frozen, time.Second, id)
		}
		if err := h.Supervisor.Freeze(st.Context(), "a"); !errors.Is(err, supervisor.ErrNotRunning) {
			st.Errorf("frozen twice: %v", err)
		}
		if got := h.burned(20*time.Second, "a", "b", "c"); got[0] != 0 || got[1] != 0 || got[2] < 0.2 || got[2] > 0.3 {
			st.Errorf("they get %.2f", got)
		}
		h.cool()
		time.Sleep(time.Second)
		if got := fake.Frozen(); !slices.Equal(got, []string{"brainjar-a.service", "brainjar-b.service"}) {
			st.Errorf("frozen are %v", got)
		}
		h.heatTo("freeze 3/4")
		if err := h.Supervisor.Thaw(st.Context(), "a"); err != nil {
			st.Fatal(err)
		}
		h.awaitPhase(supervisor.Running, time.Second, "a")
		if got := h.burned(20*time.Second, "a"); got[0] < 0.2 || got[0] > 0.3 {
			st.Errorf("after a thaw it gets %.2f", got)
		}
		h.drain()
	})
}

// What is frozen by turns hears that it is to save its work.
func TestCriticalWhileFrozen(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.heat, st.clocks = &heatFile{}, &machineClocks{}
		h := st.begin(head + experiment("a", "checkpoint_signal = \"SIGUSR1\"\ncheckpoint_timeout = \"1m\"", "on=USR1:sleep=1s,exit=7", "spin=100h"))
		h.awaitPhase(supervisor.Running, time.Second, "a")
		h.heatTo("freeze 3/4")
		h.await("it is frozen", 2*time.Second, func() bool { return len(fake.Frozen()) == 1 })
		begin := time.Now()
		h.readings <- hot(86)
		h.awaitPhase(supervisor.Queued, time.Minute, "a")
		if took := time.Since(begin); took > 1100*time.Millisecond {
			st.Errorf("it took %v", took)
		}
		if end := h.ends("a"); len(end) != 1 || end[0].ExitCode != 7 || end[0].Result != supervisor.ResultHeat {
			st.Errorf("ended with %+v", end)
		}
		if r := h.report(); r.Stage != "stop" {
			st.Errorf("stage %s", r.Stage)
		}
		h.cool()
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		h.drain()
	})
}

// What cannot be done against heat is tried again and told once; experiments are not
// harmed, and the loop does not wait.
func TestHeatMeetsTrouble(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		clocks := &machineClocks{n: 1}
		st.heat, st.clocks = &heatFile{}, clocks
		h := heated(st, "")
		h.warm(60, 1)
		clocks.fail(errors.New("the driver did not take the limit"))
		st.heat.mu.Lock()
		st.heat.broken = errors.New("no space left")
		st.heat.mu.Unlock()
		h.heatTo("freeze 3/4")
		h.warm(72, 150)
		if got := fake.Frozen(); len(got) > 0 {
			st.Errorf("%v are frozen, of which nothing is written down", got)
		}
		for _, words := range []string{"clocks cannot be lowered", "cannot be written down"} {
			if n := strings.Count(h.logged(), words); n != 1 {
				st.Errorf("%q told %d times", words, n)
			}
		}
		clocks.fail(nil)
		st.heat.mu.Lock()
		st.heat.broken = nil
		st.heat.mu.Unlock()
		h.warm(72, 60)
		if got := h.burned(20*time.Second, "a"); got[0] > 0.3 || clocks.share() != 0.6 {
			st.Errorf("it gets %.2f, clocks at %v", got, clocks.share())
		}
		fake.Hang(true) // longer than calls to it last
		h.warm(76, 100)
		begin := time.Now()
		h.report()
		if took := time.Since(begin); took != 0 {
			st.Errorf("an answer took %v", took)
		}
		fake.Hang(false)
		time.Sleep(20 * time.Second)
		clocks.fail(errors.New("something else holds it"))
		h.cool()
		time.Sleep(time.Minute)
		if clocks.share() == 0 {
			st.Error("the clocks are free")
		}
		clocks.fail(nil)
		time.Sleep(11 * time.Second)
		h.wantFree(fake, clocks)
		h.drain()
	})
}

// A watchdog that is shorter than a turn and the checks of a probe are not to take
// what is frozen for dead.
func TestTurnsAreNoFailures(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.heat = &heatFile{}
		pings := slices.Repeat([]string{"ping", "spin=200ms"}, 1000)
		h := st.begin(head +
			experiment("watched", "watchdog = \"1s\"\nready = \"notify\"", append([]string{"ready"}, pings...)...) +
			experiment("probed", "probe = { http = \"http://127.0.0.1/\", every = \"1s\", timeout = \"900ms\", failures = 1 }", "spin=1h") +
			// longer than what is left between two turns
			experiment("slow", "probe = { exec = [\"PROGRAM\", \"workload\", \"sleep=600ms\", \"exit=4\"], every = \"3s\", failures = 1 }", "spin=1h"))
		h.awaitPhase(supervisor.Running, time.Second, "watched", "probed", "slow")
		h.heatTo("freeze 3/4")
		if got := h.burned(20*time.Second, "watched", "probed"); got[0] < 0.99 || got[1] > 0.3 {
			st.Errorf("they get %.2f", got)
		}
		if got := len(h.ends("")); got != 0 {
			st.Errorf("%d ended", got)
		}
		fake.SetHealth("brainjar-probed.service", fmt.Errorf("connection refused"))
		h.await("a check fails between two turns", time.Minute, func() bool {
			h.warm(72, 1)
			return len(h.ends("probed")) > 0
		})
		h.drain()
	})
}
