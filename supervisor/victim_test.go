package supervisor_test

import (
	"strings"
	"testing"
	"time"

	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// memory gives readings of available memory, one a second.
func (h *house) memory(available quantity.Bytes, seconds int) {
	for range seconds {
		h.readings <- sensors.Reading{At: time.Now(), Memory: sensors.Memory{State: sensors.OK, Total: 8 * quantity.GiB, Available: available}}
		time.Sleep(time.Second)
	}
}

// Too little memory ends one experiment after the other, that which loses least
// first, until there is enough; each saves its work and comes back.
func TestMemoryGuard(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		text := strings.Replace(head, `reserve = "0M"`, "reserve = \"1G\"\ncritical = \"512M\"\ngrace = \"5s\"", 1)
		const saves = "checkpoint_signal = \"SIGUSR1\"\ncheckpoint_timeout = \"1m\"\nmax_requeues = 1"
		h := st.begin(text +
			experiment("old", saves, "on=USR1:sleep=3s,exit=7", "sleep=10h") +
			experiment("saved", saves, "on=USR1:sleep=3s,exit=7", "sleep=9m50s", "status=BRAINJAR_CHECKPOINT=1 step 400", "sleep=10h") +
			experiment("dear", "priority = 5", "sleep=10h"))
		h.memory(4*quantity.GiB, 600)
		h.memory(768*quantity.MiB, 10) // below the reserve
		h.memory(500*quantity.MiB, 4)
		h.memory(600*quantity.MiB, 1)
		h.memory(500*quantity.MiB, 4)
		if n := len(h.ends("")); n != 0 {
			st.Fatalf("%d ended within the grace", n)
		}
		h.memory(500*quantity.MiB, 2)
		if s := h.status("saved"); s.Phase != supervisor.Stopping || s.Reason != "only 500M of memory available for 5s, less than 512M; its priority 0 is the lowest of 3 that run, and it would lose 30s of work" {
			st.Errorf("%s: %q", s.Phase, s.Reason)
		}
		h.memory(500*quantity.MiB, 6) // it has ended 3 s after it was told to
		if s := h.status("saved"); s.Phase != supervisor.Queued || !strings.HasPrefix(s.Reason, "needs 32M, 0B of memory available") {
			st.Errorf("%s: %q", s.Phase, s.Reason)
		}
		if end := h.ends("saved"); len(end) != 1 || end[0].Result != supervisor.ResultMemory || end[0].ExitCode != 7 {
			st.Errorf("saved ended with %+v", end)
		}
		if s := h.status("old"); s.Phase != supervisor.Running {
			st.Errorf("the next is %s within a grace after the first", s.Phase)
		}
		h.memory(500*quantity.MiB, 2)
		if s := h.status("old"); s.Phase != supervisor.Stopping {
			st.Errorf("the next is %s after that", s.Phase)
		}
		h.memory(4*quantity.GiB, 10)
		h.awaitPhase(supervisor.Running, time.Second, "old", "saved", "dear")
		h.memory(100*quantity.MiB, 10)
		h.awaitPhase(supervisor.Held, time.Minute, "old") // for the second time
		if s := h.status("old"); !strings.HasPrefix(s.Reason, "stopped for memory more than once, which is enough: only 100M of memory available") {
			st.Errorf("reason %q", s.Reason)
		}
		if s := h.status("dear"); s.Phase != supervisor.Running || s.Run != 1 {
			st.Errorf("dear is %s in run %d", s.Phase, s.Run)
		}
		events := 0
		for _, ev := range st.book.events {
			if ev.Kind == "memory" {
				events++
			}
		}
		if events != 3 {
			st.Errorf("%d events", events)
		}
		h.drain()
	})
}

// When a run that is found has saved last, nobody knows: what it said of that once does
// not make it the one that loses least.
func TestMemoryGuardOfFound(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		text := strings.Replace(head, `reserve = "0M"`, "reserve = \"1G\"\ncritical = \"512M\"\ngrace = \"5s\"", 1)
		text += experiment("saved", "", "status=BRAINJAR_CHECKPOINT=1 step 400", "sleep=10h") + experiment("young", "", "sleep=10h")
		st.book = newBook()
		h := st.begin(text + "autostart = false\n")
		h.memory(4*quantity.GiB, 600)
		h.must(h.Supervisor.Start(h.ctx(), "young"))
		h.memory(4*quantity.GiB, 60)
		h.leave()
		h = st.begin(text)
		h.awaitPhase(supervisor.Running, time.Minute, "saved", "young")
		h.memory(500*quantity.MiB, 7)
		if saved, young := h.status("saved"), h.status("young"); saved.Phase != supervisor.Running || young.Run == 1 && young.Phase == supervisor.Running {
			st.Errorf("saved is %s: %s, young is %s", saved.Phase, saved.Reason, young.Phase)
		}
		h.memory(4*quantity.GiB, 5)
		h.drain()
	})
}
