package config

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"brainjar/internal/quantity"
)

// settingKeys are the keys of [supervisor], [thermal] and [memory].
var settingKeys = schema[Config]{
	field("supervisor.max_concurrent", integer, "4", "How many experiments run at once.",
		func(c *Config) *int { return &c.Supervisor.MaxConcurrent }, between(1, 10000)),
	field("supervisor.memory_budget", size, "", "What `memory_max` of all running experiments may add up to, on a Jetson together with their `gpu_memory`; also the memory limit of the slice that holds them. Default: the machine's memory less `memory.reserve`.",
		func(c *Config) *quantity.Bytes { return &c.Supervisor.MemoryBudget }, atLeast(16*quantity.MiB)),
	field("supervisor.breaker.failures", integer, "0", "The circuit breaker: when this many different experiments have failed within `within` of their start, in one hour, nothing more is started until `brainjar release --all` or a new start of brainjar. What runs, runs on. 0: no breaker, because a few broken experiments would hold all the others. A failure no longer counts once a run that began after it, of any experiment, went well. Stops, heat and low memory do not count.",
		func(c *Config) *int { return &c.Supervisor.Breaker.Failures }, atLeast(0)),
	field("supervisor.breaker.within", duration, `"60s"`, "A failure counts for the breaker if it comes before the experiment was ready, or within this time after that.",
		func(c *Config) *time.Duration { return &c.Supervisor.Breaker.Within }, moreThan(time.Duration(0))),
	field("supervisor.stop_timeout", duration, `"30s"`, "The `stop_timeout` of experiments that have none of their own.",
		func(c *Config) *time.Duration { return &c.Supervisor.StopTimeout }, atLeast(time.Second)),
	field("supervisor.include", listOf(includePattern, "list of paths", `a list of paths like ["experiments.d/*.toml"]`), "[]", "Files of one experiment each: the keys of an experiment at top level, the id being the file's name without `.toml`. Relative to the main file's directory; hidden files are left out; `*` does not go down into directories.",
		func(c *Config) *[]string { return &c.Supervisor.Include }),
	field("supervisor.keep_orphans", yesNo, "false", "Leave experiments running that vanished from the configuration. They take their slot and their memory until they end. Without it they are stopped, by their stop signal alone.",
		func(c *Config) *bool { return &c.Supervisor.KeepOrphans }),
	field("supervisor.log_budget", size, `"4G"`, "What all log files together may take on disk. Beyond that the oldest files of runs that have ended are deleted.",
		func(c *Config) *quantity.Bytes { return &c.Supervisor.LogBudget }, atLeast(quantity.MiB)),

	field("thermal.enabled", yesNo, "true", "Whether anything is done against heat.",
		func(c *Config) *bool { return &c.Thermal.Enabled }),
	field("thermal.throttle", celsius, "75.0", "At or above this nothing is started, and what runs is cooled in stages.",
		func(c *Config) *quantity.Celsius { return &c.Thermal.Throttle }, temperature),
	field("thermal.resume", celsius, "70.0", "Below this the stages are undone and starts go on.",
		func(c *Config) *quantity.Celsius { return &c.Thermal.Resume }, temperature),
	field("thermal.critical", celsius, "85.0", "At or above this everything is checkpointed and stopped, and queued again for when it is cool.",
		func(c *Config) *quantity.Celsius { return &c.Thermal.Critical }, temperature),
	field("thermal.zones", listOf(zonePattern, "list of patterns", `a list of patterns like ["tj-*"]`), `["*"]`, "The thermal zones that count, by type, with `*` and `?`.",
		func(c *Config) *[]string { return &c.Thermal.Zones },
		rule[[]string]{"at least one pattern", func(zones []string) bool { return len(zones) > 0 }}),
	field("thermal.interval", duration, `"2s"`, "How often sensors, and the memory of the machine, are read.",
		func(c *Config) *time.Duration { return &c.Thermal.Interval }, between(100*time.Millisecond, time.Hour)),
	field("thermal.clocks", yesNo, "false", "Whether the clocks of CPU and GPU may be lowered against heat.",
		func(c *Config) *bool { return &c.Thermal.Clocks }),

	field("memory.reserve", size, `"2G"`, "Available memory to keep free: nothing is started that would eat into it. The default is a quarter of the machine's memory where that is less.",
		func(c *Config) *quantity.Bytes { return &c.Memory.Reserve }),
	field("memory.critical", size, `"1G"`, "With less available memory than this for `grace`, the experiment that loses least is stopped and queued again. The default is half of `reserve` where that is less.",
		func(c *Config) *quantity.Bytes { return &c.Memory.Critical }),
	field("memory.grace", duration, `"5s"`, "How long memory must be critical before an experiment is stopped for it.",
		func(c *Config) *time.Duration { return &c.Memory.Grace }),
}

var temperature = between(quantity.Celsius(1), quantity.Celsius(150))

var zonePattern = written("pattern", `a pattern like "tj-*"`, func(s string) (string, error) {
	if _, err := path.Match(s, ""); s == "" || err != nil {
		return "", fmt.Errorf("%q is not a pattern of zone types", s)
	}
	return s, nil
})

var includePattern = written("path", `a path like "experiments.d/*.toml"`, func(s string) (string, error) {
	if _, err := path.Match(s, ""); err != nil {
		return "", fmt.Errorf("%q is not a pattern of file names", s)
	}
	if !strings.HasSuffix(s, ".toml") || strings.ContainsRune(s, 0) {
		return "", errors.New("must end in .toml: the name of the file before it is the experiment's id")
	}
	if strings.Contains(s, "**") {
		return "", fmt.Errorf("%q: ** does not mean directories of any depth here; write a pattern for each, like \"d/*.toml\" and \"d/*/*.toml\"", s)
	}
	return s, nil
})

// checkSettings looks at settings that depend on each other.
func checkSettings(c *Config, r *report) {
	c.settleCritical()
	check := checks{c.written, r}
	_, within := c.written.keys["supervisor.breaker.within"]
	check.must(!within || c.Supervisor.Breaker.Failures > 0, []string{"supervisor.breaker.within", "supervisor.breaker.failures"}, "write failures = 3",
		"within says nothing without failures: there is no breaker")
	check.must(c.Thermal.Throttle > c.Thermal.Resume, []string{"thermal.throttle", "thermal.resume"}, "",
		"throttle (%v) must be above resume (%v), or cooling would go on and off all the time", c.Thermal.Throttle, c.Thermal.Resume)
	check.must(c.Thermal.Critical > c.Thermal.Throttle, []string{"thermal.critical", "thermal.throttle"}, "",
		"critical (%v) must be above throttle (%v)", c.Thermal.Critical, c.Thermal.Throttle)
	check.must(c.Memory.Critical <= c.Memory.Reserve, []string{"memory.critical", "memory.reserve"}, "",
		"critical (%v) must not be more than reserve (%v)", c.Memory.Critical, c.Memory.Reserve)
}
