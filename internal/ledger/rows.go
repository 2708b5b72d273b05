// Package ledger is brainjar's durable memory: what is wanted, what ran, and
// what happened. It is an SQLite file, which other programs may read at any time.
//
// Whoever writes never waits: Put lays a change on a pile, and one goroutine
// takes the whole pile to disk, again and again. A disk that is full, a file that
// was damaged or deleted costs history, never an experiment.
package ledger

import (
	"time"

	"brainjar/internal/quantity"
)

// Wanted is how an experiment stands: one row of table wanted.
type Wanted struct {
	Experiment string
	Phase      string
	Reason     string
	Since      time.Time // of the phase
	Run        int       // number of the latest run; 0: none
	Attempt    int       // restarts in a row
	Requeues   int       // times in a row that heat or memory sent it back
	Invocation string    // of the latest run; "" if not known
	Unit       string
	Cause      string // why brainjar ends, or ended, the latest run; "": it does not
	LastResult string
	QueuedAt   time.Time // its place in the queue, which it keeps while it runs; zero: it never had one

	ScarceSince time.Time // since when it has waited for nothing but room
	DueAt       time.Time // when its backoff ends
	RanAt       time.Time // when it was last known to run; zero: it never was
	Hold        string    // why a person holds it; "": nobody does
	Enabled     *bool     // overrides autostart; nil: nothing does
	Overrides   string    // JSON object of keys; "": none
	Definition  string    // digest of what the configuration said of it
	Submitted   string    // JSON object: the experiment itself, that no file names
	Boot        string    // boot_id under which this was written
}

// Run is one run: one row of table runs. In a Write, what is zero does not
// change what an earlier Write said. It can be decoded from what HistoryJSON gives, but
// for Command and Limits.
type Run struct {
	Experiment string    `json:"experiment"`
	Run        int       `json:"run"`
	Attempt    int       `json:"attempt"`
	Invocation string    `json:"invocation"`
	Unit       string    `json:"unit"`
	Command    string    `json:"-"` // JSON list
	Limits     string    `json:"-"` // JSON object
	QueuedAt   time.Time `json:"queued_at"`
	StartedAt  time.Time `json:"started_at"`
	EndedAt    time.Time `json:"ended_at"`
	Result     string    `json:"result"`
	Reason     string    `json:"reason"`
	ExitCode   *int      `json:"exit_code"` // nil: the program did not exit by itself
	Signal     string    `json:"signal"`    // "SIGTERM"
	OOMKills   int       `json:"oom_kills"`

	MemoryMax     quantity.Bytes `json:"memory_max"`
	MemoryPeak    quantity.Bytes `json:"memory_peak"`
	GPUMemoryPeak quantity.Bytes `json:"gpu_memory_peak"`

	CPUSeconds float64 `json:"cpu_seconds"`
	Figures
	Boot string `json:"boot"`
}

// Event is one thing that happened: one row of table events.
type Event struct {
	ID         int64 // ascending; 0 in a Write: the next
	At         time.Time
	Experiment string
	Run        int
	Kind       string
	From, To   string // phases
	Reason     string
}

// Sample is one value of one sensor: one row of table samples.
type Sample struct {
	At    time.Time
	Name  string // such as "tj-thermal"; the unit is that of the sensor: °C, mW, bytes, percent
	Value float64
}

// Write is one change, applied whole or not at all.
type Write struct {
	Event   *Event
	Wanted  *Wanted
	Run     *Run
	Samples []Sample
	Remove  string // the experiment whose row of wanted goes
}

// Past is what brainjar needs to know of its earlier life.
type Past struct {
	Wanted  []Wanted
	Open    []Run          // without an end
	LastRun map[string]int // highest number of a run, by experiment

	LastEvent int64 // highest id of an event
}
