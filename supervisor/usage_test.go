package supervisor_test

import (
	"math"
	"sync/atomic"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// counting is a systemd that counts how often the usage of a unit is read.
type counting struct {
	systemd
	reads *atomic.Int64
}

// Usage implements supervisor.Groups.
func (c counting) Usage(unit string) (transient.Usage, error) {
	c.reads.Add(1)
	return c.systemd.Usage(unit)
}

// However many ask how everything stands, what units use is read once in two seconds;
// and each reading says how much CPU they had since the one before.
func TestReportsShareMeasurements(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		var reads atomic.Int64
		st.open = func() systemd { return counting{fake, &reads} }
		h := st.begin(head + experiment("a", "", "spin=1h") + experiment("b", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Second, "a", "b")
		for round := range 4 {
			time.Sleep(2500 * time.Millisecond)
			before := reads.Load()
			for range 20 {
				if used := h.status("a").Usage; used == nil || math.Abs(used.CPU-100) > 1 {
					st.Errorf("round %d: a uses %+v", round, used)
				}
				if used := h.status("b").Usage; used == nil || used.CPU > 1 {
					st.Errorf("round %d: b uses %+v", round, used)
				}
			}
			if n := reads.Load() - before; n != 2 {
				st.Errorf("round %d: two units were read %d times", round, n)
			}
		}
		h.drain()
	})
}
