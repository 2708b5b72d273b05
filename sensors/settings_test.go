package sensors

import (
	"encoding/json"
	"testing"

	"brainjar/sensors/sensorstest"
)

// How the boards are set: power mode and clocks of Jetsons, nothing of others, and a
// program that fails is a problem.
func TestSettings(t *testing.T) {
	const failing = "#!/bin/sh\necho NVPM ERROR: no config >&2\nexit 1\n"
	for _, test := range []struct {
		name, tree, want string
		problems         int
	}{
		{"a PC", "[proc]\nversion = Linux", `{"power_mode":null,"jetson_clocks":null}`, 0},
		{"no nvpmodel", "[proc/device-tree]\ncompatible = nvidia,tegra234\\0", `{"power_mode":null,"jetson_clocks":null}`, 0},
		{"nvpmodel fails", "[proc/device-tree]\ncompatible = nvidia,tegra234\\0\n[usr/sbin]\nnvpmodel = <<\n" + failing + ">>", `{"power_mode":null,"jetson_clocks":null}`, 1},
		{"pinned", jetsonWith("1300500000"), `{"power_mode":{"number":2,"name":"MODE_30W"},"jetson_clocks":true}`, 0},
		{"free", jetsonWith("306000000"), `{"power_mode":{"number":2,"name":"MODE_30W"},"jetson_clocks":false}`, 0},
	} {
		s, problems := FS(sensorstest.Tree(t, test.tree)).Settings(t.Context())
		text, err := json.Marshal(s)
		if err != nil || string(text) != test.want || len(problems) != test.problems {
			t.Errorf("%s: %s %v %v, want %s", test.name, text, problems, err, test.want)
		}
	}
}

// jetsonWith is an Orin whose GPU's clock has a floor, and a ceiling of 1300.5 MHz.
func jetsonWith(floor string) string {
	return "[proc/device-tree]\ncompatible = nvidia,tegra234\\0\n" +
		"[usr/sbin]\nnvpmodel = <<\n#!/bin/sh\necho NV Power Mode: MODE_30W\necho 2\n>>\n" +
		"[sys/class/devfreq/17000000.gpu]\nmin_freq = " + floor + " | max_freq = 1300500000\n" +
		"[sys/class/devfreq/17000000.gpu/device/of_node]\nname = ga10b\\0\n"
}
