package supervisor

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"brainjar/internal/quantity"
)

func at(c quantity.Celsius) Temperature {
	return Temperature{Zone: "tj-thermal", Celsius: c, Known: true, Ever: true}
}

// felt is a governor and its clock.
type felt struct {
	Governor
	now time.Time
}

func newFelt(clocks bool) *felt {
	return &felt{Governor{Throttle: 75, Resume: 70, Critical: 85, Interval: 2 * time.Second, Clocks: clocks}, time.Unix(1e9, 0)}
}

// feel gives it a reading, an interval after the last.
func (f *felt) feel(t Temperature) Action {
	f.now = f.now.Add(f.Interval)
	return f.Step(t, f.now)
}

func TestGovernor(t *testing.T) {
	g := newFelt(false)
	for i, step := range []struct {
		celsius quantity.Celsius
		want    string
		changed bool
	}{
		{60, "cool", false}, {74.9, "cool", false}, {75, "hold", true}, {72, "hold", false}, {70, "hold", false},
		{69.9, "cool", true}, {85, "stop", true}, {80, "stop", false}, {70, "stop", false}, {69, "cool", true},
	} {
		a := g.feel(at(step.celsius))
		if a.String() != step.want || a.Changed != step.changed || (a.Reason == "") != (step.want == "cool") {
			t.Errorf("step %d at %v: %+v, want %v, changed %v", i, step.celsius, a, step.want, step.changed)
		}
	}
	if a := g.feel(at(76.25)); a.Reason != "tj-thermal 76.2 °C, starts resume below 70 °C" {
		t.Errorf("reason %q", a.Reason)
	}
}

// Heat that stays leads through all stages, an interval each, and cooling back.
func TestGovernorStages(t *testing.T) {
	up := []string{"hold", "clocks", "quota 75 %", "quota 50 %", "quota 25 %", "freeze 1/4", "freeze 2/4", "freeze 3/4", "freeze 3/4"}
	down := []string{"freeze 2/4", "freeze 1/4", "quota 25 %", "quota 50 %", "quota 75 %", "clocks", "hold", "cool", "cool"}
	for _, clocks := range []bool{true, false} {
		g := newFelt(clocks)
		want := func(celsius quantity.Celsius, stages []string) {
			t.Helper()
			for _, stage := range stages {
				if stage == "clocks" && !clocks {
					continue
				}
				if a := g.feel(at(celsius)); a.String() != stage {
					t.Errorf("clocks %v, at %v: %s, want %s", clocks, celsius, a, stage)
				}
			}
		}
		want(76, up)
		want(72, []string{"freeze 3/4", "freeze 3/4"})
		want(69, down[:3])
		want(72, []string{"quota 25 %"})
		want(76, []string{"quota 25 %", "freeze 1/4"}) // the first reading of the heat that comes back
		want(86, []string{"stop", "stop"})
		want(69, []string{"quota 25 %"}) // there was an interval between the last change and this one
		want(69, down[3:])
	}
}

// Readings that come fast change nothing faster; one that comes a little early counts.
func TestGovernorInterval(t *testing.T) {
	g := newFelt(true)
	g.feel(at(76))
	for range 10 {
		g.now = g.now.Add(100 * time.Millisecond)
		if a := g.Step(at(77), g.now); a.Stage != Hold {
			t.Fatalf("after %v: %s", 100*time.Millisecond, a)
		}
	}
	g.now = g.now.Add(900 * time.Millisecond)
	if a := g.Step(at(77), g.now); a.Stage != Slow {
		t.Errorf("after 1.9 s: %s", a)
	}
	g.now = g.now.Add(100 * time.Millisecond)
	if a := g.Step(at(50), g.now); a.Stage != Slow {
		t.Errorf("undone after 0.1 s: %s", a)
	}
}

func TestGovernorBlind(t *testing.T) {
	g := newFelt(false)
	dark := Temperature{Ever: true}
	for i := 1; i < blindIntervals; i++ {
		if a := g.feel(dark); a.Reason != "" {
			t.Fatalf("blind after %d readings: %q", i, a.Reason)
		}
	}
	if a := g.feel(dark); !strings.HasPrefix(a.Reason, "thermal: blind") {
		t.Errorf("after %d readings without a zone: %q", blindIntervals, a.Reason)
	}
	if a := g.feel(at(50)); a.Reason != "" {
		t.Errorf("sees again: %q", a.Reason)
	}
	g.feel(at(76))
	g.feel(at(76))
	for range 3 {
		if a := g.feel(dark); a.Stage != Quota75 || a.Reason == "" {
			t.Errorf("a dark reading in the heat: %+v, want what was last known to hold", a)
		}
	}
	never := newFelt(false)
	never.stage, never.critical = Quota50, true // as an earlier brainjar left it
	for range 3 * blindIntervals {
		if a := never.feel(Temperature{}); a.Reason != "" || a.String() != "cool" {
			t.Fatalf("a machine that never had a zone is held: %+v", a)
		}
	}
}

// For any series of temperatures, at any times: at or above critical everything
// stops, at or above throttle nothing starts, the stages are entered and left one by
// one, none sooner than an interval after the one before, and cooling undoes all.
func TestGovernorProperties(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("BRAINJAR_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("BRAINJAR_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	seen := make(map[string]int)
	for range 200 {
		g := newFelt(random.IntN(2) == 0)
		g.Interval = time.Duration(100+random.IntN(5000)) * time.Millisecond
		changes, before := g.now, Action{}
		celsius, drift := 60.0, 0.0
		for range 1000 {
			if random.IntN(30) == 0 {
				drift = random.NormFloat64()
			}
			celsius = min(max(celsius+drift+random.NormFloat64(), 40), 100)
			g.now = g.now.Add(time.Duration(random.Float64() * 3 * float64(g.Interval)))
			c := quantity.Celsius(celsius)
			a := g.Step(at(c), g.now)
			seen[a.String()]++
			if wrong := improper(g, c, before, a, g.now.Sub(changes)); wrong != "" {
				t.Fatalf("at %v, %s: %+v after %+v", c, wrong, a, before)
			}
			if a.Stage != before.Stage {
				changes = g.now
			}
			before = a
		}
		for range Freeze3 + 1 {
			before = g.feel(at(69.9))
		}
		if before.Stage != Cool || before.Stop || before.Reason != "" {
			t.Fatalf("it stays cool, and: %+v", before)
		}
	}
	for stage := Cool; stage <= Freeze3; stage++ {
		if seen[stage.String()] == 0 {
			t.Errorf("never was %s: %v", stage, seen)
		}
	}
	if seen["stop"] == 0 {
		t.Errorf("nothing was ever stopped: %v", seen)
	}
}

// improper says what is wrong with a step, so long after the last change.
func improper(g *felt, c quantity.Celsius, before, a Action, since time.Duration) string {
	step := a.Stage - before.Stage
	if !g.Clocks && min(before.Stage, a.Stage) < Slow && max(before.Stage, a.Stage) > Slow {
		step -= step / 2 // the stage between was passed over
	}
	atOnce := before.Stage == Cool && a.Stage == Hold
	for wrong, is := range map[string]bool{
		"something may start":                       c >= g.Throttle && a.Reason == "",
		"not everything stops":                      c >= g.Critical && !a.Stop,
		"stops without need":                        a.Stop && !before.Stop && c < g.Critical,
		"ends its stop while hot":                   before.Stop && !a.Stop && c >= g.Resume,
		"starts are held without need":              a.Stage == Cool && a.Reason != "",
		"starts resume before all is undone":        a.Stage > Cool && a.Reason == "",
		"more than one stage":                       step < -1 || step > 1,
		"cools more without need":                   step > 0 && c < g.Throttle,
		"cools less while hot":                      step < 0 && c >= g.Resume,
		"sooner than an interval":                   step != 0 && !atOnce && since < g.Interval-g.Interval/10,
		"lowers clocks that there are not":          a.Stage == Slow && !g.Clocks,
		fmt.Sprint("says changed ", a.Changed):      a.Changed != (a.Stage != before.Stage || a.Stop != before.Stop),
		"begins to cool at its second reading only": c >= g.Throttle && a.Stage == Cool,
	} {
		if is {
			return wrong
		}
	}
	return ""
}

// What is in force in a stage only grows.
func TestStagesAddUp(t *testing.T) {
	for s := Hold; s <= Freeze3; s++ {
		if s.quota() > (s-1).quota() || s.quarters() < (s-1).quarters() || s.quota() <= 0 || s.quarters() > 3 {
			t.Errorf("%s: quota %v, %d quarters", s, s.quota(), s.quarters())
		}
	}
	if Freeze3.quota() != 0.25 || Freeze3.quarters() != 3 || Slow.quota() != 1 || Quota25.quarters() != 0 {
		t.Error("the ends of the scale")
	}
}
