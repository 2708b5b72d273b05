package doctor

import (
	"fmt"
	"slices"
	"strings"

	"brainjar/sensors"
)

// some puts names together, not more than fit into a line.
func some(names []string) string {
	const most = 6
	if len(names) > most {
		return strings.Join(names[:most], " ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, " ")
}

func heat(m Machine) []Check {
	if m.ReadingError != nil {
		return nil // which was told
	}
	hottest, ok := m.Reading.Hottest([]string{"*"})
	readable := 0
	for _, z := range m.Reading.Zones {
		if z.State == sensors.OK {
			readable++
		}
	}
	switch {
	case ok:
		return []Check{{"thermal zones", OK, fmt.Sprintf("%d of %d can be read, %s has %s", readable, len(m.Reading.Zones), hottest.Name, hottest.Temperature), ""}}
	case m.Reading.EverHadZone || len(m.Reading.Zones) > 0:
		return []Check{{"thermal zones", Fail, fmt.Sprintf("none of %d can be read", max(1, len(m.Reading.Zones))), "nothing starts while the heat is not known, unless [thermal] enabled = false; `brainjar sensors` says what is wrong"}}
	}
	return []Check{{"thermal zones", Warn, "this machine has no thermometer", "load the driver of one, as by `modprobe coretemp` or `modprobe k10temp`; without, brainjar cannot keep it from overheating"}}
}

func gpu(m Machine) []Check {
	c := Check{"GPU", OK, "", ""}
	onBoard := func(g sensors.GPU) bool { return strings.Contains(g.Path, "/devfreq/") }
	cards := slices.DeleteFunc(slices.Clone(m.Reading.GPUs), onBoard)
	switch {
	case m.GPUError != nil:
		c.Verdict, c.Words, c.Hint = Warn, m.GPUError.Error(), "`dmesg | grep -i gpu` may say why its driver fails"
		if !m.Root {
			c.Hint = "run it with sudo: only root may power the GPU on"
		}
	case len(m.GPUDevices) > 0:
		var paths []string
		for _, d := range m.GPUDevices {
			paths = append(paths, d.Path)
		}
		c.Words = fmt.Sprintf("%d device nodes: %s", len(paths), some(paths))
	case m.Reading.Board.Jetson():
		c.Verdict, c.Words, c.Hint = Fail, "there is a GPU, and no device node of it", "its driver is not loaded: `lsmod | grep -i nv`, and install nvidia-l4t-core"
	case len(cards) > 0 || m.Reading.Fails("nvidia"):
		c.Verdict, c.Words, c.Hint = Fail, "there is a GPU, and no device node of it", "not all of the card's driver is loaded: `ls -l /dev/nvidia* /dev/kfd`, and install what is missing"
	case len(m.Reading.GPUs) > 0:
		c.Words = "of a kind that gpu = true knows no device nodes of; `devices` can name them"
	default:
		c.Words = "none, and so no experiment can have gpu = true"
	}
	return []Check{c}
}

// board is what a Jetson is set to.
func board(m Machine) []Check {
	if !m.Reading.Board.Jetson() {
		return nil
	}
	var list []Check
	if mode, ok := m.Settings.PowerMode.Get(); ok {
		list = append(list, Check{"power mode", OK, fmt.Sprintf("%s (%d)", mode.Name, mode.Number), ""})
	} else if len(m.Unset) == 0 {
		list = append(list, Check{"power mode", Warn, "nvpmodel is not installed", "install nvidia-l4t-nvpmodel for power_mode to work"})
	}
	for _, p := range m.Unset {
		list = append(list, Check{p.Source, Warn, p.Err.Error(), problemHint(m, p)})
	}
	if pinned, ok := m.Settings.JetsonClocks.Get(); ok && pinned {
		list = append(list, Check{"jetson_clocks", Warn, "every clock is held at its ceiling", "the board stays hot also when nothing runs: `jetson_clocks --restore`"})
	}
	return list
}

func memory(m Machine) []Check {
	r := m.Reading.Memory
	if r.State != sensors.OK {
		return nil // a sensor that failed, which was told
	}
	list := []Check{{"memory", OK, fmt.Sprintf("%s, %s available", r.Total, r.Available), ""}}
	if r.Available < r.Total/10 {
		list[0].Verdict, list[0].Hint = Warn, "little is left for experiments: `ps aux --sort -rss | head` shows who has it"
	}
	zram := func(name string) bool { return strings.Contains(name, "zram") }
	switch {
	case m.SwapError != nil:
		list = append(list, Check{"swap", Warn, m.SwapError.Error(), "`swapon --show` says what there is"})
	case len(m.Swaps) == 0:
		list = append(list, Check{"swap", OK, "none", ""})
	case slices.ContainsFunc(m.Swaps, zram):
		list = append(list, Check{"swap", Warn, some(m.Swaps) + ": some of it compresses into memory", "a GPU's memory cannot be swapped; NVIDIA advises `systemctl disable --now nvzramconfig` for models that fill the board"})
	case !m.Host.Unified:
		list = append(list, Check{"swap", Warn, some(m.Swaps) + ", and control groups v1 do not keep experiments out of it", "`swapoff -a`, so that an experiment that is too large is killed and does not slow down all others"})
	default:
		list = append(list, Check{"swap", OK, some(m.Swaps) + "; experiments do not get any", ""})
	}
	return list
}

func kernel(m Machine) []Check {
	if _, ok := m.Reading.Pressure.Memory.Some.Get(); ok {
		return []Check{{"PSI", OK, "the kernel tells how long tasks wait", ""}}
	}
	return []Check{{"PSI", OK, "this kernel does not tell how long tasks wait; brainjar does without", ""}}
}

func brainjar(m Machine) []Check {
	var list []Check
	switch {
	case m.SocketError == nil:
		list = append(list, Check{"brainjar", OK, "answers at " + m.Socket, ""})
	case m.Absent:
		list = append(list, Check{"brainjar", Warn, "does not run", "`brainjar run CONFIG`, or `systemctl enable --now brainjar`"})
	default:
		list = append(list, Check{"brainjar", Warn, m.SocketError.Error(), "become root or a member of the group brainjar; `journalctl -u brainjar` says what it does"})
	}
	switch {
	case m.User:
	case m.Group:
		list = append(list, Check{"group brainjar", OK, "its members may give orders", ""})
	default:
		list = append(list, Check{"group brainjar", Warn, "there is none: only root can give orders", "`groupadd --system brainjar`, then `usermod -aG brainjar USER`, and start brainjar again"})
	}
	return list
}

func places(m Machine) []Check {
	var list []Check
	for _, p := range []struct {
		name string
		Place
	}{{"state directory", m.State}, {"runtime directory", m.Runtime}} {
		c := Check{p.name, OK, p.Path, ""}
		switch {
		case p.Error != nil && !m.Root && !m.User:
			c.Verdict, c.Words, c.Hint = Warn, p.Error.Error(), "run it with sudo: as root brainjar may write there"
		case p.Error != nil:
			c.Verdict, c.Words, c.Hint = Fail, p.Error.Error(), "brainjar must be able to write there: `ls -ld "+p.Path+"`, `findmnt -T "+p.Path+"`"
		case p.Free < noSpace:
			c.Verdict, c.Words, c.Hint = Fail, fmt.Sprintf("%s: %s left", p.Path, p.Free), "make room: while the disk is full, what happens is not remembered"
		case p.Free < littleSpace && p.name == "state directory":
			c.Verdict, c.Words, c.Hint = Warn, fmt.Sprintf("%s: %s left", p.Path, p.Free), "make room: logs and history want some"
		default:
			c.Words = fmt.Sprintf("%s: %s left", p.Path, p.Free)
			if !p.Exists {
				c.Words = p.Path + ": is made when brainjar runs"
			}
		}
		list = append(list, c)
	}
	return list
}
