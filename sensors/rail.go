package sensors

import (
	"strings"

	"brainjar/internal/quantity"
)

// Rail is one supply of the board, as a power monitor on it measures.
type Rail struct {
	Name       string                     `json:"name"` // "VDD_IN", "VDD_GPU_SOC"
	Millivolts Value[int64]               `json:"millivolts"`
	Milliamps  Value[int64]               `json:"milliamps"`
	Power      Value[quantity.Milliwatts] `json:"milliwatts"` // around 0 a chip may say less than 0
}

// failed is the rail when its chip does not answer.
func (r Rail) failed() Rail {
	return Rail{Name: r.Name, Millivolts: lost(r.Millivolts), Milliamps: lost(r.Milliamps), Power: lost(r.Power)}
}

// Beyond these, what a power monitor says is no value of a board.
const (
	mostMillivolts = 100_000
	mostMilliamps  = 1_000_000
	mostMicrowatts = 10_000_000_000
)

// readINA3221 reads the three channels of a power monitor INA3221
// (Documentation/hwmon/ina3221.rst). Its in4 to in7 and curr4 are voltages of
// shunts and sums, no rails. A channel is a rail if the device tree gives it a
// name; NC is not connected.
func readINA3221(a *attributes) []Rail {
	var rails []Rail
	for n := 1; n <= 3; n++ {
		name := a.text(file("in", n, "_label"))
		switch {
		case name.State == Failed:
			name.V = file("in", n, "")
		case name.V == "" || strings.EqualFold(name.V, "NC"):
			continue
		}
		rail := Rail{Name: name.V, Millivolts: a.millivolts(n), Milliamps: a.milliamps(n)}
		rail.Power = Value[quantity.Milliwatts]{State: worse(rail.Millivolts.State, rail.Milliamps.State)}
		if rail.Power.State == OK {
			rail.Power.V = quantity.Milliwatts(rail.Millivolts.V * rail.Milliamps.V / 1000)
		}
		rails = append(rails, rail)
	}
	return rails
}

// readINA238 reads a power monitor INA238 (Documentation/hwmon/ina238.rst), as
// Thor has at its input. in0 is its shunt.
func readINA238(a *attributes) []Rail {
	name := a.text("label")
	if name.V == "" {
		name.V = "ina238"
	}
	const power = "power1_input" // µW
	return []Rail{{
		Name:       name.V,
		Millivolts: a.millivolts(1),
		Milliamps:  a.milliamps(1),
		Power: as(a.within(power, a.number(power), -mostMicrowatts, mostMicrowatts),
			func(microwatts int64) quantity.Milliwatts { return quantity.Milliwatts(microwatts / 1000) }),
	}}
}

func (a *attributes) millivolts(n int) Value[int64] {
	name := file("in", n, "_input")
	return a.within(name, a.number(name), -mostMillivolts, mostMillivolts)
}

func (a *attributes) milliamps(n int) Value[int64] {
	name := file("curr", n, "_input")
	return a.within(name, a.number(name), -mostMilliamps, mostMilliamps)
}

// worse is the state of what is made of two values.
func worse(a, b State) State {
	switch {
	case a == Failed || b == Failed:
		return Failed
	case a == Absent || b == Absent:
		return Absent
	}
	return OK
}

// BoardPower is what the whole board takes.
type BoardPower struct {
	Power Value[quantity.Milliwatts] `json:"milliwatts"`
	From  string                     `json:"from,omitempty"` // the rail that tells it, or "sum of rails"
}

// sumOfRails is where the total comes from that no rail tells.
const sumOfRails = "sum of rails"

// boardPower finds the board's total among its rails. Where one measures the
// board's input, the others are inside of it: adding them would count twice.
// Else it is their sum, which is known only if each of them is: one that is not
// measured does not take nothing.
func boardPower(rails []Rail) BoardPower {
	for _, input := range []string{"VDD_IN", "VIN"} {
		for _, rail := range rails {
			if rail.Name == input {
				return BoardPower{rail.Power, input}
			}
		}
	}
	if len(rails) == 0 {
		return BoardPower{}
	}
	total, state := quantity.Milliwatts(0), OK
	for _, rail := range rails {
		state = worse(state, rail.Power.State)
		total += rail.Power.V
	}
	if state != OK {
		total = 0
	}
	return BoardPower{Value[quantity.Milliwatts]{state, total}, sumOfRails}
}
