package sensors

import (
	"strconv"

	"brainjar/internal/quantity"
)

// Fan is one fan, or one half of it: on Jetsons the chip that drives a fan and the
// one that counts its turns are two.
type Fan struct {
	Name string                  `json:"name"` // of the driver; with a number after it where it has several
	Duty Value[quantity.Percent] `json:"duty_percent"`
	RPM  Value[int64]            `json:"rpm"`
}

// failed is the fan when its chip does not answer.
func (f Fan) failed() Fan { return Fan{Name: f.Name, Duty: lost(f.Duty), RPM: lost(f.RPM)} }

const (
	fullDuty = 255 // of pwm<N>
	mostRPM  = 100_000
)

// readFans reads the fans of a chip: pwm<N> is what drives them, fan<N>_input how
// fast they turn. Jetson's tachometer has a single file rpm.
func readFans(a *attributes, name string, layout []string) []Fan {
	var fans []Fan
	find := func(n int) *Fan {
		of := name
		if n > 1 {
			of += "-" + strconv.Itoa(n)
		}
		for i := range fans {
			if fans[i].Name == of {
				return &fans[i]
			}
		}
		fans = append(fans, Fan{Name: of})
		return &fans[len(fans)-1]
	}
	for _, n := range numbers(layout, "pwm", "") {
		duty := a.within(file("pwm", n, ""), a.number(file("pwm", n, "")), 0, fullDuty)
		find(n).Duty = as(duty, func(d int64) quantity.Percent { return quantity.Percent(d*1000/fullDuty) / 10 })
	}
	for _, n := range numbers(layout, "fan", "_input") {
		find(n).RPM = a.within(file("fan", n, "_input"), a.number(file("fan", n, "_input")), 0, mostRPM)
	}
	for _, file := range layout {
		if file == "rpm" {
			find(1).RPM = a.within(file, a.number(file), 0, mostRPM)
		}
	}
	return fans
}
