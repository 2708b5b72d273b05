// Package control is how a running brainjar is asked and told: HTTP and JSON
// over a Unix socket. It holds the types that travel (this file), the table of
// routes with the access that each needs, the server, and the client that the
// command line uses. docs/api.md is written for other programs.
//
// It decides nothing about experiments: that is the supervisor's work, whose
// methods the routes call.
package control

import (
	"encoding/json"
	"time"

	"brainjar/internal/quantity"
)

// Version is the version of this API: the first part of every path. Fields may be
// added to it, none changes its meaning.
const Version = "v1"

// Experiment is how one experiment stands. Fields that say nothing are left out.
type Experiment struct {
	Experiment  string    `json:"experiment"`
	Description string    `json:"description,omitempty"`
	Tags        []string  `json:"tags,omitempty"`
	Matrix      string    `json:"matrix,omitempty"` // id of the matrix that it is a member of
	Kind        string    `json:"kind"`             // service or scope
	Submitted   bool      `json:"submitted"`        // no file names it
	Owner       string    `json:"owner,omitempty"`
	Phase       string    `json:"phase"`
	Reason      string    `json:"reason,omitempty"`
	WaitsFor    string    `json:"waits_for,omitempty"` // while it is queued: hold, heat, dependency, slots, budget, memory, gpu-memory, power-mode or place
	Blocked     bool      `json:"blocked,omitempty"`   // what it waits for has failed for good: it starts only if somebody starts that
	Since       time.Time `json:"since"`               // of the phase
	Priority    int       `json:"priority"`
	Autostart   bool      `json:"autostart"`          // as it counts: with the override
	Enabled     *bool     `json:"enabled,omitempty"`  // override of autostart
	Hold        string    `json:"hold,omitempty"`     // why a person holds it
	Run         int       `json:"run"`                // number of the latest run, 0: none
	Attempt     int       `json:"attempt"`            // restarts in a row
	MaxRestarts int       `json:"max_restarts"`       // after which it has failed
	Requeues    int       `json:"requeues,omitempty"` // in a row, for heat, memory or gpu-memory
	QueuedAt    time.Time `json:"queued_at,omitzero"`
	DueAt       time.Time `json:"due_at,omitzero"` // end of backoff
	LastResult  string    `json:"last_result,omitempty"`
	Command     []string  `json:"command"`
	Config      string    `json:"config,omitempty"`

	// Of the unit, while there is one.
	Unit       string    `json:"unit,omitempty"`
	Invocation string    `json:"invocation,omitempty"`
	PID        int       `json:"pid,omitempty"`
	StartedAt  time.Time `json:"started_at,omitzero"`

	MemoryMax     quantity.Bytes   `json:"memory_max"`               // in force, or as configured
	MemoryCurrent *quantity.Bytes  `json:"memory_current,omitempty"` // with the files that are cached for it
	MemoryCache   *quantity.Bytes  `json:"memory_cache,omitempty"`   // these files
	MemoryPeak    *quantity.Bytes  `json:"memory_peak,omitempty"`
	GPUMemory     quantity.Bytes   `json:"gpu_memory,omitempty"` // as configured
	GPUMemoryUsed *quantity.Bytes  `json:"gpu_memory_current,omitempty"`
	CPUQuota      quantity.Percent `json:"cpu_quota,omitempty"` // 100: one CPU
	CPUPercent    *float64         `json:"cpu_percent,omitempty"`
	CPUSeconds    *float64         `json:"cpu_seconds,omitempty"`
	Tasks         *int             `json:"tasks,omitempty"`
	TasksMax      uint64           `json:"tasks_max,omitempty"`

	NeedsRestart []string `json:"needs_restart,omitempty"` // keys that changed in the file, not yet in the run
}

// Supervisor is how brainjar itself stands.
type Supervisor struct {
	Version         string          `json:"version"`
	PID             int             `json:"pid"`
	StartedAt       time.Time       `json:"started_at"`
	Config          string          `json:"config"` // path
	Ready           bool            `json:"ready"`
	Leaving         bool            `json:"leaving"`
	Slots           int             `json:"slots"`
	SlotsUsed       int             `json:"slots_used"`
	MemoryBudget    quantity.Bytes  `json:"memory_budget"`
	MemoryUsed      quantity.Bytes  `json:"memory_used"`                // of the budget: sum of the limits of what runs
	MemoryAvailable *quantity.Bytes `json:"memory_available,omitempty"` // of the machine
	Hold            string          `json:"hold,omitempty"`             // why nothing at all may start
	Zone            string          `json:"zone,omitempty"`             // the hottest that counts
	Temperature     *float64        `json:"temperature_celsius,omitempty"`
	Stage           string          `json:"governor_stage"`
	Ledger          string          `json:"ledger,omitempty"`  // what is wrong with it
	Systemd         string          `json:"systemd,omitempty"` // what is wrong with the connection
	Phases          map[string]int  `json:"phases"`            // how many experiments are in each
}

// Status is the answer to GET /v1/status.
type Status struct {
	At          time.Time    `json:"at"`
	Supervisor  Supervisor   `json:"supervisor"`
	Experiments []Experiment `json:"experiments"`
}

// Why is the answer to GET /v1/experiments/ID/why.
type Why struct {
	Experiment Experiment      `json:"experiment"`
	Sentences  []string        `json:"sentences"`          // what it waits for, or how it ended
	Advice     []string        `json:"advice,omitempty"`   // what would have to change
	LastRun    json.RawMessage `json:"last_run,omitempty"` // row of the ledger, as in /v1/history
	Log        []string        `json:"log,omitempty"`      // the last lines of its output
}

// Event is something that happened. Those of kind phase are changes of a phase.
type Event struct {
	ID         int64     `json:"id"` // ascending; for Last-Event-ID
	At         time.Time `json:"at"`
	Kind       string    `json:"kind"`
	Experiment string    `json:"experiment,omitempty"`
	Run        int       `json:"run,omitempty"`
	From       string    `json:"from,omitempty"`
	To         string    `json:"to,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	Result     string    `json:"result,omitempty"` // of the run that ended with this
	ExitCode   *int      `json:"exit_code,omitempty"`
	Signal     string    `json:"signal,omitempty"`
}

// KindPhase is the kind of the events that are changes of a phase.
const KindPhase = "phase"

// Line is one line of the output of an experiment.
type Line struct {
	At         time.Time `json:"at,omitzero"` // not known of lines in files
	Experiment string    `json:"experiment"`
	Run        int       `json:"run,omitempty"`
	PID        int       `json:"pid,omitempty"`
	Priority   int       `json:"priority"` // as syslog has it: 3 is an error, 6 information
	Message    string    `json:"message"`
}

// StartRequest is the body of POST /v1/experiments/ID/start. For an experiment
// that is configured, Config takes the place of its config. For an id that nobody
// knows, the experiment is made from [template]. Keys say otherwise than the
// configuration, such as memory_max, cpu_quota, environment or max_temperature: from
// then on, also after a restart of brainjar, until an order says otherwise; null takes
// a key back.
type StartRequest struct {
	Config string         `json:"config,omitempty"`
	Keys   map[string]any `json:"keys,omitempty"`
}

// HoldRequest is the body of POST /v1/experiments/ID/hold.
type HoldRequest struct {
	Reason string `json:"reason,omitempty"`
}

// KillRequest is the body of POST /v1/experiments/ID/kill.
type KillRequest struct {
	Signal string `json:"signal,omitempty"` // "SIGUSR1"; "": SIGKILL
	Whom   string `json:"whom,omitempty"`   // "main" or "all"; "": all
}

// SubmitRequest is the body of PUT /v1/experiments/ID: an experiment that no file
// names. Keys are those of the configuration, with values as TOML would have them:
// {"command": ["sleep", "60"], "memory_max": "8G", "restart": {"policy": "no"}}.
// [defaults] hold for it too.
type SubmitRequest struct {
	Keys map[string]any `json:"keys"`
}

// SetRequest is the body of PATCH /v1/experiments/ID: limits to change while it
// runs: memory_max, memory_high, cpu_quota, cpu_weight, io_weight, tasks_max,
// priority. null takes the change back.
type SetRequest struct {
	Keys map[string]any `json:"keys"`
}

// AdoptRequest is the body of POST /v1/experiments/ID/adopt.
type AdoptRequest struct {
	PID  int            `json:"pid"`
	Keys map[string]any `json:"keys,omitempty"` // memory_max and the like
}

// ReloadRequest is the body of POST /v1/reload.
type ReloadRequest struct {
	Restart bool `json:"restart"` // restart what cannot change while it runs
}

// Plan is what a reload would do, or has done.
type Plan struct {
	Steps    []Step   `json:"steps"`
	Warnings []string `json:"warnings,omitempty"`
}

// Step is what becomes of one experiment, or of the supervisor's own settings.
type Step struct {
	Experiment string   `json:"experiment,omitempty"` // "": settings of the supervisor
	Action     string   `json:"action"`               // add, change, restart, remove
	Keys       []string `json:"keys,omitempty"`       // that changed
	Words      string   `json:"words,omitempty"`      // what that means
}

// Error is the answer to a request that was not carried out.
type Error struct {
	Message string   `json:"error"`
	Hint    string   `json:"hint,omitempty"`
	Code    string   `json:"code"`              // one of the codes below
	Details []string `json:"details,omitempty"` // every problem of a configuration
	Status  int      `json:"-"`                 // of HTTP
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// The codes of errors.
const (
	CodeBadRequest  = "bad-request"  // 400
	CodeForbidden   = "forbidden"    // 403
	CodeUnknown     = "unknown"      // 404: no such experiment
	CodeNoRoute     = "no-route"     // 404, 405
	CodeConflict    = "conflict"     // 409: it exists, or is in another phase
	CodeTooLarge    = "too-large"    // 413
	CodeConfig      = "config"       // 422: keys that are wrong
	CodeNotAdmitted = "not-admitted" // 422: it could never start
	CodeNotReady    = "not-ready"    // 503: not yet, or not any more
	CodeNotWritten  = "not-written"  // 507: obeyed, but not on disk
	CodeNoJournal   = "no-journal"   // 501: no output can be read here
	CodeBehind      = "behind"       // 410: events were lost
	CodeTimeout     = "timeout"      // 504: systemd, or the disk, does not answer
	CodeInternal    = "internal"     // 500
)
