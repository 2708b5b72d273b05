package transient

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// cgroups is where the kernel's control groups are mounted, from
// /proc/self/mountinfo, proc(5). With v2 alone there is one hierarchy; with v1
// one for each controller; the hybrid layout has v1 controllers and a v2
// hierarchy without any, which is ignored here.
type cgroups struct {
	unified bool
	mounts  map[string]cgroupMount // by controller; "" is the v2 hierarchy
}

// cgroupMount is a mounted hierarchy: root is the group that appears at point.
type cgroupMount struct{ point, root string }

// v1Controllers are the controllers that this package looks at on v1.
var v1Controllers = []string{"memory", "cpu", "cpuacct", "cpuset", "pids", "devices", "blkio", "freezer", "name=systemd"}

// readCgroups finds the mounted hierarchies.
func readCgroups() (cgroups, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return cgroups{}, fmt.Errorf("cannot find the control groups: %w", err)
	}
	return parseMountinfo(b), nil
}

func parseMountinfo(b []byte) cgroups {
	c := cgroups{mounts: make(map[string]cgroupMount)}
	for line := range bytes.Lines(b) {
		before, after, ok := strings.Cut(strings.TrimSpace(string(line)), " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(super) < 3 {
			continue
		}
		mount := cgroupMount{point: fields[4], root: fields[3]}
		switch super[0] {
		case "cgroup2":
			if _, seen := c.mounts[""]; !seen {
				c.mounts[""] = mount
			}
		case "cgroup":
			options := "," + super[2] + ","
			for _, controller := range v1Controllers {
				if _, seen := c.mounts[controller]; !seen && strings.Contains(options, ","+controller+",") {
					c.mounts[controller] = mount
				}
			}
		}
	}
	_, v2 := c.mounts[""]
	_, v1 := c.mounts["name=systemd"]
	c.unified = v2 && !v1
	return c
}

// dir returns the directory of a group in the hierarchy of a controller, ""
// if that is not mounted. group is a path as in /proc/PID/cgroup.
func (c cgroups) dir(controller, group string) string {
	if c.unified {
		controller = ""
	}
	mount, ok := c.mounts[controller]
	if !ok {
		return ""
	}
	if mount.root != "/" {
		group = strings.TrimPrefix(group, mount.root)
	}
	return filepath.Join(mount.point, group)
}

// ownGroup finds the group of a process in the hierarchy that systemd manages,
// given its /proc/PID/cgroup, cgroups(7).
func (c cgroups) ownGroup(procCgroup []byte) string {
	want := "name=systemd"
	if c.unified {
		want = ""
	}
	for line := range bytes.Lines(procCgroup) {
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(parts) == 3 && parts[1] == want {
			return parts[2]
		}
	}
	return ""
}

// group is one unit's control group, whichever layout the machine has.
type group struct {
	cgroups
	path string // as in /proc/PID/cgroup
}

// read returns the trimmed content of a file of the group. It is
// fs.ErrNotExist where the hierarchy or the group does not exist.
func (g group) read(controller, file string) (string, error) {
	dir := g.dir(controller, g.path)
	if dir == "" {
		return "", fmt.Errorf("control group controller %s: %w", controller, fs.ErrNotExist)
	}
	s, err := readAttribute(filepath.Join(dir, file))
	return strings.TrimSpace(s), err
}

// readAttribute reads a file of the kernel, which is there at once. os.ReadFile takes
// twice as many calls for one, because control groups can be waited for, and a buffer
// of the heap; hundreds of them are read again and again.
func readAttribute(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var buffer [4096]byte
	content := ""
	for {
		n, err := unix.Read(fd, buffer[:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return "", &fs.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return content, nil
		default:
			content += string(buffer[:n])
		}
	}
}

// number reads a file that holds one number; "max" is no limit, as 0.
func (g group) number(controller, file string) (uint64, error) {
	s, err := g.read(controller, file)
	if err != nil || s == "max" {
		return 0, err
	}
	return strconv.ParseUint(s, 10, 64)
}

// pids returns the processes of the group.
func (g group) pids() ([]int, error) {
	controller := "name=systemd"
	s, err := g.read(controller, "cgroup.procs")
	if err != nil {
		return nil, err
	}
	var pids []int
	for field := range strings.FieldsSeq(s) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("cannot read cgroup.procs: %w", err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// usage reads what the group uses now. What a kernel does not count is 0.
func (g group) usage() (Usage, error) {
	var u Usage
	memory, peak := "memory.current", "memory.peak"
	if !g.unified {
		memory, peak = "memory.usage_in_bytes", "memory.max_usage_in_bytes"
	}
	now, errMemory := g.number("memory", memory)
	highest, _ := g.number("memory", peak) // memory.peak: Linux 5.19
	tasks, errTasks := g.number("pids", "pids.current")
	if errMemory != nil && errTasks != nil {
		return u, errors.Join(errMemory, errTasks)
	}
	u.Memory, u.MemoryPeak = quantity.Bytes(now), quantity.Bytes(max(highest, now))
	stat, _ := g.read("memory", "memory.stat")
	u.Cache = min(g.fileCache(stat), u.Memory)
	u.CPUTime, u.Tasks = g.cpuTime(), int(tasks)
	u.Swap, u.SwapKnown = g.swap(stat)
	return u, nil
}

// swap reads how much of the group is swapped out: memory.swap.current (v2), the line
// total_swap of memory.stat (v1), which is there if the kernel counts swap.
func (g group) swap(stat string) (quantity.Bytes, bool) {
	if g.unified {
		n, err := g.number("memory", "memory.swap.current")
		return quantity.Bytes(n), err == nil
	}
	if !strings.Contains(stat, "total_swap ") {
		return 0, false
	}
	return quantity.Bytes(keyed(stat, "total_swap")), true
}

// fileCache reads how much of the group's memory caches files, such as a model
// that is mapped: memory.stat, which on v1 has the sums of whole groups under
// names of their own.
func (g group) fileCache(stat string) quantity.Bytes {
	prefix := ""
	if !g.unified {
		prefix = "total_"
	}
	return quantity.Bytes(keyed(stat, prefix+"inactive_file") + keyed(stat, prefix+"active_file"))
}

// oomKills counts the processes of the group that the kernel killed for
// memory: a line of memory.events (v2), of memory.oom_control (v1, from 4.13).
func (g group) oomKills() int {
	file := "memory.events"
	if !g.unified {
		file = "memory.oom_control"
	}
	s, err := g.read("memory", file)
	if err != nil {
		return 0
	}
	return int(keyed(s, "oom_kill"))
}

// keyed finds "KEY NUMBER" among the lines of a file.
func keyed(s, key string) uint64 {
	for line := range strings.Lines(s) {
		if name, value, ok := strings.Cut(line, " "); ok && name == key {
			n, _ := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}
