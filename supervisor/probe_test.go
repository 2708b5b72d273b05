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

// doctor answers health checks.
type doctor struct {
	mu    sync.Mutex
	ill   error
	takes time.Duration
	asked []transient.HealthCheck
	most  int
	now   int
}

func (d *doctor) CheckHealth(_ context.Context, _ transient.Unit, c transient.HealthCheck) error {
	d.mu.Lock()
	d.asked = append(d.asked, c)
	d.now++
	d.most = max(d.most, d.now)
	ill, takes := d.ill, d.takes
	d.mu.Unlock()
	time.Sleep(takes)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now--
	return ill
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
	onFake(t, func(st stage, _ *transienttest.Fake) {
		d := &doctor{}
		st.prober = d
		h := st.begin(head + experiment("a", `probe = { exec = ["/bin/check", "{id}", "{run}"], every = "10s", timeout = "2s", failures = 3 }
restart = { max_restarts = 1, delay = "5s" }`, "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		time.Sleep(9 * time.Second)
		if n := d.count(); n != 0 {
			st.Errorf("%d checks in the first 9 s", n)
		}
		time.Sleep(91 * time.Second)
		if n := d.count(); n != 10 && n != 9 || !slices.Equal(d.asked[0].Exec, []string{"/bin/check", "a", "1"}) || d.asked[0].Timeout != 2*time.Second {
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

// Probes that hang keep nobody waiting; a few are made at a time, one of each
// experiment; none of what does not run.
func TestProbesAreFew(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		d := &doctor{takes: 30 * time.Second}
		st.prober = d
		text := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 30", 1)
		for i := range 30 {
			text += experiment(fmt.Sprintf("e%d", i), `probe = { http = "http://127.0.0.1/", every = "31s", timeout = "30s" }`, "sleep=1h")
		}
		h := st.begin(text)
		time.Sleep(5 * time.Minute)
		begin := time.Now()
		if h.status("e0"); time.Since(begin) != 0 {
			st.Error("the loop waited")
		}
		if d.most != 8 || d.count() < 60 {
			st.Errorf("%d at once, %d in all", d.most, d.count())
		}
		if err := h.Supervisor.Freeze(st.Context(), "e0"); err != nil {
			st.Fatal(err)
		}
		h.awaitPhase(supervisor.Frozen, time.Second, "e0")
		h.drain()
	})
}
