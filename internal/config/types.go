package config

import (
	"slices"
	"syscall"
	"time"

	"brainjar/internal/quantity"
)

// Supervisor holds the keys of [supervisor].
type Supervisor struct {
	MaxConcurrent int
	MemoryBudget  quantity.Bytes // 0: not written, see Config.Budget
	Breaker       Breaker
	StopTimeout   time.Duration // stop_timeout of experiments that have none of their own
	Include       []string
	KeepOrphans   bool
	LogBudget     quantity.Bytes // of all log files
}

// Breaker says when failing starts hold all further ones.
type Breaker struct {
	Failures int // different experiments; 0: none do
	Within   time.Duration
}

// Thermal holds the keys of [thermal].
type Thermal struct {
	Enabled                    bool
	Throttle, Resume, Critical quantity.Celsius
	Zones                      []string // patterns of zone types, as path.Match reads them
	Interval                   time.Duration
	Clocks                     bool
}

// Memory holds the keys of [memory].
type Memory struct {
	Reserve, Critical quantity.Bytes
	Grace             time.Duration
}

// Kind is the sort of unit an experiment runs as.
type Kind string

// The kinds of unit.
const (
	Service Kind = "service"
	Scope   Kind = "scope"
)

// Sandbox is how much of the machine an experiment is kept away from.
type Sandbox string

// The sandboxes, from none to most.
const (
	SandboxOff     Sandbox = "off"
	SandboxDefault Sandbox = "default"
	SandboxStrict  Sandbox = "strict"
)

// Ready says when an experiment counts as started.
type Ready string

// An experiment is ready when its program was executed, or when it says so.
const (
	ReadyExec   Ready = "exec"
	ReadyNotify Ready = "notify"
)

// Log is where the output of an experiment goes.
type Log string

// The places for output.
const (
	LogJournal Log = "journal"
	LogFile    Log = "file"
)

// Condition is what a dependency must have reached.
type Condition string

// The conditions.
const (
	Started   Condition = "started"
	Succeeded Condition = "succeeded"
	Ended     Condition = "ended"
)

// Dependency is an experiment that another one waits for.
type Dependency struct {
	ID        string // of one experiment, never of a matrix
	Condition Condition
}

// Policy says after which runs an experiment is started again.
type Policy string

// The restart policies.
const (
	RestartNo        Policy = "no"
	RestartOnFailure Policy = "on-failure"
	RestartAlways    Policy = "always"
)

// Restart holds the keys of an experiment's restart table.
type Restart struct {
	Policy          Policy
	MaxRestarts     int // in a row
	Delay, MaxDelay time.Duration
	Factor, Jitter  float64
	ResetAfter      time.Duration
	SuccessCodes    []int
	FatalCodes      []int
	CheckpointCodes []int
}

// Probe is a health check. Without Exec and HTTP there is none.
type Probe struct {
	Exec           []string
	HTTP           string // URL
	Every, Timeout time.Duration
	Failures       int // in a row
}

// Wanted reports whether there is a check to make.
func (p Probe) Wanted() bool { return len(p.Exec) > 0 || p.HTTP != "" }

// Device is a device node that an experiment may open.
type Device struct {
	Path   string
	Access string // some of "rwm"
}

// LogRate bounds the messages that an experiment may log in an interval. Zero:
// the journal's own bounds.
type LogRate struct {
	Burst    uint32
	Interval time.Duration
}

// Experiment is one experiment with every default filled in and placeholders
// replaced, but for {run} and {attempt}: CommandFor, EnvironmentFor and ProbeFor
// replace those. Where the comment says nothing else, a zero value means not set.
type Experiment struct {
	ID     string
	Matrix string // id of the matrix that this is a member of, "" if of none

	Command          []string
	Config           string
	Description      string
	Kind             Kind
	User, Group      string
	WorkingDirectory string // absolute
	Environment      map[string]string
	EnvironmentFiles []string // absolute, "-" before one that may be absent

	Autostart bool
	Priority  int
	After     []Dependency
	Tags      []string

	MemoryMax     quantity.Bytes
	MemoryHigh    quantity.Bytes
	MemorySwapMax *quantity.Bytes // nil: no limit
	CPUQuota      quantity.Percent
	CPUWeight     uint64
	CPUs          []int // ascending; nil: all
	IOWeight      uint64
	TasksMax      uint64
	OpenFiles     uint64
	GPU           bool
	GPUMemory     quantity.Bytes
	Devices       []Device

	RuntimeMax        time.Duration
	RuntimeWarning    time.Duration
	StopSignal        syscall.Signal
	StopTimeout       time.Duration
	CheckpointSignal  syscall.Signal // 0: none
	CheckpointTimeout time.Duration
	Restart           Restart
	MaxRequeues       int
	Watchdog          time.Duration
	Ready             Ready
	ReadyTimeout      time.Duration
	Probe             Probe
	MaxTemperature    quantity.Celsius
	PowerMode         string

	Sandbox         Sandbox
	WritablePaths   []string // absolute
	Log             Log
	LogRate         LogRate
	LogMaxSize      quantity.Bytes // of the file of one run
	LogMaxRuns      int            // whose files are kept
	AllowUnenforced bool

	axes       []axis            // of its matrix
	dimensions map[string]string // its own values of them
	variables  map[string]place  // where each of Environment was written
	source     *source           // nil until placeholders are replaced
	written    marks
}

// Explicit reports whether somebody wrote a key, such as "memory_swap_max" or
// "restart.delay", for this experiment or in [defaults].
func (e *Experiment) Explicit(key string) bool {
	m, ok := e.written.keys[key]
	return ok && m.sound
}

// CommandFor returns the command of one run, all placeholders replaced.
func (e *Experiment) CommandFor(run, attempt int) []string {
	return e.variablesFor(run, attempt).replaceAll(e.source.command)
}

// ProbeFor returns the health check of one run, all placeholders replaced.
func (e *Experiment) ProbeFor(run, attempt int) Probe {
	variables := e.variablesFor(run, attempt)
	p := e.Probe
	p.Exec, p.HTTP = variables.replaceAll(e.source.probeExec), variables.replace(e.source.probeHTTP)
	return p
}

// EnvironmentFor returns the environment of one run as sorted KEY=value, all
// placeholders replaced.
func (e *Experiment) EnvironmentFor(run, attempt int) []string {
	variables := e.variablesFor(run, attempt)
	assignments := make([]string, 0, len(e.source.environment))
	for name, value := range e.source.environment {
		assignments = append(assignments, name+"="+variables.replace(value))
	}
	slices.Sort(assignments)
	return assignments
}
