package control_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"brainjar/internal/control"
	"brainjar/internal/ledger"
	"brainjar/supervisor"
)

// read reads events until there are none for the moment, or one holds.
func (h *house) read(t *testing.T, q control.EventQuery, last func(control.Event) bool) (events []control.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for e, err := range h.client.Events(ctx, q) {
		if err != nil {
			t.Fatalf("after %d events: %v", len(events), err)
		}
		events = append(events, e)
		if last != nil && last(e) {
			return events
		}
	}
	if ctx.Err() != nil {
		t.Fatalf("%d events, and then nothing", len(events))
	}
	return events
}

func idsOf(events []control.Event) (ids []int64) {
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

// TestEvents: what happened and what happens is told in one order, by the id of each
// event, also over a restart of brainjar.
func TestEvents(t *testing.T) {
	h := open(t, lab)
	h.awaitPhase("runs", supervisor.Running)
	h.awaitPhase("fails", supervisor.Failed)
	is := func(id string, phase supervisor.Phase) func(control.Event) bool {
		return func(e control.Event) bool { return e.Experiment == id && e.To == string(phase) }
	}
	all := h.read(t, control.EventQuery{Lines: 1000}, nil)
	if len(all) < 7 || all[0].From != "idle" || all[0].To != "queued" {
		t.Fatalf("%+v", all)
	}
	for i := 1; i < len(all); i++ {
		if all[i].ID <= all[i-1].ID {
			t.Errorf("ids do not ascend: %v", idsOf(all))
		}
	}
	failed := h.read(t, control.EventQuery{Lines: 1, Experiments: []string{"fails"}}, nil)
	if len(failed) != 1 || failed[0].To != "failed" || failed[0].Result != "exit-code" || failed[0].ExitCode == nil || *failed[0].ExitCode != 1 {
		t.Errorf("%+v", failed)
	}
	if got := h.read(t, control.EventQuery{After: all[2].ID}, nil); len(got) != len(all)-3 || got[0].ID != all[3].ID {
		t.Errorf("after %d of %v: %v", all[2].ID, idsOf(all), idsOf(got))
	}
	if got := h.read(t, control.EventQuery{After: all[len(all)-1].ID}, nil); len(got) != 0 {
		t.Errorf("after the last: %+v", got)
	}
	if got := h.read(t, control.EventQuery{}, nil); len(got) != 0 {
		t.Errorf("nothing was asked for: %+v", got)
	}
	go func() { _, _ = h.client.Order(t.Context(), "idle", "start") }()
	live := h.read(t, control.EventQuery{After: all[1].ID, Follow: true}, is("idle", supervisor.Running))
	if len(live) != len(all)-2+3 || live[0].ID != all[2].ID {
		t.Errorf("followed from the third of %v: %v", idsOf(all), idsOf(live))
	}
	last := live[len(live)-1].ID
	if got := h.read(t, control.EventQuery{After: 1 << 62, Follow: true, Opened: func(int64) { go func() { _, _ = h.client.Order(context.Background(), "idle", "freeze") }() }},
		is("idle", supervisor.Frozen)); len(got) != 1 {
		t.Errorf("after an id that was never given: %+v", got)
	}

	h.end()
	h.begin()
	h.awaitPhase("idle", supervisor.Frozen)
	_, err := h.client.Order(t.Context(), "idle", "thaw")
	if err != nil {
		t.Fatal(err)
	}
	h.awaitPhase("idle", supervisor.Running)
	again := h.read(t, control.EventQuery{After: last, Follow: true}, is("idle", supervisor.Running))
	if again[0].Experiment != "idle" || again[0].To != "frozen" {
		t.Errorf("after the restart: %+v", again)
	}
	for i := 1; i < len(again); i++ {
		if again[i].ID <= again[i-1].ID {
			t.Errorf("ids do not ascend: %v", idsOf(again))
		}
	}
	whole := h.read(t, control.EventQuery{Lines: 1000}, nil)
	for i, e := range all {
		if whole[i].ID != e.ID || whole[i].To != e.To || whole[i].Experiment != e.Experiment {
			t.Errorf("event %d is %+v after the restart, was %+v", i, whole[i], e)
		}
	}
	for n := range len(whole) + 2 { // across the seam between the ledger and what is kept
		got := h.read(t, control.EventQuery{Lines: n + 1}, nil)
		want := whole[max(0, len(whole)-n-1):]
		if fmt.Sprint(idsOf(got)) != fmt.Sprint(idsOf(want)) {
			t.Errorf("the newest %d: %v, want %v", n+1, idsOf(got), idsOf(want))
		}
		if n >= len(whole) {
			continue
		}
		got = h.read(t, control.EventQuery{After: whole[n].ID}, nil)
		if fmt.Sprint(idsOf(got)) != fmt.Sprint(idsOf(whole[n+1:])) {
			t.Errorf("after event %d: %v, want %v", n, idsOf(got), idsOf(whole[n+1:]))
		}
	}
}

// TestOrdersOfOneMoment: events of the same moment have ids of their own, and none is
// lost to somebody who resumes between them, from the ledger too.
func TestOrdersOfOneMoment(t *testing.T) {
	h := open(t, lab)
	h.awaitPhase("runs", supervisor.Running)
	h.awaitPhase("fails", supervisor.Failed)
	now := time.Now()
	var after int64
	for i := range 5000 {
		h.hub.Note(ledger.Event{At: now, Kind: "test", Run: i})
		if i == 999 {
			after = h.hub.Last()
		}
	}
	got := h.read(t, control.EventQuery{After: after}, nil)
	got = slices.DeleteFunc(got, func(e control.Event) bool { return e.Kind != "test" }) // others may come between
	if len(got) != 4000 || got[0].Run != 1000 {
		t.Errorf("%d events, the first %+v", len(got), got[0])
	}
}

// churn is a configuration of many experiments that all come and go.
func churn(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[supervisor]\nmax_concurrent = %d\n[defaults]\nmemory_max = \"64M\"\n", n)
	b.WriteString("restart = { policy = \"on-failure\", delay = \"10ms\", max_delay = \"20ms\", max_restarts = 2, reset_after = \"1h\" }\n")
	for i := range n {
		fmt.Fprintf(&b, "[experiments.c%03d]\ncommand = [\"true\", \"workload\", \"sleep=%dms\", \"exit=1\"]\nautostart = false\n", i, 5+i%10)
	}
	return b.String()
}

// TestManyFollowers: 100 clients follow while 300 experiments churn. All of them get
// every event, in order, also while another one does not read; and nothing is kept for
// anybody.
func TestManyFollowers(t *testing.T) {
	const experiments, followers = 300, 100
	h := open(t, churn(experiments))
	h.deaf(t, "/v1/events?follow=true")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var opened, ended sync.WaitGroup
	opened.Add(followers)
	counts, first := make([][]int64, followers), make([]error, followers)
	for i := range followers {
		ended.Go(func() {
			client := control.NewClient(h.socket)
			over := 0
			for e, err := range client.Events(ctx, control.EventQuery{Follow: true, Opened: func(int64) { opened.Done() }}) {
				if err != nil {
					first[i] = err
					return
				}
				counts[i] = append(counts[i], e.ID)
				if supervisor.Phase(e.To).Over() {
					if over++; over == experiments {
						return
					}
				}
			}
		})
	}
	opened.Wait()
	before := heap()
	begin, from := time.Now(), h.hub.Last()
	for i := range experiments {
		if err := h.Start(ctx, fmt.Sprintf("c%03d", i)); err != nil {
			t.Fatal(err)
		}
	}
	ended.Wait()
	grown := heap() - before
	took := time.Since(begin)
	want := idsOf(h.read(t, control.EventQuery{After: max(from, 1)}, nil))
	for i := range followers {
		if first[i] != nil || fmt.Sprint(counts[i]) != fmt.Sprint(want) {
			t.Errorf("follower %d: %d events of %d, %v", i, len(counts[i]), len(want), first[i])
		}
	}
	if len(want) < 12*experiments {
		t.Errorf("%d events are no churn", len(want))
	}
	t.Logf("%d events to each of %d followers within %v; the heap grew by %d KiB, of which the followers of this test have %d",
		len(want), followers, took.Round(time.Millisecond), grown>>10, followers*len(want)*8>>10)
	if grown > 64<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// deaf asks for a stream and does not read it.
func (h *house) deaf(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", h.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: brainjar\r\n\r\n", path)
	return c
}

// TestUnread: a client that does not read what it follows is cut.
func TestUnread(t *testing.T) {
	t.Parallel()
	h := open(t, lab, func(s *control.Server) { s.SetPatience(300 * time.Millisecond) })
	c := h.deaf(t, "/v1/events?follow=true")
	reason := strings.Repeat("a long story ", 50)
	for i := range 3 * control.Kept {
		h.hub.Note(ledger.Event{At: time.Now(), Kind: "flood", Run: i, Reason: reason})
		if i%control.Kept == 0 {
			time.Sleep(time.Second) // longer than the patience that it has
		}
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	lines := bufio.NewScanner(c)
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: ") {
			n++
		}
	}
	if err := lines.Err(); err != nil {
		t.Errorf("who did not read was not cut: %v", err)
	}
	if n >= 3*control.Kept {
		t.Errorf("who did not read got all %d events", n)
	}
}

// TestBehind: a reader that is slower than events come is told that some were lost.
func TestBehind(t *testing.T) {
	h := open(t, lab)
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://brainjar/v1/events?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := h.http.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	reason := strings.Repeat("x", 1000)
	for i := range 2*control.Kept + 1000 {
		h.hub.Note(ledger.Event{At: time.Now(), Kind: "flood", Run: i, Reason: reason})
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	failed := ""
	for lines.Scan() {
		if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok && lines.Scan() {
			failed = event + " " + lines.Text()
		}
	}
	if !strings.HasPrefix(failed, "error ") || !strings.Contains(failed, `"code":"behind"`) {
		t.Errorf("ended with %q, %v", failed, lines.Err())
	}
	// What is neither kept nor in the ledger is not passed over in silence.
	var refusal *control.Error
	for _, err := range h.client.Events(t.Context(), control.EventQuery{After: 1}) {
		if errors.As(err, &refusal) {
			break
		}
	}
	if refusal == nil || refusal.Code != control.CodeBehind {
		t.Errorf("%v", refusal)
	}
}

// TestStreamsEnd: streams end with brainjar, at once, and that is told from their end.
func TestStreamsEnd(t *testing.T) {
	h := open(t, lab)
	h.awaitPhase("runs", supervisor.Running)
	opened, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		var last error
		for _, err := range h.client.Events(context.Background(), control.EventQuery{Follow: true, Opened: func(int64) { close(opened) }}) {
			last = err
		}
		ended <- last
	}()
	<-opened
	begin := time.Now()
	h.end()
	if took := time.Since(begin); took > control.CloseLimit {
		t.Errorf("brainjar took %v to end", took)
	}
	if err := <-ended; !errors.Is(err, control.ErrUnreachable) {
		t.Errorf("the stream ended with %v", err)
	}
	if _, err := h.client.Status(t.Context()); !errors.Is(err, control.ErrUnreachable) {
		t.Errorf("afterwards: %v", err)
	}
}
