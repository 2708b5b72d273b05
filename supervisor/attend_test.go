package supervisor_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"brainjar/internal/config"
	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// What runs on without its client leaves the client's streams to the run: who reads them
// sees their end when the run ends.
func TestDetachedLetsStreamsGo(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		h := st.begin(head)
		h.awaitReady()
		var streams supervisor.Streams
		for i := range streams {
			var err error
			streams[i], err = os.Open(os.DevNull)
			h.must(err)
		}
		sub := supervisor.Submission{
			Keys:     config.Keys{"command": []any{st.program, "workload", "sleep=1h"}},
			Attended: true, Detach: true,
		}
		leave, err := h.Attend(h.ctx(), "a", sub, &streams)
		h.must(err)
		h.awaitPhase(supervisor.Running, time.Minute, "a")
		leave(true)
		time.Sleep(time.Minute)
		for _, f := range streams {
			if _, err := f.Stat(); !errors.Is(err, os.ErrClosed) {
				st.Errorf("%s is still open: %v", f.Name(), err)
			}
		}
		if s := h.status("a"); s.Phase != supervisor.Running || s.Submission.Attended {
			st.Errorf("%+v", s)
		}
		h.drain()
	})
}
