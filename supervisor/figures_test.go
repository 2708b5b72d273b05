package supervisor

import (
	"math"
	"reflect"
	"testing"
	"time"

	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
	"brainjar/sensors"
)

// reading is of a Jetson that takes 20 W, with changes.
func reading(change func(*sensors.Reading)) sensors.Reading {
	r := sensors.Reading{
		Power:       sensors.BoardPower{Power: sensors.Value[quantity.Milliwatts]{State: sensors.OK, V: 20_000}, From: "VDD_IN"},
		OverCurrent: []sensors.OverCurrent{counter("oc1", 0), counter("oc2", 0), counter("oc3", 1000)},
		Cooling:     []sensors.Cooling{{Type: "cpu-throttle-alert"}, {Type: "pwm-fan", Level: sensors.Value[int64]{State: sensors.OK, V: 3}}},
	}
	if change != nil {
		change(&r)
	}
	return r
}

func counter(name string, recent int64) sensors.OverCurrent {
	known := func(n int64) sensors.Value[int64] { return sensors.Value[int64]{State: sensors.OK, V: n} }
	return sensors.OverCurrent{Name: name, Events: known(7 + recent), Recent: known(recent)}
}

func alert(r *sensors.Reading) {
	r.Cooling[0].Level = sensors.Value[int64]{State: sensors.OK, V: 1}
}

func powerless(r *sensors.Reading) { r.Power.Power = sensors.Value[quantity.Milliwatts]{} }

// step is one interval of a run.
type figureStep struct {
	dt      time.Duration
	celsius float64 // 0: none could be read
	stage   Stage
	share   float64
	change  func(*sensors.Reading)
}

// What a run felt, and whether its measurements can be trusted.
func TestFigures(t *testing.T) {
	const s = time.Second
	swapped := func(much quantity.Bytes) figures { return figures{swap: much, swapKnown: true} }
	for name, test := range map[string]struct {
		begin  figures
		steps  []figureStep
		lasted time.Duration
		lost   bool
		want   string // taint
		hot    float64
		joules float64 // -1: not known
		shared bool
		over   int // -1: not known
		slow   [3]time.Duration
		seen   time.Duration
	}{
		"clean":          {steps: []figureStep{{s, 50, Hold, 1, nil}, {2 * s, 51, Cool, 1, nil}, {s, 49, Cool, 1, nil}}, lasted: 4 * s, want: "clean", hot: 51, joules: 80, seen: 4 * s},
		"below freezing": {steps: []figureStep{{s, -5, Cool, 1, nil}}, lasted: s, want: "clean", hot: -5, joules: 20, seen: s},
		"not alone":      {steps: []figureStep{{2 * s, 50, Cool, 1, nil}, {2 * s, 50, Cool, 0.25, nil}}, lasted: 4 * s, want: "clean", hot: 50, joules: 50, shared: true, seen: 4 * s},
		"hardware":       {steps: []figureStep{{s, 90, Cool, 1, alert}, {s, 80, Cool, 1, nil}}, lasted: 2 * s, want: "throttled by hardware 1s", hot: 90, joules: 40, slow: [3]time.Duration{s, s, 0}, seen: 2 * s},
		"both causes": {
			steps:  []figureStep{{s, 90, Slow, 1, alert}, {s, 80, Quota25, 1, nil}, {s, 80, Freeze3, 1, nil}},
			lasted: 3 * s, want: "throttled by hardware 1s, throttled by brainjar 3s", hot: 90, joules: 60, slow: [3]time.Duration{3 * s, s, 3 * s}, seen: 3 * s,
		},
		"over-current": {
			steps: []figureStep{
				{s, 50, Cool, 1, func(r *sensors.Reading) { r.OverCurrent[0] = counter("oc1", 2) }},
				{s, 50, Cool, 1, func(r *sensors.Reading) { r.OverCurrent[1] = counter("oc2", 1) }},
			},
			lasted: 2 * s, want: "over-current 3", hot: 50, joules: 40, over: 3, seen: 2 * s,
		},
		"no counters, no rails": {
			steps:  []figureStep{{s, 50, Cool, 1, func(r *sensors.Reading) { r.OverCurrent = nil; powerless(r) }}},
			lasted: s, want: "clean", hot: 50, joules: -1, over: -1, seen: s,
		},
		"swapped": {
			begin: swapped(3 * quantity.MiB), steps: []figureStep{{s, 50, Cool, 1, nil}},
			lasted: s, want: "swapped 3M", hot: 50, joules: 20, seen: s,
		},
		"swapped what nobody misses": {
			begin: swapped(quantity.MiB), steps: []figureStep{{s, 50, Cool, 1, nil}},
			lasted: s, want: "clean", hot: 50, joules: 20, seen: s,
		},
		"blind": {steps: []figureStep{{s, 0, Cool, 1, nil}}, lasted: s, joules: 20},
		"blind and swapped": {
			begin: swapped(3 * quantity.MiB), steps: []figureStep{{s, 0, Cool, 1, nil}}, lasted: s, want: "swapped 3M", joules: 20,
		},
		"blind and slowed": {
			steps:  []figureStep{{s, 0, Slow, 1, alert}, {s, 0, Cool, 1, func(r *sensors.Reading) { r.OverCurrent[0] = counter("oc1", 2) }}},
			lasted: 2 * s, want: "throttled by hardware 1s, throttled by brainjar 1s, over-current 2", joules: 40, over: 2, slow: [3]time.Duration{s, s, s},
		},
		"never read": {lasted: time.Hour, joules: -1, over: -1},
		"gap": {
			steps:  []figureStep{{s, 50, Cool, 1, nil}, {time.Minute, 99, Freeze1, 1, alert}, {s, 50, Cool, 1, nil}},
			lasted: 62 * s, want: "unwatched 1m0s", hot: 50, joules: 40, seen: 2 * s,
		},
		"short gap": {steps: []figureStep{{s, 50, Cool, 1, nil}}, lasted: 6 * s, want: "clean", hot: 50, joules: 20, seen: s},
		"lost":      {steps: []figureStep{{s, 50, Cool, 1, nil}}, lasted: time.Hour, lost: true, want: "its end was not seen", hot: 50, joules: 20, seen: s},
		"time back": {steps: []figureStep{{s, 50, Cool, 1, nil}, {-s, 99, Freeze1, 1, nil}}, lasted: s, want: "clean", hot: 50, joules: 20, seen: s},
		"took less than nothing": {
			steps:  []figureStep{{s, 50, Cool, 1, func(r *sensors.Reading) { r.Power.Power.V = -5 }}},
			lasted: s, want: "clean", hot: 50, joules: 0, seen: s,
		},
	} {
		g, at := test.begin, time.Unix(1e9, 0)
		g.upTo = at
		for _, step := range test.steps {
			at = at.Add(step.dt)
			hottest := Temperature{Zone: "tj", Celsius: quantity.Celsius(step.celsius), Known: step.celsius != 0}
			g.add(feelingIn(reading(step.change), hottest, step.stage), at, 10*s, step.share, step.share < 1)
		}
		if got := g.taint(test.lasted, 5*s, test.lost); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		row := g.row()
		var want ledger.Figures
		if test.seen > 0 {
			want.MaxTemperature, want.MaxTemperatureZone, want.WatchedSeconds = &test.hot, "tj", seconds(test.seen)
		}
		if test.seen > 0 || test.slow[0] > 0 {
			want.ThrottledSeconds, want.ThrottledHardware, want.ThrottledBrainjar = seconds(test.slow[0]), seconds(test.slow[1]), seconds(test.slow[2])
		}
		if test.joules >= 0 {
			want.EnergyJoules, want.EnergySeconds, want.EnergyShared = &test.joules, row.EnergySeconds, &test.shared
		}
		if test.over >= 0 {
			want.OverCurrentEvents = &test.over
		}
		if test.begin.swapKnown {
			want.SwapPeak = &test.begin.swap
		}
		if !reflect.DeepEqual(row, want) {
			t.Errorf("%s: figures %+v, want %+v", name, row, want)
		}
		// What is written can be gone on with, and means the same.
		back := figuresIn(ledger.Run{Figures: row})
		if back.upTo = g.upTo; !reflect.DeepEqual(back, g) {
			t.Errorf("%s: written and read: %+v, want %+v", name, back, g)
		}
	}
}

// Figures that a brainjar before made of a run whose end it did not see do not grow.
func TestFiguresStandStill(t *testing.T) {
	g := figures{watched: time.Second}
	g.add(feelingIn(reading(alert), Temperature{Celsius: 99, Known: true}, Freeze3), time.Now(), time.Hour, 1, true)
	if g != (figures{watched: time.Second}) {
		t.Errorf("%+v", g)
	}
}

// The parts add up to all, and each is that of CPU and GPU together.
func TestShares(t *testing.T) {
	for name, test := range map[string]struct {
		uses []use
		cpus int
		gpu  float64
		want []float64
	}{
		"none":                  {nil, 4, 0.5, []float64{}},
		"alone and idle":        {[]use{{0, false}}, 4, 1, []float64{1}},
		"all idle":              {[]use{{0, false}, {0, false}}, 4, 0, []float64{0.5, 0.5}},
		"by CPU":                {[]use{{300, false}, {100, false}}, 4, 0, []float64{0.75, 0.25}},
		"the GPU is nobody's":   {[]use{{300, false}, {100, false}}, 4, 1, []float64{0.75, 0.25}},
		"one has the GPU":       {[]use{{100, true}, {100, false}}, 4, 0.5, []float64{0.75, 0.25}},
		"two have the GPU":      {[]use{{0, true}, {0, true}, {0, false}}, 4, 0.8, []float64{0.5, 0.5, 0}},
		"no CPU, no arithmetic": {[]use{{50, false}, {-1, false}}, 0, 0, []float64{1, 0}},
	} {
		got := shares(test.uses, test.cpus, test.gpu)
		same := len(got) == len(test.want)
		for i := range got {
			same = same && math.Abs(got[i]-test.want[i]) < 1e-9
		}
		if !same {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// A machine of however many zones gives so many samples and no more; what is not known
// has none.
func TestSamplesOf(t *testing.T) {
	r := reading(nil)
	r.At = time.Unix(1e9, 0)
	r.Memory = sensors.Memory{State: sensors.OK, Available: quantity.GiB}
	load := sensors.Value[quantity.Percent]{State: sensors.OK, V: 40}
	r.GPUs = []sensors.GPU{{Load: load}, {}, {Load: load}}
	r.Zones = []sensors.Zone{{Name: "tj", State: sensors.OK, Temperature: 51.5}, {Name: "off"}}
	want := []ledger.Sample{{At: r.At, Name: "tj", Value: 51.5}, {At: r.At, Name: "power", Value: 20_000}, {At: r.At, Name: "memory_available", Value: 1 << 30},
		{At: r.At, Name: "gpu_load", Value: 40}, {At: r.At, Name: "gpu_load_3", Value: 40}}
	if got := samplesOf(r); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := samplesOf(sensors.Reading{}); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
	for range 1000 {
		r.Zones = append(r.Zones, r.Zones[0])
	}
	if n := len(samplesOf(r)); n > maxSampled+4 {
		t.Errorf("%d samples", n)
	}
}

// However long runs last, taking a reading needs no memory that stays.
func TestFiguresDoNotGrow(t *testing.T) {
	g := figures{upTo: time.Unix(1e9, 0)}
	f := feelingIn(reading(alert), Temperature{Zone: "tj", Celsius: 99, Known: true}, Freeze3)
	at := g.upTo
	if n := testing.AllocsPerRun(1000, func() {
		at = at.Add(time.Second)
		g.add(f, at, time.Minute, 0.5, true)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
