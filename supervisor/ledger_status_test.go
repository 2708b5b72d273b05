package supervisor_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// The status line says what is wrong with the ledger from one reading of the
// sensors to the next, and experiments go on.
func TestLedgerTroubleIsTold(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		b := newBook()
		st.book = b
		h := st.begin(head + experiment("a", "", "sleep=1h"))
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		for _, step := range []struct {
			broken error
			aside  int
			want   string
		}{
			{nil, 0, ""},
			{errors.New("cannot write x.db: no space left on device"), 0, "; ledger: cannot write x.db: no space left on device"},
			{nil, 0, ""},
			{nil, 1, "; a damaged ledger was set aside, see the log"},
			{errors.New("cannot open x.db: read-only file system"), 1, "; ledger: cannot open x.db: read-only file system"},
		} {
			b.mu.Lock()
			b.broken, b.aside = step.broken, step.aside
			b.mu.Unlock()
			h.feel(50)
			want := "STATUS=1 of 8 running, 0 waiting, 0 failed" + step.want
			h.await(want, time.Second, func() bool { return h.statusLine() == want })
		}
		h.drain()
	})
}

// statusLine is what systemctl status shows of brainjar itself, as "STATUS=…".
func (h *house) statusLine() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, line := range slices.Backward(h.told) {
		if strings.HasPrefix(line, "STATUS=") {
			return line
		}
	}
	return ""
}
