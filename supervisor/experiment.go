package supervisor

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"brainjar/internal/config"
	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
	"brainjar/transient"
)

// experiment is what the loop knows of one experiment.
type experiment struct {
	cfg    *config.Experiment // base with its overrides
	base   *config.Experiment // as a file, [template] or an order says
	phase  Phase
	since  time.Time // of the phase
	reason string
	waits  Check    // what reason is about, while it is queued
	told   []string // why it waits, once logged

	run      int // number of the latest run, 0 if there was none
	attempt  int // restarts in a row
	requeues int
	unit     transient.Unit // of the latest run; without invocation until it is known
	holds    quantity.Bytes // memory_max that is in force, if that is more than configured
	command  string         // of the latest run, as JSON: what it was started with; "": not known
	uses     measured
	figures  figures // of the latest run
	gpu      gpuUse
	mode     string // power mode of the latest run, as the board calls it; "": any
	last     transient.Result

	came        time.Time // its place in the queue: who came earlier goes first
	queuedAt    time.Time // since when it waits, or waited for its latest run
	scarceSince time.Time
	place       place         // to take up again after Backoff; zero: the last
	ranAt       time.Time     // when its program was last known to run; zero: it never was
	due         time.Time     // when Backoff ends, or the present step of Stopping
	warnAt      time.Time     // when to announce the end of runtime_max; zero: never
	warned      bool          // that was done, once for each run
	lost        int           // starts in a row that systemd did not begin
	answered    bool          // systemd has taken the order to start: there is a unit
	ends        ends          // how systemd ends the latest run
	stop        stop          // how it is being ended, while Stopping
	probing     probing       // its health checks
	turn        *turn         // the governor freezes it; nil: it does not
	byHand      bool          // a person has ordered to freeze it, and it is not told yet that it is frozen
	order       chan struct{} // holds one order to freeze it, to thaw it or to set its limits, since they must not overtake each other
	looking     chan struct{} // holds one look at its paths, which may hang
	hot         bool          // for its max_temperature
	savedAt     time.Time     // when it said last that it had saved its work

	cause      Cause          // why brainjar ends, or ended, the latest run
	hold       string         // why a person holds it; "": nobody does
	again      bool           // it is to be queued again once it has ended
	submission *Submission    // nil: a file names it
	attended   attended       // if its client stays
	overrides  Overrides      // of what base says
	begun      begun          // what the latest run was started with; nil: not known
	outdated   []string       // keys that changed since the run began, and need another one
	removed    bool           // it goes as soon as it has no unit
	enabled    *bool          // overrides autostart; nil: nothing does
	definition string         // digest of what the configuration says of it
	counted    int            // highest number that a run has, see number
	owners     map[int]string // of the numbers above, until all is known that happened
	past       *ledger.Wanted // what the ledger says, until all is known that happened since
}

func newExperiment(c *config.Experiment) *experiment {
	return &experiment{cfg: c, base: c, phase: Idle, since: time.Now(), definition: definitionOf(c).String(), order: make(chan struct{}, 1), looking: make(chan struct{}, 1)}
}

// memoryMax is the limit of memory that is in force, or would be.
func (e *experiment) memoryMax() quantity.Bytes { return max(e.cfg.MemoryMax, e.holds) }

// autostart reports whether the experiment is wanted without having been asked for.
func (e *experiment) autostart() bool {
	if e.enabled != nil {
		return *e.enabled
	}
	return e.cfg.Autostart
}

// disabled reports whether somebody said that it is not to be started with brainjar.
func (e *experiment) disabled() bool { return e.enabled != nil && !*e.enabled }

// demand is what an experiment asks of the machine's memory.
func (s *Supervisor) demand(e *experiment) quantity.Bytes {
	return e.memoryMax() + s.Board.shared(e.cfg.GPUMemory)
}

// move puts an experiment into a phase, without a run having ended.
func (s *Supervisor) move(e *experiment, to Phase, reason string, facts ...slog.Attr) {
	s.change(e, Change{To: to, Reason: reason}, nil, facts...)
}

// change is the only place where a phase changes. Every change is logged, told
// to the observer and written to the ledger; then, if not nil, is called in the
// loop when that was done.
func (s *Supervisor) change(e *experiment, c Change, then func(error), facts ...slog.Attr) {
	if e.hold != "" && (c.To == Queued || c.To == Backoff) {
		c.To, c.Reason = Held, e.hold
	}
	c.At, c.Experiment, c.Run, c.From = time.Now(), e.cfg.ID, e.run, e.phase
	c.ID = s.eventID(c.At)
	if !c.From.Allows(c.To) {
		s.Log.Error("phase change is not in the table", "experiment", c.Experiment, "from", c.From, "to", c.To)
	}
	e.phase, e.since, e.reason, e.waits, e.told = c.To, c.At, c.Reason, CheckNone, nil
	if c.Ended != nil && e.unit.Invocation == "" {
		e.counted = max(e.counted, e.run) // it has its number, though no invocation does
	}
	if c.To != Starting { // which may come to nothing, see startLost
		e.scarceSince = time.Time{}
	}
	if c.To != Backoff {
		e.due = time.Time{}
	}
	if c.To != Stopping {
		e.stop = stop{}
	}
	if c.To != Queued && c.To != Starting && c.To != Backoff {
		e.lost = 0
	}
	if c.To == Running || c.From == Running || c.From == Frozen {
		e.ranAt = c.At
	}
	if c.To != Running {
		e.turn, e.byHand = nil, false
	}
	if c.To == Queued {
		e.takePlace(c)
	}
	s.log(c, facts)
	s.Observe(c)
	s.followProbe(e, c)
	s.write(s.entry(e, c), then)
	s.stepBreaker(c)
}

// log writes a change for people. That an experiment is queued is not worth a
// line: it starts at once, or the reason why it waits is logged.
func (s *Supervisor) log(c Change, facts []slog.Attr) {
	if c.To == Queued && c.Reason == "" {
		return
	}
	attrs := []slog.Attr{slog.String("experiment", c.Experiment), slog.String("phase", string(c.To)), slog.String("from", string(c.From))}
	if c.Run > 0 {
		attrs = append(attrs, slog.Int("run", c.Run))
	}
	attrs = append(attrs, facts...)
	if c.Reason != "" {
		attrs = append(attrs, slog.String("reason", c.Reason))
	}
	s.Log.LogAttrs(context.Background(), level(c.To), "phase changed", attrs...)
}

// level is how loud a phase is in the log.
func level(p Phase) slog.Level {
	switch p {
	case Failed:
		return slog.LevelError
	case Backoff, Held:
		return slog.LevelWarn
	case Starting:
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

// want queues an experiment.
func (s *Supervisor) want(e *experiment) { s.move(e, Queued, "") }

// unmet returns the first dependency of an experiment that is not met, in
// words, or "".
func (s *Supervisor) unmet(e *experiment) string {
	if e.isAttended() && e.attended.streams == nil {
		return "for its client to come back"
	}
	for _, dep := range e.cfg.After {
		d, ok := s.byID[dep.ID]
		if !ok {
			continue // refused when the configuration was read
		}
		if !e.met(dep.Condition, d) {
			return waitsAfter(d)
		}
	}
	return ""
}

// waitsAfter says that an experiment waits for another, as that stands.
func waitsAfter(d *experiment) string {
	words := "after " + d.cfg.ID + ": " + string(d.phase)
	if d.phase == Failed || d.phase == Stopped || d.phase == Held {
		words += " (" + d.reason + ")"
	}
	return strings.TrimSuffix(words, " ()")
}

// blocked says for whom an experiment waits that has failed for good, or that waits for
// such a one itself: it does not start unless somebody starts that. "": for nobody. known
// are the answers that were found, for many may wait for the same; in a circle nobody has
// failed.
func (s *Supervisor) blocked(e *experiment, known map[*experiment]string) string {
	if _, asked := known[e]; !asked && e.phase == Queued {
		known[e] = ""
		for _, dep := range e.cfg.After {
			d, ok := s.byID[dep.ID]
			if ok && !e.met(dep.Condition, d) && (d.phase == Failed || s.blocked(d, known) != "") {
				known[e] = waitsAfter(d)
				break
			}
		}
	}
	return known[e]
}

// met reports whether another experiment is, or has been, what e waits for. One that has
// run since e waits has started, whatever has become of it before e had room.
func (e *experiment) met(condition config.Condition, d *experiment) bool {
	switch condition {
	case config.Started:
		return d.phase == Running || d.phase == Frozen || d.phase == Succeeded || !d.ranAt.IsZero() && !d.ranAt.Before(e.queuedAt)
	case config.Ended:
		return d.phase.Over()
	default:
		return d.phase == Succeeded
	}
}
