//go:build lab

package transient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"brainjar/transient"
)

// proxy stands between a Manager and systemd, and can stop passing anything
// on, as a systemd that hangs does.
type proxy struct {
	address string
	mu      sync.Mutex
	hung    chan struct{} // not nil: closed when it goes on
	busy    chan struct{} // not nil: what goes to systemd waits until it is closed
	late    chan struct{} // not nil: what comes from systemd waits until it is closed
	sockets map[net.Conn]bool
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: "unix:path=" + path, sockets: make(map[net.Conn]bool)}
	t.Cleanup(func() { p.hang(false); listener.Close(); p.cut() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			systemd, err := net.Dial("unix", "/run/systemd/private")
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.sockets[client], p.sockets[systemd] = true, true
			p.mu.Unlock()
			go p.pass(client, systemd, true)
			go p.pass(systemd, client, false)
		}
	}()
	return p
}

func (p *proxy) pass(from, to net.Conn, orders bool) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		hung, wait := p.hung, p.late
		if orders {
			wait = p.busy
		}
		p.mu.Unlock()
		if wait != nil {
			<-wait
		}
		if hung != nil {
			<-hung
			return // what was on the way is lost
		}
		if _, errWrite := to.Write(buffer[:n]); err != nil || errWrite != nil {
			return
		}
	}
}

func (p *proxy) hang(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on && p.hung == nil {
		p.hung = make(chan struct{})
	} else if !on && p.hung != nil {
		close(p.hung)
		p.hung = nil
	}
}

// occupy lets systemd hear nothing until the function that it returns is called.
func (p *proxy) occupy() (free func()) { return p.hold(&p.busy) }

// delay lets nobody hear of systemd until the function that it returns is called.
func (p *proxy) delay() (free func()) { return p.hold(&p.late) }

func (p *proxy) hold(direction *chan struct{}) (free func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := make(chan struct{})
	*direction = held
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		*direction = nil
		close(held)
	})
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.sockets {
		s.Close()
	}
}

// TestHang: a bus that does not answer any more is noticed in time, by a call
// and without one, and what happened meanwhile is learnt afterwards.
func TestHang(t *testing.T) {
	const limit = time.Second
	for _, call := range []bool{true, false} {
		name := "silent"
		if call {
			name = "during a start"
		}
		t.Run(name, func(t *testing.T) {
			p := newProxy(t)
			b := benchOf(t, transient.Options{Address: p.address, CallTimeout: limit},
				func(m *transient.Manager) { m.SetPing(limit) })
			b.synced(1)
			runs, ends := b.spec("runs", "sleep=1h"), b.spec("ends", "sleep=1s", "exit=9")
			b.started(b.start(runs))
			b.started(b.start(ends))
			p.hang(true)
			begin := time.Now()
			started := make(chan error, 1)
			more := b.spec("more", "exit=0")
			if call {
				go func() { started <- b.Start(t.Context(), more) }()
			}
			await(b, "Disconnected", 1, anyOf[transient.Disconnected])
			if took := time.Since(begin); took > 3*limit {
				t.Errorf("noticed after %v", took)
			}
			if err := b.Stop(t.Context(), runs.Unit()); !errors.Is(err, transient.ErrDisconnected) {
				t.Errorf("Stop without a connection: %v", err)
			}
			p.hang(false)
			b.synced(2)
			if o := b.ended(ends.Unit()).Outcome; o.ExitCode != 9 {
				t.Errorf("%+v", o)
			}
			if call {
				// The proxy lost the order, so there is no unit, and Start says so.
				select {
				case err := <-started:
					if err == nil || errors.Is(err, transient.ErrUncertain) && len(all(b, func(e transient.Ended) bool {
						return e.Unit.Name == more.Unit()
					})) > 0 {
						t.Errorf("Start: %v", err)
					}
				case <-time.After(patience):
					t.Fatal("Start does not return")
				}
			}
			if err := b.Stop(t.Context(), runs.Unit()); err != nil {
				t.Error(err)
			}
			b.ended(runs.Unit())
			b.forget()
		})
	}
}

// TestStartGivesUp: a start that loses its connection does not wait for ever
// for the next one, and an end that cannot be forgotten now is so later.
func TestStartGivesUp(t *testing.T) {
	const limit = time.Second
	p := newProxy(t)
	b := benchOf(t, transient.Options{Address: p.address, CallTimeout: limit}, nil)
	b.synced(1)
	before := b.ended(b.start(b.spec("before", "exit=9")))
	p.hang(true)
	begin := time.Now()
	forgotten := make(chan error, 1)
	go func() { forgotten <- b.Forget(t.Context(), before.Unit) }()
	err := b.Start(t.Context(), b.spec("late", "exit=0"))
	if !errors.Is(err, transient.ErrUncertain) {
		t.Errorf("Start: %v, want ErrUncertain", err)
	}
	if took := time.Since(begin); took > 6*limit {
		t.Errorf("Start returned after %v", took)
	}
	if err := <-forgotten; err == nil {
		t.Error("Forget: a systemd that hangs has done it")
	}
	p.hang(false)
	b.synced(2)
	if left := b.left(); left != "" {
		t.Errorf("units left over:\n%s", left)
	}
	b.forget()
}

// TestAnswerLost: the order arrived, but its answer did not. Start finds out.
func TestAnswerLost(t *testing.T) {
	p := newProxy(t)
	b := benchOf(t, transient.Options{Address: p.address, CallTimeout: 5 * time.Second}, nil)
	b.synced(1)
	for range 20 {
		spec := b.spec("cut", "sleep=1h")
		result := make(chan error, 1)
		go func() { result <- b.Start(t.Context(), spec) }()
		delay := time.Duration(b.rand.IntN(20)) * time.Millisecond
		time.Sleep(delay) // anywhere in the start
		p.cut()
		err := <-result
		running := len(systemctl(t, "list-units", "--plain", "--no-legend", spec.Unit())) > 0
		if running != (err == nil) {
			t.Fatalf("cut after %v: Start says %v; the unit runs: %v", delay, err, running)
		}
		if err != nil && !errors.Is(err, transient.ErrUncertain) && !errors.Is(err, transient.ErrDisconnected) {
			t.Errorf("Start: %v", err)
		}
		eventually(t, "a connection", func() bool {
			_, err := b.OwnJob(t.Context())
			return err == nil
		})
		if running {
			before := len(all(b, anyOf[transient.Ended]))
			if err := b.Stop(t.Context(), spec.Unit()); err != nil {
				t.Fatal(err)
			}
			await(b, "Ended", before+1, anyOf[transient.Ended])
			b.forget()
		}
	}
}

// TestSilentServer: a server that takes connections and never says anything.
func TestSilentServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "silent")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
	}()
	b := newBench(t, transient.Options{Address: "unix:path=" + path, CallTimeout: 500 * time.Millisecond})
	begin := time.Now()
	await(b, "Disconnected", 1, anyOf[transient.Disconnected])
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("noticed after %v", took)
	}
	if err := b.Start(t.Context(), b.spec("never")); !errors.Is(err, transient.ErrDisconnected) {
		t.Errorf("Start: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := b.Host(ctx); !errors.Is(err, transient.ErrDisconnected) {
		t.Errorf("Host: %v", err)
	}
	begin = time.Now()
	b.die()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Run returned after %v", took)
	}
}

// TestBusy: a systemd that is heard, and answers late, is not given up.
func TestBusy(t *testing.T) {
	limit := 2 * time.Second
	if os.Getenv("BRAINJAR_LAB") == "vm" { // where a start may take seconds
		limit *= 5
	}
	p := newProxy(t)
	b := benchOf(t, transient.Options{Address: p.address, CallTimeout: limit},
		func(m *transient.Manager) { m.SetPing(limit) })
	b.synced(1)
	others := newBench(t, transient.Options{})
	others.synced(1)
	free := p.occupy()
	defer free()
	begin := time.Now()
	answer := make(chan error, 1)
	spec := b.spec("late", "exit=0")
	go func() { answer <- b.Start(t.Context(), spec) }()
	for i := 0; time.Since(begin) < 2*limit; i++ { // each of these is heard through the proxy too
		others.ended(others.start(others.spec(fmt.Sprint("chatter", i), "exit=0")))
	}
	others.forget()
	free()
	if err := <-answer; err != nil {
		t.Error(err)
	}
	b.ended(spec.Unit())
	if lost := all(b, anyOf[transient.Disconnected]); len(lost) > 0 {
		t.Errorf("the connection was given up: %v", lost)
	}
	b.forget()
}
