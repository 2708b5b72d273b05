package transient

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// detectHost finds out what the service manager and the machine can do. The root is
// the service manager's own control group, "" for that of the hierarchy.
func detectHost(ctx context.Context, c *conn, user bool, groups cgroups) (h Host, root string, err error) {
	if root, err = c.controlGroup(ctx); err != nil {
		return Host{}, "", err
	}
	h = hostOf(c.version, user, groups, root)
	if !user {
		var state string
		if err := c.get(ctx, unitPath(experimentsTarget), unitIface, "ActiveState", &state); err != nil {
			return Host{}, "", fmt.Errorf("cannot look for %s: %w", experimentsTarget, err)
		}
		h.Target = state == "active"
	}
	return h, root, nil
}

// controlGroup returns the service manager's own control group, "" for the
// root of the hierarchy.
func (c *conn) controlGroup(ctx context.Context) (path string, err error) {
	if err := c.get(ctx, managerPath, managerIface, "ControlGroup", &path); err != nil {
		return "", fmt.Errorf("cannot find systemd's control group: %w", err)
	}
	return path, nil
}

// hostOf says what a service manager of a version can do whose own control
// group is root.
func hostOf(version string, user bool, c cgroups, root string) Host {
	h := Host{Version: majorVersion(version), User: user, Unified: c.unified}
	switch {
	case c.unified:
		s, _ := group{c, root}.read("", "cgroup.controllers")
		h.Controllers = strings.Fields(s)
		h.Devices = !user && hasDeviceBPF(c.dir("", root))
	case !user: // on v1 nothing is delegated to a user's manager
		for _, controller := range v1Controllers {
			if _, ok := c.mounts[controller]; !ok {
				continue
			}
			switch controller {
			case "blkio":
				controller = "io" // as v2 calls it
			case "name=systemd", "cpuacct", "freezer":
				continue
			}
			h.Controllers = append(h.Controllers, controller)
		}
		_, h.Devices = c.mounts["devices"]
	}
	slices.Sort(h.Controllers)
	return h
}

// majorVersion reads systemd's version, such as "252.39-1~deb12u2" or "v255".
func majorVersion(version string) int {
	n := 0
	for _, digit := range strings.TrimPrefix(version, "v") {
		if digit < '0' || digit > '9' || n > 1e6 {
			break
		}
		n = 10*n + int(digit-'0')
	}
	return n
}

// hasDeviceBPF asks the kernel for the device programs of a control group,
// bpf(2) BPF_PROG_QUERY: a kernel without CONFIG_CGROUP_BPF (Jetson's 5.10)
// says EINVAL. To be asked it wants CAP_BPF and CAP_NET_ADMIN.
func hasDeviceBPF(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	const progQuery, attachCgroupDevice = 16, 6
	attr := struct {
		target, attachType, queryFlags, attachFlags uint32
		ids                                         uint64
		count, pad                                  uint32
	}{target: uint32(f.Fd()), attachType: attachCgroupDevice}
	_, _, errno := unix.Syscall(unix.SYS_BPF, progQuery, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)) //nolint:gosec // bpf(2) takes an address, and there is no wrapper for this
	runtime.KeepAlive(&attr)
	return errno == 0
}
