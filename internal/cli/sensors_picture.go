package cli

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"

	"brainjar/internal/control"
	"brainjar/internal/quantity"
	"brainjar/sensors"
)

// unknown stands for a value that is absent or failed; what failed is told below.
const unknown = "-"

// picture shows what the machine feels as text.
type picture struct {
	colour bool
	course map[string][]float64 // by name: the last values; nil: neither bars nor courses are drawn
}

// draw writes a table for each kind of sensor that there is, then what is not there
// and what failed.
func (p *picture) draw(w *bufio.Writer, s control.Sensors) {
	fmt.Fprintln(w, p.paint(bold, boardLine(s.Board)))
	for _, section := range [][][]string{
		p.whole(s), p.zones(s), p.cooling(s.Cooling), p.rails(s), fans(s.Fans), p.gpus(s.GPUs),
		cpuClocks(s.CPUClocks), overCurrent(s), gpuMemory(s),
	} {
		p.section(w, section)
	}
	p.section(w, lacking(s))
	for i, problem := range s.Problems {
		if i == 0 {
			fmt.Fprintln(w, "\nFAILED")
		}
		fmt.Fprintln(w, p.paint(red, problem.Source+": "+problem.Err.Error()))
	}
}

// section writes rows as a table, unless there is nothing but its head. The first cell
// is a name.
func (p *picture) section(w *bufio.Writer, rows [][]string) {
	if len(rows) < 2 {
		return
	}
	fmt.Fprintln(w)
	t := table{w: w}
	for _, row := range rows {
		row[0] = printable(row[0]) // names are the kernel's, or those of processes
		t.row(row)
	}
	t.flush()
}

func (p *picture) paint(colour, text string) string {
	if !p.colour {
		return printable(text)
	}
	return paint(colour, printable(text))
}

// boardLine says what machine this is.
func boardLine(b sensors.Board) string {
	facts := []string{b.Model, b.SoC, b.L4T}
	if b.Model == "" {
		facts[0] = "a board that does not tell its model"
	}
	if b.L4T != "" {
		facts[2] = "L4T " + b.L4T
	}
	return joined(facts...)
}

// whole is what there is once on a machine.
func (p *picture) whole(s control.Sensors) [][]string {
	rows := [][]string{{"MACHINE", "NOW"}}
	add := func(name, value string, share *float64) {
		if value != "" {
			rows = append(rows, p.withCourse([]string{name, value}, name, share))
		}
	}
	if mode, ok := s.PowerMode.Get(); ok {
		add("power mode", printable(fmt.Sprintf("%s (%d)", mode.Name, mode.Number)), nil)
	}
	if pinned, ok := s.JetsonClocks.Get(); ok {
		add("jetson_clocks", map[bool]string{true: "on: every clock is held at its ceiling", false: "off"}[pinned], nil)
	}
	if s.CPU.State == sensors.OK {
		all := float64(100 * s.CPU.Count)
		add("CPU", fmt.Sprintf("%.0f%% of %.0f%%", float64(s.CPU.Used), all), share(float64(s.CPU.Used), all))
	} else {
		add("CPU", s.CPU.State.String(), nil)
	}
	if off, ok := s.OfflineCPUs.Get(); ok && len(off) > 0 {
		add("CPUs switched off", numbers(off), nil)
	}
	m := s.Memory
	if m.State == sensors.OK {
		used := m.Total - min(m.Available, m.Total)
		add("memory", fmt.Sprintf("%s of %s taken, %s available", used, m.Total, m.Available), share(float64(used), float64(m.Total)))
	} else {
		add("memory", m.State.String(), nil)
	}
	if m.SwapTotal > 0 {
		used := m.SwapTotal - min(m.SwapFree, m.SwapTotal)
		add("swap", fmt.Sprintf("%s of %s taken", used, m.SwapTotal), share(float64(used), float64(m.SwapTotal)))
	}
	if d := s.Disk; d.State == sensors.OK {
		used := d.Total - min(d.Available, d.Total)
		add("disk "+d.Path, fmt.Sprintf("%s of %s left", d.Available, d.Total), share(float64(used), float64(d.Total)))
	} else if d.Path != "" {
		add("disk "+d.Path, d.State.String(), nil)
	}
	if hertz, ok := s.EMC.Get(); ok {
		add("memory clock (EMC)", hertz.String(), nil)
	}
	if used, ok := s.GPUMemory.Used.Get(); ok {
		add("GPU memory", used.String(), share(float64(used), float64(m.Total)))
	} else if s.GPUMemory.State == sensors.Failed {
		add("GPU memory", s.GPUMemory.State.String(), nil)
	}
	add("waiting (PSI)", pressure(s.Pressure), nil)
	if throttled := s.Throttled(); len(throttled) > 0 {
		rows = append(rows, []string{"throttling", p.paint(red, strings.Join(throttled, ", "))})
	}
	return rows
}

// pressure is the share of the last 10 seconds in which some tasks waited.
func pressure(p sensors.Pressure) string {
	var parts []string
	for _, of := range []struct {
		name  string
		stall sensors.Stall
	}{{"CPU", p.CPU}, {"memory", p.Memory}, {"I/O", p.IO}} {
		if some, ok := of.stall.Some.Get(); ok {
			parts = append(parts, fmt.Sprintf("%s %.1f%%", of.name, float64(some)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + " of the last 10 s"
}

// lacking are the kinds of sensors that this machine has not. Nothing is said of a kind
// that something tells of which fails.
func lacking(s control.Sensors) [][]string {
	_, hasMode := s.PowerMode.Get()
	_, hasEMC := s.EMC.Get()
	_, hasPressure := s.Pressure.CPU.Some.Get()
	rows := [][]string{{"ABSENT", "WHY"}}
	for _, kind := range []struct {
		there     bool
		sources   []string // as their names begin
		name, why string
	}{
		{len(s.Zones) > 0, []string{"thermal", "hwmon", "nvidia"}, "thermal zones", "the kernel shows none"},
		{len(s.Cooling) > 0, []string{"cooling"}, "cooling devices", "the kernel shows none"},
		{len(s.Rails) > 0, []string{"hwmon"}, "supply rails", "no power monitor (INA3221, INA238) is there"},
		{len(s.Fans) > 0, []string{"hwmon"}, "fans", "none is told of"},
		{len(s.GPUs) > 0, []string{"gpu", "hwmon", "nvidia"}, "GPUs", "none is there, or none has been used yet"},
		{s.GPUMemory.State != sensors.Absent, []string{"nvmap", "nvidia"}, "memory of GPUs", "neither nvmap, which only root may ask, nor nvidia-smi tells"},
		{len(s.CPUClocks) > 0, []string{"cpufreq"}, "clocks of CPUs", "this kernel has no cpufreq"},
		{hasEMC || !s.Board.Jetson(), []string{"emc"}, "memory clock (EMC)", "only root may ask for it"},
		{len(s.OverCurrent) > 0 || !s.Board.Jetson(), []string{"hwmon"}, "over-current counters", "this release has none"},
		{hasMode || !s.Board.Jetson(), []string{"nvpmodel"}, "power mode", "nvpmodel is not installed"},
		{s.Memory.SwapTotal > 0 || s.Memory.State != sensors.OK, nil, "swap", "there is none"},
		{hasPressure, []string{"pressure"}, "waiting (PSI)", "this kernel does not tell"},
	} {
		if !kind.there && !s.Fails(kind.sources...) {
			rows = append(rows, []string{kind.name, kind.why})
		}
	}
	return rows
}

// joined puts together what there is.
func joined(facts ...string) string {
	var there []string
	for _, fact := range facts {
		if fact != "" {
			there = append(there, fact)
		}
	}
	return strings.Join(there, ", ")
}

// told is a value as text.
func told[T fmt.Stringer](v sensors.Value[T]) string {
	if v, ok := v.Get(); ok {
		return v.String()
	}
	return unknown
}

// counted is a number with its unit.
func counted(v sensors.Value[int64], unit string) string {
	if n, ok := v.Get(); ok {
		return strconv.FormatInt(n, 10) + unit
	}
	return unknown
}

// watts is power, in mW where it is little.
func watts(v sensors.Value[quantity.Milliwatts]) string {
	p, ok := v.Get()
	switch {
	case !ok:
		return unknown
	case p > -1000 && p < 1000:
		return strconv.FormatInt(int64(p), 10) + " mW"
	}
	return p.String()
}

// numbers writes ascending numbers as the kernel does: "0-3,8".
func numbers(list []int) string {
	var parts []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		part := strconv.Itoa(list[i])
		if j > i {
			part += "-" + strconv.Itoa(list[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}
