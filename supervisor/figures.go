package supervisor

import (
	"fmt"
	"strings"
	"time"

	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
	"brainjar/sensors"
)

// feeling is what the figures of runs need of one reading. It holds for the time since the
// reading before, and for the time after it until the next.
type feeling struct {
	hottest    Temperature
	power      sensors.Value[quantity.Milliwatts] // of the board
	gpu        float64                            // load of the busiest GPU, 0 to 1
	throttled  bool                               // the hardware slows itself down
	slowed     bool                               // brainjar slows experiments down against heat
	overloads  int                                // new events of oc1 and oc2
	overloaded bool                               // there are such counters
}

// feelingIn is what a reading says. Where one GPU has no load to tell, another may.
func feelingIn(r sensors.Reading, hottest Temperature, stage Stage) feeling {
	f := feeling{hottest: hottest, power: r.Power.Power, throttled: len(r.Throttled()) > 0, slowed: stage >= Slow}
	for _, g := range r.GPUs {
		f.gpu = max(f.gpu, float64(g.Load.V)/100)
	}
	for _, c := range r.OverCurrent { // oc3 counts all the time in the strongest power mode
		if c.Name == "oc1" || c.Name == "oc2" {
			f.overloads += int(c.Recent.V)
			f.overloaded = f.overloaded || c.Events.State == sensors.OK
		}
	}
	return f
}

// figures are what a run has felt so far.
type figures struct {
	invocation string
	upTo       time.Time // until when they are made; zero: by a brainjar before, and no further

	watched   time.Duration // in which a temperature could be read
	hottest   quantity.Celsius
	zone      string
	joules    float64
	powered   time.Duration // in which the power was known
	shared    bool          // others ran besides it in some of that
	throttled time.Duration // for either cause
	hardware  time.Duration
	brainjar  time.Duration

	overloads  int
	overloaded bool // there are counters
	swap       quantity.Bytes
	swapKnown  bool
}

// add takes what was felt until at. Time longer than gap was not watched: nobody
// knows what it was like. share is the run's part of the power; shared says that others
// ran besides it.
func (g *figures) add(f feeling, at time.Time, gap time.Duration, share float64, shared bool) {
	if g.upTo.IsZero() {
		return
	}
	dt := at.Sub(g.upTo)
	if dt <= 0 {
		return
	}
	g.upTo = at
	g.overloads += f.overloads
	g.overloaded = g.overloaded || f.overloaded
	if dt > gap {
		return
	}
	if milliwatts, known := f.power.Get(); known {
		g.joules += float64(max(0, milliwatts)) / 1000 * dt.Seconds() * share
		g.powered += dt
		g.shared = g.shared || shared
	}
	if f.throttled {
		g.hardware += dt
	}
	if f.slowed {
		g.brainjar += dt
	}
	if f.throttled || f.slowed {
		g.throttled += dt
	}
	if !f.hottest.Known {
		return
	}
	if g.watched == 0 || f.hottest.Celsius > g.hottest {
		g.hottest, g.zone = f.hottest.Celsius, f.hottest.Zone
	}
	g.watched += dt
}

// addSwap takes how much is swapped out of the run.
func (g *figures) addSwap(swap quantity.Bytes) { g.swap, g.swapKnown = max(g.swap, swap), true }

// row are the figures for the ledger, without what they mean.
func (g *figures) row() ledger.Figures {
	var f ledger.Figures
	if g.watched > 0 {
		celsius := float64(g.hottest)
		f.MaxTemperature, f.MaxTemperatureZone = &celsius, g.zone
		f.WatchedSeconds = seconds(g.watched)
	}
	if g.watched > 0 || g.throttled > 0 {
		f.ThrottledSeconds, f.ThrottledHardware, f.ThrottledBrainjar = seconds(g.throttled), seconds(g.hardware), seconds(g.brainjar)
	}
	if g.powered > 0 {
		joules, shared := g.joules, g.shared
		f.EnergyJoules, f.EnergySeconds, f.EnergyShared = &joules, seconds(g.powered), &shared
	}
	if g.overloaded {
		overloads := g.overloads
		f.OverCurrentEvents = &overloads
	}
	if g.swapKnown {
		swap := g.swap
		f.SwapPeak = &swap
	}
	return f
}

// figuresIn are the figures that a brainjar before has written of a run.
func figuresIn(r ledger.Run) figures {
	g := figures{
		invocation: r.Invocation, watched: duration(r.WatchedSeconds), zone: r.MaxTemperatureZone, powered: duration(r.EnergySeconds),
		throttled: duration(r.ThrottledSeconds), hardware: duration(r.ThrottledHardware), brainjar: duration(r.ThrottledBrainjar),
	}
	if r.MaxTemperature != nil {
		g.hottest = quantity.Celsius(*r.MaxTemperature)
	}
	if r.EnergyJoules != nil {
		g.joules = *r.EnergyJoules
	}
	g.shared = r.EnergyShared != nil && *r.EnergyShared
	if r.OverCurrentEvents != nil {
		g.overloads, g.overloaded = *r.OverCurrentEvents, true
	}
	if r.SwapPeak != nil {
		g.addSwap(*r.SwapPeak)
	}
	return g
}

// swapNoise is how much may be swapped out of a run without making its measurements
// doubtful: a few pages that a program touched at its start and never again go first.
// A Jetson has zram, and with it some of that.
const swapNoise = quantity.MiB

// taint says what makes the measurements of a run doubtful that lasted so long, or
// that it is clean; "" if nothing is known against it, but no temperature could be read.
// Time up to grace that nobody watched is not worth a word. lost: nobody knows when it
// ended.
func (g *figures) taint(lasted, grace time.Duration, lost bool) string {
	var causes []string
	say := func(when bool, format string, args ...any) {
		if when {
			causes = append(causes, fmt.Sprintf(format, args...))
		}
	}
	say(g.hardware > 0, "throttled by hardware %s", words(g.hardware))
	say(g.brainjar > 0, "throttled by brainjar %s", words(g.brainjar))
	say(g.overloads > 0, "over-current %d", g.overloads)
	say(g.swap > swapNoise, "swapped %s", g.swap)
	if g.watched == 0 {
		return strings.Join(causes, ", ")
	}
	unwatched := lasted - g.watched
	say(lost, "its end was not seen")
	say(!lost && unwatched > grace, "unwatched %s", words(unwatched))
	if len(causes) == 0 {
		return ledger.Clean
	}
	return strings.Join(causes, ", ")
}

// words is a duration as a taint has it.
func words(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func seconds(d time.Duration) *float64 {
	s := d.Seconds()
	return &s
}

// duration is a number of seconds, 0 if it is not known.
func duration(seconds *float64) time.Duration {
	if seconds == nil {
		return 0
	}
	return time.Duration(*seconds * float64(time.Second))
}
