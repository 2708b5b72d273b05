package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brainjar/internal/control"
)

// experiments asks how experiments stand.
func (d *testDaemon) experiments(t *testing.T, ids ...string) []control.Experiment {
	t.Helper()
	var status control.Status
	r := d.run(append([]string{"status", "-o", "json"}, ids...)...)
	if err := json.Unmarshal([]byte(r.out), &status); err != nil {
		t.Fatalf("%v: %s%s", err, r.out, r.errors)
	}
	return status.Experiments
}

func TestHoldAndEnable(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking)
	d.run("hold", "a", "--reason", "the fan is loud").is(t, 0, "a: held: held by ", "the fan is loud")
	d.run("hold", "--tag", "night").is(t, 0, "a: held")
	d.run("hold", "--all").is(t, 0, "a: held")
	d.run("release", "--all").is(t, 0, "released all that was held")
	d.awaitPhase(t, "a", "running")
	for _, e := range d.experiments(t) {
		if e.Experiment != "a" && e.Phase != "idle" {
			t.Errorf("%s is %s: it was idle before all were held and released", e.Experiment, e.Phase)
		}
	}
	d.run("hold", "a", "b").is(t, 0, "a: running", "b: held")
	d.run("release", "a").is(t, 0, "a: ")
	d.awaitPhase(t, "a", "running")
	d.run("release", "--all").is(t, 0, "released all that was held")
	d.run("release", "--tag", "llama").is(t, 0, "nothing to release")
	d.run("wait", "b", "--timeout", "10s").is(t, ExitAwaited)
	d.run("enable", "m").is(t, 0, "m.1: idle", "m.2: idle")
	d.run("submit", "m", "--memory-max", "32M", "--", "true").is(t, ExitFailed, "m stands for all members of a matrix")
	d.run("disable", "m.2").is(t, 0)
	e := d.experiments(t, "m")
	if e[0].Enabled == nil || !*e[0].Enabled || e[1].Enabled == nil || *e[1].Enabled {
		t.Errorf("%+v", e)
	}
	d.run("enable", "--auto", "m.1").is(t, 0)
	if e := d.experiments(t, "m.1"); e[0].Enabled != nil {
		t.Errorf("%+v", e)
	}
	d.run("hold").is(t, ExitUsage, "which experiments? Name them, or say --all or --tag")
	d.run("hold", "a", "--all").is(t, ExitUsage, "do not go together")
	d.run("hold", "nobody", "a", "nothing").is(t, ExitUnknown, "a: running", "no experiment nobody", "no experiment nothing")
}

// Each of several is tried, and the worst failure is the exit code.
func TestSeveral(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking)
	r := d.run("start", "b", "nobody", "m", "-o", "json")
	r.is(t, ExitFailed, "error: no such experiment: nobody", "b has not been started: failed")
	var stands []control.Experiment
	if err := json.Unmarshal([]byte(r.out), &stands); err != nil || len(stands) != 3 {
		t.Errorf("%v: %s", err, r.out)
	}
	d.run("thaw", "m").is(t, ExitFailed, "not frozen: m.1 is ", "not frozen: m.2 is ")
	d.run("restart", "m", "--no-wait", "-o", "json").is(t, 0, `"experiment": "m.2"`)
	d.run("stop", "--all").is(t, 0, "m.1: stopped", "m.2: stopped")
}

func TestSubmit(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking)
	dir := t.TempDir()
	if err := os.Chown(dir, 65534, -1); os.Geteuid() == 0 && err != nil { // what root owns nobody works in
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv("TOKEN", "secret")
	t.Setenv("OTHER", "unseen")
	if err := os.WriteFile("env", []byte("# for tests\nA=1\nB=\"two words\"\nTOKEN=file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.run("submit", "--memory-max", "32M", "--tag", "x,y", "--tag", "z", "--env", "TOKEN", "--environment-files", "env", "--environment-files", "-none",
		"--restart-policy", "no", "--after", "a=started", "new", "--", "sleep", "3600", "--flag").is(t, 0, "new: queued")
	e := d.experiments(t, "new")[0]
	if !e.Submitted || e.MemoryMax != 32<<20 || strings.Join(e.Tags, " ") != "x y z" || strings.Join(e.Command, " ") != "sleep 3600 --flag" {
		t.Errorf("%+v", e)
	}
	report, err := d.Report(t.Context(), "new")
	if err != nil {
		t.Fatal(err)
	}
	c := report.Experiments[0].Config
	if got := strings.Join(c.EnvironmentFor(1, 0), "|"); got != "A=1|B=two words|TOKEN=secret" || c.WorkingDirectory != dir || len(c.EnvironmentFiles) != 0 {
		t.Errorf("environment %q in %s, %v", got, c.WorkingDirectory, c.EnvironmentFiles)
	}
	d.run("why", "new").is(t, 0, "after a")
	d.run("submit", "new", "--", "true").is(t, ExitFailed, "there is an experiment of that name", "hint: choose another name")
	d.run("stop", "new").is(t, 0, "new: stopped")
	d.run("forget", "--all").is(t, 0, "new: forgotten")
	d.run("status", "new").is(t, ExitUnknown)

	d.run("submit", "--wait", "quick", "--", "true").is(t, 0, "quick: succeeded")
	d.run("submit", "--wait", "--restart-policy", "no", "bad", "--", "false").is(t, ExitAwaited, "bad: failed: exited with code 1")
	d.run("submit", "--memory-max", "1M", "small", "--", "true").is(t, ExitConfig, "memory_max: must be at least 16M")
	d.run("submit", "--memory-max", "2G", "large", "--", "true").is(t, ExitNotAdmitted, "large")
	d.run("submit", "--env", "NOT_SET_HERE", "x", "--", "true").is(t, ExitUsage, "you have no variable NOT_SET_HERE")
	d.run("submit", "--environment-files", "none", "x", "--", "true").is(t, ExitFailed, "cannot read the environment file")
	d.run("submit", "--cpu-weight", "much", "x", "--", "true").is(t, ExitUsage, `"much" is not a whole number`)
	d.run("submit", "x").is(t, ExitUsage, "write it after --")
	d.run("submit", "x", "y", "--", "true").is(t, ExitUsage, "want one id")
	d.run("submit", "--user", "alice", "x", "--", "true").is(t, ExitUsage, "--uid")
	d.run("submit", "o", "-o", "json", "--", "true").is(t, 0, `"experiment": "o"`)
}

func TestStartOtherwise(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking+"[template]\ncommand = [\"sleep\", \"3600\", \"{config}\"]\n")
	t.Chdir(t.TempDir())
	d.run("start", "a", "--memory-max", "100M", "--env", "A=1").is(t, 0)
	if e := d.experiments(t, "a")[0]; e.MemoryMax != 100<<20 {
		t.Errorf("%+v", e)
	}
	d.run("start", "made", "--config", "/x.json").is(t, 0, "made: ")
	if e := d.experiments(t, "made")[0]; e.Config != "/x.json" || e.Command[2] != "/x.json" {
		t.Errorf("%+v", e)
	}
	d.run("start", "b", "--memory-max", "1X").is(t, ExitConfig, "1X")
	d.run("start", "b", "--kind", "scope").is(t, ExitUsage, "unknown flag")
}

func TestSet(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking)
	d.run("start", "a").is(t, 0)
	d.run("set", "a", "memory_max=128M", "cpu-weight=50").is(t, 0, "a: running")
	if e := d.experiments(t, "a")[0]; e.MemoryMax != 128<<20 || e.Run != 1 {
		t.Errorf("%+v", e)
	}
	d.run("set", "a", "memory_max=", "-o", "json").is(t, 0, `"memory_max": 67108864`)
	d.run("set", "a", "memory_max=lots").is(t, ExitConfig, "lots")
	d.run("set", "a", "memory_mx=1G").is(t, ExitUsage, `no key "memory_mx"`)
	d.run("set", "a", "memory_max").is(t, ExitUsage, "write KEY=VALUE")
	d.run("set", "a").is(t, ExitUsage)
	d.run("set", "nobody", "memory_max=1G").is(t, ExitUnknown)
	d.run("adopt", "x").is(t, ExitUsage, "which process?")
	d.run("adopt", "x", "--pid", "999999999").is(t, ExitFailed, "999999999")
}

func TestPlanAndReload(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking)
	d.run("plan").is(t, 0, "a reload would change nothing")
	d.run("start", "a").is(t, 0)
	d.write(strings.Replace(looking, "max_concurrent = 2", "max_concurrent = 3", 1) + "[experiments.new]\ncommand = [\"true\"]\n")
	d.run("plan").is(t, 0, "(settings)", "max_concurrent", "add", "new")
	d.run("plan", "-o", "json").is(t, 0, `"action": "add"`)
	d.run("status", "new").is(t, ExitUnknown)
	d.run("reload").is(t, 0, "new")
	d.run("status", "new").is(t, 0, "1 of 3 running", "idle")
	d.run("reload", "--restart").is(t, 0, "nothing has changed")
	d.write("[experiments.a]\ncomand = 1\n")
	d.run("reload").is(t, ExitConfig, "brainjar.toml:2: experiments.a.comand: unknown key; did you mean command?")
	d.run("plan").is(t, ExitConfig, "comand")
	if err := os.Remove(d.config); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"reload", "plan"} {
		d.run(verb).is(t, ExitConfig, "cannot read the configuration "+d.config+": no such file or directory")
	}
	d.run("status").is(t, 0, "running")
}

// The scripts ask for what can be completed; this is what they ask.
func TestCompletion(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking)
	d.run("__complete", "stop", "").is(t, 0, "a\tidle", "m\tmatrix", "m.1\tidle")
	if r := d.run("__complete", "stop", "a", ""); strings.Contains(r.out, "a\tidle") {
		t.Errorf("offers what was given:\n%s", r.out)
	}
	if r := d.run("__complete", "why", "a", ""); strings.Contains(r.out, "idle") {
		t.Errorf("offers a second id:\n%s", r.out)
	}
	d.run("__complete", "start", "--mem").is(t, 0, "--memory-max")
	d.run("__complete", "submit", "--restart-policy", "").is(t, 0, "on-failure")
	d.run("__complete", "status", "-o", "").is(t, 0, "wide")
	d.run("__complete", "status", "--tag", "").is(t, 0, "llama")
	for _, shell := range []string{"bash", "zsh", "fish"} {
		d.run("completion", shell).is(t, 0, "__complete")
	}
	d.run("completion", "tcsh").is(t, ExitUsage, "tcsh")
	d.socket = filepath.Join(t.TempDir(), "none")
	d.run("__complete", "stop", "").is(t, 0)
}
