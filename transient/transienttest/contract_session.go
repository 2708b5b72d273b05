package transienttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"brainjar/transient"
)

const (
	patience    = 2 * time.Minute  // for one event
	stopTimeout = 10 * time.Second // of a unit that is expected to stop by itself
)

// session is one clause being checked: a Systemd, and all its events so far.
type session struct {
	*testing.T
	Systemd
	host    transient.Host
	program string
	rand    *rand.Rand
	prefix  string // of the ids of experiments

	mu      sync.Mutex
	events  []transient.Event
	changed chan struct{} // closed when there are more
	specs   map[string]transient.Spec
}

// newSession collects events until the test ends; then it kills what is left
// over and forgets every end.
func newSession(t *testing.T, systemd Systemd, program string, r *rand.Rand) *session {
	t.Helper()
	s := &session{
		T: t, Systemd: systemd, program: program, rand: r,
		prefix:  fmt.Sprintf("c%08x", r.Uint32()),
		changed: make(chan struct{}),
		specs:   make(map[string]transient.Spec),
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); s.collect(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	t.Cleanup(s.cleanUp)
	await(s, "Synced", func(transient.Synced) bool { return true })
	host, err := systemd.Host(t.Context())
	if err != nil {
		t.Fatalf("Host: %v", err)
	}
	s.host = host
	return s
}

func (s *session) collect(ctx context.Context) {
	for {
		select {
		case e := <-s.Events():
			s.mu.Lock()
			s.events = append(s.events, e)
			close(s.changed)
			s.changed = make(chan struct{})
			s.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

func (s *session) cleanUp() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.Context()), patience)
	defer cancel()
	for name := range s.specs {
		if len(seen(s, ofUnit(name))) > 0 {
			continue
		}
		err := s.Kill(ctx, name, transient.All, syscall.SIGKILL)
		if err == nil {
			s.ended(name)
		} else if !errors.Is(err, transient.ErrNoUnit) {
			s.Errorf("cannot clean up: %v", err)
		}
	}
	for _, e := range seen(s, func(transient.Ended) bool { return true }) {
		if err := s.Forget(ctx, e.Unit); err != nil {
			s.Errorf("Forget: %v", err)
		}
	}
}

// seen returns the events of type E so far that match.
func seen[E transient.Event](s *session, match func(E) bool) []E {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []E
	for _, e := range s.events {
		if typed, ok := e.(E); ok && match(typed) {
			found = append(found, typed)
		}
	}
	return found
}

// await waits for the first event of type E that matches, of all since the
// beginning.
func await[E transient.Event](s *session, what string, match func(E) bool) E {
	s.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if found := seen(s, match); len(found) > 0 {
			return found[0]
		}
		select {
		case <-changed:
		case <-limit.C:
			s.Fatalf("no %s within %v; events: %+v", what, patience, s.all())
		}
	}
}

// spec is a service that runs the steps.
func (s *session) spec(name string, steps ...string) transient.Spec {
	spec := transient.Spec{
		Experiment: s.prefix + "-" + name, Run: 1 + s.rand.IntN(1000), Attempt: s.rand.IntN(3),
		Kind: transient.Service, Description: "contract: " + s.Name(),
		Command: Command(s.program, steps...), Ready: transient.ReadyExec,
		StopSignal: syscall.SIGTERM, StopTimeout: stopTimeout, Sandbox: transient.SandboxOff,
	}
	if !s.host.User {
		spec.User = "root"
	}
	return spec
}

// start starts a unit and returns its name.
func (s *session) start(spec transient.Spec) string {
	s.Helper()
	if err := s.Start(s.Context(), spec); err != nil {
		s.Fatalf("Start: %v", err)
	}
	s.specs[spec.Unit()] = spec
	return spec.Unit()
}

// startAndWait is start, returning when the workload has sent a status.
func (s *session) startAndWait(spec transient.Spec, status string) string {
	s.Helper()
	name := s.start(spec)
	s.status(name, status)
	return name
}

func (s *session) status(unit, text string) {
	s.Helper()
	await(s, fmt.Sprintf("status %q of %s", text, unit), func(e transient.Status) bool {
		return e.Unit == unit && e.Text == text
	})
}

func (s *session) started(unit string) transient.Started {
	s.Helper()
	return await(s, "Started of "+unit, func(e transient.Started) bool { return e.Unit.Name == unit })
}

func ofUnit(name string) func(transient.Ended) bool {
	return func(e transient.Ended) bool { return e.Unit.Name == name }
}

// ended waits for the end of a unit and checks what holds for every end.
func (s *session) ended(unit string) transient.Outcome {
	s.Helper()
	e := await(s, "Ended of "+unit, ofUnit(unit))
	s.checkEnded(e)
	return e.Outcome
}

func (s *session) checkEnded(e transient.Ended) {
	s.Helper()
	spec := s.specs[e.Unit.Name]
	if u := e.Unit; u.Experiment != spec.Experiment || u.Run != spec.Run || u.Attempt != spec.Attempt || u.Kind != spec.Kind || u.Invocation == "" {
		s.Errorf("ended unit is %+v, started was %s run %d attempt %d", u, spec.Experiment, spec.Run, spec.Attempt)
	}
	if o := e.Outcome; o.Started.IsZero() || o.Ended.Before(o.Started) {
		s.Errorf("%s lasted from %v to %v", e.Unit.Name, o.Started, o.Ended)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	over := false
	for _, event := range s.events {
		switch event := event.(type) {
		case transient.Ended:
			over = over || event.Unit.Invocation == e.Unit.Invocation
		case transient.Started:
			if over && event.Unit.Invocation == e.Unit.Invocation {
				s.Errorf("%s started after its end", e.Unit.Name)
			}
		}
	}
}

// expect checks the main facts of an outcome.
func (s *session) expect(unit string, result transient.Result, code int, sig syscall.Signal) transient.Outcome {
	s.Helper()
	o := s.ended(unit)
	if o.Result != result || o.ExitCode != code || o.Signal != sig {
		s.Errorf("%s ended with result %q, exit code %d, signal %d (%s), want %q, %d, %d",
			unit, o.Result, o.ExitCode, o.Signal, o.Detail, result, code, sig)
	}
	return o
}

// order fails the test if an order to the service manager failed.
func (s *session) order(what string, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// enforced says whether the host enforces a limit; if not, that is logged.
func (s *session) enforced(limit string) bool {
	reason := s.host.Unenforced(limit)
	if reason != "" {
		s.Logf("NOT CHECKED: %s: %s", limit, reason)
	}
	return reason == ""
}

// gone says that a process of a unit that has ended is no more. It may take
// PID 1 a moment to reap it.
func (s *session) gone(pid int) {
	s.Helper()
	alive := func(pid int) bool { return syscall.Kill(pid, 0) == nil }
	if own, ok := s.Systemd.(interface{ Alive(pid int) bool }); ok {
		alive = own.Alive
	}
	for deadline := time.Now().Add(time.Second); alive(pid); wait(s, 10*time.Millisecond) {
		if time.Now().After(deadline) {
			s.Errorf("process %d is still there", pid)
			return
		}
	}
}

// child waits for the status that the step "fork" sends.
func (s *session) child(unit string) (pid int) {
	s.Helper()
	await(s, "child of "+unit, func(e transient.Status) bool {
		_, err := fmt.Sscanf(e.Text, "child %d", &pid)
		return e.Unit == unit && err == nil
	})
	return pid
}

// all returns the events so far.
func (s *session) all() []transient.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}
