package control_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"brainjar/internal/control"
)

// fuzzRequests is how many requests TestFuzzedRequests makes.
const fuzzRequests = 10_000

// chance draws what is asked, by a seed that is printed and can be given again.
type chance struct{ *rand.Rand }

func seeded(t *testing.T) uint64 {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("BRAINJAR_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("BRAINJAR_SEED=%d", seed)
	return seed
}

func (c chance) one(of ...string) string { return of[c.IntN(len(of))] }

// mostly is the first, but for one time in ten.
func (c chance) mostly(first string, others ...string) string {
	if c.IntN(10) == 0 {
		return c.one(others...)
	}
	return first
}

func (c chance) bytes(n int) string {
	b := make([]byte, c.IntN(n))
	for i := range b {
		b[i] = byte(c.Uint32())
	}
	return string(b)
}

// word is something that may stand where an id, a key or a value is expected.
func (c chance) word() string {
	return c.mostly(c.one("runs", "idle", "sweep", "fails", "waits", "fuzz1", "fuzz2"), "", "a/b", "..", "%", "%2e%2e", "%00", "-x", strings.Repeat("a", 300),
		"ü", "'; DROP TABLE runs", "$(id)", "{id}", "NaN", "null", "\x7f", "a\tb")
}

func (c chance) path() string {
	return c.mostly(c.one("/v1/experiments/"+c.word(), "/v1/experiments/"+c.word()+"/"+c.order(), c.known()), "/v2/status",
		"/", "", "*", "/v1", "/../etc/passwd",
		"//v1/status", "/v1/./status", "http://other/v1/status", "/"+c.word(), "/v1/%zz", "?", "/v1/status#x")
}

func (c chance) known() string {
	return c.one("/v1/status", "/v1/version", "/v1/events", "/v1/logs", "/v1/history", "/v1/sensors", "/v1/plan", "/v1/release", "/v1/openapi.json", "/v1/reload")
}

func (c chance) order() string {
	return c.one("start", "stop", "restart", "hold", "release", "freeze", "thaw", "kill", "enable", "disable", "auto", "forget", "adopt", "why", "exec", c.word())
}

func (c chance) query() string {
	var b strings.Builder
	for range c.IntN(4) {
		fmt.Fprintf(&b, "&%s=%s", c.one("id", "tag", "after", "lines", "since", "run", "result", "x"), strings.NewReplacer(" ", "+", "\x7f", "", "\t", "").Replace(c.one(c.word(), "1", "-1", "99999999999999999999", "true", "2026-01-01T00:00:00Z")))
	}
	return strings.Replace(b.String(), "&", "?", 1)
}

// value is a value of JSON, mostly.
func (c chance) value(depth int) string {
	if depth > 3 {
		return "1"
	}
	text, _ := json.Marshal(c.word())
	return c.one("null", "true", "-1", "0", "1e999", "1.5", "18446744073709551616", `"8G"`, `"-1"`, `"50%"`, `"SIGKILL"`, `["true","workload","sleep=1h"]`, `[]`, string(text),
		"["+c.value(depth+1)+","+c.value(depth+1)+"]", c.object(depth+1), strings.Repeat("[", 20000), "{", `"\ud800"`)
}

func (c chance) object(depth int) string {
	var fields []string
	for range c.IntN(4) {
		key := c.one("keys", "keys", "config", "reason", "signal", "whom", "pid", "restart", "command", "memory_max", "environment", "priority", "user", "devices", "restart", "after", "x", "tags", "matrix", "detach")
		fields = append(fields, fmt.Sprintf("%q:%s", key, c.value(depth)))
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func (c chance) body() string {
	switch c.IntN(8) {
	case 0, 1, 2:
		return ""
	case 3:
		return c.mostly(`{"keys":{"command":["true","workload","sleep=1h"]}}`, c.bytes(2000))
	case 4:
		return c.object(0) + c.one(" ", "{}", "x")
	default:
		return `{"keys":` + c.object(1) + "}"
	}
}

// request is a request that is sound HTTP, mostly. whole: it may be.
func (c chance) request() (method, text string, whole bool) {
	path := c.path()
	method = c.one("GET", "PUT", "PATCH")
	if strings.Count(path, "/") > 3 || strings.HasPrefix(path, "/v1/re") {
		method = "POST"
	}
	method = c.mostly(method, "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "BREW", "get")
	body := c.body()
	if method == "GET" {
		body = c.mostly("", body)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s %s\r\n", method, path, c.query(), c.mostly("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9", ""))
	b.WriteString(c.mostly("Host: brainjar\r\n", "", "Host: a\r\nHost: b\r\n"))
	b.WriteString(c.mostly("Content-Type: application/json\r\n", "Content-Type: text/plain\r\n", ""))
	whole = true
	switch c.IntN(40) {
	case 0:
		whole = false
		fmt.Fprintf(&b, "Content-Length: %s\r\n", c.one("-1", "x", "99999999999", "1"))
	case 1:
		whole = false
		b.WriteString("Transfer-Encoding: chunked\r\n")
		body = c.one(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body), "zz\r\n", "5\r\nab")
	case 2:
		whole = false
		fmt.Fprintf(&b, "Content-Length: %d\r\nTransfer-Encoding: chunked\r\n", len(body))
	default:
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString(c.mostly("", "Last-Event-ID: 7\r\n", "Upgrade: brainjar-exec/1\r\nConnection: Upgrade\r\n", "Expect: 100-continue\r\n", "Connection: close\r\n", "X: "+c.bytes(50)+"\r\n", " folded\r\n", "X: "+strings.Repeat("y", 1000)+"\r\n"))
	b.WriteString("\r\n" + body)
	text = b.String()
	if c.IntN(20) == 0 {
		return method, text[:c.IntN(len(text))], false
	}
	return method, text, whole
}

// TestFuzzedRequests: whatever is asked, the answer is sound, and not that brainjar
// failed; nothing hangs, and nothing is left.
func TestFuzzedRequests(t *testing.T) {
	seed := seeded(t)
	h := open(t, strings.Replace(lab, "memory_budget", "# memory_budget", 1), func(s *control.Server) { s.SetPatience(2 * time.Second) })
	h.obeyed("GET", "/v1/experiments/runs", "")
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	const workers = 20
	var all sync.WaitGroup
	var mu sync.Mutex
	statuses := make(map[int]int)
	for worker := range workers {
		all.Go(func() {
			c := chance{rand.New(rand.NewPCG(seed, uint64(worker)))}
			for range fuzzRequests / workers {
				method, text, whole := c.request()
				status, err := h.fuzz(t, method, text, whole)
				mu.Lock()
				statuses[status]++
				mu.Unlock()
				if err != nil {
					t.Errorf("%v\n%.600q", err, text)
				}
			}
		})
	}
	all.Wait()
	t.Logf("statuses: %v", statuses)
	for _, needed := range []int{200, 400, 403, 404, 405, 409, 422} {
		if needed != 403 && statuses[needed] < 10 {
			t.Errorf("only %d answers with status %d: %v", statuses[needed], needed, statuses)
		}
	}
	if strings.Contains(h.log.String(), "request failed") {
		t.Error("brainjar panicked")
	}
	if r, err := h.Report(t.Context()); err != nil || !r.Ready {
		t.Errorf("afterwards: %+v, %v", r, err)
	}
	h.await("nothing is left", func() bool {
		http.DefaultClient.CloseIdleConnections()
		return runtime.NumGoroutine() <= goroutines+10 && descriptors(t) <= files+5
	})
}

// fuzz sends a request and reads the answer, which must be sound.
func (h *house) fuzz(t *testing.T, method, text string, whole bool) (status int, err error) {
	c := h.dial(t)
	defer c.Close()
	go func() {
		_, _ = io.WriteString(c, text)
		if c, ok := c.(interface{ CloseWrite() error }); ok && !whole { // or it would be waited for the rest
			_ = c.CloseWrite()
		}
	}()
	reader := bufio.NewReader(c)
	for status == 0 || status == http.StatusContinue {
		resp, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			if whole {
				return 0, err
			}
			return 0, nil // to what is no request there may be no answer
		}
		status = resp.StatusCode
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil && !errors.Is(err, syscall.ECONNRESET) { // it did not read all of what is no request
			return status, fmt.Errorf("%d without its end: %w", status, err)
		}
		if err != nil {
			return status, nil
		}
		if err := sound(resp, method, b); err != nil && (whole || status != http.StatusServiceUnavailable) { // the client has gone
			return status, err
		}
	}
	return status, nil
}

// sound says what is wrong with an answer.
func sound(resp *http.Response, method string, b []byte) error {
	kind := resp.Header.Get("Content-Type")
	switch status := resp.StatusCode; {
	case status == http.StatusContinue || status == http.StatusSwitchingProtocols:
		return nil
	case kind == "text/plain; charset=utf-8": // what net/http refuses before anybody is asked
		if status < 400 || status == http.StatusInternalServerError {
			return fmt.Errorf("%d %s", status, b)
		}
		return nil
	case status == http.StatusOK && kind == "text/event-stream" || method == http.MethodHead:
		return nil
	case !json.Valid(b):
		return fmt.Errorf("%d is no JSON: %.300q", status, b)
	case status == http.StatusOK:
		return nil
	}
	var e control.Error
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil || e.Message == "" || e.Code == "" {
		return fmt.Errorf("%d %.300q: %w", resp.StatusCode, b, err)
	}
	switch {
	case e.Code == control.CodeNoJournal: // there is none here
	case e.Code == control.CodeNotReady && strings.Contains(e.Message, "another reload"):
	case resp.StatusCode >= 500:
		return fmt.Errorf("%d %.300q", resp.StatusCode, b)
	}
	return nil
}
