package supervisor

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"brainjar/internal/quantity"
)

func at(c quantity.Celsius) Temperature {
	return Temperature{Zone: "tj-thermal", Celsius: c, Known: true, Ever: true}
}

func TestGovernor(t *testing.T) {
	g := Governor{Throttle: 75, Resume: 70, Critical: 85}
	for i, step := range []struct {
		celsius quantity.Celsius
		want    Heat
		changed bool
	}{
		{60, Cool, false}, {74.9, Cool, false}, {75, Hold, true}, {72, Hold, false}, {70, Hold, false},
		{69.9, Cool, true}, {85, Stop, true}, {80, Stop, false}, {70, Stop, false}, {69, Cool, true},
	} {
		a := g.Step(at(step.celsius), time.Time{})
		if a.Heat != step.want || a.Changed != step.changed || (a.Reason == "") != (step.want == Cool) {
			t.Errorf("step %d at %v: %+v, want %v, changed %v", i, step.celsius, a, step.want, step.changed)
		}
	}
	if a := g.Step(at(76.25), time.Time{}); a.Reason != "tj-thermal 76.2 °C, starts resume below 70 °C" {
		t.Errorf("reason %q", a.Reason)
	}
}

func TestGovernorBlind(t *testing.T) {
	g := Governor{Throttle: 75, Resume: 70, Critical: 85}
	dark := Temperature{Ever: true}
	for i := 1; i < blindIntervals; i++ {
		if a := g.Step(dark, time.Time{}); a.Reason != "" {
			t.Fatalf("blind after %d readings: %q", i, a.Reason)
		}
	}
	if a := g.Step(dark, time.Time{}); !strings.HasPrefix(a.Reason, "thermal: blind") {
		t.Errorf("after %d readings without a zone: %q", blindIntervals, a.Reason)
	}
	if a := g.Step(at(50), time.Time{}); a.Reason != "" {
		t.Errorf("sees again: %q", a.Reason)
	}
	g.Step(at(76), time.Time{})
	if a := g.Step(dark, time.Time{}); a.Heat != Hold || a.Reason == "" {
		t.Errorf("one dark reading in the heat: %+v, want what was last known to hold", a)
	}
	never := Governor{Throttle: 75, Resume: 70, Critical: 85}
	for range 3 * blindIntervals {
		if a := never.Step(Temperature{}, time.Time{}); a.Reason != "" {
			t.Fatalf("a machine that never had a zone is held: %q", a.Reason)
		}
	}
}

// For any series of temperatures: at or above critical everything stops, at or
// above throttle nothing starts, and below resume nothing is held.
func TestGovernorProperties(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	g := Governor{Throttle: 75, Resume: 70, Critical: 85}
	celsius := 60.0
	for range 100_000 {
		celsius = min(max(celsius+random.NormFloat64()*4, 20), 110)
		c := quantity.Celsius(celsius)
		a := g.Step(at(c), time.Time{})
		switch {
		case c >= 85 && a.Heat != Stop, c >= 75 && a.Reason == "", c < 70 && (a.Reason != "" || a.Heat != Cool):
			t.Fatalf("at %v: %+v", c, a)
		}
	}
}
