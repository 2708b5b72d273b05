// Package doctor says whether a machine is fit for brainjar: what is there, what really
// holds, and what to do about the rest.
//
// Machine is what was found, which Examine in this package's gather.go asks of package
// transient and package sensors; Diagnose makes checks of it, without asking anything.
// The package must not know experiments or configurations.
package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/transient"
)

// Verdict is what a check comes to.
type Verdict string

// The verdicts, from good to bad.
const (
	OK   Verdict = "ok"
	Warn Verdict = "warn" // it works, with less; or it could not be looked at
	Fail Verdict = "fail" // brainjar cannot do what it is for
)

// Check is one thing that was looked at.
type Check struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Words   string  `json:"words"`
	Hint    string  `json:"hint,omitempty"` // what to do, of each that is not ok
}

// Machine is what was found. An error stands for what it belongs to.
type Machine struct {
	Root bool // the one who looks
	User bool // a user's service manager is meant

	Host      transient.Host
	HostError error

	Trials     []transient.Trial
	TrialError error // they could not be made, or something is left of them

	Reading      sensors.Reading
	ReadingError error
	Swaps        []string
	SwapError    error
	Settings     sensors.Settings
	Unset        []sensors.Problem // of the settings
	GPUDevices   []sensors.Device
	GPUError     error

	Socket      string // path
	SocketError error  // of asking brainjar; nil: it answers
	Absent      bool   // no brainjar runs
	Group       bool   // the group of those who may use the socket exists
	State       Place
	Runtime     Place

	Synchronised bool // the clock
	ClockError   error

	OldUnits      []string // of the service that brainjar took the place of
	OldUnitsError error
}

// Place is a directory.
type Place struct {
	Path   string
	Exists bool
	Free   quantity.Bytes // to those who are not root, on its file system
	Error  error          // why brainjar could not write there
}

// OldPattern matches the units that brainjar took the place of.
const OldPattern = "brain-experiment*"

// Limits of what is enough.
const (
	oldestSystemd = 245 // of JetPack 5
	littleSpace   = 1 * quantity.GiB
	noSpace       = 64 * quantity.MiB
)

// Diagnose says what is to be said about a machine, in the order in which it matters.
func Diagnose(m Machine) []Check {
	var list []Check
	for _, look := range []func(Machine) []Check{
		systemd, limits, heat, felt, gpu, board, memory, kernel, brainjar, places, clock, oldUnits,
	} {
		list = append(list, look(m)...)
	}
	return list
}

// Worst returns the worst verdict of checks.
func Worst(checks []Check) Verdict {
	worst := OK
	for _, c := range checks {
		if c.Verdict == Fail || c.Verdict == Warn && worst == OK {
			worst = c.Verdict
		}
	}
	return worst
}

func systemd(m Machine) []Check {
	if m.HostError != nil {
		if !m.Root && !m.User && errors.Is(m.HostError, fs.ErrPermission) {
			return []Check{{"systemd", Warn, m.HostError.Error(), "run it with sudo: only root may ask the system's service manager, and have limits tried"}}
		}
		return []Check{{"systemd", Fail, m.HostError.Error(), "brainjar runs experiments as units of systemd, which must be running here as PID 1"}}
	}
	c := Check{"systemd", OK, m.Host.String(), ""}
	switch {
	case m.Host.Version < oldestSystemd:
		c.Verdict, c.Hint = Fail, fmt.Sprintf("brainjar wants systemd %d or later: upgrade the distribution", oldestSystemd)
	case !m.Host.Unified:
		c.Verdict = Warn
		c.Hint = "limits on swap do not hold on control groups v1, and memory_high, cpus and io_weight refuse the start; "
		if m.Reading.Board.Jetson() { // the kernel of JetPack 5 cannot restrict devices on v2
			c.Hint += "JetPack 6 and later have v2"
		} else {
			c.Hint += "boot with systemd.unified_cgroup_hierarchy=1 if the kernel allows it"
		}
	}
	return []Check{c}
}

// trialHints say what to do where a limit does not hold.
var trialHints = map[string]string{
	"memory_max": "experiments could freeze the machine: boot a kernel with CONFIG_MEMCG, and without cgroup_disable=memory",
	"cpu_quota":  "the kernel needs CONFIG_CFS_BANDWIDTH; until then cooling by quota does nothing",
	"devices":    "the kernel needs CONFIG_CGROUP_BPF (v2) or CONFIG_CGROUP_DEVICE (v1); until then experiments can open every device their user may",
	"freeze":     "the last stage of cooling does not work here: set max_temperature, and critical low enough",
}

func limits(m Machine) []Check {
	var list []Check
	switch {
	case m.HostError != nil:
		return []Check{{"limits", Warn, "none could be tried without systemd", "see systemd, above"}}
	case m.TrialError != nil:
		list = append(list, Check{"limits", Warn, m.TrialError.Error(), "`systemctl list-units --all 'brainjardoctor*'` shows what is left; it ends by itself within seconds"})
	}
	for _, t := range m.Trials {
		c := Check{"limit " + t.Of, OK, t.Words, ""}
		switch {
		case t.Tried && !t.Held:
			c.Verdict, c.Hint = Fail, trialHints[t.Of]
		case !t.Tried:
			c.Verdict, c.Hint = Warn, "experiments that ask for it are refused, unless allow_unenforced = true"
			if m.Host.Unenforced(t.Of) == "" || t.Of == "freeze" {
				c.Hint = "try again while the machine is less busy; `journalctl -b -u 'brainjardoctor*'` may say more"
			}
		}
		list = append(list, c)
	}
	return list
}

func clock(m Machine) []Check {
	switch {
	case m.ClockError != nil:
		return []Check{{"clock", Warn, m.ClockError.Error(), "`timedatectl` says whether something keeps it right"}}
	case !m.Synchronised:
		return []Check{{"clock", Warn, "nothing keeps the clock right", "`timedatectl set-ntp true`, or install chrony: times in the history are wrong until then"}}
	}
	return []Check{{"clock", OK, "kept right by the network or a radio", ""}}
}

func oldUnits(m Machine) []Check {
	switch {
	case m.User || m.HostError != nil:
		return nil
	case m.OldUnitsError != nil:
		return []Check{{"old units", Warn, m.OldUnitsError.Error(), "`systemctl list-units --all '" + OldPattern + "'` shows whether any runs"}}
	case len(m.OldUnits) > 0:
		names := some(m.OldUnits)
		return []Check{{"old units", Fail, names + " still run, or start with the machine", "they would use the same memory a second time: `systemctl disable --now " + strings.Join(m.OldUnits, " ") + "`"}}
	}
	return []Check{{"old units", OK, "none of " + OldPattern, ""}}
}
