package supervisor_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// heatFile is the record of what is done against heat.
type heatFile struct {
	mu     sync.Mutex
	record supervisor.HeatRecord
	broken error
	writes int
}

func (f *heatFile) keep(_ context.Context, r supervisor.HeatRecord) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken == nil {
		f.record = r
		f.writes++
	}
	return f.broken
}

func (f *heatFile) read() supervisor.HeatRecord {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.record
}

// machineClocks are the clocks of a machine: what is set of them outlives a brainjar.
type machineClocks struct {
	mu      sync.Mutex
	capped  float64 // the share; 0: they are not
	n       int
	broken  error
	orders  []string
	overlap int // calls at the same time
}

func (c *machineClocks) do(name string, f func()) error {
	c.mu.Lock()
	c.overlap++
	if c.overlap > 1 {
		c.orders = append(c.orders, "two at once")
	}
	c.orders = append(c.orders, name)
	broken := c.broken
	if broken == nil {
		f()
	}
	c.mu.Unlock()
	time.Sleep(time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.overlap--
	return broken
}

func (c *machineClocks) Note(context.Context) (n int, err error) {
	return c.n, c.do("note", func() {})
}

func (c *machineClocks) Cap(_ context.Context, share float64) error {
	return c.do("cap", func() { c.capped = share })
}

func (c *machineClocks) Restore(context.Context) error {
	return c.do("restore", func() { c.capped = 0 })
}

func (c *machineClocks) share() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.capped
}

func (c *machineClocks) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = err
}

// hot is a reading of a machine with four CPUs.
func hot(celsius quantity.Celsius) sensors.Reading {
	return sensors.Reading{At: time.Now(), EverHadZone: true, CPU: sensors.CPU{Count: 4}, Zones: []sensors.Zone{
		{Type: "tj-thermal", Name: "tj-thermal", State: sensors.OK, Temperature: celsius},
	}}
}

// warm gives readings of a temperature for so many intervals.
func (h *house) warm(celsius quantity.Celsius, intervals int) {
	for range intervals {
		h.readings <- hot(celsius)
		time.Sleep(heatInterval)
	}
}

// heatTo lets it stay hot until a stage is reached.
func (h *house) heatTo(stage string) {
	h.Helper()
	for range 12 {
		h.warm(76, 1)
		if h.report().Stage == stage {
			return
		}
	}
	h.Fatalf("it is %s, want %s\nlog:\n%s", h.report().Stage, stage, h.logged())
}

// burned is the share of the time that experiments get, over a while in which the
// stage stays.
func (h *house) burned(while time.Duration, ids ...string) (shares []float64) {
	h.Helper()
	cpu := func(id string) time.Duration {
		u, err := h.Usage("brainjar-" + id + ".service")
		if err != nil {
			h.Fatal(err)
		}
		return u.CPUTime
	}
	var before []time.Duration
	for _, id := range ids {
		before = append(before, cpu(id))
	}
	for end := time.Now().Add(while); time.Now().Before(end); {
		h.warm(72, 1)
	}
	for i, id := range ids {
		shares = append(shares, float64(cpu(id)-before[i])/float64(while))
	}
	return shares
}

// heated begins a brainjar with four experiments that burn, one of which matters more.
func heated(st stage, keys string) *house {
	text := strings.Replace(head, "[thermal]", "[thermal]\nclocks = true", 1)
	for _, id := range []string{"a", "b", "c"} {
		text += experiment(id, keys, "spin=100h")
	}
	h := st.begin(text + experiment("top", "priority = 1\n"+keys, "spin=100h"))
	h.awaitPhase(supervisor.Running, 5*time.Second, "a", "b", "c", "top")
	return h
}

// Each stage does what it says, and cooling undoes all of it.
func TestHeatStages(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		clocks := &machineClocks{n: 2}
		st.book, st.heat, st.clocks = newBook(), &heatFile{}, clocks
		h := heated(st, "")
		h.warm(60, 2)
		for _, want := range []struct {
			stage    string
			quota    quantity.Percent
			clocks   float64
			low, top float64 // share of the time that they get
		}{
			{"hold", 0, 0, 1, 1}, {"clocks", 0, 0.6, 1, 1},
			{"quota 75 %", 300, 0.6, 1, 1}, {"quota 50 %", 200, 0.6, 1, 1}, {"quota 25 %", 100, 0.6, 1, 1},
			{"freeze 1/4", 100, 0.6, 0.75, 1}, {"freeze 2/4", 100, 0.6, 0.5, 0.75}, {"freeze 3/4", 100, 0.6, 0.25, 0.5},
		} {
			h.heatTo(want.stage)
			time.Sleep(10 * time.Millisecond)
			if l := fake.SliceLimits(); l.CPUQuota != want.quota || l.MemoryMax != quantity.GiB {
				st.Errorf("%s: the slice has %s and %s", want.stage, l.CPUQuota, l.MemoryMax)
			}
			if got := clocks.share(); got != want.clocks {
				st.Errorf("%s: clocks at %v", want.stage, got)
			}
			got := h.burned(40*time.Second, "a", "b", "c", "top")
			for i, share := range []float64{want.low, want.low, want.low, want.top} {
				if got[i] < share-0.03 || got[i] > share+0.03 {
					st.Errorf("%s: they get %.2f of the time", want.stage, got)
					break
				}
			}
			line := "cooling: " + want.stage
			if want.stage != "hold" && !strings.Contains(h.statusLine(), line) {
				st.Errorf("status line %q", h.statusLine())
			}
		}
		h.cool()
		time.Sleep(time.Second)
		h.wantFree(fake, clocks)
		if n := len(h.past("")); n != 12 {
			st.Errorf("%d changes of phases, want only those of the starts", n)
		}
		var events []string
		for _, ev := range st.book.events {
			if ev.Kind == "heat" {
				events = append(events, ev.Reason)
			}
		}
		if len(events) != 16 || events[2] != "quota 75 %: tj-thermal 76.0 °C" || events[15] != "cool: tj-thermal 60.0 °C" {
			st.Errorf("%d events: %q", len(events), events)
		}
		if st.heat.writes > 20 {
			st.Errorf("%d writes of the record", st.heat.writes)
		}
		h.drain()
	})
}

// wantFree fails unless nothing is done against heat any more.
func (h *house) wantFree(fake *transienttest.Fake, clocks *machineClocks) {
	h.Helper()
	if l := fake.SliceLimits(); l.CPUQuota != 0 || l.MemoryMax != quantity.GiB {
		h.Errorf("the slice has %s and %s", l.CPUQuota, l.MemoryMax)
	}
	if clocks.share() != 0 {
		h.Errorf("clocks at %v", clocks.share())
	}
	if slices.Contains(clocks.orders, "two at once") {
		h.Errorf("orders to the clocks: %v", clocks.orders)
	}
	if frozen := fake.Frozen(); len(frozen) > 0 {
		h.Errorf("frozen: %v", frozen)
	}
	if r := h.heat.read(); r.Stage != supervisor.Cool || r.Stop || len(r.Frozen) > 0 {
		h.Errorf("record %+v", r)
	}
}

// Whoever goes undoes what was done; whoever comes after a kill finds it, and goes
// on with it or undoes it.
func TestHeatOutlivesBrainjar(t *testing.T) {
	for _, until := range []string{"clocks", "quota 50 %", "freeze 2/4"} {
		for _, end := range []string{"leave", "drain", "kill, then hot", "kill, then cool", "kill, then no heat", "kill, then no clocks"} {
			t.Run(until+", "+end, func(t *testing.T) {
				onFake(t, func(st stage, fake *transienttest.Fake) { heatOutlives(st, fake, until, end) })
			})
		}
	}
}

func heatOutlives(st stage, fake *transienttest.Fake, until, end string) {
	clocks := &machineClocks{n: 2}
	st.book, st.heat, st.clocks = newBook(), &heatFile{}, clocks
	first := heated(st, "")
	first.warm(60, 1)
	first.heatTo(until)
	time.Sleep(2 * heatInterval) // the first slot is over, in which all are frozen
	if until == "freeze 2/4" && len(fake.Frozen()) != 3 {
		st.Fatalf("frozen are %v", fake.Frozen())
	}
	switch end {
	case "leave":
		first.leave()
		first.wantFree(fake, clocks)
		if n := len(fake.Running()); n != 4 {
			st.Errorf("%d run on", n)
		}
		return
	case "drain":
		first.drain()
		first.wantFree(fake, clocks)
		return
	}
	first.cancel()
	<-first.over
	if clocks.share() == 0 {
		st.Fatal("the clocks are free: nothing is shown")
	}
	time.Sleep(time.Minute)
	text := strings.Replace(head, "[thermal]", "[thermal]\nclocks = true", 1)
	switch end {
	case "kill, then no heat":
		text = strings.Replace(head, "[thermal]", "[thermal]\nenabled = false", 1)
	case "kill, then no clocks":
		text = head
	}
	for _, id := range []string{"a", "b", "c", "top"} {
		text += experiment(id, "", "spin=100h")
	}
	st.first = hot(60)
	if end == "kill, then hot" {
		st.first = hot(76)
	}
	second := st.begin(text)
	second.awaitReady()
	time.Sleep(50 * time.Millisecond)
	if end == "kill, then hot" {
		if got := second.report().Stage; got != until || clocks.share() != 0.6 || slices.Contains(clocks.orders[len(clocks.orders)-1:], "restore") {
			st.Errorf("it is %s, clocks at %v after %v", got, clocks.share(), clocks.orders)
		}
	}
	second.cool()
	time.Sleep(time.Second)
	second.wantFree(fake, clocks)
	for _, id := range []string{"a", "b", "c", "top"} {
		if s := second.status(id); s.Phase != supervisor.Running || s.Run != 1 {
			st.Errorf("%s is %s in run %d", id, s.Phase, s.Run)
		}
	}
	second.drain()
}
