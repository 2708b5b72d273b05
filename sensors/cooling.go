package sensors

import "strings"

// Cooling is one cooling device of the kernel: a fan, or a way of slowing down.
type Cooling struct {
	Type  string       `json:"type"`  // "pwm-fan", "cpu-throttle-alert", "Processor"
	Path  string       `json:"path"`  // its directory
	Level Value[int64] `json:"level"` // how much it cools now, 0 to Most
	Most  Value[int64] `json:"most"`
}

// Throttling says whether this is how the hardware of a Jetson tells that it slows
// itself down, and it does.
func (c Cooling) Throttling() bool {
	return c.Level.V > 0 && strings.HasSuffix(c.Type, "-throttle-alert")
}

// coolingFamily is the kernel's cooling devices
// (Documentation/driver-api/thermal/sysfs-api.rst).
func coolingFamily(fs FS, read reader) *family {
	return newMembers("cooling",
		func() ([]string, error) { return fs.numbered("sys/class/thermal", "cooling_device") },
		func(dir string, known Cooling) (Cooling, error) {
			a := attributes{read: read, dir: dir}
			c := Cooling{Type: a.text("type").V, Path: dir, Level: a.number("cur_state"), Most: a.number("max_state")}
			if c.Level.V < 0 {
				c.Level = Value[int64]{} // how a driver says that it is idle (intel_powerclamp)
			}
			return c, a.err
		},
		func(r *Reading, dir string, c Cooling, err error) {
			if silent(err) {
				c = Cooling{c.Type, dir, Value[int64]{State: Failed}, lost(c.Most)}
			}
			r.Cooling = append(r.Cooling, c)
		})
}
