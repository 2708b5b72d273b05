package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"brainjar/internal/ledger"
	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// wayward is a systemd that answers starts late, or not at all, or that no start came
// to. One that is strange also makes units when nobody expects them any more.
type wayward struct {
	*transienttest.Fake
	strange bool

	mu     sync.Mutex
	random *rand.Rand
	calm   bool
}

func (w *wayward) draw(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calm {
		return 0
	}
	return w.random.IntN(n)
}

func (w *wayward) Start(ctx context.Context, spec transient.Spec) error {
	wait := func() error {
		select {
		case <-time.After(time.Duration(1+w.draw(2000)) * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	answers := 8
	if w.strange {
		answers++
	}
	switch w.draw(answers) {
	case 1, 2:
		err := w.Fake.Start(ctx, spec)
		return errors.Join(wait(), err)
	case 3:
		_ = w.Fake.Start(ctx, spec)
		return errors.Join(wait(), transient.ErrUncertain)
	case 4:
		return errors.Join(wait(), transient.ErrUncertain)
	case 5:
		return errors.Join(wait(), transient.ErrExists)
	case 8:
		late := time.Duration(1+w.draw(10000)) * time.Millisecond
		time.AfterFunc(late, func() { _ = w.Fake.Start(context.Background(), spec) })
		return errors.Join(wait(), transient.ErrUncertain)
	}
	return w.Fake.Start(ctx, spec)
}

// Whatever becomes of starts, of the ledger and of brainjar itself, and whoever restarts
// units: each invocation has one row of its own. Where only brainjar starts what runs, the
// rows have no gap and count the attempts.
func TestNumbersAreGivenOnce(t *testing.T) {
	_, random := seeded(t)
	for _, strange := range []bool{false, true} {
		for range 60 {
			seed := random.Uint64()
			t.Run(fmt.Sprintf("strange %v, %d", strange, seed), func(t *testing.T) {
				onFake(t, func(st stage, fake *transienttest.Fake) {
					w := &wayward{Fake: fake, strange: strange, random: rand.New(rand.NewPCG(seed, 1))}
					st.open = func() systemd { return w }
					st.book = newBook()
					w.walk(st)
					for id, code := range map[string]int{"a": 3, "b": 0, "c": 4, "d": 5} {
						w.check(st, id, code)
					}
				})
			})
		}
	}
}

// A start that systemd answers with an error although the unit is there: it is that
// run all the same.
func TestUnitIsThereBeforeTheAnswer(t *testing.T) {
	for _, answer := range []error{transient.ErrExists, transient.ErrUncertain} {
		onFake(t, func(st stage, fake *transienttest.Fake) {
			st.book = newBook()
			st.open = func() systemd { return &answering{fake, answer} }
			h := st.begin(head + experiment("a", `restart.policy = "no"`, "sleep=1m", "exit=3"))
			time.Sleep(30 * time.Second)
			if s := h.status("a"); s.Phase != supervisor.Running || s.Run != 1 {
				st.Errorf("%v: %+v", answer, s)
			}
			h.awaitPhase(supervisor.Failed, time.Minute, "a")
			h.drain()
			if ends := fmt.Sprint(st.book.ends("a")); ends != "[1:exit-code 3]" {
				st.Errorf("%v: %s", answer, ends)
			}
		})
	}
}

type answering struct {
	*transienttest.Fake
	err error
}

func (a *answering) Start(ctx context.Context, spec transient.Spec) error {
	_ = a.Fake.Start(ctx, spec)
	time.Sleep(time.Second)
	return a.err
}

// A start that was taken for lost, and whose unit has ended when that is heard, is a run
// like others: its failure counts.
func TestLostStartThatHadBegun(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		fake.FailStart("brainjar-a.service", transient.ErrUncertain)
		h := st.begin(head + experiment("a", `restart.max_restarts = 1`, "sleep=1s", "exit=3"))
		h.awaitPhase(supervisor.Backoff, time.Minute, "a")
		fake.Disconnect(errors.New("gone"))
		fake.FailStart("brainjar-a.service", nil)
		fake.PlantEnded(transient.Unit{Experiment: "a", Run: 1}, transient.Outcome{Result: transient.ExitCode, ExitCode: 4, Started: time.Now(), Ended: time.Now()})
		fake.Reconnect()
		h.awaitPhase(supervisor.Failed, time.Minute, "a")
		h.drain()
		if ends := fmt.Sprint(st.book.ends("a")); ends != "[1:exit-code 4 2:exit-code 3]" || st.book.runs["a/2"].Attempt != 1 {
			st.Errorf("%s, %+v", ends, st.book.runs["a/2"])
		}
	})
}

// A start that was taken for lost comes after all, and meanwhile somebody has stopped the
// experiment: then it is stopped.
func TestLostStartThatWasStopped(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		fake.FailStart("brainjar-a.service", transient.ErrUncertain)
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		h.awaitPhase(supervisor.Backoff, time.Minute, "a")
		h.must(h.Supervisor.Stop(h.ctx(), "a"))
		fake.Disconnect(errors.New("gone"))
		spec := transient.Spec{Experiment: "a", Run: 1, Kind: transient.Service, Command: transienttest.Command("x", "sleep=1h")}
		h.must(fake.Plant(spec, time.Now()))
		fake.Reconnect()
		time.Sleep(time.Minute)
		if s := h.status("a"); s.Phase != supervisor.Stopped || len(fake.Running()) > 0 {
			st.Errorf("%+v, running: %v", s, fake.Running())
		}
		h.drain()
		if ends := fmt.Sprint(st.book.ends("a")); ends != "[1:stopped]" {
			st.Error(ends)
		}
	})
}

// What a person starts after it was stopped is wanted: it does not end for what the run
// before ended for.
func TestStartedByAPersonIsWanted(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		text := head + experiment("a", `stop_timeout = "1m"`, "ignore=TERM", "sleep=1h")
		h := st.begin(text)
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		h.must(h.Supervisor.Stop(h.ctx(), "a"))
		fake.Restart("brainjar-a.service")
		h.awaitPhase(supervisor.Running, time.Second, "a")
		h.kill()
		fake.PowerCut()
		st.book.boot = "two"
		h = st.begin(text)
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		h.drain()
		if ends := fmt.Sprint(st.book.ends("a")); ends != "[1:stopped 2:lost 3:stopped]" {
			st.Error(ends)
		}
	})
}

// Two invocations that carry the same number, of which neither was written down, have
// a number each, also after one more brainjar has come and for the run that follows.
func TestTwoInvocationsWithOneNumber(t *testing.T) {
	onFake(t, func(st stage, fake *transienttest.Fake) {
		st.book = newBook()
		now := time.Now()
		fake.PlantEnded(transient.Unit{Experiment: "a", Run: 1}, transient.Outcome{Result: transient.ExitCode, ExitCode: 3, Started: now, Ended: now})
		spec := transient.Spec{Experiment: "a", Run: 1, Kind: transient.Service, Command: transienttest.Command("x", "sleep=1m", "exit=4")}
		if err := fake.Plant(spec, now); err != nil {
			st.Fatal(err)
		}
		for range 3 {
			h := st.begin(head + experiment("a", "", "sleep=1h"))
			time.Sleep(25 * time.Second)
			if s := h.status("a"); s.Phase != supervisor.Running {
				st.Errorf("%+v", s)
			}
			h.kill()
		}
		if ends := fmt.Sprint(st.book.ends("a")); ends != "[1:exit-code 4 2:exit-code 3 3:]" || len(st.book.taken) > 0 {
			st.Errorf("%s, given twice: %v", ends, st.book.taken)
		}
	})
}

func (w *wayward) walk(st stage) {
	keys := `restart = { policy = "always", delay = "200ms", factor = 1.0, max_restarts = 1000 }`
	text := head + experiment("a", keys, "sleep=400ms", "exit=3") + experiment("b", keys, "sleep=1s", "exit=0") +
		experiment("c", keys, "exit=4") + experiment("d", keys+"\nready = \"notify\"\nready_timeout = \"1m\"", "sleep=300ms", "ready", "sleep=500ms", "exit=5")
	b := st.book
	b.slow = time.Duration(w.draw(500)) * time.Millisecond
	h := st.begin(text)
	for range 40 {
		time.Sleep(time.Duration(w.draw(2)*w.draw(3000)) * time.Millisecond) // every other step comes at once
		switch w.draw(5) {
		case 0, 1:
			died := make(chan struct{})
			b.mu.Lock()
			b.die = func() { close(died) }
			b.dieAt, b.before = b.writes+1+w.draw(12), w.draw(2) == 0
			b.mu.Unlock()
			select {
			case <-died:
			case <-time.After(10 * time.Second):
			}
			h.kill()
			if strings.Contains(h.logged(), "not in the table") {
				st.Errorf("it went where no phase leads:\n%s", h.logged())
			}
			b.mu.Lock()
			b.dead, b.dieAt, b.queued = false, 0, nil
			if w.draw(2) == 0 {
				b.broken = nil
			}
			b.mu.Unlock()
			time.Sleep(time.Duration(w.draw(2000)) * time.Millisecond)
			h = st.begin(text)
		case 2:
			w.Disconnect(errors.New("daemon-reexec"))
			time.Sleep(time.Duration(w.draw(4000)) * time.Millisecond)
			w.Reconnect()
		case 3:
			if w.strange {
				w.Restart("brainjar-b.service")
			}
		case 4:
			b.breaks(errors.New("no space left on device"))
		}
		if w.draw(6) == 0 {
			b.breaks(nil)
		}
	}
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	b.breaks(nil)
	time.Sleep(30 * time.Second)
	h.awaitPhase(supervisor.Running, time.Minute, "b")
	h.drain()
}

func (w *wayward) check(st stage, id string, code int) {
	if len(st.book.taken) > 0 {
		st.Errorf("given twice: %v", st.book.taken)
	}
	var runs []ledger.Run
	owners := map[string]int{}
	for _, r := range st.book.runs {
		if r.Experiment != id {
			continue
		}
		runs = append(runs, r)
		if other := owners[r.Invocation]; other != 0 || r.Invocation == "" || r.EndedAt.IsZero() {
			st.Errorf("run %d has the invocation of run %d: %+v", r.Run, other, r)
		}
		owners[r.Invocation] = r.Run
	}
	if starts := w.Starts("brainjar-" + id + ".service"); starts != len(runs) || starts < 5 {
		st.Errorf("%s: %d starts, %s", id, starts, strings.Join(st.book.ends(id), " "))
	}
	if w.strange {
		return
	}
	slices.SortFunc(runs, func(a, b ledger.Run) int { return a.Run - b.Run })
	attempt := 0
	for i, r := range runs {
		if r.Run != i+1 || r.Attempt != attempt {
			st.Errorf("%s: run %d, attempt %d after run %d, want attempt %d", id, r.Run, r.Attempt, i, attempt)
			break
		}
		if code != 0 {
			attempt++
		}
	}
}
