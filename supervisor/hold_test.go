package supervisor_test

import (
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// What is over is not run once more because it was held and released.
func TestHoldOfWhatIsOver(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		h := st.begin(head + experiment("good", "", "exit=0") + experiment("bad", `restart.policy = "no"`, "exit=1"))
		h.awaitPhase(supervisor.Succeeded, time.Minute, "good")
		h.awaitPhase(supervisor.Failed, time.Minute, "bad")
		h.must(h.Hold(h.ctx(), "good", ""))
		h.must(h.Hold(h.ctx(), "bad", ""))
		h.must(h.ReleaseAll(h.ctx()))
		time.Sleep(time.Minute)
		if good, bad := h.status("good"), h.status("bad"); good.Run != 1 || good.Hold != "" || bad.Run != 1 || bad.Phase != supervisor.Failed {
			st.Errorf("good %+v\nbad %+v", good, bad)
		}
		h.must(h.Hold(h.ctx(), "bad", "not now"))
		h.rewrite(head + experiment("good", "", "exit=0") + experiment("bad", `restart.policy = "no"`, "exit=2"))
		_, err := h.Reload(h.ctx(), false)
		h.must(err)
		h.awaitPhase(supervisor.Held, time.Minute, "bad")
		h.drain()
	})
}
