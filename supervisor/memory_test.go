package supervisor

import (
	"math/rand/v2"
	"testing"
	"time"

	"brainjar/internal/quantity"
	"brainjar/sensors"
)

func available(b quantity.Bytes) sensors.Memory {
	return sensors.Memory{State: sensors.OK, Total: 8 * quantity.GiB, Available: b}
}

func TestGuardChooses(t *testing.T) {
	for _, tc := range []struct {
		name    string
		running []Victim
		want    string
		reason  string
	}{
		{"nobody", nil, "", ""},
		{"alone", []Victim{{ID: "a", Priority: 9, Unsaved: time.Hour}}, "a",
			"only 512M of memory available for 5s, less than 1G; it would lose 1h0m0s of work"},
		{"priority first", []Victim{{ID: "a", Unsaved: time.Second}, {ID: "b", Priority: -1, Unsaved: time.Hour}, {ID: "c"}}, "b",
			"only 512M of memory available for 5s, less than 1G; its priority -1 is the lowest of 3 that run, and it would lose 1h0m0s of work"},
		{"least lost", []Victim{{ID: "a", Unsaved: time.Hour}, {ID: "b", Unsaved: 20 * time.Second}, {ID: "c", Unsaved: 21 * time.Second}}, "b",
			"only 512M of memory available for 5s, less than 1G; of 3 that run, it would lose 20s of work, the least"},
		{"most memory", []Victim{{ID: "a", Uses: quantity.MiB}, {ID: "b", Uses: quantity.GiB}}, "b",
			"only 512M of memory available for 5s, less than 1G; of 2 that run, it would lose 0s of work, the least"},
		{"by name", []Victim{{ID: "b"}, {ID: "a"}}, "a",
			"only 512M of memory available for 5s, less than 1G; of 2 that run, it would lose 0s of work, the least"},
		{"one is on its way", []Victim{{ID: "b", Ending: true}, {ID: "a"}}, "", ""},
	} {
		g := Guard{Critical: quantity.GiB, Grace: 5 * time.Second}
		now := time.Unix(1e9, 0)
		if id, _ := g.Step(available(quantity.GiB/2), tc.running, now); id != "" {
			t.Errorf("%s: %s is stopped at once", tc.name, id)
		}
		if id, _ := g.Step(available(quantity.GiB/2), tc.running, now.Add(4*time.Second)); id != "" {
			t.Errorf("%s: %s is stopped within the grace", tc.name, id)
		}
		id, reason := g.Step(available(quantity.GiB/2), tc.running, now.Add(5*time.Second))
		if id != tc.want || reason != tc.reason {
			t.Errorf("%s: %q, %q, want %q, %q", tc.name, id, reason, tc.want, tc.reason)
		}
	}
}

// For any series of readings: a victim only after a whole grace in which memory was
// critical without a break and nothing was on its way, and always one then.
func TestGuardProperties(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	g := Guard{Critical: quantity.GiB, Grace: 5 * time.Second}
	now := time.Unix(1e9, 0)
	var low time.Time // since when
	ending, victims, intact := 0, 0, 0
	for range 100_000 {
		now = now.Add(time.Duration(random.IntN(3000)) * time.Millisecond)
		m := available(quantity.GiB * 3 / 4)
		switch random.IntN(8) {
		case 0:
			m = available(quantity.GiB)
		case 1:
			m = sensors.Memory{State: sensors.Failed}
		}
		running := []Victim{{ID: "a"}, {ID: "b", Ending: ending > 0}}
		switch {
		case m.State != sensors.OK || m.Available >= quantity.GiB:
			low = time.Time{}
			intact++
		case low.IsZero() || ending > 0:
			low = now
		}
		id, reason := g.Step(m, running, now)
		due := !low.IsZero() && ending == 0 && now.Sub(low) >= g.Grace
		if (id != "") != due || (reason != "") != due {
			t.Fatalf("low since %v, %d are ending: %q, %q", low, ending, id, reason)
		}
		if ending = max(0, ending-1); id != "" {
			ending, low = random.IntN(5), time.Time{}
			victims++
		}
	}
	if victims < 100 || intact < 100 {
		t.Errorf("%d victims, memory was well %d times: that shows nothing", victims, intact)
	}
	off := Guard{}
	for range 10 {
		now = now.Add(time.Minute)
		if id, _ := off.Step(available(0), []Victim{{ID: "a"}}, now); id != "" {
			t.Error("critical = 0 stops somebody")
		}
	}
}
