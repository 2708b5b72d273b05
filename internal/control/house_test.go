package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"brainjar/internal/config"
	"brainjar/internal/control"
	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// aGPU is a machine's only GPU.
func aGPU(context.Context) ([]sensors.Device, error) {
	return []sensors.Device{{Path: "/dev/nvidia0", Access: "rw"}}, nil
}

// house is a brainjar that can be asked, on a fake systemd. What it leaves in dir, and
// on fake, the next one finds.
type house struct {
	testing.TB
	dir    string
	config string // path
	socket string
	fake   *transienttest.Fake

	*supervisor.Supervisor
	hub      *control.Hub
	listener *control.Listener
	client   *control.Client
	caller   // as root, or whoever runs the test
	log      logged
	cancel   context.CancelFunc
	over     sync.WaitGroup
}

// logged is a log that is read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes a line.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all lines.
func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// group stands in for the group brainjar in tests.
const group = 64999

// open runs a brainjar with a configuration; with says what is different.
func open(t testing.TB, text string, with ...func(*control.Server)) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "control") //nolint:usetesting // the path must fit into the address of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // other users are to come as far as the socket
		t.Fatal(err)
	}
	h := &house{TB: t, dir: dir, config: filepath.Join(dir, "brainjar.toml"), socket: filepath.Join(dir, "control.sock"), fake: transienttest.NewFake()}
	t.Cleanup(func() {
		h.end()
		if t.Failed() {
			t.Logf("log:\n%.20000s", h.log.String())
		}
	})
	h.write(text)
	h.begin(with...)
	return h
}

// write writes the configuration.
func (h *house) write(text string) {
	h.Helper()
	if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
		h.Fatal(err)
	}
}

// begin starts brainjar and waits until it takes orders.
func (h *house) begin(with ...func(*control.Server)) {
	h.Helper()
	cfg, err := config.Load(h.config)
	if err != nil {
		h.Fatalf("cannot load:\n%v", err)
	}
	leaving, leave := context.WithCancel(context.Background())
	h.cancel = leave
	log := slog.New(slog.NewTextHandler(&h.log, nil))
	book := ledger.Open(leaving, h.ledger(), ledger.Options{Log: log})
	past, err := book.Restore(leaving)
	if err != nil {
		h.Fatal(err)
	}
	h.hub = control.NewHub(0)
	readings := make(chan sensors.Reading, 1)
	readings <- sensors.Reading{}
	h.Supervisor = supervisor.New(supervisor.Supervisor{
		Config: cfg, Units: h.fake, House: h.fake, Groups: h.fake, Freezer: h.fake, Events: h.fake.Events(), Readings: readings,
		MemTotal: 64 * quantity.GiB, Log: log, Ledger: book, Past: past, Observe: h.hub.Change, Noted: h.hub.Note,
		Board: supervisor.Board{GPUDevices: aGPU},
	})
	if h.listener, err = control.Listen(h.socket, false); err != nil {
		h.Fatal(err)
	}
	h.listener.Group = group
	server := &control.Server{
		Supervisor: h.Supervisor, Hub: h.hub, Listener: h.listener, History: control.Ledger{Path: h.ledger()},
		Sensors: func(_ context.Context, zones []string) (control.Sensors, error) {
			return control.NewSensors(sensors.Reading{Zones: []sensors.Zone{{Name: "tj", Type: "tj"}}}, sensors.Settings{}, zones), nil
		}, Version: "test", Log: log,
	}
	for _, do := range with {
		do(server)
	}
	// As in the service, all else goes on until the supervisor has ended.
	ctx, cancel := context.WithCancel(context.Background())
	h.over.Go(func() { book.Run(ctx) })
	h.over.Go(func() { _ = h.fake.Run(ctx) })
	h.over.Go(func() { _ = server.Run(ctx); _ = h.listener.Close() })
	s := h.Supervisor
	h.over.Go(func() { _ = s.Run(leaving); cancel() })
	h.client = control.NewClient(h.socket)
	h.caller = caller{h, http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", h.socket)
	}}}}
	h.await("brainjar takes orders", func() bool {
		r, err := h.Report(ctx)
		return err == nil && r.Ready
	})
}

func (h *house) ledger() string { return filepath.Join(h.dir, "brainjar.db") }

// end ends brainjar; its experiments run on.
func (h *house) end() {
	if h.cancel == nil {
		return
	}
	h.cancel()
	h.over.Wait()
}

// await waits until something holds.
func (h *house) await(what string, holds func() bool) {
	h.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			h.Fatalf("not in time: %s", what)
		}
	}
}

// awaitPhase waits until an experiment is in a phase.
func (h *house) awaitPhase(id string, want supervisor.Phase) {
	h.Helper()
	h.await(id+" is "+string(want), func() bool {
		r, err := h.Report(h.Context(), id)
		return err == nil && len(r.Experiments) == 1 && r.Experiments[0].Phase == want
	})
}

// caller makes requests by hand, as somebody.
type caller struct {
	h    *house
	http http.Client
}

// answer is what came back.
type answer struct {
	status int
	kind   string // of content
	body   []byte
	header http.Header
}

// call makes a request; body is JSON. What comes back must be as the description of
// the API says.
func (c caller) call(method, path, body string) answer {
	c.h.Helper()
	a, err := c.try(method, path, body)
	if err != nil {
		c.h.Fatalf("%s %s: %v", method, path, err)
	}
	c.h.described(method, path, a)
	return a
}

func (c caller) try(method, path, body string) (a answer, err error) {
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	q, err := http.NewRequestWithContext(c.h.Context(), method, "http://brainjar"+path, content)
	if err != nil {
		return a, err
	}
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(q)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), b, resp.Header}, err
}

// refused makes a request that must be refused, and returns the words.
func (c caller) refused(method, path, body string, status int, code string) string {
	c.h.Helper()
	a := c.call(method, path, body)
	var e control.Error
	if err := json.Unmarshal(a.body, &e); err != nil || a.status != status || e.Code != code || e.Message == "" {
		c.h.Errorf("%s %s %.200s: %d %s, want %d %s", method, path, body, a.status, a.body, status, code)
	}
	return e.Message + "\n" + e.Hint + "\n" + strings.Join(e.Details, "\n")
}

// obeyed makes a request that must be carried out, and returns the experiment.
func (c caller) obeyed(method, path, body string) (e control.Experiment) {
	c.h.Helper()
	a := c.call(method, path, body)
	if a.status != http.StatusOK {
		c.h.Fatalf("%s %s %s: %d %s", method, path, body, a.status, a.body)
	}
	if err := json.Unmarshal(a.body, &e); err != nil {
		c.h.Fatal(err)
	}
	return e
}
