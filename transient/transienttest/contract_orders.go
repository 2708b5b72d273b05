package transienttest

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"brainjar/transient"
)

func stopGraceful(s *session) {
	code := 1 + s.rand.IntN(100)
	saves := s.startAndWait(s.spec("saves", fmt.Sprintf("on=TERM:sleep=300ms,exit=%d", code), "status=set", "sleep=1h"), "set")
	dies := s.startAndWait(s.spec("dies", "status=set", "sleep=1h"), "set")
	for _, unit := range []string{saves, dies} {
		s.order("Stop", s.Stop(s.Context(), unit))
	}
	for _, o := range []transient.Outcome{
		s.expect(saves, transient.Stopped, code, 0),
		s.expect(dies, transient.Stopped, -1, syscall.SIGTERM),
	} {
		if !o.StopRequested || o.KilledAtStop {
			s.Errorf("outcome %+v", o)
		}
	}
}

func stopSignal(s *session) {
	spec := s.spec("int", "on=INT:exit=4", "ignore=TERM", "status=set", "sleep=1h")
	spec.StopSignal = syscall.SIGINT
	unit := s.startAndWait(spec, "set")
	s.order("Stop", s.Stop(s.Context(), unit))
	s.expect(unit, transient.Stopped, 4, 0)
}

func stopIgnored(s *session) {
	spec := s.spec("stubborn", "ignore=TERM", "fork", "status=set", "sleep=1h")
	spec.StopTimeout = time.Duration(500+s.rand.IntN(500)) * time.Millisecond
	unit := s.startAndWait(spec, "set")
	asked := time.Now()
	s.order("Stop", s.Stop(s.Context(), unit))
	o := s.expect(unit, transient.Stopped, -1, syscall.SIGKILL)
	if !o.StopRequested || !o.KilledAtStop {
		s.Errorf("outcome %+v", o)
	}
	if took := o.Ended.Sub(asked); took < spec.StopTimeout || took > spec.StopTimeout+stopTimeout {
		s.Errorf("killed after %v, want %v", took, spec.StopTimeout)
	}
}

// killMain: a signal by Kill is no stop.
func killMain(s *session) {
	unit := s.startAndWait(s.spec("kill", "on=USR1:status=saved", "status=set", "sleep=1h"), "set")
	s.order("Kill", s.Kill(s.Context(), unit, transient.Main, syscall.SIGUSR1))
	s.status(unit, "saved")
	s.order("Kill", s.Kill(s.Context(), unit, transient.Main, syscall.SIGTERM))
	if o := s.expect(unit, transient.Signal, -1, syscall.SIGTERM); o.StopRequested {
		s.Errorf("outcome %+v", o)
	}
}

func killAll(s *session) {
	unit := s.start(s.spec("all", "fork", "sleep=1h"))
	child := s.child(unit)
	s.order("Kill", s.Kill(s.Context(), unit, transient.All, syscall.SIGKILL))
	s.expect(unit, transient.Signal, -1, syscall.SIGKILL)
	s.gone(child)
}

func startTwice(s *session) {
	spec := s.spec("twice", "on=USR1:exit=9", "status=set", "sleep=1h")
	unit := s.startAndWait(spec, "set")
	if err := s.Start(s.Context(), spec); !errors.Is(err, transient.ErrExists) {
		s.Errorf("the second Start: %v, want %v", err, transient.ErrExists)
	}
	s.order("Kill", s.Kill(s.Context(), unit, transient.Main, syscall.SIGUSR1))
	s.expect(unit, transient.ExitCode, 9, 0)
}

func noSuchUnit(s *session) {
	unit := s.spec("nobody").Unit()
	_, limitsErr := s.SetLimits(s.Context(), unit, transient.Limits{TasksMax: 100})
	_, usageErr := s.Usage(unit)
	for order, err := range map[string]error{
		"Stop":      s.Stop(s.Context(), unit),
		"Kill":      s.Kill(s.Context(), unit, transient.Main, syscall.SIGTERM),
		"Freeze":    s.Freeze(s.Context(), unit),
		"Thaw":      s.Thaw(s.Context(), unit),
		"SetLimits": limitsErr,
		"Usage":     usageErr,
	} {
		if !errors.Is(err, transient.ErrNoUnit) {
			s.Errorf("%s: %v, want %v", order, err, transient.ErrNoUnit)
		}
	}
}

// freezeAndThaw: frozen, a unit sends no beat.
func freezeAndThaw(s *session) {
	beats := func() int { return len(seen(s, func(transient.Status) bool { return true })) }
	frozen := func(want bool) func(transient.Frozen) bool {
		return func(e transient.Frozen) bool { return e.Frozen == want }
	}
	unit := s.startAndWait(s.spec("beat", "beat=50ms"), "beat 3")
	s.order("Freeze", s.Freeze(s.Context(), unit))
	await(s, "Frozen", frozen(true))
	wait(s, 300*time.Millisecond) // for what was sent before
	before := beats()
	wait(s, time.Second)
	if n := beats() - before; n != 0 {
		s.Errorf("%d beats while frozen", n)
	}
	s.order("Thaw", s.Thaw(s.Context(), unit))
	await(s, "thawed", frozen(false))
	s.status(unit, fmt.Sprintf("beat %d", before+5))
}

func stopFrozen(s *session) {
	unit := s.startAndWait(s.spec("frozen", "on=TERM:exit=6", "status=set", "sleep=1h"), "set")
	s.order("Freeze", s.Freeze(s.Context(), unit))
	s.order("Stop", s.Stop(s.Context(), unit))
	if o := s.expect(unit, transient.Stopped, 6, 0); o.KilledAtStop {
		s.Errorf("outcome %+v", o)
	}
}

// scope: systemd runs it not, so its exit status is what brainjar reaps.
func scope(s *session) {
	code := 1 + s.rand.IntN(100)
	exits := s.spec("exits", "sleep=100ms", fmt.Sprintf("exit=%d", code))
	dies := s.spec("dies", "sleep=100ms", "kill=USR1")
	missing := s.spec("missing")
	missing.Command = []string{"/nonexistent/program"}
	for _, spec := range []*transient.Spec{&exits, &dies, &missing} {
		spec.Kind = transient.Scope
		s.start(*spec)
	}
	s.expect(exits.Unit(), transient.ExitCode, code, 0)
	s.expect(dies.Unit(), transient.Signal, -1, syscall.SIGUSR1)
	if o := s.ended(missing.Unit()); o.Result != transient.StartFailed || o.Detail == "" {
		s.Errorf("a missing program: %+v", o)
	}
}

func scopeStop(s *session) {
	spec := s.spec("stop", "sleep=1h")
	spec.Kind = transient.Scope
	unit := s.start(spec)
	s.started(unit)
	s.order("Stop", s.Stop(s.Context(), unit))
	if o := s.ended(unit); o.Result != transient.Stopped || !o.StopRequested || o.Signal != syscall.SIGTERM {
		s.Errorf("outcome %+v", o)
	}
}

// wait lets time pass, during which something must not happen.
func wait(s *session, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.Context().Done():
	}
}
