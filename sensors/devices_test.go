package sensors

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/sensors/sensorstest"
)

func TestGPUDevices(t *testing.T) {
	for board, want := range map[string]string{
		"agx-orin-jp5": "dri/renderD128 host1x nvgpu/igpu0/as nvgpu/igpu0/channel nvgpu/igpu0/ctrl nvgpu/igpu0/power nvgpu/igpu0/tsg " +
			"nvhost-as-gpu nvhost-ctrl nvhost-ctrl-gpu nvhost-ctrl-nvdla0 nvhost-dbg-gpu nvhost-gpu nvhost-nvdec nvhost-prof-gpu nvhost-vic nvidiactl nvmap",
		"orin-nano-jp6": "dri/renderD128 host1x-fence nvgpu/igpu0/as nvgpu/igpu0/channel nvgpu/igpu0/ctrl nvgpu/igpu0/ctxsw nvgpu/igpu0/dbg " +
			"nvgpu/igpu0/nvsched nvgpu/igpu0/power nvgpu/igpu0/prof nvgpu/igpu0/prof-ctx nvgpu/igpu0/prof-dev nvgpu/igpu0/sched nvgpu/igpu0/tsg " +
			"nvhost-as-gpu nvhost-ctrl-gpu nvhost-ctrl-nvdla0 nvhost-ctrl-pva0 nvhost-ctxsw-gpu nvhost-dbg-gpu nvhost-gpu nvhost-nvsched-gpu " +
			"nvhost-power-gpu nvhost-prof-ctx-gpu nvhost-prof-dev-gpu nvhost-prof-gpu nvhost-sched-gpu nvhost-tsg-gpu " +
			"nvidia-modeset nvidia0 nvidiactl nvmap nvsciipc v4l2-nvdec v4l2-nvenc",
		"xavier-nx-jp5":  "nvhost-as-gpu nvhost-ctrl nvhost-ctrl-gpu nvhost-gpu nvidiactl nvmap",
		"thor-jp7":       "dri/renderD128 nvidia-uvm nvidia-uvm-tools nvidia0 nvidia1 nvidiactl nvmap",
		"x86-desktop":    "nvidia-caps/nvidia-cap1 nvidia-caps/nvidia-cap2 nvidia-modeset nvidia-uvm nvidia-uvm-tools nvidia0 nvidiactl",
		"x86-amd":        "dri/renderD128 dri/renderD129 kfd",
		"raspberry-pi-5": "", // whose GPU computes nothing
		"nothing":        "",
	} {
		devices, err := FS(sensorstest.Board(t, board)).GPUDevices(t.Context())
		if err != nil {
			t.Errorf("%s: %v", board, err)
		}
		var names []string
		for _, d := range devices {
			names = append(names, strings.TrimPrefix(d.Path, "/dev/"))
			if !strings.HasPrefix(d.Path, "/dev/") || d.Access != "rw" || d.GID != uint32(os.Getgid()) {
				t.Errorf("%s: %+v", board, d)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: nodes\n%s\nwant\n%s", board, got, want)
		}
	}
}

// Until the GPU was used only its power node exists. It is powered on, and what
// stands in the way of that is told with the nodes that are there.
func TestGPUIsWoken(t *testing.T) {
	const orin = "[proc/device-tree]\ncompatible = nvidia,tegra234\\0\n[dev]\nnvmap =\n[dev/nvgpu/igpu0]\n"
	fs := FS(sensorstest.Tree(t, orin+"power = 0\n"))
	if _, err := fs.GPUDevices(t.Context()); err != nil {
		t.Error(err)
	}
	if state, err := os.ReadFile(fs.path("dev/nvgpu/igpu0/power")); string(state) != "1\n" {
		t.Errorf("the power node holds %q, %v", state, err)
	}
	broken := FS(sensorstest.Tree(t, orin+"power -> /dev/full\n"))
	if devices, err := broken.GPUDevices(t.Context()); !errors.Is(err, unix.ENOSPC) || len(devices) != 2 {
		t.Errorf("got %v, %v", devices, err)
	}
	hung := FS(sensorstest.Tree(t, orin+"power = <fifo>\n"))
	for i := range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		devices, err := hung.GPUDevices(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errStuck) != (i == 1) || len(devices) != 2 {
			t.Errorf("call %d: got %v, %v", i, devices, err)
		}
	}
	fd, err := unix.Open(filepath.Join(string(hung), "dev/nvgpu/igpu0/power"), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := wakeGate.do(t.Context(), func() {}); err != nil {
		t.Errorf("the gate stays shut: %v", err)
	}
}

// On the running machine only device nodes are granted.
func TestNodesOfThisMachine(t *testing.T) {
	devices := FS("").nodes([]string{"null", "shm", "fd", "stdin", "*.none", "zero", "null"})
	var names []string
	for _, d := range devices {
		names = append(names, d.Path)
	}
	if got := strings.Join(names, " "); !strings.HasPrefix(got, "/dev/null") || !strings.HasSuffix(got, "/dev/zero") || strings.Contains(got, "shm") {
		t.Errorf("got %q", got)
	}
	for _, patterns := range [][]string{jetsonNodes, nvidiaNodes, amdNodes} {
		for _, pattern := range patterns {
			if _, err := filepath.Match(pattern, ""); err != nil {
				t.Errorf("%s: %v", pattern, err)
			}
		}
	}
}
