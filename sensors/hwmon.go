package sensors

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// chip is one chip of the kernel's hwmon class (Documentation/hwmon/sysfs-interface.rst):
// a power monitor, a fan, a thermometer, a counter. It is one source, for its
// values come over one bus.
type chip struct {
	name   string   // of the driver
	layout []string // files of the chip, as they were when it appeared

	zones       []Zone
	inputs      []string // files of the zones
	fans        []Fan
	rails       []Rail
	overCurrent []OverCurrent
	gpus        []GPU
}

// thermometers are the chips whose temperatures are those of what computes. A
// disk's or a network card's is no reason to hold experiments.
var thermometers = []string{"coretemp", "k10temp", "zenpower", "amdgpu", "nouveau"}

// chipFamily is all chips of the hwmon class. Their numbers move between boots, so
// each is known by its name.
func chipFamily(fs FS, read reader) *family {
	chips := newMembers("hwmon",
		func() ([]string, error) { return fs.numbered("sys/class/hwmon", "hwmon") },
		func(dir string, known chip) (chip, error) { return readChip(read, dir, known) },
		func(r *Reading, _ string, c chip, err error) {
			if silent(err) {
				c = c.failed(err)
			}
			if err != nil && c.name == "" { // it never told what it is: a thermometer, rails
				r.EverHadZone, r.unknownChip = true, true
			}
			r.Zones = append(r.Zones, c.zones...)
			r.Fans = append(r.Fans, c.fans...)
			r.Rails = append(r.Rails, c.rails...)
			r.OverCurrent = append(r.OverCurrent, c.overCurrent...)
			r.GPUs = append(r.GPUs, c.gpus...)
		})
	chips.listing.report = func(r *Reading, err error) { r.EverHadZone = r.EverHadZone || err != nil }
	return chips
}

// readChip reads a chip. What it is made of is looked up when it appears, and again
// when its directory has become that of another one.
func readChip(read reader, dir string, known chip) (chip, error) {
	a := &attributes{read: read, dir: dir}
	c := chip{name: a.text("name").V, layout: known.layout}
	if a.err != nil {
		return known.failed(a.err), a.err
	}
	if c.name == "" {
		return chip{}, nil // it is just going, or was never of use
	}
	if c.name != known.name || c.layout == nil {
		known = chip{}
		c.layout = layout(dir)
	}
	switch c.name {
	case "ina3221":
		c.rails = readINA3221(a)
	case "ina238":
		c.rails = readINA238(a)
	case "soctherm_oc":
		c.overCurrent = readOverCurrent(a, known.overCurrent)
	case "amdgpu":
		a.asleep = []error{unix.EPERM} // while the card is powered off (amdgpu_pm.c)
		c.gpus = readAMD(a)
	}
	c.fans = readFans(a, c.name, c.layout)
	if slices.Contains(thermometers, c.name) {
		c.zones, c.inputs = known.zones, known.inputs
		if c.inputs == nil {
			c.zones, c.inputs = findThermometers(a, c.name, c.layout)
		}
		c.zones = readThermometers(a, c.zones, c.inputs)
	}
	return c, a.err
}

// failed is the chip when it does not answer: it still has what it had, and
// nothing of it is known.
func (c chip) failed(err error) chip {
	return chip{
		name: c.name, layout: c.layout, inputs: c.inputs,
		zones:       each(c.zones, func(z Zone) Zone { return z.failed(err) }),
		fans:        each(c.fans, Fan.failed),
		rails:       each(c.rails, Rail.failed),
		overCurrent: each(c.overCurrent, OverCurrent.failed),
		gpus:        each(c.gpus, GPU.failed),
	}
}

// each returns what a function makes of each element of a list.
func each[T any](list []T, change func(T) T) []T {
	changed := make([]T, len(list))
	for i, element := range list {
		changed[i] = change(element)
	}
	return changed
}

// layout returns the names of the files of a chip that are read by their numbers.
// One that cannot be listed has none.
func layout(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	names := []string{} // not nil: it was looked up
	for _, entry := range entries {
		if name := entry.Name(); strings.HasSuffix(name, "_input") || strings.HasPrefix(name, "pwm") || name == "rpm" {
			names = append(names, name)
		}
	}
	return names
}

// numbers returns the N for which a chip has a file such as temp<N>_input.
func numbers(layout []string, before, after string) []int {
	var found []int
	for _, name := range layout {
		if middle, ok := strings.CutPrefix(name, before); ok {
			if digits, ok := strings.CutSuffix(middle, after); ok {
				if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
					found = append(found, int(n))
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

// file is the name of a numbered file of a chip.
func file(before string, n int, after string) string { return before + strconv.Itoa(n) + after }

// readThermometers reads the zones of a chip.
func readThermometers(a *attributes, known []Zone, inputs []string) []Zone {
	zones := slices.Clone(known)
	for i := range zones {
		z := &zones[i]
		value, err := a.read(filepath.Join(a.dir, inputs[i]))
		z.State, z.Temperature, z.Err = Absent, 0, nil
		if err != nil && nothing(err, a.asleep...) {
			continue
		}
		if z.State, z.Temperature, z.Err = temperature(value, err); z.Err != nil {
			a.state(z.Err)
		}
	}
	return zones
}

// findThermometers makes zones of the temperatures of a chip, and says in which
// files they are. What they are called and when the hardware acts on them is read
// once. Where k10temp tells the temperature of the die, its Tctl is that with an
// offset for the fan's sake (Documentation/hwmon/k10temp.rst), and left out.
func findThermometers(a *attributes, name string, layout []string) (zones []Zone, inputs []string) {
	labels := make(map[int]string)
	for _, n := range numbers(layout, "temp", "_input") {
		labels[n] = a.text(file("temp", n, "_label")).V
	}
	hasDie := slices.Contains(slices.Collect(maps.Values(labels)), "Tdie")
	inputs = []string{} // not nil: they were looked for
	for _, n := range slices.Sorted(maps.Keys(labels)) {
		label := labels[n]
		switch {
		case label == "Tctl" && hasDie:
			continue
		case label == "":
			label = file("temp", n, "")
		}
		zone := Zone{Type: name + "-" + strings.ReplaceAll(strings.ToLower(label), " ", "_"), Path: a.dir}
		if trip, err := parseTrip([]byte("critical"), []byte(a.text(file("temp", n, "_crit")).V), []byte("0")); err == nil {
			zone.Trips = []Trip{trip}
		}
		zones, inputs = append(zones, zone), append(inputs, file("temp", n, "_input"))
	}
	return zones, inputs
}
