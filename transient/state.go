package transient

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	sddbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// unitPathPrefix begins the object path of every experiment's unit:
// "brainjar-" as systemd escapes it.
const unitPathPrefix = "/org/freedesktop/systemd1/unit/brainjar_2d"

// unitPath returns the object path of a unit.
func unitPath(name string) dbus.ObjectPath {
	return dbus.ObjectPath("/org/freedesktop/systemd1/unit/" + sddbus.PathBusEscape(name))
}

// values are the properties of an object, as PropertiesChanged and GetAll carry them.
type values map[string]dbus.Variant

// text returns a property of type string, in memory of its own: the strings of a
// message share a buffer, and one that is kept would keep all of it.
func text(p values, name string) string { return strings.Clone(property[string](p, name)) }

// property returns a property, or the zero value if it is absent or of another
// type. What is kept of it and has strings is cloned.
func property[T any](p values, name string) T {
	v, _ := p[name].Value().(T)
	return v
}

// unitState is what the Unit interface says about an invocation.
type unitState struct {
	active     string // ActiveState
	invocation string
	began      uint64 // monotonic µs: conditions are checked at each start, and only then
	changed    uint64 // monotonic µs: the last change of ActiveState
	entered    time.Time
	exited     time.Time
	created    time.Time
	frozen     bool
	left       uint64 // monotonic µs: when it ceased to be active
	job        uint32 // 0: none
}

func readUnitState(p values) unitState {
	invocation := hex.EncodeToString(property[[]byte](p, "InvocationID"))
	if !validInvocation(invocation) || strings.Trim(invocation, "0") == "" {
		invocation = ""
	}
	var job uint32
	if fields, ok := p["Job"].Value().([]any); ok && len(fields) == 2 { // (uo)
		job, _ = fields[0].(uint32)
	}
	freezer := property[string](p, "FreezerState") // systemd 246
	clock := readClock()
	return unitState{
		active:     text(p, "ActiveState"),
		invocation: invocation,
		began:      property[uint64](p, "ConditionTimestampMonotonic"),
		changed:    property[uint64](p, "StateChangeTimestampMonotonic"),
		entered:    clock.at(property[uint64](p, "ActiveEnterTimestampMonotonic")),
		exited:     clock.at(property[uint64](p, "InactiveEnterTimestampMonotonic")),
		created:    clock.at(property[uint64](p, "InactiveExitTimestampMonotonic")),
		frozen:     freezer == "frozen" || freezer == "freezing",
		left:       property[uint64](p, "ActiveExitTimestampMonotonic"),
		job:        job,
	}
}

// running reports whether the unit counts as started.
func (s unitState) running() bool {
	return s.active == "active" || s.active == "reloading" || s.active == "refreshing"
}

// over reports whether the invocation has ended. A unit that is only about to
// start is inactive (or failed, from the last time) as well, and may have its
// new InvocationID already: its state is older than its start.
func (s unitState) over() bool {
	return (s.active == "inactive" || s.active == "failed") && s.changed > s.began
}

// wasActive reports whether the unit was active in this invocation: at a
// restart the time stamp of the invocation before stays.
func (s unitState) wasActive() bool {
	return !s.entered.IsZero() && !s.entered.Before(s.created)
}

// serviceState is what the Service interface says, or the Scope interface,
// which has nothing but Result.
type serviceState struct {
	result  string
	code    int
	status  int
	mainPID int
	text    string // StatusText
	exited  time.Time
}

func readServiceState(p values) serviceState {
	return serviceState{
		result:  text(p, "Result"),
		code:    int(property[int32](p, "ExecMainCode")),
		status:  int(property[int32](p, "ExecMainStatus")),
		mainPID: int(property[uint32](p, "MainPID")),
		text:    text(p, "StatusText"),
		exited:  readClock().at(property[uint64](p, "ExecMainExitTimestampMonotonic")),
	}
}

// facts joins both states once the invocation is over.
func (s unitState) facts(v serviceState) facts {
	f := facts{
		result: v.result, code: v.code, status: v.status,
		wasActive: s.wasActive(), started: s.created, exited: v.exited, ended: s.exited,
	}
	if f.wasActive {
		f.started = s.entered
	}
	if f.ended.Before(f.started) {
		f.ended = time.Now()
	}
	return f
}

// identity finds experiment, run and attempt in a unit's environment.
func identity(environment []string) (experiment string, run, attempt int) {
	for _, assignment := range environment {
		name, value, _ := strings.Cut(assignment, "=")
		switch name {
		case "BRAINJAR_EXPERIMENT":
			experiment = strings.Clone(value)
		case "BRAINJAR_RUN":
			run, _ = strconv.Atoi(value)
		case "BRAINJAR_ATTEMPT":
			attempt, _ = strconv.Atoi(value)
		}
	}
	return experiment, run, attempt
}
