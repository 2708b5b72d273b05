package transient

import (
	"strings"
	"testing"
)

// The machines that matter: what is known of them is in their names.
var (
	systemControllers = []string{"cpu", "cpuset", "io", "memory", "pids"}

	jetpack5  = Host{Version: 245, Controllers: []string{"cpu", "cpuset", "blkio", "memory", "pids", "devices"}, Devices: true}
	jetpack6  = Host{Version: 249, Unified: true, Controllers: systemControllers, Devices: true}
	debian11  = Host{Version: 247, Unified: true, Controllers: systemControllers, Devices: true}
	debian12  = Host{Version: 252, Unified: true, Controllers: systemControllers, Devices: true}
	hybrid252 = Host{Version: 252, Controllers: jetpack5.Controllers, Devices: true}
	debian13  = Host{Version: 257, Unified: true, Controllers: systemControllers, Devices: true}
	user252   = Host{Version: 252, User: true, Unified: true, Controllers: []string{"cpu", "memory", "pids"}, Devices: true}
	user249   = Host{Version: 249, User: true, Unified: true, Controllers: []string{"memory", "pids"}, Devices: true}
)

func TestUnenforced(t *testing.T) {
	tests := []struct {
		name    string
		host    Host
		limits  string // names
		because string // part of the reason; "" if the host can
	}{
		{"JetPack 5", jetpack5, "memory_max cpu_quota cpu_weight tasks_max devices", ""},
		{"JetPack 5", jetpack5, "memory_high memory_swap_max cpus io_weight", "control groups v1"},
		{"JetPack 6", jetpack6, "memory_max memory_high memory_swap_max cpu_quota cpu_weight cpus io_weight tasks_max devices", ""},
		{"user manager", user252, "memory_max memory_high memory_swap_max cpu_quota cpu_weight tasks_max", ""},
		{"user manager", user252, "cpus", "no control over the cpuset controller"},
		{"user manager", user252, "io_weight", "no control over the io controller"},
		{"user manager", user252, "devices", "user's service manager cannot restrict devices"},
		{"old user manager", user249, "cpu_quota cpu_weight", "the user's service manager has no control over the cpu controller"},
		{"kernel without memory controller", Host{Version: 252, Unified: true, Controllers: []string{"cpu"}}, "memory_max", "systemd has no control over the memory"},
		{"kernel without BPF", Host{Version: 252, Unified: true}, "devices", "no BPF"},
		{"v1 without devices", Host{Version: 245}, "devices", "no devices controller"},
		{"a slip of the pen", debian12, "memory", "not a limit"},
	}
	for _, test := range tests {
		for _, limit := range strings.Fields(test.limits) {
			t.Run(test.name+" "+limit, func(t *testing.T) {
				got := test.host.Unenforced(limit)
				if (got == "") != (test.because == "") || !strings.Contains(got, test.because) {
					t.Errorf("Unenforced(%q) = %q, want something with %q", limit, got, test.because)
				}
			})
		}
	}
}

// TestOrderedBefore: experiments are ordered before the target that stands between them
// and brainjar, or, where that is not in use, before brainjar itself.
func TestOrderedBefore(t *testing.T) {
	for target, want := range map[bool]string{true: "brainjar-experiments.target", false: "brainjar.service"} {
		if got := (Host{Target: target}).orderedBefore(); got != want {
			t.Errorf("target %v: %q", target, got)
		}
	}
}
