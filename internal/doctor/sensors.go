package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"brainjar/sensors"
)

// sense is one kind of thing that a machine can feel.
type sense struct {
	kind    string // "fans"
	found   string // "2 fans"
	state   sensors.State
	sources []string // of a reading that tell of it, as their names begin
	without string   // what does not work without it, where a board of this kind has it; else ""
	hint    string   // with that: what to do
}

// counted is a sense of which there are so many.
func counted(n int, one string, sources ...string) sense {
	s := sense{kind: one + "s", found: fmt.Sprintf("%d %ss", n, one), sources: sources}
	switch {
	case n == 1:
		s.found = "1 " + one
		fallthrough
	case n > 1:
		s.state = sensors.OK
	}
	return s
}

// expected is the sense on a board that should have it.
func (s sense) expected(should bool, without, hint string) sense {
	if should {
		s.without, s.hint = without, hint
	}
	return s
}

// senses are the kinds of things that this machine feels, or could.
func senses(m Machine) []sense {
	r := m.Reading
	jetson := r.Board.Jetson()
	card := !jetson && slices.ContainsFunc(m.GPUDevices, func(d sensors.Device) bool { return d.Path == "/dev/nvidiactl" })
	load := sense{kind: "GPU load", found: "GPU load", sources: []string{"gpu", "hwmon", "nvidia"}}
	for _, g := range r.GPUs {
		load.state = max(load.state, g.Load.State)
	}
	memory := sense{kind: "GPU memory", found: "GPU memory", state: r.GPUMemory.State, sources: []string{"nvmap", "nvidia"}}
	const uncounted = "nobody tells it: gpu_memory is only counted when something starts"
	list := []sense{
		counted(len(r.Zones), "zone", "thermal", "hwmon", "nvidia"),
		counted(len(r.Cooling), "cooling device", "cooling"),
		counted(len(r.Rails), "rail", "hwmon").expected(jetson, "no power monitor tells what the board takes",
			"`modprobe -a ina3221 ina238`; if that does not help, install nvidia-l4t-kernel and nvidia-l4t-kernel-dtbs"),
		counted(len(r.Fans), "fan", "hwmon"),
		counted(len(r.GPUs), "GPU", "gpu", "hwmon", "nvidia").expected(jetson, "the GPU has no clock that could be seen or lowered",
			"it may appear when the GPU is used for the first time: run a program on it, and look again"),
		load,
		memory.expected(jetson && r.Board.SoC != sensors.Thor, uncounted, // whose driver tells of nobody
			"`systemctl start sys-kernel-debug.mount`, for debugfs tells it; if there is no nvmap in it then, its driver is not loaded: `modprobe nvmap`").
			expected(card, uncounted, "install nvidia-smi, of the version of the card's driver"),
		counted(len(r.CPUClocks), "CPU clock", "cpufreq"),
	}
	if jetson {
		list = append(list, counted(len(r.OverCurrent), "over-current counter", "hwmon"),
			sense{kind: "memory clock", found: "memory clock", state: r.EMC.State, sources: []string{"emc"}})
	}
	return list
}

// felt is what the machine feels and what it does not, and what fails.
func felt(m Machine) []Check {
	if m.ReadingError != nil {
		return []Check{{"sensors", Fail, m.ReadingError.Error(), "look into `dmesg`: something in the kernel hangs"}}
	}
	var found, lacks []string
	var list []Check
	for _, s := range senses(m) {
		switch {
		case s.state == sensors.OK:
			found = append(found, s.found)
		case s.state == sensors.Failed || m.Reading.Fails(s.sources...): // which is told below
		case s.hint != "":
			list = append(list, Check{s.kind, Warn, s.without, s.hint})
		default:
			lacks = append(lacks, s.kind)
		}
	}
	var words []string
	if len(found) > 0 {
		words = append(words, strings.Join(found, ", "))
	}
	if len(lacks) > 0 {
		words = append(words, "no "+strings.Join(lacks, ", "))
	}
	list = append([]Check{{"sensors", OK, cmp.Or(strings.Join(words, "; "), "none can be read"), ""}}, list...)
	for _, p := range m.Reading.Problems {
		list = append(list, Check{"sensor " + p.Source, Warn, p.Err.Error(), problemHint(m, p)})
	}
	return list
}

// problemHint says what to do about something that cannot be read.
func problemHint(m Machine, p sensors.Problem) string {
	switch {
	case !m.Root && strings.Contains(p.Err.Error(), "permission denied"):
		return "run it with sudo: root may read it"
	case strings.HasPrefix(p.Source, "nvidia"):
		return "`nvidia-smi` shows what is wrong; where it is only slow, `nvidia-smi -pm 1` keeps its driver loaded"
	case p.Source == "nvpmodel" || p.Source == "power mode":
		return "`sudo nvpmodel -q` shows what is wrong"
	}
	return "`dmesg` may say why its driver fails; brainjar does without, and `brainjar sensors` shows what is left"
}
