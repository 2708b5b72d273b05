package transient

import (
	"syscall"
	"testing"
)

// TestStoppedWhileStarting: a unit that a person stops before its program was executed
// was stopped, also if the recorder could not ask systemd; one whose start fails by
// itself was not.
func TestStoppedWhileStarting(t *testing.T) {
	const invocation = "0123456789abcdef0123456789abcdef"
	for _, test := range []struct {
		name string
		jobs []uint32 // while it starts, while it goes
		want Result
	}{
		{"another job takes it down", []uint32{7, 8}, Stopped},
		{"its start fails", []uint32{7, 7}, Signal},
		{"the job of its start was not seen", []uint32{0, 8}, Signal},
		{"no job", []uint32{7, 0}, Signal},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := New(Options{RecordDir: t.TempDir()})
			u := &tracked{unit: Unit{Name: "brainjar-x.service", Experiment: "x", Run: 1, Kind: Service}, order: newOrder()}
			state := unitState{invocation: invocation, began: 10, changed: 11, active: "activating", job: test.jobs[0]}
			m.apply(nil, u, state, false)
			state.active, state.job = "deactivating", test.jobs[1]
			m.apply(nil, u, state, false)
			u.service = serviceState{result: "success", code: cldKilled, status: int(syscall.SIGTERM)}
			state.active, state.job = "inactive", 0
			m.apply(nil, u, state, false)
			event, _ := m.stream.take()
			if ended, ok := event.(Ended); !ok || ended.Outcome.Result != test.want {
				t.Errorf("%+v, want %s", event, test.want)
			}
		})
	}
}
