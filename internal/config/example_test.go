package config

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"brainjar/internal/quantity"
)

const exampleFile = "../../config.toml.example"

// TestExampleMeansWhatItSays loads the example as it is.
func TestExampleMeansWhatItSays(t *testing.T) {
	c, err := Load(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	want := "amnesiac_001 isolation_001 unstable_001 dialogue_host dialogue_guest panopticon_001 " +
		"capacity.1b.2048 capacity.1b.8192 capacity.3b.2048 capacity.3b.8192 capacity.8b.2048 capacity.8b.8192 " +
		"capacity_report empath_001 castaway_001 notebook"
	if got := ids(c.Experiments); got != want {
		t.Errorf("experiments are\n%s, want\n%s", got, want)
	}
	if s := c.Supervisor; s.MaxConcurrent != 4 || s.MemoryBudget != 48*quantity.GiB || s.StopTimeout != 30*time.Second ||
		s.Breaker != (Breaker{3, time.Minute}) || s.KeepOrphans {
		t.Errorf("supervisor is %+v", s)
	}
	if h := c.Thermal; !h.Enabled || h.Throttle != 72 || h.Resume != 66 || h.Critical != 84 || h.Interval != 2*time.Second ||
		!slices.Equal(h.Zones, []string{"tj-therm*", "cpu-therm*", "gpu-therm*"}) {
		t.Errorf("thermal is %+v", h)
	}
	if m := c.Memory; m != (Memory{3 * quantity.GiB, quantity.GiB, 5 * time.Second}) {
		t.Errorf("memory is %+v", m)
	}
	e, err := c.FromTemplate("mirror_007", "")
	if err != nil || e.CommandFor(1, 0)[4] != "experiments/configs/mirror_007.json" || e.MemoryMax != 6*quantity.GiB {
		t.Errorf("template makes %+v (%v)", e, err)
	}
}

func TestExampleExperiments(t *testing.T) {
	c, err := Load(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	get := func(id string) *Experiment {
		t.Helper()
		e, ok := c.Experiment(id)
		if !ok {
			t.Fatalf("there is no %s", id)
		}
		return e
	}
	a := get("amnesiac_001")
	if got := a.CommandFor(1, 0); got[0] != "/opt/brain-in-jar/venv/bin/python3" || got[4] != "experiments/configs/amnesiac_001.json" {
		t.Errorf("command of amnesiac_001 is %q", got)
	}
	if got, want := a.EnvironmentFor(7, 0), []string{"LAB_RUN=amnesiac_001-7", "OMP_NUM_THREADS=4", "WIPE_EVERY_TURNS=12"}; !slices.Equal(got, want) {
		t.Errorf("environment of amnesiac_001 is %q, want %q", got, want)
	}
	if a.MemoryMax != 8*quantity.GiB || a.CPUQuota != 400 || a.Priority != 10 || a.CheckpointSignal != syscall.SIGUSR1 ||
		a.StopTimeout != 30*time.Second || a.LogRate != (LogRate{2000, 30 * time.Second}) || !a.Autostart {
		t.Errorf("amnesiac_001 is %+v", a)
	}
	if e := get("isolation_001"); e.Sandbox != SandboxStrict || e.RuntimeMax != 24*time.Hour {
		t.Errorf("isolation_001 is %+v", e)
	}
	if r := get("unstable_001").Restart; r.MaxRestarts != 10 || r.Delay != 10*time.Second || r.MaxDelay != 10*time.Minute || r.Factor != 2 {
		t.Errorf("restart of unstable_001 is %+v", r)
	}
	if e := get("dialogue_host"); e.Ready != ReadyNotify || e.ReadyTimeout != 15*time.Minute || e.Watchdog != 2*time.Minute {
		t.Errorf("dialogue_host is %+v", e)
	}
	if got := get("dialogue_guest").After; !slices.Equal(got, []Dependency{{"dialogue_host", Started}}) {
		t.Errorf("dialogue_guest waits for %v", got)
	}
	if e := get("panopticon_001"); len(e.After) != 2 || e.Restart.Policy != RestartAlways || e.CPUWeight != 20 || e.WritablePaths[0] != "/srv/lab/transcripts" {
		t.Errorf("panopticon_001 is %+v", e)
	}
	if got := get("capacity.3b.8192"); got.CommandFor(1, 0)[6] != "llama-3b" || got.Description != "a 3b model that remembers 8192 tokens" {
		t.Errorf("capacity.3b.8192 is %+v", got)
	}
	if got := get("capacity_report").After; len(got) != 6 || got[5] != (Dependency{"capacity.8b.8192", Ended}) {
		t.Errorf("capacity_report waits for %v", got)
	}
	if e := get("empath_001"); e.Autostart || e.Devices[0] != (Device{"/dev/ttyUSB0", "rw"}) || e.StopSignal != syscall.SIGINT || !slices.Equal(e.CPUs, []int{4, 5, 6, 7}) {
		t.Errorf("empath_001 is %+v", e)
	}
	if e := get("castaway_001"); e.RuntimeMax != 7*24*time.Hour || e.After[0] != (Dependency{"isolation_001", Succeeded}) || e.TasksMax != 128 {
		t.Errorf("castaway_001 is %+v", e)
	}
	if e := get("notebook"); e.Kind != Scope || e.User != "lab" || e.Sandbox != SandboxOff {
		t.Errorf("notebook is %+v", e)
	}
}

var setting = regexp.MustCompile(`^#([a-z_]+) *= *(.*?)(?: {2,}#.*)?$`)

// TestExampleShowsEverything makes every setting that the example only shows:
// that must be a right configuration too, and must use every key there is.
func TestExampleShowsEverything(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if setting.MatchString(line) {
			lines[i] = strings.TrimPrefix(line, "#")
		} else if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") && line != "#" {
			t.Errorf("line %d is neither explanation nor a setting: %s", i+1, line)
		}
	}
	all := []byte(strings.Join(lines, "\n"))
	_, err = load(exampleFile, all)
	var wrong Errors
	if errors.As(err, &wrong) {
		t.Fatalf("with every setting made:\n%v", err)
	}
	_, keys, _ := parseDocument(exampleFile, all)
	used := make(map[string]bool)
	for _, e := range keys {
		switch e.name {
		case "experiments":
			for _, experiment := range e.value.(table) {
				collect(used, "", experiment.value.(table))
			}
		case "defaults", "template":
			collect(used, "", e.value.(table))
		default:
			collect(used, "", table{e})
		}
	}
	for _, name := range allKeys() {
		if !used[name] {
			t.Errorf("%s is not in the example", name)
		}
	}
}

// collect gathers the names of the keys in a table, as the schema has them.
func collect(used map[string]bool, prefix string, from table) {
	for _, e := range from {
		used[prefix+e.name] = true
		if inner, ok := e.value.(table); ok {
			collect(used, prefix+e.name+".", inner)
		}
	}
}

// TestExampleShowsDefaults: where the example shows a setting of the first
// tables that is not made, it shows the default.
func TestExampleShowsDefaults(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	initial := initials()
	compared, prefix := 0, ""
	for i, line := range strings.Split(string(text), "\n") {
		if header, ok := strings.CutPrefix(line, "["); ok {
			table := strings.TrimSuffix(header, "]")
			prefix = strings.TrimPrefix(strings.TrimPrefix(table, "defaults")+".", ".")
			if strings.HasPrefix(table, "experiments") {
				break
			}
		}
		m := setting.FindStringSubmatch(line)
		if m == nil || initial[prefix+m[1]] == "" {
			continue
		}
		compared++
		if want := initial[prefix+m[1]]; m[2] != want {
			t.Errorf("line %d shows %s = %s, the default is %s", i+1, prefix+m[1], m[2], want)
		}
	}
	if compared < 25 {
		t.Errorf("only %d defaults were compared", compared)
	}
}
