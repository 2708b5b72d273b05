package transient

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// systemCallFilter is SystemCallFilter, signature (bas).
type systemCallFilter struct {
	Allow bool // the list says what is allowed, not what is forbidden
	Names []string
}

// confinement is one property of a sandbox.
type confinement struct {
	property string
	value    any
	since    int  // the first systemd that knows it; 0: all that brainjar runs on
	mounts   bool // done with mounts, namespaces or capabilities: needs the system's manager
}

// defaultSandbox lets a program read the machine and write to its own
// directories, and keeps it from changing anything else.
var defaultSandbox = []confinement{
	{property: "NoNewPrivileges", value: true},
	{property: "ProtectSystem", value: "strict", mounts: true},
	{property: "ProtectHome", value: "read-only", mounts: true},
	{property: "ProtectKernelTunables", value: true, mounts: true},
	{property: "ProtectKernelModules", value: true, mounts: true},
	{property: "ProtectKernelLogs", value: true, mounts: true},
	{property: "ProtectControlGroups", value: true, mounts: true},
	{property: "ProtectHostname", value: true, mounts: true},
	{property: "ProtectClock", value: true, mounts: true},
	{property: "CapabilityBoundingSet", value: uint64(0), mounts: true},
	{property: "RestrictSUIDSGID", value: true},
	{property: "LockPersonality", value: true},
	{property: "RestrictNamespaces", value: uint64(0)}, // the flags of those that stay allowed
	{property: "RestrictRealtime", value: true},
	{property: "SystemCallArchitectures", value: []string{"native"}},
	// A forbidden call fails; without this it kills.
	{property: "SystemCallErrorNumber", value: int32(syscall.EPERM)},
}

// denyMachineCalls is the filter of the default sandbox: calls that change the machine,
// none of which a program without capabilities could make anyway, and such as no
// program of today makes.
var denyMachineCalls = confinement{
	property: "SystemCallFilter",
	value:    systemCallFilter{false, []string{"@clock", "@cpu-emulation", "@module", "@mount", "@obsolete", "@raw-io", "@reboot", "@swap"}},
}

// strictSandbox is what the strict sandbox adds.
var strictSandbox = []confinement{
	{property: "PrivateNetwork", value: true, mounts: true},
	{property: "ProtectProc", value: "invisible", since: 247, mounts: true},
	{property: "SystemCallFilter", value: systemCallFilter{true, []string{"@system-service"}}},
}

// denyWriteExecute forbids code that is made as the program runs, which
// programs for a GPU do.
var denyWriteExecute = confinement{property: "MemoryDenyWriteExecute", value: true}

func sandboxed(spec Spec) bool {
	return spec.Kind != Scope && spec.Sandbox != SandboxOff && spec.Sandbox != ""
}

// addSandbox adds the properties of the spec's sandbox that this host can do,
// and warns of the others, in one sentence each for systemd's age and for the
// rights of a user's manager.
func addSandbox(props *propertyList, spec Spec, host Host) (warnings []string, err error) {
	if !sandboxed(spec) {
		return nil, nil
	}
	confinements := slices.Clone(defaultSandbox)
	switch {
	case spec.Sandbox != SandboxStrict:
		confinements = append(confinements, denyMachineCalls)
	case spec.GPU:
		confinements = append(confinements, strictSandbox...)
	default:
		confinements = append(append(confinements, strictSandbox...), denyWriteExecute)
	}
	var tooNew, forbidden []string
	for _, c := range confinements {
		switch {
		case host.User && c.mounts:
			forbidden = append(forbidden, c.property)
		case host.Version < c.since:
			tooNew = append(tooNew, c.property)
		default:
			props.add(c.property, c.value)
		}
	}
	if len(tooNew) > 0 {
		warnings = append(warnings, fmt.Sprintf("sandbox: systemd %d does not know %s", host.Version, strings.Join(tooNew, ", ")))
	}
	if host.User {
		forbidden = append(forbidden, "PrivateTmp")
		warnings = append(warnings, fmt.Sprintf("sandbox: a user's service manager cannot do %s", strings.Join(forbidden, ", ")))
		return warnings, nil
	}
	more, err := addPaths(props, spec)
	return append(warnings, more...), err
}

// addPaths adds what the unit may write to, and a /tmp of its own: unless
// something that it needs lies in the machine's.
func addPaths(props *propertyList, spec Spec) (warnings []string, err error) {
	writable := slices.Clone(spec.WritablePaths)
	if spec.WorkingDirectory != "" {
		writable = append([]string{spec.WorkingDirectory}, writable...)
	}
	private := true
	for _, path := range append([]string{spec.Command[0]}, writable...) {
		if !strings.HasPrefix(path, "/tmp/") && !strings.HasPrefix(path, "/var/tmp/") && path != "/tmp" && path != "/var/tmp" {
			continue
		}
		if spec.DynamicUser {
			return nil, errors.New("cannot use " + path + ": a unit without a user has a /tmp of its own: name a user or another path")
		}
		private = false
		warnings = append(warnings, fmt.Sprintf("sandbox: /tmp is the machine's own, because the unit needs %s", path))
		break
	}
	props.add("PrivateTmp", private)
	if !private {
		writable = append(writable, "/tmp", "/var/tmp")
	}
	props.addList("ReadWritePaths", writable)
	return warnings, nil
}
