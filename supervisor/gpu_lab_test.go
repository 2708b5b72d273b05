//go:build lab

package supervisor_test

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/sensors/sensorstest"
)

// gpuBoard is a board whose GPU has four nodes, as brainjar sees it. The same nodes are
// made in /dev, with a number that no driver has: who may open one hears that there is
// no device (ENXIO), who may not that it is forbidden (EPERM).
const gpuBoard = "[proc/device-tree]\ncompatible = nvidia,tegra234\\0\n[dev]\nnvmap =\nnvhost-gpu =\n[dev/nvgpu/igpu0]\npower = 0\nctrl =\n"

var gpuNodes = []string{"nvmap", "nvhost-gpu", "nvgpu/igpu0/power", "nvgpu/igpu0/ctrl"}

// unusedMajor is the number of a character device that this kernel has no driver for,
// of those that are for local use (Documentation/admin-guide/devices.txt).
func unusedMajor(t testing.TB) uint32 {
	t.Helper()
	text, err := os.ReadFile("/proc/devices")
	must(t, err)
	characters, _, _ := strings.Cut(string(text), "Block devices:")
	used := strings.Fields(characters)
	for major := uint32(254); major >= 240; major-- {
		if !slices.Contains(used, strconv.FormatUint(uint64(major), 10)) {
			return major
		}
	}
	t.Fatalf("every major number is used:\n%s", text)
	return 0
}

// makeNodes makes nodes in /dev, for the group that those of a Jetson belong to.
func makeNodes(t testing.TB, names ...string) {
	t.Helper()
	group, major := 0, unusedMajor(t)
	if video, err := user.LookupGroup("video"); err == nil {
		group, err = strconv.Atoi(video.Gid)
		must(t, err)
	}
	for i, name := range names {
		path := filepath.Join("/dev", name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, unix.Mknod(path, unix.S_IFCHR, int(unix.Mkdev(major, uint32(i)))))
		t.Cleanup(func() { _ = os.Remove(path) })
		must(t, os.Chown(path, 0, group))
		must(t, os.Chmod(path, 0o660))
	}
}

// What gpu = true grants can be opened, by a user that is in no such group, and nothing
// else; who did not ask can open none of it.
func TestGPUGrantHolds(t *testing.T) {
	others := []string{"brainjar-other", "nvgpu/igpu0/late"}
	makeNodes(t, append(slices.Clone(gpuNodes), others...)...)
	out, err := os.MkdirTemp("/var/lib", "gpu-grant-") //nolint:usetesting // units in a sandbox have a /tmp of their own
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(out) })
	must(t, os.Chmod(out, 0o777))

	tries := "for n in " + strings.Join(append(slices.Clone(gpuNodes), others...), " ") +
		"; do ( : <>/dev/$n ) 2>>$1.new || :; done; mv $1.new $1; exec sleep 1000"
	program := func(id, keys string) string {
		return fmt.Sprintf("[experiments.%s]\ncommand = [\"/bin/sh\", \"-c\", %q, \"sh\", %q]\n%s\n", id, tries, filepath.Join(out, id), keys)
	}
	writes := fmt.Sprintf("writable_paths = [%q]\n", out)
	config := shippedHead +
		program("granted", "gpu = true\n"+writes) +
		program("strict", "gpu = true\nsandbox = \"strict\"\n"+writes) +
		program("scope", "gpu = true\nkind = \"scope\"\nuser = \"nobody\"\nsandbox = \"off\"") +
		program("closed", writes)
	b := ship(t, t.TempDir(), config, "--sysroot", sensorstest.Tree(t, gpuBoard))

	const allowed, forbidden = "No such device or address", "Operation not permitted"
	for _, id := range []string{"granted", "strict", "scope", "closed"} {
		path := filepath.Join(out, id)
		b.await(id+" has tried", 30*time.Second, func() bool { _, err := os.Stat(path); return err == nil })
		text, err := os.ReadFile(path)
		must(t, err)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(lines) != len(gpuNodes)+len(others) {
			t.Errorf("%s: %d answers:\n%s", id, len(lines), text)
			continue
		}
		for i, line := range lines {
			name, want := append(slices.Clone(gpuNodes), others...)[i], forbidden
			if id != "closed" && i < len(gpuNodes) {
				want = allowed
			}
			// Without the group, the mode of the node forbids it first.
			if id == "closed" && strings.HasSuffix(line, "Permission denied") {
				want = "Permission denied"
			}
			if !strings.Contains(line, "/dev/"+name) || !strings.HasSuffix(line, want) {
				t.Errorf("%s: %s: %q, want %q", id, name, line, want)
			}
		}
	}
	if n := strings.Count(b.logged(), "GPU granted"); n != 3 {
		t.Errorf("%d grants are told of", n)
	}
}

// On a board without a GPU the start is refused, in words, and not tried for ever.
func TestGPUIsMissingHere(t *testing.T) {
	config := shippedHead + "[experiments.a]\ncommand = [\"/bin/sleep\", \"1000\"]\ngpu = true\nrestart.max_restarts = 1\nrestart.delay = \"100ms\"\n"
	b := ship(t, t.TempDir(), config, "--sysroot", sensorstest.Board(t, "nothing"))
	b.await("it has failed", 30*time.Second, func() bool {
		return strings.Contains(b.logged(), "cannot grant gpu = true: this machine has no GPU") && strings.Contains(b.logged(), "gave up after 1 restart")
	})
}
