package transienttest

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/transient"
)

// exitCodes: each with its own code, also those that systemd uses itself for
// what fails before the program runs.
func exitCodes(s *session) {
	codes := map[string]int{}
	for _, code := range []int{0, 1, 78, 203, 217, 255, 1 + s.rand.IntN(255), 200 + s.rand.IntN(44)} {
		codes[s.start(s.spec(fmt.Sprintf("%d-%d", code, len(codes)), fmt.Sprintf("exit=%d", code)))] = code
	}
	for unit, code := range codes {
		result := transient.ExitCode
		if code == 0 {
			result = transient.Success
		}
		if o := s.expect(unit, result, code, 0); o.StopRequested || o.KilledAtStop || o.OOMKills > 0 {
			s.Errorf("outcome %+v", o)
		}
	}
}

func deathsBySignal(s *session) {
	signals := map[string]syscall.Signal{}
	for _, sig := range []string{"TERM", "HUP", "INT", "PIPE", "USR1", "USR2", "ABRT", "SEGV", "KILL"} {
		delay := fmt.Sprintf("sleep=%dms", s.rand.IntN(50))
		signals[s.start(s.spec(sig, delay, "kill="+sig))] = unix.SignalNum("SIG" + sig)
	}
	for unit, sig := range signals {
		if o := s.expect(unit, transient.Signal, -1, sig); o.StopRequested {
			s.Errorf("%s: a stop was requested", unit)
		}
	}
}

func programMissing(s *session) {
	spec := s.spec("missing")
	spec.Command = []string{fmt.Sprintf("/nonexistent/%d", s.rand.Uint32())}
	unit := s.start(spec)
	if o := s.ended(unit); o.Result != transient.StartFailed || !strings.Contains(o.Detail, spec.Command[0]) {
		s.Errorf("ended with %q, %q, want %q and the name of the program", o.Result, o.Detail, transient.StartFailed)
	}
	if n := len(seen(s, func(e transient.Started) bool { return e.Unit.Name == unit })); n != 0 {
		s.Errorf("%d times Started", n)
	}
}

func argumentsVerbatim(s *session) {
	text := `$HOME ${HOME} $$ %n %% "quoted" ` + fmt.Sprint(s.rand.Uint32())
	s.startAndWait(s.spec("verbatim", "status="+text, "sleep=1h"), text)
}

func statusTexts(s *session) {
	text := fmt.Sprintf("epoch %d", s.rand.Uint32())
	unit := s.startAndWait(s.spec("status", "on=USR1:status=first,sleep=300ms,status="+text, "status=first", "sleep=1h"), "first")
	times := func(text string) int { return len(seen(s, func(e transient.Status) bool { return e.Text == text })) }
	if n := times(text); n != 0 {
		s.Errorf("%d times %q before it was sent", n, text)
	}
	s.order("Kill", s.Kill(s.Context(), unit, transient.Main, syscall.SIGUSR1))
	s.status(unit, text)
	if n := times("first"); n != 1 {
		s.Errorf("%q, sent twice, was told %d times", "first", n)
	}
}

// statusOfLoader: what it says before it is ready comes after Started.
func statusOfLoader(s *session) {
	spec := s.spec("loader", "status=loads", "sleep=500ms", "ready", "sleep=1h")
	spec.Ready, spec.ReadyTimeout = transient.ReadyNotify, patience
	unit := s.startAndWait(spec, "loads")
	if n := len(seen(s, func(e transient.Started) bool { return e.Unit.Name == unit })); n != 1 {
		s.Errorf("%d times Started before its status", n)
	}
}

// readyNotify: Started means ready, and Start does not wait for it.
func readyNotify(s *session) {
	const loading = 2 * time.Second
	spec := s.spec("ready", fmt.Sprintf("sleep=%v", loading), "ready", "sleep=1h")
	spec.Ready, spec.ReadyTimeout = transient.ReadyNotify, patience
	begin := time.Now()
	unit := s.start(spec)
	if took := time.Since(begin); took >= loading {
		s.Errorf("Start waited %v", took)
	}
	started := s.started(unit)
	if took := started.Unit.Since.Sub(begin); took < loading {
		s.Errorf("ready after %v, want no less than %v", took, loading)
	}
}

func readyTooLate(s *session) {
	spec := s.spec("late", "sleep=1h")
	spec.Ready, spec.ReadyTimeout = transient.ReadyNotify, 300*time.Millisecond
	unit := s.start(spec)
	if o := s.ended(unit); o.Result != transient.Timeout || o.StopRequested {
		s.Errorf("outcome %+v", o)
	}
	if n := len(seen(s, func(e transient.Started) bool { return e.Unit.Name == unit })); n != 0 {
		s.Errorf("%d times Started", n)
	}
}

func runtimeMax(s *session) {
	spec := s.spec("runtime", "sleep=1h")
	spec.RuntimeMax = time.Duration(200+s.rand.IntN(300)) * time.Millisecond
	unit := s.start(spec)
	o := s.ended(unit)
	if o.Result != transient.Timeout || o.StopRequested {
		s.Errorf("outcome %+v", o)
	}
	if lasted := o.Ended.Sub(o.Started); lasted < spec.RuntimeMax || lasted > spec.RuntimeMax+stopTimeout {
		s.Errorf("lasted %v, want %v", lasted, spec.RuntimeMax)
	}
}

func watchdog(s *session) {
	silent := s.spec("silent", "sleep=1h")
	silent.Watchdog = 500 * time.Millisecond
	alive := s.spec("alive", "ping", "sleep=1s", "ping", "sleep=1s", "ping", "sleep=1s", "exit=0")
	alive.Watchdog = 2 * time.Second
	dead, living := s.start(silent), s.start(alive)
	if o := s.ended(dead); o.Result != transient.Watchdog || o.Signal != syscall.SIGABRT {
		s.Errorf("outcome %+v", o)
	}
	s.expect(living, transient.Success, 0, 0)
}

func leftoverChildren(s *session) {
	unit := s.start(s.spec("fork", "fork", "sleep=200ms", "exit=0"))
	child := s.child(unit)
	s.expect(unit, transient.Success, 0, 0)
	s.gone(child)
}

// sixteenAtATime: each end once, with its own code.
func sixteenAtATime(s *session) {
	codes := map[string]int{}
	for i := range 16 {
		code := s.rand.IntN(200)
		delay := fmt.Sprintf("sleep=%dms", s.rand.IntN(100))
		codes[s.start(s.spec(fmt.Sprint(i), delay, fmt.Sprintf("exit=%d", code)))] = code
	}
	for unit, code := range codes {
		if o := s.ended(unit); o.ExitCode != code {
			s.Errorf("%s: exit code %d, want %d", unit, o.ExitCode, code)
		}
	}
	// A fence: what comes after the end of a later unit would have come.
	s.ended(s.start(s.spec("fence", "sleep=200ms")))
	for unit := range codes {
		started := len(seen(s, func(e transient.Started) bool { return e.Unit.Name == unit }))
		if ended := len(seen(s, ofUnit(unit))); ended != 1 || started > 1 {
			s.Errorf("%s: started %d times, ended %d times", unit, started, ended)
		}
	}
}

// nameUsedAgain: at once, whatever the run before it left.
func nameUsedAgain(s *session) {
	invocations := map[string]bool{}
	for run := 1; run <= 5; run++ {
		code := s.rand.IntN(3)
		spec := s.spec("again", fmt.Sprintf("exit=%d", code))
		spec.Run = run
		unit := s.start(spec)
		e := await(s, "the end of another run", func(e transient.Ended) bool {
			return e.Unit.Name == unit && e.Unit.Run == run
		})
		s.checkEnded(e)
		if e.Outcome.ExitCode != code {
			s.Errorf("run %d: exit code %d, want %d", run, e.Outcome.ExitCode, code)
		}
		invocations[e.Unit.Invocation] = true
	}
	if len(invocations) != 5 {
		s.Errorf("%d invocations of 5 runs", len(invocations))
	}
}
