// Package transient is how an experiment becomes a systemd unit, and how it is
// learnt that the unit ended. All D-Bus, all cgroup files and all knowledge of
// systemd's versions live here.
//
// systemd is the record of what runs: a Manager holds no state that it could
// not find again. Everything that happens to units, whether brainjar asked for
// it or not, comes out of one ordered stream of Events; a run is identified by
// its InvocationID, and has exactly one Ended event.
//
// The package must not know why an experiment runs: no queue, no policy, no
// configuration file. It imports nothing of brainjar but internal/quantity.
package transient

import (
	"os"
	"syscall"
	"time"

	"brainjar/internal/quantity"
)

// Slice is the slice that holds every experiment's unit.
const Slice = "brainjar.slice"

// Prefix begins the name of every experiment's unit.
const Prefix = "brainjar-"

// Kind is the sort of unit an experiment runs as.
type Kind string

// The kinds of unit.
const (
	Service Kind = "service"
	Scope   Kind = "scope"
)

// UnitName returns the full name of the unit of an experiment.
func UnitName(experiment string, kind Kind) string {
	return Prefix + experiment + "." + string(kind)
}

// Sandbox is how much of the machine a unit is kept away from.
type Sandbox string

// The sandboxes, from none to most.
const (
	SandboxOff     Sandbox = "off"
	SandboxDefault Sandbox = "default"
	SandboxStrict  Sandbox = "strict"
)

// Ready says when a unit counts as started.
type Ready string

// A unit is ready when its program was executed, or when it says so by
// sd_notify READY=1.
const (
	ReadyExec   Ready = "exec"
	ReadyNotify Ready = "notify"
)

// Spec is one run of an experiment, as systemd is to run it. Placeholders are
// replaced and defaults filled in before it gets here; what it holds is sent
// as it stands, never expanded, never given to a shell.
type Spec struct {
	Experiment string // its id
	Run        int    // number of this run, for ever
	Attempt    int    // restarts in a row before this run
	LastResult string // how the run before ended, "" if there was none

	// Process is one that runs already, to be put into a scope, instead of a
	// command that is started. How it exits will not be known.
	Process *Process

	Kind             Kind
	Description      string
	Command          []string // Command[0] is an absolute path or a name to look up in the unit's PATH
	Environment      []string // KEY=value
	EnvironmentFiles []string // read by the service manager as root; a leading "-" allows absence

	// User and Group may be empty: then DynamicUser says whether the unit gets
	// a user of its own for the length of the run (with StateDirectory as its
	// working directory), or runs as the manager's own user (user managers).
	User, Group         string
	DynamicUser         bool
	SupplementaryGroups []string
	WorkingDirectory    string // "" with DynamicUser: its state directory

	Limits    Limits
	OpenFiles uint64 // LimitNOFILE
	Devices   []Device
	GPU       bool // it compiles code for a GPU as it runs: the strict sandbox must let it

	Ready        Ready
	ReadyTimeout time.Duration // for ReadyNotify; 0: none
	RuntimeMax   time.Duration // 0: none
	Watchdog     time.Duration // 0: none
	StopSignal   syscall.Signal
	StopTimeout  time.Duration // then SIGKILL

	Sandbox       Sandbox
	WritablePaths []string
	LogRate       LogRate

	// Output goes to the journal and there is no input, unless one of these is
	// set.
	//
	// Streams are handed over as standard input, output and error, as they are:
	// the program reads and writes them itself. Start does not close them. systemd
	// keeps its own until the unit has ended and, if it failed, until Forget.
	Streams *[3]*os.File
	// LogFile is the path of a file that output and errors are appended to. Start
	// makes it, with mode 0640, if it is missing; its directory is there, belongs
	// to the Manager's user, and nobody else may write in it.
	LogFile string

	// AllowUnenforced starts the unit although a limit that the user asked
	// for cannot be enforced by this machine.
	AllowUnenforced bool
}

// Unit returns the full name of the unit that the spec describes.
func (s Spec) Unit() string { return UnitName(s.Experiment, s.Kind) }

// Limits are the resources a unit may use. A nil pointer, a zero number and an
// empty list mean: no limit asked for.
type Limits struct {
	MemoryMax     quantity.Bytes   // 0: none
	MemoryHigh    quantity.Bytes   // 0: none
	MemorySwapMax *quantity.Bytes  // 0 is a limit here: no swap
	CPUQuota      quantity.Percent // 0: none; 100 is one CPU
	CPUWeight     uint64           // 1 to 10000, 0: not set
	CPUs          []int            // CPUs that may be used, nil: all
	IOWeight      uint64           // 1 to 10000, 0: not set
	TasksMax      uint64           // 0: none

	// Implied names the limits (as the configuration spells them, such as
	// "memory_swap_max", and "open_files") that nobody wrote: where the machine
	// cannot enforce one of these, that is a warning and not a refusal.
	Implied []string
}

// Device is a device node that a unit may open.
type Device struct {
	Path   string // "/dev/ttyUSB0"
	Access string // some of "rwm"
}

// LogRate bounds what a unit may write to the journal. Zero: the journal's own
// limits.
type LogRate struct {
	Burst    uint32 // messages
	Interval time.Duration
}

// Unit is a unit as the service manager knows it.
type Unit struct {
	Name       string // full name, such as "brainjar-amnesiac_001.service"
	Experiment string
	Run        int
	Attempt    int
	Invocation string // InvocationID, 32 hexadecimal digits
	Kind       Kind
	MainPID    int
	Since      time.Time // when the run became active; zero if it has not
	Frozen     bool
}

// Event is something that happened to a unit, to the slice, or to the connection:
// Started, Ended, Status, Frozen, SliceStopped, Synced or Disconnected.
type Event interface{ event() }

// Started says that a unit's program was executed (or, with ReadyNotify, that
// it said READY=1). It also comes for each unit that is found running after a
// connection was made: adoption is nothing but this event for a unit that one
// did not start.
type Started struct {
	Unit      Unit
	Found     bool     // it already ran when the connection was made
	Loading   bool     // it was found before it was ready: another Started follows when it is
	Effective Limits   // as read back from the cgroup
	Warnings  []string // what could not be enforced, in words

	// StopSignal and StopTimeout are how systemd ends the unit; zero: not known.
	StopSignal  syscall.Signal
	StopTimeout time.Duration
}

// Ended says that a run is over: every process of the unit is gone. There is
// one for each invocation.
type Ended struct {
	Unit    Unit
	Outcome Outcome
}

// Status is a new status text that the unit's program sent by sd_notify
// STATUS=. The same text once more is not told: systemd reports only changes.
type Status struct {
	Unit  string
	Text  string
	Found bool // it was there when the unit was found: nobody knows since when
}

// Frozen says that a unit was frozen or thawed. What somebody else did comes late, with
// the next Usage.
type Frozen struct {
	Unit   string
	Frozen bool
}

// SliceStopped says that somebody stops the slice, and with it every unit, whose ends
// follow; or, if not Stopped, that the slice was started again, by whatever. That the
// machine goes down is no such stop.
type SliceStopped struct{ Stopped bool }

// Synced follows a new connection: all units that exist have been reported,
// and all runs that ended while there was no connection.
type Synced struct{}

// Disconnected says that the connection to the service manager was lost, and
// why. It is made again without being asked.
type Disconnected struct{ Err error }

func (Started) event()      {}
func (Ended) event()        {}
func (Status) event()       {}
func (Frozen) event()       {}
func (SliceStopped) event() {}
func (Synced) event()       {}
func (Disconnected) event() {}

// Result is how a run ended, in one word.
type Result string

// The results that this package tells apart. The supervisor adds its own for
// stops that it decided on (heat, memory, …).
const (
	Success     Result = "success"
	ExitCode    Result = "exit-code"
	Signal      Result = "signal"
	OOMKill     Result = "oom-kill"
	Timeout     Result = "timeout" // runtime_max passed, or READY=1 came too late
	Watchdog    Result = "watchdog"
	StartFailed Result = "start-failed" // the program was never executed
	Stopped     Result = "stopped"      // a stop was asked for
	Lost        Result = "lost"         // gone, and nobody saw how
)

// Outcome is how a run ended, and what it used.
type Outcome struct {
	Result        Result
	ExitCode      int            // -1 if the program did not exit by itself
	Signal        syscall.Signal // that killed the program; 0 if none
	CoreDumped    bool
	StopRequested bool           // a stop job was there when it ended, whoever asked
	KilledAtStop  bool           // it did not end within StopTimeout, and was killed
	OOMKills      int            // processes of the unit that the kernel killed for memory
	MemoryPeak    quantity.Bytes // 0: not known
	CPUTime       time.Duration
	Started       time.Time
	Ended         time.Time
	Detail        string // what systemd said, for a person: "cannot execute /nope: no such file"
}

// Usage is what a unit uses now.
type Usage struct {
	Memory     quantity.Bytes
	Cache      quantity.Bytes // the part of Memory that caches files: the kernel takes it back when it is short
	MemoryPeak quantity.Bytes // highest that was seen, by the kernel or by reading
	Swap       quantity.Bytes // swapped out of it, also into memory that is compressed (zram)
	SwapKnown  bool           // the kernel counts that: on v1 it need not (swapaccount=0)
	CPUTime    time.Duration
	Tasks      int
}

// Whom says which processes of a unit a signal goes to.
type Whom string

// The main process alone, or every process of the unit.
const (
	Main Whom = "main"
	All  Whom = "all"
)
