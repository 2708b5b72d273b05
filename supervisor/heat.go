package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"brainjar/internal/quantity"
)

// HeatRecord is what a brainjar that is killed leaves to the next one. It is
// written before anything of it is done.
type HeatRecord struct {
	Stage  Stage    `json:"stage"`
	Stop   bool     `json:"stop"`             // everything was to stop
	Frozen []string `json:"frozen,omitempty"` // invocations that may be frozen: the governor's doing, not a person's
}

func (r HeatRecord) equal(o HeatRecord) bool {
	return r.Stage == o.Stage && r.Stop == o.Stop && slices.Equal(r.Frozen, o.Frozen)
}

const (
	// heatRetry is the time between attempts to do something against heat, or to
	// undo it.
	heatRetry = 10 * time.Second
	// undoLimit is how long brainjar, when it goes, waits until everything that it
	// did against heat is undone.
	undoLimit = 5 * time.Second
)

// cooling is how it stands with what is done against heat.
type cooling struct {
	cpus    int // that are online
	clocks  clocks
	turns   turns
	record  HeatRecord // that is written
	writing bool
	again   time.Time // when to write it again
	failed  string    // why it could not be written
	by      time.Time // when to give up undoing it all, since brainjar goes
}

// setThermal makes the governor follow the settings.
func (s *Supervisor) setThermal() {
	t, g := s.Config.Thermal, &s.governor
	g.Throttle, g.Resume, g.Critical = t.Throttle, t.Resume, t.Critical
	if !t.Enabled {
		g.stage, g.critical, s.heat = Cool, false, Action{}
	}
}

// inherit goes on where the brainjar before was.
func (s *Supervisor) inherit(r HeatRecord) {
	s.cooling.cpus, s.cooling.record = runtime.NumCPU(), r
	s.governor.Interval = s.Config.Thermal.Interval
	if s.Readings == nil || !s.Config.Thermal.Enabled || r.Stage <= Cool {
		return
	}
	s.governor.stage, s.governor.critical = min(r.Stage, Freeze3), r.Stop
	s.heat = Action{Stage: s.governor.stage, Stop: r.Stop, Reason: "it was too hot when brainjar ended"}
	s.Log.Warn("cooling goes on", "stage", s.heat)
}

// act does what the governor wants.
func (s *Supervisor) act(a Action) {
	before := s.heat
	s.heat = a
	if a.Stop { // also what was found running, or was started, since
		why := a.Reason
		if s.hottest.Known && s.hottest.Celsius >= s.governor.Critical {
			why = fmt.Sprintf("%s %s, critical is %.0f °C", s.hottest.Zone, s.hottest.Celsius, float64(s.governor.Critical))
		}
		for _, e := range s.experiments {
			s.end(e, CauseHeat, why)
		}
	}
	if !a.Changed && (a.Reason == "") == (before.Reason == "") {
		return
	}
	facts := []slog.Attr{slog.Any("stage", a)}
	told := a.String()
	if s.hottest.Known {
		facts = append(facts, slog.String("zone", s.hottest.Zone), slog.Float64("celsius", float64(s.hottest.Celsius)))
		told += fmt.Sprintf(": %s %s", s.hottest.Zone, s.hottest.Celsius)
	}
	if a.Reason != "" {
		facts = append(facts, slog.String("reason", a.Reason))
	}
	level, message := slog.LevelInfo, "cooling less"
	switch {
	case a.Stop && !before.Stop:
		level, message = slog.LevelError, "critical temperature, everything stops"
	case a.Reason == "":
		message = "starts resume"
	case before.Reason == "":
		level, message = slog.LevelWarn, "starts are held"
	case a.Stage > before.Stage:
		level, message = slog.LevelWarn, "cooling more"
	}
	s.Log.LogAttrs(context.Background(), level, message, facts...) //nolint:sloglint // one of those above
	s.note(eventHeat, "", 0, told)
}

// eventHeat is the kind of the events of the governor.
const eventHeat = "heat"

// inForce is the stage that is to be in force now: none when brainjar goes, so that
// what runs on, or is started by others, is not held back by nobody.
func (s *Supervisor) inForce() Stage {
	if s.leaving.how == leave || s.leaving.how == drain && s.ready && s.active() == 0 {
		return Cool
	}
	return s.heat.Stage
}

// tickHeat makes everything follow the stage.
func (s *Supervisor) tickHeat(now time.Time, next *time.Time) {
	s.tickSlice(now, next)
	s.tickClocks(now, next)
	s.tickRecord(now, next)
	s.tickTurns(now, next)
	if !s.cooling.by.IsZero() {
		*next = earlier(*next, s.cooling.by)
	}
}

// tickRecord keeps the record true. What the record before tells is not all known
// before it is known what runs.
func (s *Supervisor) tickRecord(now time.Time, next *time.Time) {
	c := &s.cooling
	r := s.heatRecord()
	switch {
	case !s.ready || c.writing || r.equal(c.record):
		return
	case s.KeepHeat == nil:
		c.record = r
		return
	case now.Before(c.again):
		*next = earlier(*next, c.again)
		return
	}
	c.writing = true
	s.do(func(ctx context.Context) error { return s.KeepHeat(ctx, r) }, func(err error) {
		c.writing = false
		if s.ctx.Err() != nil {
			return
		}
		if err != nil {
			c.again = time.Now().Add(heatRetry)
			s.complain(&c.failed, "what is done against heat cannot be written down, nothing is frozen", err)
			return
		}
		c.record, c.failed = r, ""
	})
}

// complain logs an error that repeats itself once.
func (s *Supervisor) complain(last *string, message string, err error) {
	if *last != err.Error() {
		*last = err.Error()
		s.Log.Error(message, "err", err) //nolint:sloglint // a constant of the caller
	}
}

// heatRecord is what the record should say.
func (s *Supervisor) heatRecord() HeatRecord {
	r := HeatRecord{Stage: s.inForce()}
	r.Stop = s.heat.Stop && r.Stage > Cool
	for _, e := range s.experiments {
		if e.turn != nil || r.Stage.quarters() > 0 && e.takesTurns() {
			r.Frozen = append(r.Frozen, e.unit.Invocation)
		}
	}
	slices.Sort(r.Frozen)
	return r
}

// undone reports whether nothing that was done against heat is in force any more, and
// the power mode is what it was, or the time to undo it, which begins with the first question, is over.
func (s *Supervisor) undone() bool {
	c, now := &s.cooling, time.Now()
	if c.by.IsZero() {
		c.by = now.Add(undoLimit)
	}
	if !s.slice.braked && s.clocksFree() && !s.turned() && !c.writing && c.record.equal(HeatRecord{}) && s.modeFree() {
		return true
	}
	if now.Before(c.by) {
		return false
	}
	s.Log.Error("not all that was done against heat, or to the power mode, is undone: the next brainjar goes on with that", "unit", "brainjar.slice")
	return true
}

// ownHeat is how far below its max_temperature the machine must be before an
// experiment may start again.
const ownHeat = quantity.Celsius(5)

// tooHot reports whether it is too hot for an experiment that has a max_temperature,
// knowing whether it was. The temperature is that of the hottest zone that counts.
func tooHot(was bool, t Temperature, limit quantity.Celsius) bool {
	switch {
	case limit == 0:
		return false
	case !t.Known:
		return was
	case was:
		return t.Celsius >= limit-ownHeat
	}
	return t.Celsius >= limit
}

// feelEach ends the experiments for which it is too hot, though not for the others.
func (s *Supervisor) feelEach() {
	for _, e := range s.experiments {
		limit := e.cfg.MaxTemperature
		e.hot = s.Config.Thermal.Enabled && tooHot(e.hot, s.hottest, limit)
		if e.hot && s.hottest.Known && s.hottest.Celsius >= limit {
			s.end(e, CauseHeat, fmt.Sprintf("%s %s, and its max_temperature is %.0f °C", s.hottest.Zone, s.hottest.Celsius, float64(limit)))
		}
	}
}

// ownHold says why it is too hot for an experiment, or "".
func (s *Supervisor) ownHold(e *experiment) string {
	if !e.hot {
		return ""
	}
	return fmt.Sprintf("%s %s, it starts below %.0f °C", s.hottest.Zone, s.hottest.Celsius, float64(e.cfg.MaxTemperature-ownHeat))
}
