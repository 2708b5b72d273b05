// Package supervisor decides which experiments run, and when.
//
// One goroutine, the loop in Run, owns everything that changes. What happens
// outside comes to it as messages: the events of units, the readings of the
// sensors, the answers to what it asked of systemd, and orders. It never
// waits for I/O: every call to systemd runs in a goroutine of its own and its
// answer comes back as a message.
//
// Around the loop stand decisions that are pure functions and can be read and
// tested alone: Admit and Schedule (what may start), Judge (what follows a
// run), BackoffPolicy.For (when), Governor.Step (how hot is too hot), and the
// table of phases.
//
// The package must not know how a unit is made or how a sensor is read: that
// is what the packages transient and sensors are for.
package supervisor

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"time"

	"brainjar/internal/config"
	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/transient"
)

// Units is what the supervisor asks of systemd. Every method may block for
// I/O and is called outside the loop.
type Units interface {
	// Start makes the unit. If it returns nil, the unit exists, and Started
	// or Ended events tell what becomes of it.
	Start(ctx context.Context, spec transient.Spec) error
	// Stop asks systemd to end a unit: its stop signal, then SIGKILL.
	Stop(ctx context.Context, unit string) error
	// Kill sends a signal to processes of a unit.
	Kill(ctx context.Context, unit string, whom transient.Whom, sig syscall.Signal) error
	// Forget says that the end of a run has been noted and may be cleared away.
	Forget(ctx context.Context, unit transient.Unit) error
}

// House is what the supervisor asks of the slice that holds all units, of the unit
// that brainjar itself runs in, and of the machine.
type House interface {
	// SetSlice sets limits on the slice of all experiments.
	SetSlice(ctx context.Context, limits transient.Limits) (transient.Limits, error)
	// Host says what the service manager and the kernel can enforce.
	Host(ctx context.Context) (transient.Host, error)
	// OwnJob returns the type of the job on brainjar's own unit: "stop",
	// "restart", or "" if there is none.
	OwnJob(ctx context.Context) (string, error)
	// Clean removes the directories that were made for an experiment without a unit.
	Clean(ctx context.Context, experiment string) error
}

// Groups is what the supervisor asks of the control groups of units.
type Groups interface {
	// Usage returns what a unit uses now.
	Usage(unit string) (transient.Usage, error)
	// Processes returns the PIDs of a unit's processes.
	Processes(unit string) ([]int, error)
	// SetLimits changes the limits of a unit that runs, and reads them back.
	SetLimits(ctx context.Context, unit string, limits transient.Limits) (transient.Limits, error)
}

// Freezer takes the CPU from units and gives it back.
type Freezer interface {
	Freeze(ctx context.Context, unit string) error
	Thaw(ctx context.Context, unit string) error
}

// Supervisor runs the experiments of a configuration. Its fields are what it
// depends on; they must not change once Run was called.
type Supervisor struct {
	Config   *config.Config
	Units    Units
	House    House
	Groups   Groups
	Freezer  Freezer
	Prober   Prober // nil: nobody can be asked, and no probe is made
	Events   <-chan transient.Event
	Readings <-chan sensors.Reading // nil: no sensors
	MemTotal quantity.Bytes         // of the machine; for the default budget
	Log      *slog.Logger

	// UserManager says that Units is the user's own service manager, which
	// cannot give an experiment a user of its own.
	UserManager bool

	// Ledger keeps what must outlive brainjar, and Past is what it kept. Nil:
	// nothing is kept.
	Ledger Ledger
	Past   ledger.Past
	// Boot names the present boot of the machine, so that a run which was cut off
	// by the end of an earlier one can be told.
	Boot string

	// Logs keeps the output of experiments with log = "file". Nil: these cannot be
	// started.
	Logs Logs

	// Board is what is asked of the machine's GPUs and power modes.
	Board Board

	// Clocks lowers the clocks of CPU and GPU. Nil: they are left alone.
	Clocks Clocks
	// KeepHeat writes down what is about to be done against heat, for a brainjar
	// that is started while it is in force; PastHeat is what the one before wrote.
	// Nil: nothing is written.
	KeepHeat func(context.Context, HeatRecord) error
	PastHeat HeatRecord

	// Observe is told every change of a phase, in order, from inside the loop:
	// it must not block. Nil: nobody is told.
	Observe func(Change)
	// Noted is told in the same way of events that are not changes of a phase.
	Noted func(ledger.Event)
	// Notify sends a line to the service manager by sd_notify; it must not
	// block. Nil: nobody to notify.
	Notify func(state string)
	// Watchdog is how often the loop sends WATCHDOG=1; 0: never.
	Watchdog time.Duration
	// Random returns numbers in [0, 1) for the jitter of delays. Nil: a
	// random source.
	Random func() float64

	inbox chan func()
	gate  chan struct{} // as many places as orders may be unanswered at once
	done  chan struct{} // closed when Run has returned
	fresh *fresh
	state
}

// state is what the loop owns.
type state struct {
	ctx         context.Context
	experiments []*experiment // in the order of the configuration
	byID        map[string]*experiment
	budget      quantity.Bytes

	synced bool // all units that exist are known
	ready  bool // READY=1 was sent

	// dropped are the numbers of the latest runs of experiments that were let go,
	// until the ledger has them.
	dropped map[string]int

	// away are the ends of runs while brainjar was away, until all is known
	// that happened meanwhile; open are the runs of the ledger without an end.
	away    []transient.Ended
	open    []ledger.Run
	orphans map[string]*orphan // by unit

	slice   slice
	halted  bool // somebody stopped the slice of all experiments
	cooling cooling
	guard   Guard

	mode       powerMode
	cards      cards // of the latest reading
	feelingGPU bool  // whose processes use it is being found out

	breaker  Breaker
	governor Governor
	heat     Action         // what it wants
	hottest  Temperature    // of the latest reading
	memory   sensors.Memory // of the latest reading
	felt     bool           // there was a reading
	feelBy   time.Time      // when to go on without one

	watching   watch
	measuredAt time.Time // when what units use was last read

	probes    int             // health checks that have no answer yet
	launching int             // starts that systemd has not answered
	warned    map[string]bool // what this machine cannot enforce, once told

	leaving departure
	status  string // last STATUS= sent

	// unwritten are units whose end could not be put on disk.
	unwritten   []transient.Unit
	askedLedger time.Time // when it last said that it cannot write, or was asked

	lastEvent int64 // id

	calls int // goroutines that will post an answer
}

// New returns a supervisor that is ready to Run, and to take orders before it
// does.
func New(s Supervisor) *Supervisor {
	s.inbox = make(chan func(), 64)
	s.gate = make(chan struct{}, ordersAtOnce)
	s.done = make(chan struct{})
	s.fresh = new(fresh)
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.Notify == nil {
		s.Notify = func(string) {}
	}
	if s.Observe == nil {
		s.Observe = func(Change) {}
	}
	if s.Noted == nil {
		s.Noted = func(ledger.Event) {}
	}
	if s.Random == nil {
		s.Random = rand.Float64
	}
	s.byID, s.warned = map[string]*experiment{}, map[string]bool{}
	s.orphans, s.dropped = map[string]*orphan{}, map[string]int{}
	s.budget = s.Config.Budget(s.MemTotal)
	s.breaker = Breaker{Failures: s.Config.Supervisor.Breaker.Failures, Within: s.Config.Supervisor.Breaker.Within}
	s.setThermal()
	s.inherit(s.PastHeat)
	for _, c := range s.Config.Experiments {
		e := newExperiment(c)
		s.experiments = append(s.experiments, e)
		s.byID[c.ID] = e
	}
	s.remember(s.Past)
	s.Past = ledger.Past{}
	return &s
}

// Run supervises until it has been told to Drain and all experiments have
// ended, or until ctx ends, which leaves them running. It returns an error
// only if experiments could not be stopped.
func (s *Supervisor) Run(ctx context.Context) error {
	calls, cancel := context.WithCancel(ctx)
	s.ctx = calls
	defer close(s.done)
	defer s.await()
	defer cancel()

	s.feelBy = time.Now().Add(firstReading)
	wake := time.NewTimer(0)
	defer wake.Stop()
	var watchdog <-chan time.Time
	if s.Watchdog > 0 {
		t := time.NewTicker(s.Watchdog)
		defer t.Stop()
		watchdog = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev := <-s.Events:
			s.handle(ev)
		case r := <-s.Readings:
			s.feel(r)
		case answer := <-s.inbox:
			answer()
		case <-watchdog:
			s.Notify("WATCHDOG=1")
		case <-wake.C:
		}
		s.catchUp()
		wake.Reset(s.settle(time.Now()))
		if over, err := s.departed(); over {
			return err
		}
	}
}

// firstReading is how long starts wait for the sensors' first reading: at boot
// a machine may already be hot, or full.
const firstReading = 5 * time.Second

// catchUp takes what has arrived meanwhile, so that a thousand events cost one
// round of decisions and not a thousand.
func (s *Supervisor) catchUp() {
	for range cap(s.inbox) {
		select {
		case ev := <-s.Events:
			s.handle(ev)
		case answer := <-s.inbox:
			answer()
		default:
			return
		}
	}
}

// do calls a function outside the loop and takes its answer in the loop.
func (s *Supervisor) do(call func(context.Context) error, answer func(error)) {
	ctx := s.ctx
	s.calls++
	go func() {
		err := call(ctx)
		select {
		case s.inbox <- func() { s.calls--; answer(err) }:
		case <-s.done:
		}
	}()
}

// ordersAtOnce is how many starts, and how many other orders, systemd is given
// before it has answered one. Starts have places of their own: one that hangs
// must keep nothing from being stopped. It works on them one after the other, and takes
// up the next only when the deaths that follow from the last are dealt with:
// hundreds at once would look as if it hung.
const ordersAtOnce = 8

// command is do for an order to systemd, which waits for its turn.
func (s *Supervisor) command(call func(context.Context) error, answer func(error)) {
	s.do(func(ctx context.Context) error {
		select {
		case s.gate <- struct{}{}:
			defer func() { <-s.gate }()
			return call(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}, answer)
}

// await waits for the calls that are still under way, whose context has ended,
// so that nothing runs any more when Run returns: all but a call that is stuck
// in the kernel, as a file of a dead network file system is.
func (s *Supervisor) await() {
	limit := time.NewTimer(firstReading)
	defer limit.Stop()
	for s.calls > 0 {
		select {
		case answer := <-s.inbox:
			answer()
		case <-limit.C:
			return
		}
	}
}

// order runs a function in the loop. It does not wait for it.
func (s *Supervisor) order(f func()) {
	go func() {
		select {
		case s.inbox <- f:
		case <-s.done:
		}
	}()
}

// settle makes every decision that is due, and returns when to come back if
// nothing happens before.
func (s *Supervisor) settle(now time.Time) time.Duration {
	next := now.Add(time.Hour)
	for _, e := range s.experiments {
		s.tick(e, now, &next)
	}
	s.dropRemoved()
	s.tickOrphans(now, &next)
	s.tickProbes(now, &next)
	s.tickHeat(now, &next)
	s.admit(now, &next)
	s.tickPowerMode(now, &next)
	s.writeAgain(now, &next)
	if !s.felt && now.Before(s.feelBy) {
		next = earlier(next, s.feelBy)
	}
	if s.leaving.how == drain {
		next = earlier(next, s.leaving.by)
	}
	s.tell()
	return max(next.Sub(now), time.Millisecond)
}

// tick does what is due for one experiment, and moves next to when it wants
// to be looked at again.
func (s *Supervisor) tick(e *experiment, now time.Time, next *time.Time) {
	s.tickAttended(e, now, next)
	if e.phase == Backoff && !now.Before(e.due) {
		s.queueAt(e, e.place, "")
	}
	if e.phase == Stopping && !e.due.IsZero() && !now.Before(e.due) {
		s.advanceStop(e)
	}
	if e.phase == Running && !e.warnAt.IsZero() {
		if now.Before(e.warnAt) {
			*next = earlier(*next, e.warnAt)
		} else {
			s.warn(e)
		}
	}
	if (e.phase == Backoff || e.phase == Stopping) && !e.due.IsZero() {
		*next = earlier(*next, e.due)
	}
}
