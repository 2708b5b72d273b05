package supervisor

import (
	"fmt"
	"strings"
	"time"

	"brainjar/internal/quantity"
)

// blindIntervals is how many readings in a row may lack every zone before
// that itself holds new starts.
const blindIntervals = 5

// Heat is how hot the machine is, as the governor sees it.
type Heat int

// The levels of heat. Between them lies hysteresis: Hold and Stop are left
// only below the resume temperature.
const (
	Cool Heat = iota
	Hold      // nothing new starts
	Stop      // everything stops, nothing starts
)

// String returns the level in one word.
func (h Heat) String() string { return [...]string{"cool", "hold", "stop"}[h] }

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
type Governor struct {
	Throttle, Resume, Critical quantity.Celsius

	heat  Heat
	unfit int // readings in a row without any zone
}

// Action is what the governor wants done after a reading.
type Action struct {
	Heat    Heat
	Changed bool   // Heat is not what it was before
	Reason  string // why nothing starts, in words; "" if something may
}

// Step takes one reading and says what to do. now is the time of the reading;
// it is not used by the levels that exist so far.
func (g *Governor) Step(t Temperature, _ time.Time) Action {
	before := g.heat
	if !t.Known {
		return g.blind(t)
	}
	g.unfit = 0
	switch {
	case t.Celsius >= g.Critical:
		g.heat = Stop
	case t.Celsius >= g.Throttle:
		g.heat = max(g.heat, Hold)
	case t.Celsius < g.Resume:
		g.heat = Cool
	}
	a := Action{Heat: g.heat, Changed: g.heat != before}
	if g.heat > Cool {
		a.Reason = fmt.Sprintf("%s %s, starts resume below %.0f °C", t.Zone, t.Celsius, float64(g.Resume))
	}
	return a
}

// blind keeps the level of heat that was last known. A machine that never had
// a zone is not blind.
func (g *Governor) blind(t Temperature) Action {
	a := Action{Heat: g.heat}
	if !t.Ever {
		return a
	}
	g.unfit++
	if len(t.Others) > 0 {
		a.Reason = "thermal: no zone matches thermal.zones; there are: " + strings.Join(t.Others, ", ")
		return a
	}
	if g.heat > Cool || g.unfit >= blindIntervals {
		a.Reason = fmt.Sprintf("thermal: blind, no zone could be read %d times in a row", g.unfit)
	}
	return a
}
