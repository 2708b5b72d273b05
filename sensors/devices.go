package sensors

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Device is a device node that a program needs to use a GPU.
type Device struct {
	Path   string `json:"path"`   // "/dev/nvmap"
	Access string `json:"access"` // as DeviceAllow= of systemd has it: "rw"
	GID    uint32 `json:"gid"`    // group that the node belongs to, which a program without root needs
}

// The nodes that CUDA, and ROCm, open, below /dev. Those of Jetsons are all of its
// accelerators, as each release has others; nodes of displays are not among them.
var (
	jetsonNodes = []string{
		"nvmap", "nvhost-*", "nvgpu/igpu*/*", "host1x", "host1x-fence", "nvsciipc",
		"dri/renderD*", "v4l2-nvdec", "v4l2-nvenc",
	}
	nvidiaNodes = []string{
		"nvidia[0-9]*", "nvidiactl", "nvidia-modeset", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-caps/*",
	}
	amdNodes = []string{"kfd", "dri/renderD*"}
)

// GPUDevices returns the nodes under /dev that a program needs to use the GPUs of
// this machine, in the order of their names: those that exist now. systemd takes
// paths and no patterns, and passes over what is missing, so this is asked anew for
// each start. A Jetson's GPU is powered on first, for until it was used once some of
// its nodes do not exist. What was found is returned also with an error.
func (fs FS) GPUDevices(ctx context.Context) ([]Device, error) {
	var patterns []string
	var err error
	if (Board{SoC: fs.soc()}).Jetson() {
		err = fs.wakeGPU(ctx)
		patterns = append(patterns, jetsonNodes...)
		patterns = append(patterns, nvidiaNodes...)
	}
	if fs.exists("dev/nvidiactl") {
		patterns = append(patterns, nvidiaNodes...)
	}
	if fs.exists("dev/kfd") {
		patterns = append(patterns, amdNodes...)
	}
	return fs.nodes(patterns), err
}

// exists says whether there is a file.
func (fs FS) exists(name string) bool {
	_, err := os.Stat(fs.path(name))
	return err == nil
}

// nodes returns the nodes that match patterns below /dev, without directories.
func (fs FS) nodes(patterns []string) []Device {
	var devices []Device
	for _, pattern := range patterns {
		paths, err := filepath.Glob(fs.path("dev", pattern))
		if err != nil {
			continue // a malformed pattern, of which a test finds none
		}
		for _, path := range paths {
			info, err := os.Stat(path)
			if err != nil || info.IsDir() || fs == "" && info.Mode()&os.ModeDevice == 0 {
				continue
			}
			d := Device{Path: strings.TrimPrefix(path, strings.TrimSuffix(fs.path(), "/")), Access: "rw"}
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				d.GID = stat.Gid
			}
			devices = append(devices, d)
		}
	}
	slices.SortFunc(devices, func(a, b Device) int { return strings.Compare(a.Path, b.Path) })
	return slices.Compact(devices)
}

// wakeLimit is how long a GPU may take to be powered on.
const wakeLimit = 5 * time.Second

// wakeGPU powers a Jetson's GPU on, after which all of its nodes exist; its driver
// powers it off again when nobody uses it. To a GPU that is on it does nothing.
func (fs FS) wakeGPU(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wakeLimit)
	defer cancel()
	var err error
	stuck := wakeGate.do(ctx, func() { err = writeFile(fs.path("dev/nvgpu/igpu0/power"), "1") })
	switch {
	case stuck != nil:
		return fmt.Errorf("cannot power the GPU on: no answer within %s: %w", wakeLimit, stuck)
	case err != nil && !errors.Is(err, unix.ENOENT): // as before JetPack 5.1, and on Thor
		return fmt.Errorf("cannot power the GPU on: %w", err)
	}
	return nil
}

// writeFile writes an attribute by one open and one write, which block for as long
// as the driver does.
func writeFile(path, value string) error {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_WRONLY|unix.O_TRUNC|unix.O_CLOEXEC, 0) })
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", path, err)
	}
	_, err = retry(func() (int, error) { return unix.Write(fd, []byte(value+"\n")) })
	if errClose := unix.Close(fd); err == nil {
		err = errClose
	}
	if err != nil {
		return fmt.Errorf("cannot write %q to %s: %w", value, path, err)
	}
	return nil
}
