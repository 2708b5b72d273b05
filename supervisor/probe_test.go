package supervisor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// doctor answers health checks.
type doctor struct {
	systemd
	mu    sync.Mutex
	ill   error
	asked []transient.HealthCheck
}

func (d *doctor) CheckHealth(_ context.Context, _ transient.Unit, c transient.HealthCheck) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, c)
	return d.ill
}

func (d *doctor) set(ill error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ill = ill
}

func (d *doctor) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.asked)
}

// A run whose probe fails too often in a row has failed, with the words of the
// probe; one that recovers in time goes on.
func TestProbe(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		d := &doctor{systemd: fake}
		st.open = func() systemd { return d }
		h := st.begin(head + experiment("a", `probe = { exec = ["/bin/check", "{id}", "{run}"], every = "10s", timeout = "2s", failures = 3 }
restart = { max_restarts = 1, delay = "5s" }`, "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		time.Sleep(9 * time.Second)
		if n := d.count(); n != 0 {
			st.Errorf("%d checks in the first 9 s", n)
		}
		time.Sleep(91 * time.Second)
		if n := d.count(); n != 10 && n != 9 || !slices.Equal(d.asked[0].Exec, []string{"/bin/check", "a", "1"}) {
			st.Errorf("%d checks: %+v", n, d.asked[0])
		}
		d.set(errors.New("exit status 1: no tokens"))
		time.Sleep(25 * time.Second)
		d.set(nil)
		time.Sleep(time.Minute)
		if s := h.status("a"); s.Phase != supervisor.Running || s.Run != 1 {
			st.Errorf("two failures: %+v", s)
		}
		d.set(errors.New("exit status 1: no tokens"))
		h.awaitPhase(supervisor.Failed, 3*time.Minute, "a")
		s := h.status("a")
		if s.Run != 2 || s.LastResult != supervisor.ResultProbe || !strings.HasPrefix(s.Reason, "probe failed 3 times in a row: exit status 1: no tokens; gave up") {
			st.Errorf("%+v", s)
		}
		if end := h.ends("a"); len(end) != 2 || end[0].Result != supervisor.ResultProbe {
			st.Errorf("%+v", end)
		}
		h.drain()
	})
}
