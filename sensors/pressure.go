package sensors

import (
	"fmt"
	"strconv"
	"strings"

	"brainjar/internal/quantity"
)

// Pressure is how much of the time tasks wait for what is short
// (Documentation/accounting/psi.rst). Kernels of Jetsons do not tell: nothing may
// depend on it.
type Pressure struct {
	CPU    Stall `json:"cpu"`
	Memory Stall `json:"memory"`
	IO     Stall `json:"io"`
}

// Stall is the share of the last 10 seconds in which tasks waited: some of them, or
// all of them at once.
type Stall struct {
	Some Value[quantity.Percent] `json:"some_percent"`
	Full Value[quantity.Percent] `json:"full_percent"`
}

// pressureSource reads the three files of /proc/pressure.
func pressureSource(fs FS, read reader) *source {
	return newSource("pressure",
		func() (Pressure, error) {
			a := &attributes{read: read, dir: fs.path("proc/pressure")}
			return Pressure{a.stall("cpu"), a.stall("memory"), a.stall("io")}, a.err
		},
		func(r *Reading, p Pressure, err error) {
			if silent(err) {
				for _, s := range []*Stall{&p.CPU, &p.Memory, &p.IO} {
					s.Some, s.Full = lost(s.Some), lost(s.Full)
				}
			}
			r.Pressure = p
		})
}

// stall reads one file of /proc/pressure.
func (a *attributes) stall(name string) Stall {
	text := a.text(name)
	if text.State != OK {
		return Stall{Some: Value[quantity.Percent]{State: text.State}, Full: Value[quantity.Percent]{State: text.State}}
	}
	stall, err := parsePressure(text.V)
	if err != nil {
		failed := Value[quantity.Percent]{State: a.state(fmt.Errorf("cannot read pressure of %s: %w", name, err))}
		return Stall{failed, failed}
	}
	return stall
}

// parsePressure reads lines such as "some avg10=0.22 avg60=0.17 avg300=1.11
// total=58761459". There may be no line "full": kernels before 5.13 have none for
// the CPU.
func parsePressure(text string) (Stall, error) {
	var stall Stall
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " avg10=")
		average, _, found := strings.Cut(rest, " ")
		percent, err := strconv.ParseFloat(average, 64)
		if !found || err != nil || !(percent >= 0 && percent <= 100) {
			return Stall{}, fmt.Errorf("%q is no line of pressure", line)
		}
		switch kind {
		case "some":
			stall.Some = known(quantity.Percent(percent))
		case "full":
			stall.Full = known(quantity.Percent(percent))
		}
	}
	if stall.Some.State != OK {
		return Stall{}, fmt.Errorf("%q has no line \"some\"", text)
	}
	return stall, nil
}
