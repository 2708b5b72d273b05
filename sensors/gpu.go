package sensors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"brainjar/internal/quantity"
)

// GPU is one graphics processor. What its kind cannot tell is Absent.
type GPU struct {
	Name        string                     `json:"name"` // "ga10b", "NVIDIA GeForce RTX 4090", "amdgpu"
	Path        string                     `json:"path"` // where it is read; of a card that nvidia-smi tells of, "nvidia0"
	Load        Value[quantity.Percent]    `json:"load_percent"`
	Clock       Value[quantity.Hertz]      `json:"clock_hertz"`
	ClockMin    Value[quantity.Hertz]      `json:"clock_min_hertz"`
	ClockMax    Value[quantity.Hertz]      `json:"clock_max_hertz"` // to which it may rise now
	Temperature Value[quantity.Celsius]    `json:"celsius"`         // of a card; a Jetson's GPU has a zone
	Power       Value[quantity.Milliwatts] `json:"milliwatts"`      // of a card; a Jetson's GPU has a rail
	MemoryUsed  Value[quantity.Bytes]      `json:"memory_used"`     // bytes, of a card's own memory
	MemoryTotal Value[quantity.Bytes]      `json:"memory_total"`
}

// failed is the GPU when it does not answer.
func (g GPU) failed() GPU {
	return GPU{
		Name: g.Name, Path: g.Path, Load: lost(g.Load),
		Clock: lost(g.Clock), ClockMin: lost(g.ClockMin), ClockMax: lost(g.ClockMax),
		Temperature: lost(g.Temperature), Power: lost(g.Power),
		MemoryUsed: lost(g.MemoryUsed), MemoryTotal: lost(g.MemoryTotal),
	}
}

// gpuNodes are the names of device tree nodes that are a GPU.
var gpuNodes = []string{"gv11b", "gp10b", "ga10b", "gb10b", "gpu"}

// gpuDirs finds the devfreq directories of GPUs by the name of their node in the
// device tree, which outlives releases; Thor's hangs on PCI and is known by its
// own name. One may appear only when the GPU is used for the first time.
func (fs FS) gpuDirs() ([]string, error) {
	class := fs.path("sys/class/devfreq")
	entries, err := os.ReadDir(class)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list clocks: %w", err)
	}
	var dirs []string
	for _, entry := range entries {
		dir := filepath.Join(class, entry.Name())
		if strings.HasPrefix(entry.Name(), "gpu-gpc-") || slices.Contains(gpuNodes, fs.nodeName(dir)) {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

// nodeName returns the name of the device tree node of a devfreq directory's
// device, "" if it has none.
func (fs FS) nodeName(dir string) string {
	name, err := fs.reader()(filepath.Join(dir, "device/of_node/name"))
	if err != nil {
		return ""
	}
	return trim(name)
}

// gpuFamily is the GPUs whose clock the kernel sets (Documentation/ABI/testing/sysfs-class-devfreq).
func gpuFamily(fs FS, read reader) *family {
	return newMembers("gpu", fs.gpuDirs,
		func(dir string, known GPU) (GPU, error) {
			if known.Name == "" {
				known.Name = gpuName(fs.nodeName(dir), dir)
			}
			return readDevfreq(read, dir, known.Name)
		},
		func(r *Reading, dir string, g GPU, err error) {
			if g.Path == "" {
				g.Name, g.Path = filepath.Base(dir), dir // it has not yet told
			}
			if silent(err) {
				g = g.failed()
			}
			r.GPUs = append(r.GPUs, g)
		})
}

// gpuName is the name of the chip, or of its clock where the node is just "gpu".
func gpuName(node, dir string) string {
	if node == "" || node == "gpu" {
		return filepath.Base(dir)
	}
	return node
}

// readDevfreq reads a GPU of a Jetson. Its load is in thousandths, and 0 while it
// is powered off; Thor's driver does not tell it.
func readDevfreq(read reader, dir, name string) (GPU, error) {
	a := &attributes{read: read, dir: dir}
	load := a.within("device/load", a.number("device/load"), 0, 1000)
	g := GPU{
		Name: name, Path: dir,
		Load:     as(load, func(perMille int64) quantity.Percent { return quantity.Percent(perMille) / 10 }),
		Clock:    a.clock("cur_freq", 1),
		ClockMin: a.clock("min_freq", 1),
		ClockMax: a.clock("max_freq", 1),
	}
	return g, a.err
}

// mostHertz is more than any clock has.
const mostHertz = 100e9

// clock reads a frequency that is written in a unit of so many Hz.
func (a *attributes) clock(name string, unit int64) Value[quantity.Hertz] {
	return as(a.within(name, a.number(name), 0, mostHertz/unit), func(n int64) quantity.Hertz { return quantity.Hertz(n * unit) })
}

// readAMD reads a card of AMD by its hwmon chip, whose device has the rest
// (Documentation/gpu/amdgpu/thermal.rst). Integrated ones have no power or clock.
func readAMD(a *attributes) []GPU {
	bytes := func(name string) Value[quantity.Bytes] {
		return as(a.within(name, a.number(name), 0, 1<<50), func(n int64) quantity.Bytes { return quantity.Bytes(n) })
	}
	power := a.number("power1_average")
	if power.State == Absent {
		power = a.number("power1_input")
	}
	g := GPU{
		Name: "amdgpu", Path: a.dir,
		Load: as(a.within("device/gpu_busy_percent", a.number("device/gpu_busy_percent"), 0, 100),
			func(n int64) quantity.Percent { return quantity.Percent(n) }),
		Clock: a.clock("freq1_input", 1),
		Power: as(a.within("power1_average", power, 0, mostMicrowatts),
			func(microwatts int64) quantity.Milliwatts { return quantity.Milliwatts(microwatts / 1000) }),
		MemoryUsed:  bytes("device/mem_info_vram_used"),
		MemoryTotal: bytes("device/mem_info_vram_total"),
	}
	if value, err := a.read(filepath.Join(a.dir, "temp1_input")); !nothing(err, a.asleep...) {
		state, celsius, err := temperature(value, err)
		g.Temperature = Value[quantity.Celsius]{state, celsius}
		if err != nil {
			a.state(err)
		}
	}
	return []GPU{g}
}
