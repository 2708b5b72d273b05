package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"brainjar/internal/quantity"
)

const minimal = "[defaults]\ncommand = [\"true\"]\nmemory_max = \"1G\"\n"

func ids(experiments []*Experiment) string {
	var ids []string
	for _, e := range experiments {
		ids = append(ids, e.ID)
	}
	return strings.Join(ids, " ")
}

func TestMergeOrder(t *testing.T) {
	c := mustLoad(t, `
[supervisor]
stop_timeout = "20s"
[defaults]
memory_max = "4G"
tags = ["all"]
environment = { A = "default", B = "default" }
restart = { delay = "1s", success_codes = [0, 7] }
[experiments.a]
command = ["true"]
tags = ["own"]
environment = { B = "own" }
restart.max_restarts = 9
memory_swap_max = "infinity"
[experiments.b]
command = ["true"]
memory_max = "1.5G"
stop_timeout = "2s"
`)
	a, _ := c.Experiment("a")
	b, _ := c.Experiment("b")
	if got := a.EnvironmentFor(1, 0); !slices.Equal(got, []string{"A=default", "B=own"}) {
		t.Errorf("environment of a: %q", got)
	}
	if got := b.EnvironmentFor(1, 0); !slices.Equal(got, []string{"A=default", "B=default"}) {
		t.Errorf("environment of b: %q", got)
	}
	want := Restart{RestartOnFailure, 9, time.Second, 5 * time.Minute, 2, 0.1, 10 * time.Minute, []int{0, 7}, []int{78}, []int{85}}
	if !reflect.DeepEqual(a.Restart, want) {
		t.Errorf("restart of a: %+v, want %+v", a.Restart, want)
	}
	if !slices.Equal(a.Tags, []string{"own"}) || !slices.Equal(b.Tags, []string{"all"}) {
		t.Errorf("tags: %q and %q", a.Tags, b.Tags)
	}
	if a.MemoryMax != 4*quantity.GiB || b.MemoryMax != 3*quantity.GiB/2 {
		t.Errorf("memory_max: %v and %v", a.MemoryMax, b.MemoryMax)
	}
	if a.StopTimeout != 20*time.Second || b.StopTimeout != 2*time.Second {
		t.Errorf("stop_timeout: %v and %v", a.StopTimeout, b.StopTimeout)
	}
	if a.MemorySwapMax != nil || b.MemorySwapMax == nil || *b.MemorySwapMax != 0 {
		t.Errorf("memory_swap_max: %v and %v", a.MemorySwapMax, b.MemorySwapMax)
	}
	if !a.Explicit("memory_swap_max") || b.Explicit("memory_swap_max") || !b.Explicit("memory_max") ||
		!b.Explicit("restart.delay") || b.Explicit("restart.max_restarts") {
		t.Error("Explicit does not tell what was written from what was not")
	}
}

func TestPlaceholders(t *testing.T) {
	c := mustLoad(t, `
[defaults]
memory_max = "1G"
[experiments.a]
command = ["/bin/sh", "-c", "echo ${HOME} {{id}} {id} {config} {run}.{attempt} {\"a\":{\"b\":1}}"]
config = "/etc/{id}.json"
working_directory = "/data/{id}"
environment = { RUN = "{id}-{run}-{attempt}" }
`)
	a, _ := c.Experiment("a")
	if want := `echo ${HOME} {id} a /etc/a.json 12.3 {"a":{"b":1}}`; a.CommandFor(12, 3)[2] != want {
		t.Errorf("command is %q, want %q", a.CommandFor(12, 3)[2], want)
	}
	if want := `echo ${HOME} {id} a /etc/a.json {run}.{attempt} {"a":{"b":1}}`; a.Command[2] != want {
		t.Errorf("command before launch is %q, want %q", a.Command[2], want)
	}
	if got := a.EnvironmentFor(12, 3)[0]; got != "RUN=a-12-3" || a.WorkingDirectory != "/data/a" {
		t.Errorf("environment %q, working directory %q", got, a.WorkingDirectory)
	}
	other, err := a.WithConfig("/other/{id}.json")
	if err != nil || !strings.Contains(other.CommandFor(1, 0)[2], " /other/{id}.json ") || a.Config != "/etc/a.json" {
		t.Errorf("WithConfig: %v, command %q, config before %q", err, other.CommandFor(1, 0), a.Config)
	}
}

func TestValuesOfPlaceholdersAreNotExpanded(t *testing.T) {
	c := mustLoad(t, minimal+"[experiments.a]\ncommand = [\"echo\", \"{matrix.x}\", \"{run}\"]\nmatrix = { x = [\"{run}\"] }\n")
	if got := c.Experiments[0].CommandFor(5, 0); !slices.Equal(got, []string{"echo", "{run}", "5"}) {
		t.Errorf("command is %q", got)
	}
}

func TestMatrix(t *testing.T) {
	c := mustLoad(t, minimal+`
[experiments.first]
[experiments.grid]
command = ["run", "{matrix.size}", "{matrix.temp}"]
matrix = { size = ["7b", "qwen/13b"], temp = [0.5, 1, true] }
[experiments.last]
after = { first = "ended", grid = "started" }
`)
	if got, want := ids(c.Experiments), "first grid.7b.0.5 grid.7b.1 grid.7b.true grid.qwen_13b.0.5 grid.qwen_13b.1 grid.qwen_13b.true last"; got != want {
		t.Errorf("experiments are %q, want %q", got, want)
	}
	if got := len(c.Select("grid")); got != 6 {
		t.Errorf("grid selects %d experiments, want 6", got)
	}
	if got := ids(c.Select("grid.7b.1")); got != "grid.7b.1" || len(c.Select("none")) != 0 {
		t.Errorf("grid.7b.1 selects %q, none %d", got, len(c.Select("none")))
	}
	e, _ := c.Experiment("grid.qwen_13b.0.5")
	if got := e.CommandFor(1, 0); !slices.Equal(got, []string{"run", "qwen/13b", "0.5"}) || e.Matrix != "grid" {
		t.Errorf("command %q of matrix %q", got, e.Matrix)
	}
	last, _ := c.Experiment("last")
	if len(last.After) != 7 || last.After[0] != (Dependency{"first", Ended}) || last.After[1] != (Dependency{"grid.7b.0.5", Started}) {
		t.Errorf("last waits for %v", last.After)
	}
	again, err := last.WithConfig("/x")
	if err != nil || !slices.Equal(again.After, last.After) {
		t.Errorf("with another config it waits for %v (%v)", again.After, err)
	}
}

func TestTemplate(t *testing.T) {
	c := mustLoad(t, `
[defaults]
memory_max = "1G"
[experiments.a]
command = ["true"]
[template]
command = ["run", "{config}", "{run}"]
config = "configs/{id}.json"
after = ["a"]
`)
	e, err := c.FromTemplate("new", "")
	if err != nil || !slices.Equal(e.CommandFor(2, 0), []string{"run", "configs/new.json", "2"}) || e.ID != "new" {
		t.Fatalf("FromTemplate: %v, %+v", err, e)
	}
	if !slices.Equal(e.After, []Dependency{{"a", Succeeded}}) {
		t.Errorf("it waits for %v", e.After)
	}
	e, err = c.FromTemplate("new", "/own.json")
	if err != nil || e.CommandFor(2, 0)[1] != "/own.json" {
		t.Errorf("FromTemplate with config: %v, %+v", err, e)
	}
	for _, id := range []string{"a", "b c", ""} {
		if _, err := c.FromTemplate(id, ""); err == nil {
			t.Errorf("FromTemplate(%q) succeeded", id)
		}
	}
	if _, err := mustLoad(t, minimal).FromTemplate("x", ""); !errors.Is(err, ErrNoTemplate) {
		t.Errorf("without a template: %v", err)
	}
	c = mustLoad(t, minimal+"[template]\ncommand = [\"run\", \"{config}\"]\n")
	if _, err := c.FromTemplate("x", ""); err == nil {
		t.Error("a template with {config} and without config needs one from start")
	}
}

func TestBudget(t *testing.T) {
	c := mustLoad(t, minimal+"[experiments.a]\nmemory_max = \"3G\"\n[experiments.b]\n")
	if got := c.Budget(8 * quantity.GiB); got != 6*quantity.GiB {
		t.Errorf("budget of 8G is %v, want 6G", got)
	}
	if got := c.Budget(quantity.GiB); got != 0 {
		t.Errorf("budget of 1G is %v, want 0", got)
	}
	if got := c.CheckFits(8*quantity.GiB, false); len(got) != 0 {
		t.Errorf("on 8G: %v", got)
	}
	got := c.CheckFits(4*quantity.GiB, false)
	if len(got) != 1 || got[0].Line != 5 || got[0].Key != "experiments.a.memory_max" {
		t.Errorf("on 4G: %v", got)
	}
	c = mustLoad(t, "[supervisor]\nmemory_budget = \"5G\"\n"+minimal)
	if got := c.Budget(2 * quantity.GiB); got != 5*quantity.GiB {
		t.Errorf("the written budget is %v, want 5G", got)
	}
}

// A budget larger than the machine does not make room on it.
func TestFitsTheMachine(t *testing.T) {
	c := mustLoad(t, "[supervisor]\nmemory_budget = \"100G\"\n"+minimal+"[experiments.a]\nmemory_max = \"7G\"\n[experiments.b]\nmemory_max = \"6G\"\n")
	got := c.CheckFits(8*quantity.GiB, false)
	if len(got) != 1 || got[0].Key != "experiments.a.memory_max" || !strings.Contains(got[0].Message, "needs 7G, more than the 6G that memory.reserve leaves of this machine's 8G") {
		t.Errorf("on 8G: %v", got)
	}
	if got := c.CheckFits(quantity.GiB, false); len(got) != 2 {
		t.Errorf("on 1G: %v", got)
	}
	shared := mustLoad(t, minimal+"[experiments.a]\nmemory_max = \"4G\"\ngpu_memory = \"3G\"\n")
	if got := shared.CheckFits(8*quantity.GiB, false); len(got) != 0 {
		t.Errorf("beside a card: %v", got)
	}
	if got := shared.CheckFits(8*quantity.GiB, true); len(got) != 1 || !strings.Contains(got[0].Message, "needs 7G") || got[0].Hint != "lower memory_max or gpu_memory or memory.reserve" {
		t.Errorf("with the GPU in the same memory: %+v", got)
	}
	if got := c.CheckFits(0, false); len(got) != 0 {
		t.Errorf("on any: %v", got)
	}
}

// What is kept in reserve by default is for machines that have it; what somebody wrote is
// kept on any.
func TestReserveOfASmallMachine(t *testing.T) {
	for _, tc := range []struct {
		written           string
		memory            quantity.Bytes
		reserve, critical quantity.Bytes
	}{
		{"", 64 * quantity.GiB, 2 * quantity.GiB, quantity.GiB},
		{"", 8 * quantity.GiB, 2 * quantity.GiB, quantity.GiB},
		{"", 2 * quantity.GiB, 512 * quantity.MiB, 256 * quantity.MiB},
		{"[memory]\nreserve = \"1G\"\n", 2 * quantity.GiB, quantity.GiB, 512 * quantity.MiB},
		{"[memory]\ncritical = \"900M\"\n", 2 * quantity.GiB, 900 * quantity.MiB, 900 * quantity.MiB},
	} {
		c := mustLoad(t, tc.written+minimal+"[experiments.a]\nmemory_max = \"64M\"\n")
		if problems := c.Fit(tc.memory, false); len(problems) > 0 {
			t.Errorf("%q on %v: %v", tc.written, tc.memory, problems)
		}
		if c.Memory.Reserve != tc.reserve || c.Memory.Critical != tc.critical {
			t.Errorf("%q on %v: reserve %v, critical %v; want %v, %v", tc.written, tc.memory, c.Memory.Reserve, c.Memory.Critical, tc.reserve, tc.critical)
		}
	}
}

func TestProbeOfOneRun(t *testing.T) {
	c := mustLoad(t, minimal+"[experiments.a]\nmatrix = { port = [8081, 8082] }\nprobe = { http = \"http://127.0.0.1:{matrix.port}/{id}/{run}\" }\n"+
		"[experiments.b]\nprobe = { exec = [\"check\", \"{id}\", \"{attempt}\", \"{{run}}\"], every = \"1m\" }\n[experiments.c]\n"+
		"[experiments.d]\nprobe = { exec = [\"true\"], every = \"2s\" }\n")
	if got := c.Experiments[4].Probe.Timeout; got != 2*time.Second {
		t.Errorf("d may take %v", got)
	}
	if got := c.Experiments[1].ProbeFor(3, 1); got.HTTP != "http://127.0.0.1:8082/a.8082/3" || !got.Wanted() || got.Failures != 3 {
		t.Errorf("a: %+v", got)
	}
	if got := c.Experiments[2].ProbeFor(3, 1); !slices.Equal(got.Exec, []string{"check", "b", "1", "{run}"}) || got.Every != time.Minute {
		t.Errorf("b: %+v", got)
	}
	if c.Experiments[3].Probe.Wanted() {
		t.Error("c has a probe")
	}
}

func TestScopeTakesNo(t *testing.T) {
	const scope = "kind = \"scope\"\nuser = \"lab\"\nsandbox = \"off\"\n"
	got := problems(t, write(t, map[string]string{"config.toml": minimal +
		"[experiments.a]\n" + scope + "log_rate = \"10/1s\"\n[experiments.b]\n" + scope + "writable_paths = [\"/data\"]\n"}))
	if len(got) != 2 || !strings.Contains(got[0].Message, "takes no log_rate") || !strings.Contains(got[1].Message, "takes no writable_paths") {
		t.Errorf("%q", got)
	}
	mustLoad(t, minimal+"log_rate = \"10/1s\"\nwritable_paths = [\"/data\"]\n[experiments.a]\n"+scope+"[experiments.b]\n"+scope+"writable_paths = []\n")
}

func TestLogKeys(t *testing.T) {
	const file = "log = \"file\"\n"
	got := problems(t, write(t, map[string]string{"config.toml": minimal +
		"[experiments.a]\n" + file + "log_rate = \"10/1s\"\n[experiments.b]\nlog_max_size = \"8M\"\n[experiments.c]\nlog_max_runs = 3\n"}))
	if len(got) != 3 || !strings.Contains(got[0].Message, "takes no log_rate") || !strings.Contains(got[1].Message, "needs log = \"file\"") || !strings.Contains(got[2].Message, "needs log = \"file\"") {
		t.Errorf("%q", got)
	}
	c := mustLoad(t, minimal+"log_rate = \"10/1s\"\nlog_max_runs = 3\n[experiments.a]\n"+file+"log_max_size = \"8M\"\n[experiments.b]\n")
	if a := c.Experiments[0]; a.Log != LogFile || a.LogMaxSize != 8*quantity.MiB || a.LogMaxRuns != 3 {
		t.Errorf("%+v", a)
	}
}

func TestMemoryCriticalFollowsReserve(t *testing.T) {
	if c := mustLoad(t, "[memory]\nreserve = \"512M\"\n"); c.Memory.Critical != 256*quantity.MiB {
		t.Errorf("critical is %v", c.Memory.Critical)
	}
}

func TestKinds(t *testing.T) {
	c := mustLoad(t, minimal+`
[experiments.a]
cpus = "4, 0-2,1"
devices = ["/dev/ttyUSB0", "/dev/video0 r"]
log_rate = "500/1m"
stop_signal = "INT"
checkpoint_signal = "SIGUSR1"
runtime_max = "1d12h"
cpu_quota = "150%"
restart.factor = 3
`)
	a := c.Experiments[0]
	if !slices.Equal(a.CPUs, []int{0, 1, 2, 4}) {
		t.Errorf("cpus %v", a.CPUs)
	}
	if !slices.Equal(a.Devices, []Device{{"/dev/ttyUSB0", "rw"}, {"/dev/video0", "r"}}) {
		t.Errorf("devices %v", a.Devices)
	}
	if a.LogRate != (LogRate{500, time.Minute}) || a.StopSignal != syscall.SIGINT || a.CheckpointSignal != syscall.SIGUSR1 {
		t.Errorf("log rate %v, signals %v %v", a.LogRate, a.StopSignal, a.CheckpointSignal)
	}
	if a.RuntimeMax != 36*time.Hour || a.CPUQuota != 150 || a.Restart.Factor != 3 {
		t.Errorf("runtime_max %v, cpu_quota %v, factor %v", a.RuntimeMax, a.CPUQuota, a.Restart.Factor)
	}
}

func TestProbeReplacesProbe(t *testing.T) {
	c := mustLoad(t, minimal+"probe = { exec = [\"true\"], every = \"1m\" }\n"+
		"[experiments.a]\nprobe = { http = \"http://localhost/\" }\n[experiments.b]\n")
	if a := c.Experiments[0]; len(a.Probe.Exec) != 0 || a.Probe.HTTP == "" || a.Probe.Every != 10*time.Second || a.Explicit("probe.every") {
		t.Errorf("probe of a is %+v", a.Probe)
	}
	if b := c.Experiments[1]; len(b.Probe.Exec) != 1 || b.Probe.Every != time.Minute {
		t.Errorf("probe of b is %+v", b.Probe)
	}
}

// What two keys are together is told where the experiment said its part.
func TestPlaceOfConflictWithDefaults(t *testing.T) {
	got := problems(t, write(t, map[string]string{"config.toml": minimal + "watchdog = \"1m\"\n" +
		"[experiments.a]\nuser = \"lab\"\nsandbox = \"off\"\nkind = \"scope\"\n"}))
	if len(got) != 1 || got[0].Key != "experiments.a.kind" || got[0].Line != 8 {
		t.Errorf("problems: %v", got)
	}
	mustLoad(t, minimal+"watchdog = \"1m\"\n[experiments.a]\nuser = \"lab\"\nsandbox = \"off\"\nkind = \"scope\"\nwatchdog = \"0s\"\n")
}

func TestNearest(t *testing.T) {
	known := experimentKeys.names("")
	for name, want := range map[string]string{
		"memory_mx": "memory_max", "MemoryMax": "memory_max", "memroy_max": "memory_max", "cpu": "cpus",
		"enviroment": "environment", "colour": "", "x": "", "": "", "runtime": "runtime_max",
	} {
		if got, _ := nearest(name, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", name, got, want)
		}
	}
}
