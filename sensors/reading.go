package sensors

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"brainjar/internal/quantity"
)

// Reading is all that the machine felt in one interval. It is a value: nobody
// changes it after it was handed out. Lists are in the order of the kernel's
// numbers, and empty where the machine has none of it.
type Reading struct {
	At     time.Time `json:"at"` // when the sources were asked
	Board  Board     `json:"board"`
	CPU    CPU       `json:"cpu"`
	Memory Memory    `json:"memory"`
	Disk   Disk      `json:"disk"`
	Zones  []Zone    `json:"zones,omitempty"`

	// EverHadZone says that a zone was found in this reading or in an earlier
	// one, or that looking for them failed. Without a zone that can be read, it
	// tells a machine that is blind from one that has no thermometer.
	EverHadZone bool `json:"ever_had_zone"`

	Cooling     []Cooling     `json:"cooling,omitempty"`
	OverCurrent []OverCurrent `json:"over_current,omitempty"`
	Fans        []Fan         `json:"fans,omitempty"`
	Rails       []Rail        `json:"rails,omitempty"`
	Power       BoardPower    `json:"power"`

	GPUs        []GPU                 `json:"gpus,omitempty"`
	GPUMemory   GPUMemory             `json:"gpu_memory"`
	CPUClocks   []CPUClock            `json:"cpu_clocks,omitempty"`
	OfflineCPUs Value[[]int]          `json:"offline_cpus"` // numbers of the CPUs that exist and are switched off
	EMC         Value[quantity.Hertz] `json:"emc_hertz"`    // clock of the memory controller, on Jetsons, for root
	Pressure    Pressure              `json:"pressure"`

	// Problems are the sources that failed, in the order in which they were
	// asked.
	Problems []Problem `json:"problems,omitempty"`

	unknownChip bool // a chip failed before it told what it is: there may be more rails
}

// Throttled returns the types of the cooling devices through which the hardware
// of a Jetson says that it slows itself down at this moment.
func (r Reading) Throttled() []string {
	var types []string
	for _, c := range r.Cooling {
		if c.Throttling() {
			types = append(types, c.Type)
		}
	}
	return types
}

// Fails reports whether a source could not be read whose name begins with one of these.
func (r Reading) Fails(sources ...string) bool {
	return slices.ContainsFunc(r.Problems, func(p Problem) bool {
		return slices.ContainsFunc(sources, func(begin string) bool { return strings.HasPrefix(p.Source, begin) })
	})
}

// Problem is a source that could not be read.
type Problem struct {
	Source string // "memory", "thermal_zone3"
	Err    error
	Since  time.Time // the first reading in a row in which it failed
}

// problemJSON is a Problem as it travels.
type problemJSON struct {
	Source string    `json:"source"`
	Error  string    `json:"error"`
	Since  time.Time `json:"since"`
}

// MarshalJSON writes the problem as source, error and since.
func (p Problem) MarshalJSON() ([]byte, error) {
	return json.Marshal(problemJSON{p.Source, p.Err.Error(), p.Since})
}

// UnmarshalJSON reads what MarshalJSON wrote. Of the error its text is left.
func (p *Problem) UnmarshalJSON(text []byte) error {
	var wire problemJSON
	if err := json.Unmarshal(text, &wire); err != nil {
		return err
	}
	*p = Problem{wire.Source, errors.New(wire.Error), wire.Since}
	return nil
}

// CPU is how busy the CPUs were since the reading before. It is Absent in the
// first reading.
type CPU struct {
	State State            `json:"state"`
	Used  quantity.Percent `json:"used_percent"` // 100 is one CPU all of the time: at most 100 times Count
	Count int              `json:"count"`        // CPUs that are online
}

// MarshalJSON leaves out the use of the CPUs that is not known.
func (c CPU) MarshalJSON() ([]byte, error) {
	if c.State != OK {
		return json.Marshal(struct {
			State State `json:"state"`
			Count int   `json:"count"`
		}{c.State, c.Count})
	}
	type plain CPU
	return json.Marshal(plain(c))
}

// Memory is the machine's memory in bytes. On a Jetson it is the GPU's too.
type Memory struct {
	State     State          `json:"state"`
	Total     quantity.Bytes `json:"total"`     // MemTotal
	Available quantity.Bytes `json:"available"` // MemAvailable: what can be had without swapping
	SwapTotal quantity.Bytes `json:"swap_total"`
	SwapFree  quantity.Bytes `json:"swap_free"`
}

// MarshalJSON leaves out the amounts that are not known.
func (m Memory) MarshalJSON() ([]byte, error) {
	if m.State != OK {
		return json.Marshal(struct {
			State State `json:"state"`
		}{m.State})
	}
	type plain Memory
	return json.Marshal(plain(m))
}

// Disk is the space of the file system that holds a path, in bytes.
type Disk struct {
	State     State          `json:"state"`
	Path      string         `json:"path"`
	Total     quantity.Bytes `json:"total"`
	Available quantity.Bytes `json:"available"` // to those who are not root
}

// MarshalJSON leaves out the space that is not known.
func (d Disk) MarshalJSON() ([]byte, error) {
	if d.State != OK {
		return json.Marshal(struct {
			State State  `json:"state"`
			Path  string `json:"path,omitempty"`
		}{d.State, d.Path})
	}
	type plain Disk
	return json.Marshal(plain(d))
}
