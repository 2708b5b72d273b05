package transient

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	sddbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// oomScoreAdjust makes the kernel, short of memory, prefer an experiment to
// the rest of the machine. It is always set: an inherited one could forbid it.
const oomScoreAdjust = 500

// infinity is how systemd writes "no limit" in a property of type t.
const infinity = uint64(math.MaxUint64)

// execCommand is one element of ExecStart and its like, signature (sasb). Their
// successors, ExecStartEx and its like, could forbid the expansion of $ and
// name single privileges, but systemd (seen with 252) writes those to the
// unit's file under a name that it cannot read: after a daemon-reload the unit
// has lost its commands, and the recorder with them.
type execCommand struct {
	Path          string
	Args          []string // from Args[0] on
	IgnoreFailure bool
}

// command makes an execCommand whose arguments arrive as they are: systemd
// makes one $ of two.
func command(args []string, ignoreFailure bool) []execCommand {
	escaped := make([]string, len(args))
	for i, arg := range args {
		escaped[i] = strings.ReplaceAll(arg, "$", "$$")
	}
	return []execCommand{{args[0], escaped, ignoreFailure}}
}

// environmentFile is one element of EnvironmentFiles, signature (sb).
type environmentFile struct {
	Path          string
	IgnoreMissing bool
}

// propertyList is a list of properties being put together.
type propertyList []sddbus.Property

func (l *propertyList) add(name string, value any) {
	*l = append(*l, sddbus.Property{Name: name, Value: dbus.MakeVariant(value)})
}

// addIf adds a property whose zero value means: leave it to systemd.
func addIf[T comparable](l *propertyList, name string, value T) {
	var zero T
	if value != zero {
		l.add(name, value)
	}
}

func (l *propertyList) addList(name string, values []string) {
	if len(values) > 0 {
		l.add(name, values)
	}
}

// properties translates a spec into the properties of StartTransientUnit, for
// the systemd and kernel of the host. The recorder is the command that
// ExecStopPost runs, nil for none; a scope takes none. The process of a scope
// (PIDs) is added by the caller.
//
// The warnings name what was left out because this host does not know it or
// cannot do it. The error names every limit that somebody wrote and that
// cannot be enforced here, and everything else that the spec may not ask for.
//
// Names and signatures: org.freedesktop.systemd1(5), and for those that it
// leaves out src/core/dbus-*.c of systemd 245.
func properties(spec Spec, host Host, recorder []string) ([]sddbus.Property, []string, error) {
	if len(spec.Command) == 0 || !filepath.IsAbs(spec.Command[0]) {
		return nil, nil, fmt.Errorf("cannot start %s: its command %q has no absolute path", spec.Unit(), spec.Command)
	}
	var props propertyList
	props.add("Description", spec.Description)
	props.add("Slice", Slice)
	props.add("CollectMode", "inactive")
	if !host.User {
		props.add("Before", []string{host.orderedBefore()})
	}
	warnings, err := addLimits(&props, spec.Limits, host, spec.AllowUnenforced)
	deviceWarnings, deviceErr := addDevices(&props, spec, host)
	warnings = append(warnings, deviceWarnings...)
	errs := []error{err, deviceErr, checkStreams(spec)}

	if spec.Kind == Scope {
		errs = append(errs, addScope(&props, spec, host))
	} else {
		errs = append(errs, addIdentity(&props, spec, host))
		addExec(&props, spec, host, recorder)
		addStreams(&props, spec)
		more, err := addSandbox(&props, spec, host)
		warnings = append(warnings, more...)
		warnings = append(warnings, addEnvironment(&props, spec, host)...)
		warnings = append(warnings, addLog(&props, spec, host)...)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	return props, warnings, nil
}

// addExec adds what is run, and when and how it is ended.
func addExec(props *propertyList, spec Spec, host Host, recorder []string) {
	ready := string(cmp.Or(spec.Ready, ReadyExec))
	if ready == string(ReadyExec) && host.activeEarly() {
		ready = "simple"
	}
	props.add("Type", ready)
	props.add("ExecStart", command(spec.Command, false))
	if len(recorder) > 0 {
		props.add("ExecStopPost", command(recorder, true))
		// User and sandbox are the program's alone: the recorder has the
		// rights of the service manager.
		props.add("PermissionsStartOnly", true)
	}
	// brainjar restarts, so that each restart is admitted, counted and delayed.
	props.add("Restart", "no")
	props.add("RemainAfterExit", false)
	props.add("NotifyAccess", "all")
	props.add("IgnoreSIGPIPE", false)
	props.add("OOMPolicy", "stop")
	props.add("OOMScoreAdjust", int32(oomScoreAdjust))
	if spec.Ready == ReadyNotify {
		props.add("TimeoutStartUSec", orInfinity(spec.ReadyTimeout))
	}
	addIf(props, "WatchdogUSec", microseconds(spec.Watchdog))
	addIf(props, "LimitNOFILE", spec.OpenFiles)
	addStop(props, spec, "mixed")
}

// addStop adds how a unit is ended: the same for services and scopes, but for
// the processes that get the stop signal.
func addStop(props *propertyList, spec Spec, killMode string) {
	props.add("KillMode", killMode)
	props.add("SendSIGKILL", true)
	addIf(props, "KillSignal", int32(spec.StopSignal))
	addIf(props, "TimeoutStopUSec", microseconds(spec.StopTimeout))
	addIf(props, "RuntimeMaxUSec", microseconds(spec.RuntimeMax))
}

// addScope adds what a scope takes: systemd does not execute its program, so
// it can neither confine it nor hear from it.
func addScope(props *propertyList, spec Spec, host Host) error {
	var errs []error
	refuse := func(asked bool, what string) {
		if asked {
			errs = append(errs, fmt.Errorf("cannot give %s a scope: it needs a service", what))
		}
	}
	refuse(spec.Sandbox != SandboxOff && spec.Sandbox != "", "a sandbox to")
	refuse(spec.DynamicUser, "a user of its own to")
	refuse(spec.Ready == ReadyNotify, "a ready notification to")
	refuse(spec.Watchdog > 0, "a watchdog to")
	// A scope has no main process: with KillMode=mixed nobody would get the
	// stop signal, and everybody SIGKILL.
	addStop(props, spec, "control-group")
	if host.Version >= 253 {
		props.add("OOMPolicy", "stop")
	}
	return errors.Join(errs...)
}

// addIdentity adds who the program runs as, and where.
func addIdentity(props *propertyList, spec Spec, host Host) error {
	directory := spec.WorkingDirectory
	if host.User {
		if spec.User != "" || spec.Group != "" || len(spec.SupplementaryGroups) > 0 {
			return errors.New("cannot run as another user or group: a user's service manager runs everything as that user")
		}
		addIf(props, "WorkingDirectory", directory)
		return nil
	}
	if spec.User == "" && !spec.DynamicUser {
		return errors.New("cannot run as root because no user was named: name one")
	}
	addIf(props, "User", spec.User)
	addIf(props, "Group", spec.Group)
	props.addList("SupplementaryGroups", spec.SupplementaryGroups)
	if spec.DynamicUser {
		state := Prefix + spec.Experiment
		props.add("DynamicUser", true)
		props.add("StateDirectory", []string{state})
		if directory == "" {
			directory = filepath.Join("/var/lib", state)
		}
	}
	addIf(props, "WorkingDirectory", directory)
	return nil
}

// addLog adds how what is in the journal is found there. Besides the output, that
// is what systemd itself says of the unit.
func addLog(props *propertyList, spec Spec, host Host) (warnings []string) {
	props.add("SyslogIdentifier", Prefix+spec.Experiment)
	bounded := spec.LogRate.Burst > 0 && spec.LogRate.Interval > 0
	if host.User {
		// journald reads these for units of the system's manager only.
		if bounded {
			warnings = append(warnings, "log_rate is not enforced: journald does not bound the units of a user's service manager")
		}
		return warnings
	}
	props.add("LogExtraFields", [][]byte{
		[]byte("BRAINJAR_EXPERIMENT=" + spec.Experiment),
		[]byte("BRAINJAR_RUN=" + strconv.Itoa(spec.Run)),
	})
	if bounded {
		props.add("LogRateLimitIntervalUSec", microseconds(spec.LogRate.Interval))
		props.add("LogRateLimitBurst", spec.LogRate.Burst)
	}
	return warnings
}

// splitOptional takes the "-" off the path of an environment file that may be
// missing.
func splitOptional(file string) environmentFile {
	path, optional := strings.CutPrefix(file, "-")
	return environmentFile{path, optional}
}

// microseconds is a duration as the …USec properties want it.
func microseconds(d time.Duration) uint64 { return uint64(max(d, 0) / time.Microsecond) }

// orInfinity is microseconds, with 0 for no limit.
func orInfinity(d time.Duration) uint64 {
	if d <= 0 {
		return infinity
	}
	return microseconds(d)
}
