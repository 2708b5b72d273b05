package supervisor_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"brainjar/internal/quantity"
	"brainjar/internal/runlog"
	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// fullDisk makes no log file as long as it is full.
type fullDisk struct {
	full atomic.Bool
	made atomic.Int32
}

func (d *fullDisk) Create(experiment string, run int) (string, error) {
	if d.full.Load() {
		return "", errors.New("no space left on device")
	}
	d.made.Add(1)
	return fmt.Sprintf("/logs/%s/%d.log", experiment, run), nil
}

// A log file that cannot be made keeps its experiment waiting, and is no failure
// of it. What is under way has the terms of its configuration.
func TestLogFiles(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		var disk fullDisk
		disk.full.Store(true)
		st.logs = &disk
		const file = "log = \"file\"\nlog_max_size = \"2M\"\nlog_max_runs = 3\nrestart.policy = \"no\""
		h := st.begin(head + experiment("a", file, "sleep=1h") + experiment("b", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Second, "b")
		time.Sleep(10 * time.Minute)
		if s := h.status("a"); s.Phase != supervisor.Backoff && s.Phase != supervisor.Starting || s.Run > 1 {
			st.Errorf("with a full disk: %+v", s)
		}
		disk.full.Store(false)
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		if n := disk.made.Load(); n != 1 {
			st.Errorf("%d files, want 1", n)
		}
		terms, err := h.LogTerms(st.Context())
		if want := (runlog.Limits{Size: 2 * quantity.MiB, Runs: 3, Live: 1}); err != nil || terms.Experiments["a"] != want || terms.Budget != 4*quantity.GiB {
			st.Errorf("%+v, %v", terms, err)
		}
		h.drain()
	})
}

// deadDisk does not answer.
type deadDisk struct {
	asked  atomic.Int32
	answer chan struct{}
}

func (d *deadDisk) Create(string, int) (string, error) {
	d.asked.Add(1)
	<-d.answer
	return "", errors.New("no space left on device")
}

// A file system that does not answer keeps those waiting that need it, and no others; for
// each one question is left behind.
func TestDeadDisk(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		disk := &deadDisk{answer: make(chan struct{})}
		st.logs = disk
		text := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 20", 1)
		for i := range 10 {
			text += experiment(fmt.Sprintf("dead%d", i), "log = \"file\"", "sleep=1h")
		}
		h := st.begin(text + experiment("b", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "b")
		time.Sleep(time.Hour)
		if s := h.status("dead0"); s.Run > 1 || s.Attempt > 0 || disk.asked.Load() != 10 {
			st.Errorf("asked %d times, %+v", disk.asked.Load(), s)
		}
		h.must(h.Supervisor.Stop(h.ctx(), "dead0"))
		h.awaitPhase(supervisor.Stopped, time.Minute, "dead0")
		h.drain()
		close(disk.answer)
	})
}

// Where there is no place for log files, an experiment that wants one is not
// started without.
func TestNoPlaceForLogFiles(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		h := st.begin(head + experiment("a", "log = \"file\"\nrestart.policy = \"no\"", "sleep=1h"))
		h.awaitPhase(supervisor.Failed, time.Second, "a")
		h.drain()
	})
}
