// Package config turns brainjar's TOML file into typed settings, or into a
// list of all that is wrong with it: each problem with file, line, key, cause
// and, where there is one, the key that was probably meant.
//
// The schema is two tables, one of the settings of the daemon (settingKeys)
// and one of the keys of an experiment (experimentKeys). They drive the
// parsing, the defaults, the hints and the tables of docs/configuration.md.
//
// The package reads files and nothing else: it must not ask the machine what
// memory, users, programs or sensors it has, and must not know how an
// experiment is run.
package config

import (
	"slices"

	"brainjar/internal/quantity"
)

// Config is a whole configuration: one main file and the files it includes,
// checked, with every default filled in.
type Config struct {
	Path       string // of the main file, as it was given to Load
	Supervisor Supervisor
	Thermal    Thermal
	Memory     Memory

	// Experiments are in the order of the file, then of the included files,
	// with one experiment for each combination of a matrix.
	Experiments []*Experiment

	// Template is what FromTemplate makes experiments from: nil if the file
	// has no [template]. Its placeholders are not replaced.
	Template *Experiment

	written  marks
	defaults table // as written
}

// Default is a configuration in which nothing is written.
func Default() *Config {
	c := &Config{written: marks{keys: make(map[string]mark)}}
	settingKeys.fill(c)
	return c
}

// Experiment returns the experiment of that id. The bare id of a matrix is not
// one experiment: see Select.
func (c *Config) Experiment(id string) (*Experiment, bool) {
	i := slices.IndexFunc(c.Experiments, func(e *Experiment) bool { return e.ID == id })
	if i < 0 {
		return nil, false
	}
	return c.Experiments[i], true
}

// Select returns the experiments that an id means: the one of that id, all
// members of the matrix of that id, or none.
func (c *Config) Select(id string) []*Experiment {
	var selected []*Experiment
	for _, e := range c.Experiments {
		if e.ID == id || e.Matrix == id {
			selected = append(selected, e)
		}
	}
	return selected
}

// Budget is the memory that running experiments may use together on a machine
// of that size: memory_budget or, where nobody wrote one, what is left of the
// machine after memory.reserve.
func (c *Config) Budget(memTotal quantity.Bytes) quantity.Bytes {
	switch {
	case c.Supervisor.MemoryBudget > 0:
		return c.Supervisor.MemoryBudget
	case c.Memory.Reserve < memTotal:
		return memTotal - c.Memory.Reserve
	}
	return 0
}

// Fit gives what nobody wrote its value for a machine of that size, and returns what
// CheckFits finds then: a small machine keeps less in reserve than the default says.
func (c *Config) Fit(memTotal quantity.Bytes, unified bool) Errors {
	if _, written := c.written.keys["memory.reserve"]; !written {
		c.Memory.Reserve = min(c.Memory.Reserve, memTotal/4)
		c.settleCritical()
		c.Memory.Reserve = max(c.Memory.Reserve, c.Memory.Critical)
	}
	return c.CheckFits(memTotal, unified)
}

// settleCritical gives memory.critical its value, if nobody wrote it.
func (c *Config) settleCritical() {
	if _, written := c.written.keys["memory.critical"]; !written {
		c.Memory.Critical = min(c.Memory.Critical, c.Memory.Reserve/2)
	}
}

// CheckFits returns a problem for each experiment that could never start on a
// machine of that size, because its memory_max alone is more than the budget, or
// than what memory.reserve leaves of the machine; 0: the size does not matter.
// Where the GPU shares the machine's memory (unified), gpu_memory counts beside it.
func (c *Config) CheckFits(memTotal quantity.Bytes, unified bool) Errors {
	var r report
	for _, e := range c.Experiments {
		c.checkFit(e, memTotal, unified, &r)
	}
	return r.errors()
}

// CheckFit is CheckFits for an experiment that came in an order.
func (c *Config) CheckFit(e *Experiment, memTotal quantity.Bytes, unified bool) Errors {
	var r report
	c.checkFit(e, memTotal, unified, &r)
	return r.errors()
}

func (c *Config) checkFit(e *Experiment, memTotal quantity.Bytes, unified bool, r *report) {
	needs, lower := e.MemoryMax, "lower memory_max"
	if unified && e.GPUMemory > 0 {
		needs, lower = needs+e.GPUMemory, "lower memory_max or gpu_memory"
	}
	budget := c.Budget(memTotal)
	left := memTotal - min(c.Memory.Reserve, memTotal)
	at := e.written.where("memory_max")
	switch {
	case needs > budget && c.Supervisor.MemoryBudget > 0:
		r.add(at, lower+", or raise supervisor.memory_budget",
			"needs %v, more than the whole budget of %v: it could never start", needs, budget)
	case memTotal > 0 && needs > left:
		r.add(at, lower+" or memory.reserve",
			"needs %v, more than the %v that memory.reserve leaves of this machine's %v: it could never start", needs, left, memTotal)
	}
}
