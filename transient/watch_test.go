package transient

import (
	"slices"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"
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

// TestStatusOfFound: what a unit said before it was found is no news, also not when it is
// ready at last; what it says after that is.
func TestStatusOfFound(t *testing.T) {
	m := New(Options{RecordDir: t.TempDir()})
	m.host.Version = 252
	u := &tracked{unit: Unit{Name: "brainjar-x.service", Experiment: "x", Run: 1, Kind: Service}}
	m.units[unitPath(u.unit.Name)] = u
	state := unitState{invocation: anInvocation, began: 10, changed: 11, active: "activating"}
	u.service = serviceState{text: "old"}
	m.apply(nil, u, state, true)
	state.active = "active"
	m.apply(nil, u, state, false)
	for _, text := range []string{"old", "new", "new"} {
		p := values{"StatusText": dbus.MakeVariant(text)}
		if err := m.changed(t.Context(), nil, unitPath(u.unit.Name), serviceIface, p); err != nil {
			t.Fatal(err)
		}
	}
	var told []Status
	for {
		event, ok := m.stream.take()
		if !ok {
			break
		}
		if status, ok := event.(Status); ok {
			told = append(told, status)
		}
	}
	if want := []Status{{u.unit.Name, "old", true}, {u.unit.Name, "new", false}}; !slices.Equal(told, want) {
		t.Errorf("told %+v, want %+v", told, want)
	}
}
