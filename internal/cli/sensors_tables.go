package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"brainjar/internal/control"
	"brainjar/internal/quantity"
	"brainjar/sensors"
)

// zones are the thermometers.
func (p *picture) zones(s control.Sensors) [][]string {
	rows := [][]string{p.head("ZONE", "TEMPERATURE", "COUNTS", "TRIPS")}
	for _, z := range s.Zones {
		value, colour, filled := z.State.String(), "", (*float64)(nil)
		switch z.State {
		case sensors.OK:
			value = z.Temperature.String()
			critical, ok := z.Trip("critical")
			if !ok {
				critical.Temperature = 100
			}
			filled = share(float64(z.Temperature)-20, float64(critical.Temperature)-20) // from a cool room on
			if passive, ok := z.Trip("passive"); ok && z.Temperature >= passive.Temperature {
				colour = red
			}
		case sensors.Failed:
			colour = red
		}
		if colour != "" {
			value = p.paint(colour, value)
		}
		counts := unknown
		if slices.Contains(s.ThermalZones, z.Name) {
			counts = "yes"
		}
		row := p.withCourse([]string{z.Name, value}, "zone "+z.Name, filled)
		rows = append(rows, append(row, counts, trips(z)))
	}
	return rows
}

// trips are the temperatures in °C at which the kernel acts, the lowest first.
func trips(z sensors.Zone) string {
	list := slices.Clone(z.Trips)
	slices.SortStableFunc(list, func(a, b sensors.Trip) int {
		switch {
		case a.Temperature < b.Temperature:
			return -1
		case a.Temperature > b.Temperature:
			return 1
		}
		return 0
	})
	var parts []string
	for _, trip := range list {
		parts = append(parts, printable(trip.Type)+" "+strconv.FormatFloat(float64(trip.Temperature), 'f', -1, 64))
	}
	if z.Disabled {
		parts = append(parts, "the kernel does not act")
	}
	return strings.Join(parts, ", ")
}

// cooling are the kernel's cooling devices; those that are alike are counted.
func (p *picture) cooling(devices []sensors.Cooling) [][]string {
	rows := [][]string{{"COOLING", "LEVEL"}}
	for i := 0; i < len(devices); {
		c, n := devices[i], 1
		for i+n < len(devices) && devices[i+n].Type == c.Type && devices[i+n].Level == c.Level && devices[i+n].Most == c.Most {
			n++
		}
		i += n
		name := c.Type
		if n > 1 {
			name += fmt.Sprintf(" (%d)", n)
		}
		level := counted(c.Level, "")
		if _, ok := c.Most.Get(); ok {
			level += " of " + counted(c.Most, "")
		}
		if c.Throttling() {
			level = p.paint(red, level+", throttling")
		}
		rows = append(rows, []string{name, level})
	}
	return rows
}

// rails are what the board takes, and where.
func (p *picture) rails(s control.Sensors) [][]string {
	rows := [][]string{p.head("RAIL", "POWER", "VOLTAGE", "CURRENT")}
	if len(s.Rails) == 0 {
		return nil
	}
	most := int64(1)
	for _, r := range s.Rails {
		most = max(most, int64(r.Power.V))
	}
	most = max(most, int64(s.Power.Power.V))
	add := func(name string, power sensors.Value[quantity.Milliwatts], more ...string) {
		var filled *float64
		if v, ok := power.Get(); ok {
			filled = share(float64(v), float64(most))
		}
		rows = append(rows, append(p.withCourse([]string{name, watts(power)}, "rail "+name, filled), more...))
	}
	add("total ("+s.Power.From+")", s.Power.Power)
	for _, r := range s.Rails {
		add(r.Name, r.Power, counted(r.Millivolts, " mV"), counted(r.Milliamps, " mA"))
	}
	return rows
}

func fans(list []sensors.Fan) [][]string {
	rows := [][]string{{"FAN", "DUTY", "SPEED"}}
	for _, f := range list {
		rows = append(rows, []string{f.Name, told(f.Duty), counted(f.RPM, " rpm")})
	}
	return rows
}

func (p *picture) gpus(list []sensors.GPU) [][]string {
	rows := [][]string{p.head("GPU", "LOAD", "CLOCK", "FROM - TO", "TEMPERATURE", "POWER", "MEMORY")}
	for _, g := range list {
		var filled *float64
		if load, ok := g.Load.Get(); ok {
			filled = share(float64(load), 100)
		}
		memory := unknown
		if used, ok := g.MemoryUsed.Get(); ok {
			memory = used.String() + " of " + told(g.MemoryTotal)
		}
		row := p.withCourse([]string{g.Name, told(g.Load)}, "gpu "+g.Path, filled)
		rows = append(rows, append(row, told(g.Clock), between(g.ClockMin, g.ClockMax), told(g.Temperature), watts(g.Power), memory))
	}
	return rows
}

// between is the range of a clock.
func between(low, high sensors.Value[quantity.Hertz]) string {
	if low.State != sensors.OK && high.State != sensors.OK {
		return unknown
	}
	return told(low) + " - " + told(high)
}

func cpuClocks(list []sensors.CPUClock) [][]string {
	rows := [][]string{{"CPUS", "CLOCK", "FROM - TO"}}
	for _, c := range list {
		cpus := c.Policy + ", all switched off"
		if on, ok := c.CPUs.Get(); ok {
			cpus = numbers(on)
		}
		rows = append(rows, []string{cpus, told(c.Clock), between(c.Min, c.Max)})
	}
	return rows
}

// overCurrent are the counters of moments in which the supply was overloaded.
func overCurrent(s control.Sensors) [][]string {
	rows := [][]string{{"OVER-CURRENT", "SINCE BOOT", "NOW"}}
	for _, o := range s.OverCurrent {
		rate := unknown
		if recent, ok := o.Recent.Get(); ok && s.Interval > 0 {
			rate = strconv.FormatFloat(float64(recent)/s.Interval, 'f', 1, 64) + "/s"
		}
		rows = append(rows, []string{o.Name, counted(o.Events, ""), rate})
	}
	return rows
}

// gpuMemory is who uses memory of GPUs.
func gpuMemory(s control.Sensors) [][]string {
	rows := [][]string{{"PID", "PROCESS", "GPU MEMORY", "EXPERIMENT"}}
	for _, c := range s.GPUMemory.Clients {
		pid := strconv.Itoa(c.PID)
		if c.PID == 0 {
			pid = "kernel"
		}
		experiment := s.GPUExperiments[c.PID]
		if experiment == "" {
			experiment = unknown
		}
		rows = append(rows, []string{pid, printable(c.Process), told(c.Used), experiment})
	}
	return rows
}
