package transient

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestLostBeforeAsked: a connection that is gone before systemd is asked is
// not waited for.
func TestLostBeforeAsked(t *testing.T) {
	m := New(Options{})
	if _, err := m.expect(&conn{}, Spec{Experiment: "x", Kind: Service}, nil); !errors.Is(err, ErrUncertain) {
		t.Errorf("%v, want ErrUncertain", err)
	}
	if len(m.units) != 0 {
		t.Error("the unit is tracked")
	}
}

// TestWaitSettled: an answer counts also when the time is over, and a start
// without one is uncertain.
func TestWaitSettled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := New(Options{})
	for range 50 { // which of both is seen first is chance
		o := newOrder()
		if err := m.wait(ctx, o); !errors.Is(err, ErrUncertain) || !errors.Is(err, context.Canceled) {
			t.Fatalf("without an answer: %v", err)
		}
		o.settle(ErrExists)
		if err := m.wait(ctx, o); !errors.Is(err, ErrExists) {
			t.Fatalf("with an answer: %v", err)
		}
	}
}

// TestTakenBack: a job that was canceled is told from one that failed.
func TestTakenBack(t *testing.T) {
	for result, want := range map[string]bool{"canceled": true, "failed": false} {
		m := New(Options{})
		u := &tracked{unit: Unit{Name: "brainjar-x.service"}, order: newOrder()}
		u.order.job = "/job/1"
		m.units[unitPath(u.unit.Name)] = u
		m.jobRemoved(unitPath(u.unit.Name), "/job/1", result)
		if err := u.order.err; errors.Is(err, errCanceled) != want || !errors.Is(err, errNoInvocation) || len(m.units) > 0 {
			t.Errorf("%s: %v", result, err)
		}
	}
}

// TestDrop: a start that was refused because somebody else was faster lets go of nothing
// that has begun.
func TestDrop(t *testing.T) {
	for invocation, kept := range map[string]int{"": 0, strings.Repeat("a", 32): 1} {
		m := New(Options{})
		u := &tracked{unit: Unit{Name: "brainjar-x.service", Invocation: invocation}, order: newOrder()}
		m.units[unitPath(u.unit.Name)] = u
		if m.drop(u); len(m.units) != kept {
			t.Errorf("invocation %q: %d units are tracked, want %d", invocation, len(m.units), kept)
		}
	}
}

// TestPathsHang: a file system that hangs keeps a start no longer than its
// limit, and the next one leaves nothing more behind.
func TestPathsHang(t *testing.T) {
	m := New(Options{CallTimeout: 10 * time.Millisecond})
	release := make(chan struct{})
	looked := make(chan bool, 2) // more than once may not be
	look := func() error {
		looked <- true
		<-release
		return nil
	}
	for range 2 {
		ctx, cancel := m.startLimit(t.Context())
		if err := m.inspect(ctx, "x", look); !errors.Is(err, ErrUncertain) {
			t.Errorf("%v, want ErrUncertain", err)
		}
		cancel()
	}
	if err := m.inspect(t.Context(), "y", func() error { return ErrNoUnit }); !errors.Is(err, ErrNoUnit) {
		t.Errorf("another unit: %v", err)
	}
	close(release)
	if err := m.inspect(t.Context(), "x", func() error { return nil }); err != nil {
		t.Errorf("once it answers: %v", err)
	}
	if len(looked) != 1 || len(m.inspecting) != 0 {
		t.Errorf("looked %d times, %d left", len(looked), len(m.inspecting))
	}
}

// TestPathsHangShortly: they keep a start no longer than one call may take, so that those
// who wait for their turn get it.
func TestPathsHangShortly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{})
		ctx, cancel := m.startLimit(t.Context())
		defer cancel()
		release := make(chan struct{})
		defer close(release)
		began := time.Now()
		err := m.inspect(ctx, "x", func() error { <-release; return nil })
		if took := time.Since(began); !errors.Is(err, ErrUncertain) || took != defaultCallTimeout {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// TestOpenFilesOfAScope: more than the kernel gives is refused if somebody wrote
// it, and lowered if nobody did.
func TestOpenFilesOfAScope(t *testing.T) {
	const beyond = 1 << 40 // of fs.nr_open, which holds for root too
	if err := (scopePlan{OpenFiles: beyond}).limitOpenFiles(); err == nil || !strings.Contains(err.Error(), "cannot set open_files to 1099511627776") {
		t.Errorf("written: %v", err)
	}
	if err := (scopePlan{OpenFiles: beyond, OpenFilesImplied: true}).limitOpenFiles(); err != nil {
		t.Errorf("implied: %v", err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur != limit.Max || limit.Max == beyond {
		t.Errorf("%+v, %v", limit, err)
	}
}
