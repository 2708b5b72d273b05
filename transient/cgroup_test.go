package transient

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"brainjar/internal/quantity"
)

const (
	hybridMounts = `26 22 0:23 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
27 26 0:24 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
28 26 0:25 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,name=systemd
31 26 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
32 26 0:29 /docker/abc /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
`
	unifiedMounts = `26 22 0:23 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
`
)

func TestMountinfo(t *testing.T) {
	hybrid, unified := parseMountinfo([]byte(hybridMounts)), parseMountinfo([]byte(unifiedMounts))
	if hybrid.unified || !unified.unified {
		t.Errorf("unified: %v, %v", hybrid.unified, unified.unified)
	}
	const unit = "/brainjar.slice/brainjar-x.service"
	for _, test := range []struct {
		c                       cgroups
		controller, group, want string
	}{
		{hybrid, "memory", "/docker/abc" + unit, "/sys/fs/cgroup/memory" + unit},
		{hybrid, "cpuacct", unit, "/sys/fs/cgroup/cpu,cpuacct" + unit},
		{hybrid, "name=systemd", unit, "/sys/fs/cgroup/systemd" + unit},
		{hybrid, "pids", unit, ""},
		{unified, "memory", unit, "/sys/fs/cgroup" + unit},
		{unified, "name=systemd", unit, "/sys/fs/cgroup" + unit},
	} {
		if got := test.c.dir(test.controller, test.group); got != test.want {
			t.Errorf("%s of %s: %q, want %q", test.controller, test.group, got, test.want)
		}
	}
	own := []byte("5:memory:/docker/abc/x\n1:name=systemd:/brainjar.slice/a\n0::/brainjar.slice/b\n")
	if got := hybrid.ownGroup(own); got != "/brainjar.slice/a" {
		t.Errorf("own group on v1: %q", got)
	}
	if got := unified.ownGroup(own); got != "/brainjar.slice/b" {
		t.Errorf("own group on v2: %q", got)
	}
}

// TestGroupFiles reads limits and usage from files as the kernel writes them.
func TestGroupFiles(t *testing.T) {
	swap := quantity.Bytes(0)
	asked := Limits{
		MemoryMax: 64 << 20, MemoryHigh: 48 << 20, MemorySwapMax: &swap, CPUQuota: 20,
		CPUWeight: 50, CPUs: []int{0, 2, 3}, IOWeight: 30, TasksMax: 512,
	}
	all := Host{Unified: true, Controllers: []string{"cpu", "cpuset", "io", "memory", "pids"}}
	v2 := fakeGroup(t, true, map[string]string{
		"memory.max": "67108864\n", "memory.high": "50331648\n", "memory.swap.max": "0\n", "pids.max": "512\n",
		"cpu.max": "20000 100000\n", "cpu.weight": "50\n", "cpuset.cpus": "0,2-3\n", "io.weight": "default 30\n8:0 100\n",
		"memory.current": "1048576\n", "pids.current": "3\n", "cpu.stat": "usage_usec 2500\nuser_usec 1\n",
		"memory.stat":         "anon 1\nfile 600000\ninactive_file 500000\nactive_file 70000\ntotal_active_file 5\n",
		"memory.swap.current": "8192\n",
		"memory.events":       "low 0\noom 4\noom_kill 2\n", "cgroup.procs": "12\n13\n",
	})
	got, err := v2.limits(asked)
	if err != nil {
		t.Fatal(err)
	}
	if written, implied := unmet(asked, got, all); len(written) > 0 || len(implied) > 0 {
		t.Errorf("v2: %q, %q; %+v", written, implied, got)
	}
	use, err := v2.usage()
	if want := (Usage{Memory: 1 << 20, Cache: 570000, MemoryPeak: 1 << 20, Swap: 8192, SwapKnown: true, CPUTime: 2500 * time.Microsecond, Tasks: 3}); err != nil || use != want {
		t.Errorf("v2: %+v, %v, want %+v", use, err, want)
	}
	if n := v2.oomKills(); n != 2 {
		t.Errorf("v2: %d OOM kills", n)
	}

	v1 := fakeGroup(t, false, map[string]string{
		"memory.limit_in_bytes": "67108864\n", "pids.max": "max\n", "cpu.cfs_quota_us": "20000\n", "cpu.cfs_period_us": "100000\n",
		"cpu.shares": "512\n", "memory.usage_in_bytes": "1\n", "memory.stat": "inactive_file 9\ntotal_inactive_file 1\ntotal_active_file 0\n", "memory.max_usage_in_bytes": "99\n", "pids.current": "1\n",
		"cpuacct.usage": "777\n", "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
	})
	got, err = v1.limits(asked)
	if err != nil || got.MemoryMax != 64<<20 || got.CPUQuota != 20 || got.CPUWeight != 50 || got.TasksMax != 0 || got.CPUs != nil {
		t.Errorf("v1: %+v, %v", got, err)
	}
	written, _ := unmet(asked, got, all)
	if text := strings.Join(written, "; "); text != "memory_high is unlimited, not 48M; memory_swap_max is unlimited, not 0B; "+
		"io_weight is unlimited, not 30; tasks_max is unlimited, not 512; cpus is [], not [0 2 3]" {
		t.Errorf("v1: %s", text)
	}
	if written, _ := unmet(asked, got, Host{Controllers: all.Controllers}); len(written) != 1 { // on v1 only tasks_max can hold
		t.Errorf("v1: %q", written)
	}
	asked.Implied = []string{limitMemorySwapMax}
	if _, implied := unmet(asked, got, all); len(implied) != 1 {
		t.Errorf("v1: implied %q", implied)
	}
	use, err = v1.usage()
	if want := (Usage{Memory: 1, Cache: 1, MemoryPeak: 99, CPUTime: 777, Tasks: 1}); err != nil || use != want {
		t.Errorf("v1: %+v, %v, want %+v", use, err, want)
	}
	for _, test := range []struct {
		stat  string
		swap  quantity.Bytes
		known bool
	}{{"swap 5\ntotal_swap 4096\n", 4096, true}, {"total_swap 0\n", 0, true}, {"cache 1\n", 0, false}} {
		g := fakeGroup(t, false, nil)
		if swap, known := g.swap(test.stat); swap != test.swap || known != test.known {
			t.Errorf("v1 %q: %d, %v", test.stat, swap, known)
		}
	}
	if n := v1.oomKills(); n != 1 {
		t.Errorf("v1: %d OOM kills", n)
	}
	if _, err := fakeGroup(t, true, nil).usage(); err == nil {
		t.Error("usage of a group that is gone")
	}
}

// fakeGroup is a group whose files all lie in one directory.
func fakeGroup(t *testing.T, unified bool, files map[string]string) group {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := cgroups{unified: unified, mounts: map[string]cgroupMount{"": {dir, "/"}}}
	if !unified {
		c.mounts[""] = cgroupMount{filepath.Join(dir, "none"), "/"}
		for _, controller := range v1Controllers {
			c.mounts[controller] = cgroupMount{dir, "/"}
		}
	}
	return group{c, "/"}
}

// TestBearable: a budget that is lowered below what runs uses waits until it uses less;
// what file systems cache for it does not count.
func TestBearable(t *testing.T) {
	const mib = quantity.MiB
	for _, test := range []struct {
		limit             string
		used, cache, want quantity.Bytes
	}{
		{"104857600", 80 * mib, 0, 100 * mib},
		{"104857600", 80 * mib, 30 * mib, 64 * mib},
		{"104857600", 50 * mib, 0, 64 * mib},
		{"max", 80 * mib, 0, 0},
		{"67108864", 64 * mib, 0, 64 * mib}, // it is in force, and reached
		{"33554432", 32 * mib, 0, 64 * mib}, // it is raised
	} {
		g := fakeGroup(t, true, map[string]string{
			"memory.max": test.limit + "\n", "memory.current": fmt.Sprintf("%d\n", test.used), "pids.current": "1\n",
			"memory.stat": fmt.Sprintf("inactive_file %d\nactive_file 0\n", test.cache),
		})
		if got := g.bearable(64 * mib); got != test.want {
			t.Errorf("limit %s, %s used, %s of them cache: %s, want %s", test.limit, test.used, test.cache, got, test.want)
		}
		if got := g.bearable(0); got != 0 {
			t.Errorf("no limit: %s", got)
		}
	}
}

// TestMemoryIsRounded: the kernel rounds limits down to pages; that is no
// missing limit, and a larger one is.
func TestMemoryIsRounded(t *testing.T) {
	for got, ok := range map[quantity.Bytes]bool{100_000_000: true, 99_999_744: true, 100_000_001: false, 90_000_000: false, 0: false} {
		written, _ := unmet(Limits{MemoryMax: 100_000_000}, Limits{MemoryMax: got}, Host{Unified: true, Controllers: []string{"memory"}})
		if (len(written) == 0) != ok {
			t.Errorf("%d for 100000000: %q", got, written)
		}
	}
}

func TestHostOf(t *testing.T) {
	h := hostOf("245.4-4ubuntu3.24", false, parseMountinfo([]byte(hybridMounts)), "")
	if h.Version != 245 || h.Unified || h.Devices || !slices.Equal(h.Controllers, []string{"cpu", "memory"}) {
		t.Errorf("%+v", h)
	}
	if h := hostOf("252", true, parseMountinfo([]byte(hybridMounts)), ""); len(h.Controllers) > 0 {
		t.Errorf("a user's manager on v1: %+v", h)
	}
	for version, want := range map[string]int{"v257~rc1": 257, "252.39-1~deb12u2": 252, "": 0, "x": 0} {
		if got := majorVersion(version); got != want {
			t.Errorf("%q: %d", version, got)
		}
	}
}

func FuzzCgroupParsers(f *testing.F) {
	f.Add(hybridMounts, "0-3,6")
	f.Add(unifiedMounts, "20000 100000")
	f.Add("oom_kill 3\n", "max 100000")
	f.Fuzz(func(t *testing.T, file, value string) {
		c := parseMountinfo([]byte(file))
		c.dir("memory", value)
		c.ownGroup([]byte(file))
		keyed(file, value)
		if quota := cpuMax(value); quota < 0 {
			t.Errorf("quota %v of %q", quota, value)
		}
		if cpus, err := parseCPUs(value); err == nil && !slices.IsSorted(cpus) && !strings.Contains(value, ",") {
			t.Errorf("CPUs %v of %q", cpus, value)
		}
		processState([]byte(file))
	})
}

func TestProcessState(t *testing.T) {
	for stat, want := range map[string]byte{
		"12 (sleep) T 1 1\n": 'T', "12 (a ) S b) (x) R 1": 'R', "": '?', "12 (sleep": '?', "12 (sleep)": '?',
	} {
		if got := processState([]byte(stat)); got != want {
			t.Errorf("%q: %c, want %c", stat, got, want)
		}
	}
}
