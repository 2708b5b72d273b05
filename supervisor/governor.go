package supervisor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"brainjar/internal/quantity"
)

// blindIntervals is how many readings in a row may lack every zone before
// that itself holds new starts.
const blindIntervals = 5

// Stage is how far the machine is being cooled. A stage keeps in force what those
// before it did. Nothing is stopped by a stage: that is what Action.Stop says.
type Stage int

// The stages, in the order in which they are entered.
const (
	Cool    Stage = iota
	Hold          // nothing new starts
	Slow          // the clocks of CPU and GPU are lowered
	Quota75       // all experiments together get this share of the CPUs' time, in percent
	Quota50
	Quota25
	Freeze1 // what runs is frozen so many quarters of the time
	Freeze2
	Freeze3
)

var stageNames = [...]string{
	"cool", "hold", "clocks", "quota 75 %", "quota 50 %", "quota 25 %", "freeze 1/4", "freeze 2/4", "freeze 3/4",
}

// String returns the stage as people are told of it.
func (s Stage) String() string { return stageNames[s] }

// MarshalText writes the stage as String does.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Stage) UnmarshalText(text []byte) error {
	stage := slices.Index(stageNames[:], string(text))
	if stage < 0 {
		return fmt.Errorf("cannot read stage %q", text)
	}
	*s = Stage(stage)
	return nil
}

// quota is the share of the time of all CPUs that is left to experiments.
func (s Stage) quota() float64 {
	switch {
	case s >= Quota25:
		return 0.25
	case s == Quota50:
		return 0.5
	case s == Quota75:
		return 0.75
	}
	return 1
}

// quarters is how many quarters of the time experiments are frozen.
func (s Stage) quarters() int { return max(0, int(s-Freeze1)+1) }

// Temperature is the hottest zone that counts, if any could be read.
type Temperature struct {
	Zone    string // its type, such as "tj-thermal"
	Celsius quantity.Celsius
	Known   bool // some zone could be read
	Ever    bool // the machine has, or had, a zone

	// Others are the zones that could be read but do not count, where none
	// that counts could be.
	Others []string
}

// Governor keeps the machine from overheating. It decides; others act.
//
// At or above Throttle the first stage is entered at once, and each further one
// after an Interval in which that did not change; below Resume they are left in the
// reverse order, one an Interval. At or above Critical everything is to stop, and
// nothing starts before Resume.
type Governor struct {
	Throttle, Resume, Critical quantity.Celsius
	Interval                   time.Duration // between two readings
	Clocks                     bool          // there are clocks that may be lowered: else that stage is passed over

	stage    Stage
	entered  time.Time // when the stage last changed
	hotSince time.Time // at or above Throttle without a break; zero: it is not
	critical bool      // it was, and has not been below Resume since
	unfit    int       // readings in a row without any zone
}

// Action is what the governor wants done after a reading.
type Action struct {
	Stage   Stage
	Stop    bool   // everything stops, and is queued again
	Changed bool   // Stage or Stop is not what it was before
	Reason  string // why nothing starts, in words; "" if something may
}

// String returns what is done against heat: a stage, or "stop".
func (a Action) String() string {
	if a.Stop {
		return "stop"
	}
	return a.Stage.String()
}

// Step takes one reading, made at now, and says what to do.
func (g *Governor) Step(t Temperature, now time.Time) Action {
	if !t.Known {
		g.hotSince = time.Time{}
		return g.blind(t)
	}
	g.unfit = 0
	stage, critical := g.stage, g.critical
	hot, cool := t.Celsius >= g.Throttle, t.Celsius < g.Resume
	switch {
	case !hot:
		g.hotSince = time.Time{}
	case g.hotSince.IsZero():
		g.hotSince = now
	}
	g.critical = g.critical && !cool || t.Celsius >= g.Critical
	switch {
	case hot && g.stage == Cool:
		g.enter(Hold, now)
	case hot && !g.critical && g.passed(g.hotSince, now) && g.passed(g.entered, now):
		g.enter(g.beside(+1), now)
	case cool && g.stage > Cool && g.passed(g.entered, now):
		g.enter(g.beside(-1), now)
	}
	a := Action{Stage: g.stage, Stop: g.critical, Changed: g.stage != stage || g.critical != critical}
	switch {
	case g.stage > Cool && cool:
		a.Reason = fmt.Sprintf("%s %s, starts resume when all cooling is undone", t.Zone, t.Celsius)
	case g.stage > Cool:
		a.Reason = fmt.Sprintf("%s %s, starts resume below %.0f °C", t.Zone, t.Celsius, float64(g.Resume))
	}
	return a
}

func (g *Governor) enter(stage Stage, now time.Time) {
	if stage != g.stage {
		g.stage, g.entered = stage, now
	}
}

// beside is the next stage (+1) or the one before (-1), if there is one.
func (g *Governor) beside(step Stage) Stage {
	to := g.stage + step
	if to == Slow && !g.Clocks {
		to += step
	}
	return min(to, Freeze3)
}

// passed reports whether an interval has passed. Readings come up to a tenth of it
// early.
func (g *Governor) passed(since, now time.Time) bool {
	return now.Sub(since) >= g.Interval-g.Interval/10
}

// blind keeps what was last known. A machine that never had a zone is not blind,
// nor does it stay hot.
func (g *Governor) blind(t Temperature) Action {
	if !t.Ever {
		changed := g.stage > Cool || g.critical
		g.stage, g.critical = Cool, false
		return Action{Changed: changed}
	}
	a := Action{Stage: g.stage, Stop: g.critical}
	g.unfit++
	if len(t.Others) > 0 {
		a.Reason = "thermal: no zone matches thermal.zones; there are: " + strings.Join(t.Others, ", ")
		return a
	}
	if g.stage > Cool || g.unfit >= blindIntervals {
		a.Reason = fmt.Sprintf("thermal: blind, no zone could be read %d times in a row", g.unfit)
	}
	return a
}
