package config

import (
	"slices"
	"sync"
)

// defaultExperiment returns what the schema's defaults make.
var defaultExperiment = sync.OnceValue(func() Experiment {
	var e Experiment
	experimentKeys.fill(&e)
	return e
})

// checks are the checks of keys that depend on each other.
type checks struct {
	marks
	r *report
}

// must reports a problem with the first of the keys that was written, unless
// the condition holds or one of the keys was already refused for itself.
func (c checks) must(holds bool, keys []string, hint, format string, args ...any) {
	if !holds && c.sound(keys...) {
		c.r.add(c.where(keys...), hint, format, args...)
	}
}

// checkExperiment looks at what the keys of one experiment must be together,
// and fills in the defaults that depend on other keys.
func checkExperiment(e *Experiment, s Supervisor, r *report) {
	c := checks{e.written, r}
	if e.StopTimeout == 0 {
		e.StopTimeout = s.StopTimeout
	}
	for _, required := range []struct{ key, hint string }{
		{"command", `write command = ["/path/of/program", "argument"]`},
		{"memory_max", `write it here or in [defaults], like memory_max = "4G"`},
	} {
		if _, written := e.written.keys[required.key]; !written {
			r.add(e.written.head, required.hint, "%s is required", required.key)
		}
	}
	c.must(e.MemoryMax == 0 || e.MemoryHigh <= e.MemoryMax, []string{"memory_high", "memory_max"}, "",
		"memory_high (%v) must not be more than memory_max (%v)", e.MemoryHigh, e.MemoryMax)
	checkUnit(e, c)
	checkEnds(e, c)
}

// checkUnit checks what kind of unit it is, and as whom it runs.
func checkUnit(e *Experiment, c checks) {
	if e.Kind == Scope {
		c.must(e.User != "" && e.Sandbox == SandboxOff, []string{"kind", "user", "sandbox"}, "",
			`kind = "scope" needs user and sandbox = "off": systemd sandboxes no scope`)
		c.must(e.Ready == ReadyExec, []string{"ready", "kind"}, "",
			`kind = "scope" takes no ready = "notify": systemd hears no sd_notify of a scope`)
		c.must(e.Watchdog == 0, []string{"watchdog", "kind"}, "",
			`kind = "scope" takes no watchdog: systemd hears no sd_notify of a scope`)
		c.must(len(e.EnvironmentFiles) == 0, []string{"environment_files", "kind"}, "write them in environment",
			`kind = "scope" takes no environment_files: systemd reads them for services alone`)
		c.must(!c.own("log_rate"), []string{"log_rate", "kind"}, "",
			`kind = "scope" takes no log_rate: the journal bounds services alone`)
		c.must(!c.own("writable_paths") || len(e.WritablePaths) == 0, []string{"writable_paths", "kind"}, "",
			`kind = "scope" takes no writable_paths: nothing keeps a scope from writing where its user may`)
	} else {
		c.must(e.User != "" || e.Sandbox != SandboxOff, []string{"sandbox", "user"}, "say whom it runs as",
			`sandbox = "off" needs user`)
	}
	c.must(e.Log != LogFile || !c.own("log_rate"), []string{"log_rate", "log"}, "write log_max_size",
		`log = "file" takes no log_rate: that bounds the journal alone`)
	for _, key := range []string{"log_max_size", "log_max_runs"} {
		c.must(e.Log == LogFile || !c.own(key), []string{key, "log"}, "", `%s needs log = "file"`, key)
	}
	c.must(e.Group == "" || e.User != "", []string{"group", "user"}, "", "group needs user")
}

// checkEnds checks what decides how a run ends, and what comes after.
func checkEnds(e *Experiment, c checks) {
	lists := []struct {
		key   string
		codes []int
	}{
		{"restart.success_codes", e.Restart.SuccessCodes},
		{"restart.fatal_codes", e.Restart.FatalCodes},
		{"restart.checkpoint_codes", e.Restart.CheckpointCodes},
	}
	for i, a := range lists {
		for _, b := range lists[:i] {
			for _, code := range a.codes {
				c.must(!slices.Contains(b.codes, code), []string{a.key, b.key}, "",
					"exit code %d is in %s and in %s", code, b.key, a.key)
			}
		}
	}
	c.must(e.Restart.MaxDelay >= e.Restart.Delay, []string{"restart.max_delay", "restart.delay"}, "",
		"max_delay (%s) must not be less than delay (%s)", show(e.Restart.MaxDelay), show(e.Restart.Delay))
	if e.Explicit("runtime_warning") && e.RuntimeMax > 0 {
		c.must(e.RuntimeWarning < e.RuntimeMax, []string{"runtime_warning", "runtime_max"}, "",
			"runtime_warning (%s) must be less than runtime_max (%s)", show(e.RuntimeWarning), show(e.RuntimeMax))
	}
	probe := []string{"probe.exec", "probe.http", "probe.every", "probe.timeout", "probe.failures"}
	if _, written := e.written.keys["probe.timeout"]; !written {
		e.Probe.Timeout = min(e.Probe.Timeout, e.Probe.Every)
	}
	if slices.ContainsFunc(probe, e.Explicit) {
		c.must((len(e.Probe.Exec) > 0) != (e.Probe.HTTP != ""), probe, "",
			"a probe needs exec or http, one of them")
		c.must(e.Probe.Timeout <= e.Probe.Every, []string{"probe.timeout", "probe.every"}, "",
			"timeout (%s) must not be more than every (%s)", show(e.Probe.Timeout), show(e.Probe.Every))
	}
}
