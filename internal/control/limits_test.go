package control_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"brainjar/internal/control"
	"brainjar/supervisor"
)

// TestTooLarge: neither bodies nor heads grow beyond a limit.
func TestTooLarge(t *testing.T) {
	h := open(t, lab)
	fits := `{"keys": {"environment": {"A": "` + strings.Repeat("x", 100<<10) + `"}}}`
	if a := h.call("POST", "/v1/experiments/idle/start", fits); a.status != http.StatusOK {
		t.Errorf("100 KiB: %d %.300s", a.status, a.body)
	}
	h.refused("POST", "/v1/experiments/idle/start", `{"config": "`+strings.Repeat("x", control.MaxBody)+`"}`, http.StatusRequestEntityTooLarge, control.CodeTooLarge)
	h.refused("POST", "/v1/experiments/idle/start", strings.Repeat(" ", 2*control.MaxBody)+"{}", http.StatusRequestEntityTooLarge, control.CodeTooLarge)
	c := h.dial(t)
	fmt.Fprintf(c, "GET /v1/version HTTP/1.1\r\nHost: brainjar\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 100<<10))
	if got := firstLine(t, c); !strings.Contains(got, " 431 ") {
		t.Errorf("a head of 100 KiB: %q", got)
	}
	c = h.dial(t)
	fmt.Fprintf(c, "GET /v1/version?%s HTTP/1.1\r\nHost: brainjar\r\n\r\n", strings.Repeat("x", 100<<10))
	if got := firstLine(t, c); !strings.Contains(got, " 431 ") {
		t.Errorf("an address of 100 KiB: %q", got)
	}
}

// dial opens a connection on which a test speaks itself.
func (h *house) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", h.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

func firstLine(t testing.TB, c net.Conn) string {
	t.Helper()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil && err != io.EOF {
		t.Error(err)
	}
	return line
}

// TestConnections: there are so many connections at the most; who has one is served,
// and a place that becomes free is taken.
func TestConnections(t *testing.T) {
	h := open(t, lab)
	conns := make([]net.Conn, 300)
	served, refused := 0, 0
	for i := range conns {
		conns[i] = h.dial(t)
		_, _ = io.WriteString(conns[i], "GET /v1/version HTTP/1.1\r\nHost: brainjar\r\n\r\n")
		b := make([]byte, 1024)
		n, err := conns[i].Read(b)
		switch {
		case err == nil && strings.HasPrefix(string(b[:n]), "HTTP/1.1 200 OK"):
			served++
		default:
			refused++
		}
	}
	// One connection is the test's own, with which it waited for nothing.
	if served < control.MaxConns-2 || served > control.MaxConns || served+refused != len(conns) {
		t.Errorf("%d were served, %d refused", served, refused)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	h.await("there is room again", func() bool { _, err := h.client.Status(t.Context()); return err == nil })
}

// TestConnectionsOfOne: one user cannot take all connections, nor can many take those
// of root.
func TestConnectionsOfOne(t *testing.T) {
	needsRoot(t)
	h := open(t, lab)
	openToGroup(h)
	connect := func(uid int) (n int) {
		for range control.MaxConnsOfOne + 10 {
			c, err := dialAs(h.socket, uid, []int{group})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(c, "GET /v1/version HTTP/1.1\r\nHost: brainjar\r\n\r\n")
			if _, err := c.Read(make([]byte, 10)); err == nil {
				n++
			}
		}
		return n
	}
	if n := connect(ada); n != control.MaxConnsOfOne {
		t.Errorf("one user has %d connections", n)
	}
	if n := connect(brendan); n == 0 || n >= control.MaxConnsOfOne {
		t.Errorf("a second one has %d", n)
	}
	h.obeyed("GET", "/v1/experiments/runs", "")
}

// TestSlowSenders: who does not finish a request is given up, and harms nobody.
func TestSlowSenders(t *testing.T) {
	t.Parallel()
	h := open(t, lab)
	var slow []net.Conn
	for _, text := range []string{"", "GET /v1/ver", "GET /v1/version HTTP/1.1\r\n", "GET /v1/version HTTP/1.1\r\nHost: b"} {
		c := h.dial(t)
		_, _ = io.WriteString(c, text)
		slow = append(slow, c)
	}
	h.obeyed("GET", "/v1/experiments/runs", "")
	for i, c := range slow {
		if b, err := io.ReadAll(c); err != nil { // its end, within the limit of dial
			t.Errorf("number %d: %q, %v", i, b, err)
		}
	}
}

// TestHistoryUnread: a long history is written as it is read, and a reader that has
// gone is not waited for.
func TestHistoryUnread(t *testing.T) {
	t.Parallel()
	h := open(t, churn(200), func(s *control.Server) { s.SetPatience(300 * time.Millisecond) })
	for i := range 200 {
		if err := h.Start(t.Context(), fmt.Sprintf("c%03d", i)); err != nil {
			t.Fatal(err)
		}
	}
	h.await("all have failed", func() bool {
		r, err := h.Report(t.Context())
		return err == nil && r.Phases[supervisor.Failed] == 200
	})
	var runs []map[string]any
	h.await("their runs are in the history", func() bool { h.get(t, "/v1/history", &runs); return len(runs) == 600 })
	if h.get(t, "/v1/history?lines=7&id=c007&id=c008", &runs); len(runs) != 6 {
		t.Errorf("%d runs of two experiments", len(runs))
	}
	if h.get(t, "/v1/history?lines=7", &runs); len(runs) != 7 {
		t.Errorf("%d runs, asked for 7", len(runs))
	}
	c := h.dial(t)
	_, _ = io.WriteString(c, "GET /v1/history HTTP/1.1\r\nHost: brainjar\r\n\r\n")
	time.Sleep(time.Second) // longer than the patience that it has
	b, err := io.ReadAll(c)
	if err != nil || strings.HasSuffix(string(b), "0\r\n\r\n") || len(b) == 0 {
		t.Errorf("%d bytes, up to %q, %v", len(b), b[max(0, len(b)-20):], err)
	}
}

// TestHang: an order that systemd does not answer is answered in time, and nobody else
// waits for it.
func TestHang(t *testing.T) {
	t.Parallel()
	h := open(t, lab)
	h.awaitPhase("runs", supervisor.Running)
	h.fake.Hang(true)
	answered := make(chan string, 1)
	go func() {
		a, err := h.try("POST", "/v1/experiments/runs/freeze", "")
		answered <- fmt.Sprintf("%d %s %v", a.status, a.body, err)
	}()
	begin := time.Now()
	for range 20 {
		h.obeyed("GET", "/v1/experiments/runs", "")
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("questions took %v", took)
	}
	select {
	case got := <-answered:
		if !strings.HasPrefix(got, "504 ") || !strings.Contains(got, `"code":"timeout"`) {
			t.Errorf("answered %s", got)
		}
	case <-time.After(40 * time.Second):
		t.Error("no answer")
	}
	h.fake.Hang(false)
}

// TestStatusOfMany: how 300 experiments stand is told within 50 ms; the test has
// patience with a busy machine.
func TestStatusOfMany(t *testing.T) {
	h := open(t, running(300))
	h.await("all run", func() bool { r, err := h.Report(t.Context()); return err == nil && r.Phases[supervisor.Running] == 300 })
	best := time.Hour
	for range 10 {
		begin := time.Now()
		status, err := h.client.Status(t.Context())
		if err != nil || len(status.Experiments) != 300 || status.Experiments[299].MemoryCurrent == nil {
			t.Fatalf("%d experiments, %v", len(status.Experiments), err)
		}
		best = min(best, time.Since(begin))
	}
	t.Logf("the status of 300 running experiments took %v", best.Round(100*time.Microsecond))
	if best > 250*time.Millisecond {
		t.Errorf("took %v", best)
	}
}

func running(n int) string {
	return strings.NewReplacer("autostart = false\n", "", `, "exit=1"`, "", `sleep=`, `sleep=1000`).Replace(churn(n))
}

func BenchmarkStatusOf300(b *testing.B) {
	h := open(b, running(300))
	h.await("all run", func() bool {
		r, err := h.Report(context.Background())
		return err == nil && r.Phases[supervisor.Running] == 300
	})
	for b.Loop() {
		if _, err := h.client.Status(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// open files of this process.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
