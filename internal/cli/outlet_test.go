package cli

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stuck is a writer that writes nothing until it is let go.
type stuck struct {
	text strings.Builder
	free chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.free
	return s.text.Write(p)
}

// Nobody waits for a log that nobody reads; what is lost is counted.
func TestOutletNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stuck{free: make(chan struct{})}
		o := newOutlet(w)
		put := func(line string) { o.put(func() { _, _ = w.Write([]byte(line)) }) }
		begin := time.Now()
		put("first\n")
		synctest.Wait() // the writer holds it
		for i := range outletLines + 5 {
			put(fmt.Sprintf("line %d\n", i))
		}
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("waited %v", waited)
		}
		o.flush()
		if waited := time.Since(begin); waited != flushLimit {
			t.Errorf("a flush of a stuck log took %v, want %v", waited, flushLimit)
		}
		close(w.free)
		synctest.Wait()
		o.flush()
		got := w.text.String()
		if !strings.Contains(got, "5 lines of the log are missing") || strings.Count(got, "\nline ") != outletLines {
			t.Errorf("%d lines, and the loss was told: %v\n%.200s", strings.Count(got, "\nline "), strings.Contains(got, "missing"), got)
		}
		close(o.items)
	})
}

// Of each kind the newest is told, and no kind is lost.
func TestNotices(t *testing.T) {
	var n notices
	n.wake = make(chan struct{}, 1)
	for i := range 100 {
		n.put(fmt.Sprintf("STATUS=%d", i))
		n.put("WATCHDOG=1")
		if i == 50 {
			n.put("READY=1")
		}
	}
	n.put("STOPPING=1\nEXTEND_TIMEOUT_USEC=1")
	if got, want := fmt.Sprint(n.take()), "[READY=1 STATUS=99 WATCHDOG=1 STOPPING=1\nEXTEND_TIMEOUT_USEC=1]"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := n.take(); len(got) != 0 {
		t.Errorf("told twice: %v", got)
	}
}
