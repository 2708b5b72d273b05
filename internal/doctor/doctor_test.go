package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/sensors/sensorstest"
	"brainjar/transient"
)

// healthy is a machine on which nothing is to be said against anything.
func healthy() Machine {
	return Machine{
		Root: true,
		Host: transient.Host{Version: 252, Unified: true, Controllers: []string{"cpu", "memory", "pids"}, Devices: true},
		Trials: []transient.Trial{
			{Of: "memory_max", Tried: true, Held: true, Words: "killed"}, {Of: "cpu_quota", Tried: true, Held: true},
			{Of: "devices", Tried: true, Held: true}, {Of: "freeze", Tried: true, Held: true},
		},
		Reading: sensors.Reading{
			Zones:  []sensors.Zone{{Name: "tj-thermal", State: sensors.OK, Temperature: 41}},
			Memory: sensors.Memory{State: sensors.OK, Total: 32 * quantity.GiB, Available: 28 * quantity.GiB},
		},
		Group: true, Synchronised: true,
		State: Place{Path: "/var/lib/brainjar", Exists: true, Free: 9 * quantity.GiB}, Runtime: Place{Path: "/run/brainjar", Free: quantity.GiB},
	}
}

// jetson makes a machine a Jetson.
func jetson(m *Machine) {
	m.Reading.Board = sensors.Board{SoC: sensors.Orin}
	m.GPUDevices = []sensors.Device{{Path: "/dev/nvmap"}}
	m.Reading.Rails = []sensors.Rail{{Name: "VDD_IN"}}
	m.Reading.GPUs = []sensors.GPU{{Name: "ga10b", Path: "/sys/class/devfreq/17000000.ga10b"}}
	m.Reading.GPUMemory.State = sensors.OK
	m.Settings.PowerMode = sensors.Value[sensors.PowerMode]{State: sensors.OK, V: sensors.PowerMode{Number: 2, Name: "MODE_30W"}}
}

// Each thing that can be wrong is said, with its verdict and what to do; nothing else is.
func TestDiagnose(t *testing.T) {
	broken := errors.New("no such luck")
	for _, test := range []struct {
		name  string
		spoil func(*Machine)
		want  string // name, verdict and part of words or hint; "": all is ok
	}{
		{"healthy", func(*Machine) {}, ""},
		{"a healthy Jetson", jetson, ""},
		{"no systemd", func(m *Machine) { m.HostError = broken }, "systemd fail PID 1"},
		{"not root", func(m *Machine) { m.Root, m.HostError = false, fmt.Errorf("dial: %w", fs.ErrPermission) }, "systemd warn sudo"},
		{"old systemd", func(m *Machine) { m.Host.Version = 237 }, "systemd fail 245"},
		{"control groups v1", func(m *Machine) { m.Host.Unified = false }, "systemd warn systemd.unified_cgroup_hierarchy=1"},
		{"control groups v1 of JetPack 5", func(m *Machine) { jetson(m); m.Host.Unified = false }, "systemd warn JetPack 6"},
		{"a limit that does not hold", func(m *Machine) { m.Trials[0].Held = false }, "limit memory_max fail MEMCG"},
		{"a quota that does not hold", func(m *Machine) { m.Trials[1].Held = false }, "limit cpu_quota fail BANDWIDTH"},
		{"devices that open", func(m *Machine) { m.Trials[2].Held = false }, "limit devices fail CGROUP_BPF"},
		{"frozen that run", func(m *Machine) { m.Trials[3].Held = false }, "limit freeze fail cooling"},
		{"a limit that was not tried", func(m *Machine) { m.Trials[0].Tried, m.Trials[0].Held = false, false }, "limit memory_max warn less busy"},
		{"a limit that is not enforced", func(m *Machine) { m.Host.Devices = false; m.Trials[2].Tried = false }, "limit devices warn allow_unenforced"},
		{"leftovers of trials", func(m *Machine) { m.TrialError = broken }, "limits warn list-units"},
		{"no reading", func(m *Machine) { m.ReadingError = broken }, "sensors fail dmesg"},
		{"blind", func(m *Machine) { m.Reading.Zones[0].State = sensors.Failed }, "thermal zones fail none of 1"},
		{"no zone", func(m *Machine) { m.Reading.Zones = nil }, "thermal zones warn overheating"},
		{"no zone answers", func(m *Machine) { m.Reading.Zones, m.Reading.EverHadZone = nil, true }, "thermal zones fail nothing starts"},
		{"no rails", func(m *Machine) { jetson(m); m.Reading.Rails = nil }, "rails warn modprobe -a ina3221"},
		{"no rails that could be read", func(m *Machine) {
			jetson(m)
			m.Reading.Rails, m.Reading.Problems = nil, []sensors.Problem{{Source: "hwmon1", Err: broken}}
		}, "sensor hwmon1 warn dmesg"},
		{"no clock of the GPU", func(m *Machine) { jetson(m); m.Reading.GPUs = nil }, "GPUs warn for the first time"},
		{"no debugfs", func(m *Machine) { jetson(m); m.Reading.GPUMemory.State = sensors.Absent }, "GPU memory warn sys-kernel-debug.mount"},
		{"nobody tells of Thor", func(m *Machine) {
			jetson(m)
			m.Reading.Board.SoC, m.Reading.GPUMemory.State = sensors.Thor, sensors.Absent
		}, ""},
		{"a card without nvidia-smi", func(m *Machine) { m.GPUDevices = []sensors.Device{{Path: "/dev/nvidiactl"}} }, "GPU memory warn install nvidia-smi"},
		{"nvidia-smi is slow", func(m *Machine) {
			m.Reading.Problems = []sensors.Problem{{Source: "nvidia", Err: broken}}
			m.GPUDevices = []sensors.Device{{Path: "/dev/nvidiactl"}}
		},
			"sensor nvidia warn nvidia-smi -pm 1"},
		{"not allowed", func(m *Machine) {
			m.Root, m.Reading.Problems = false, []sensors.Problem{{Source: "nvmap", Err: fs.ErrPermission}}
		}, "sensor nvmap warn sudo"},
		{"a card without its nodes", func(m *Machine) { m.Reading.GPUs = []sensors.GPU{{Name: "amdgpu", Path: "/sys/class/hwmon/hwmon1"}} }, "GPU fail /dev/kfd"},
		{"a GPU of another maker", func(m *Machine) {
			m.Reading.GPUs = []sensors.GPU{{Name: "fb000000.gpu", Path: "/sys/class/devfreq/fb000000.gpu"}}
		}, ""},
		{"a sensor failed", func(m *Machine) { m.Reading.Problems = []sensors.Problem{{Source: "ina", Err: broken}} }, "sensor ina warn no such luck"},
		{"no GPU nodes", func(m *Machine) { jetson(m); m.GPUDevices = nil }, "GPU fail driver"},
		{"GPU asleep", func(m *Machine) { m.GPUError = broken }, "GPU warn no such luck"},
		{"no nvpmodel", func(m *Machine) { jetson(m); m.Settings = sensors.Settings{} }, "power mode warn nvidia-l4t-nvpmodel"},
		{"nvpmodel fails", func(m *Machine) {
			jetson(m)
			m.Settings, m.Unset = sensors.Settings{}, []sensors.Problem{{Source: "nvpmodel", Err: broken}}
		}, "nvpmodel warn luck"},
		{"jetson_clocks", func(m *Machine) {
			jetson(m)
			m.Settings.JetsonClocks = sensors.Value[bool]{State: sensors.OK, V: true}
		}, "jetson_clocks warn --restore"},
		{"memory is taken", func(m *Machine) { m.Reading.Memory.Available = quantity.GiB }, "memory warn ps aux"},
		{"zram", func(m *Machine) { m.Swaps = []string{"/dev/zram0"} }, "swap warn nvzramconfig"},
		{"swap on v2", func(m *Machine) { m.Swaps = []string{"/swapfile"} }, ""},
		{"swap is not known", func(m *Machine) { m.SwapError = broken }, "swap warn luck"},
		{"no brainjar", func(m *Machine) { m.Absent, m.SocketError = true, broken }, "brainjar warn does not run"},
		{"a brainjar that is silent", func(m *Machine) { m.SocketError = broken }, "brainjar warn journalctl"},
		{"no group", func(m *Machine) { m.Group = false }, "group brainjar warn groupadd"},
		{"no state", func(m *Machine) { m.State.Error = broken }, "state directory fail findmnt"},
		{"no runtime", func(m *Machine) { m.Runtime.Error = broken }, "runtime directory fail ls -ld"},
		{"little space", func(m *Machine) { m.State.Free = 500 * quantity.MiB }, "state directory warn make room"},
		{"full", func(m *Machine) { m.State.Free = quantity.MiB }, "state directory fail full"},
		{"clock", func(m *Machine) { m.Synchronised = false }, "clock warn timedatectl"},
		{"no clock", func(m *Machine) { m.ClockError = broken }, "clock warn luck"},
		{"old units", func(m *Machine) { m.OldUnits = []string{"brain-experiment@a.service"} }, "old units fail systemctl disable --now brain-experiment@a.service"},
		{"many old units", func(m *Machine) { m.OldUnits = strings.Fields("a b c d e f g h") }, "old units fail systemctl disable --now a b c d e f g h`"},
		{"old units are not known", func(m *Machine) { m.OldUnitsError = broken }, "old units warn luck"},
	} {
		m := healthy()
		test.spoil(&m)
		var said []string
		worst := OK
		for _, c := range Diagnose(m) {
			if (c.Verdict == OK) != (c.Hint == "") {
				t.Errorf("%s: %+v", test.name, c)
			}
			if c.Verdict != OK && c.Words != "none could be tried without systemd" {
				said = append(said, c.Name+" "+string(c.Verdict)+" "+c.Words+" "+c.Hint)
				worst = c.Verdict
			} else if c.Words == "" && c.Name[:5] != "limit" {
				t.Errorf("%s: %+v", test.name, c)
			}
		}
		if len(said) > 1 || (test.want == "") != (len(said) == 0) {
			t.Errorf("%s: %q is said", test.name, said)
			continue
		}
		if test.want == "" {
			continue
		}
		if strings.Contains(test.want, " fail ") != (worst == Fail) || Worst(Diagnose(m)) != worst {
			t.Errorf("%s: worst is %s", test.name, Worst(Diagnose(m)))
		}
		what, part, _ := strings.Cut(test.want, " "+string(worst)+" ")
		if !strings.HasPrefix(said[0], what+" "+string(worst)) || !strings.Contains(said[0], part) {
			t.Errorf("%s: %q is said, want %q", test.name, said[0], test.want)
		}
	}
}

// Every board that is known is told what it has and what it lacks, with what to do: as it
// is, to somebody else than root, and when all else is broken.
func TestDiagnoseBoards(t *testing.T) {
	broken := errors.New("no such luck")
	for name, want := range map[string]string{
		"agx-orin-jp5":   "11 zones, 5 cooling devices, 4 rails, 2 fans, 1 GPU, GPU load, GPU memory, 3 CPU clocks, 3 over-current counters, memory clock",
		"nothing":        "no zones, cooling devices, rails, fans, GPUs, GPU load, GPU memory, CPU clocks",
		"orin-nano-jp6":  "9 zones, 2 cooling devices, 3 rails, 2 fans, 1 GPU, GPU load, GPU memory, 2 CPU clocks, 3 over-current counters, memory clock",
		"raspberry-pi-5": "1 zone, 1 cooling device, 1 fan, 1 CPU clock; no rails, GPUs, GPU load, GPU memory",
		"thor-jp7":       "5 zones, 1 cooling device, 4 rails, 1 fan, 1 GPU, 1 CPU clock; no GPU load, GPU memory, over-current counters",
		"x86-amd":        "6 zones, 1 fan, 2 GPUs, GPU load; no cooling devices, rails, GPU memory, CPU clocks",
		"x86-desktop":    "9 zones, 2 cooling devices, 2 fans, 1 GPU, GPU load, GPU memory, 1 CPU clock; no rails",
		"xavier-nx-jp5":  "5 zones, 2 cooling devices, 3 rails, 1 fan, 1 GPU, GPU load, GPU memory, 3 CPU clocks, memory clock; no over-current counters",
	} {
		m := healthy()
		machine := sensors.FS(sensorstest.Board(t, name))
		var err error
		if m.Reading, err = (&sensors.Sampler{FS: machine, SourceTimeout: time.Minute}).Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Settings, m.Unset = machine.Settings(t.Context())
		m.GPUDevices, m.GPUError = machine.GPUDevices(t.Context())
		if got := wordsOf(t, m, "sensors"); got != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
		if m.Reading.Board.Jetson() == (wordsOf(t, m, "power mode") == "") {
			t.Errorf("%s: %+v", name, Diagnose(m))
		}
		hinted(t, name, m)
		m.Root = false
		hinted(t, name, m)
		hinted(t, name, Machine{
			Reading: m.Reading, HostError: broken, TrialError: broken, SwapError: broken, Unset: []sensors.Problem{{Source: "clocks", Err: broken}}, GPUError: broken,
			SocketError: broken, State: Place{Error: broken}, Runtime: Place{Error: broken}, ClockError: broken, OldUnitsError: broken,
		})
		hinted(t, name, Machine{Root: true, Reading: sensors.Reading{Board: m.Reading.Board}, Absent: true, Trials: m.Trials, OldUnits: []string{"a"}, OldUnitsError: broken})
	}
	if names, err := sensorstest.Boards(); err != nil || len(names) != 8 {
		t.Errorf("boards are %q, %v", names, err)
	}
}

// wordsOf are the words of a check, "" if it was not made.
func wordsOf(t *testing.T, m Machine, name string) string {
	t.Helper()
	for _, c := range Diagnose(m) {
		if c.Name == name {
			return c.Words
		}
	}
	return ""
}

// hinted looks whether all that is not ok comes with what to do.
func hinted(t *testing.T, name string, m Machine) {
	t.Helper()
	for _, c := range Diagnose(m) {
		if c.Name == "" || c.Verdict == "" || (c.Verdict == OK) != (c.Hint == "") {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// Only a Jetson is told to install packages for one. A GPU on another board may be
// called as a Jetson's is.
func TestDiagnoseMali(t *testing.T) {
	m := healthy()
	machine := sensors.FS(sensorstest.Tree(t, "[proc/device-tree]\ncompatible = radxa,rock-5b\\0rockchip,rk3588\\0\n[sys/class/devfreq/fb000000.gpu]\n"+
		"cur_freq = 300000000 | min_freq = 300000000 | max_freq = 1000000000 | device/of_node/name = gpu\\0\n"))
	var err error
	if m.Reading, err = (&sensors.Sampler{FS: machine, SourceTimeout: time.Minute}).Once(t.Context()); err != nil || len(m.Reading.GPUs) != 1 {
		t.Fatalf("%+v, %v", m.Reading, err)
	}
	if got := wordsOf(t, m, "GPU"); !strings.Contains(got, "`devices` can name them") {
		t.Errorf("%q", got)
	}
	for _, c := range Diagnose(m) {
		if strings.Contains(c.Hint, "l4t") {
			t.Errorf("%+v", c)
		}
	}
}

// An nvidia-smi that is slow is told, with what to do.
func TestDiagnoseSlowNvidiaSMI(t *testing.T) {
	m := healthy()
	machine := sensors.FS(sensorstest.Tree(t, "[proc/driver/nvidia]\nversion = 550\n[usr/bin]\nnvidia-smi = <<\n#!/bin/sh\nexec sleep 1000\n>>\n"))
	var err error
	if m.Reading, err = (&sensors.Sampler{FS: machine, SourceTimeout: 200 * time.Millisecond}).Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := wordsOf(t, m, "sensor nvidia"); !strings.Contains(got, "no answer for ") {
		t.Errorf("%q", got)
	}
	if got := wordsOf(t, m, "sensors"); strings.Contains(got, "GPU") {
		t.Errorf("%q", got)
	}
	hinted(t, "slow", m)
}

// What hangs is left behind, and told; what is not asked for is not there.
func TestAsk(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	if _, err := ask(t.Context(), 1, func(context.Context) (int, error) { <-hang; return 1, nil })(); !errors.Is(err, errSilent) {
		t.Errorf("%v", err)
	}
	if n, err := ask(t.Context(), examineLimit, func(context.Context) (int, error) { return 7, nil })(); n != 7 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}

// What was answered in time counts also if nobody had the time to take it.
func TestAskIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 50 { // a choice between two that are ready is made by chance
			answer := ask(t.Context(), time.Second, func(context.Context) (int, error) { return 7, nil })
			time.Sleep(2 * time.Second)
			if n, err := answer(); n != 7 || err != nil {
				t.Fatalf("%d %v", n, err)
			}
		}
	})
}

func TestPlace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if p := place(dir); !p.Exists || p.Error != nil || p.Free == 0 {
		t.Errorf("%+v", p)
	}
	if p := place(filepath.Join(dir, "not", "yet")); p.Exists || p.Error != nil || p.Free == 0 {
		t.Errorf("%+v", p)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if p := place(path); p.Error == nil {
			t.Errorf("%+v", p)
		}
	}
}

// A machine without a service manager is looked at all the same.
func TestExamine(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	refused := errors.New("refused")
	m := Examine(t.Context(), Options{
		User: true, Group: "there-is-no-such-group", StateDir: t.TempDir(), RuntimeDir: t.TempDir(),
		Ask: func(context.Context) (bool, error) { return true, refused },
	})
	if m.HostError == nil || m.TrialError == nil || m.Group || !m.Absent || !errors.Is(m.SocketError, refused) || m.Reading.Memory.State != sensors.OK || m.State.Error != nil {
		t.Errorf("%+v", m)
	}
	if Worst(Diagnose(m)) != Fail {
		t.Error("without a service manager nothing is wrong")
	}
}
