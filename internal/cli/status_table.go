package cli

import (
	"bufio"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"brainjar/internal/control"
	"brainjar/internal/quantity"
	"brainjar/supervisor"
)

// The colours of a terminal, as the parameters of its control sequence.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
	bold   = "1"
)

// paint colours a text.
func paint(colour, text string) string {
	if colour == "" || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// phaseColours are what people look for first.
var phaseColours = map[supervisor.Phase]string{
	supervisor.Running: green, supervisor.Failed: red,
	supervisor.Queued: yellow, supervisor.Starting: yellow, supervisor.Stopping: yellow, supervisor.Backoff: yellow,
	supervisor.Held: cyan, supervisor.Frozen: cyan,
}

// table writes how everything stands.
func (s *status) table(w *bufio.Writer, now control.Status) {
	colour := func(c, text string) string {
		if colourful(s.remote.stdout) {
			return paint(c, text)
		}
		return text
	}
	fmt.Fprintln(w, colour(bold, headline(now.Supervisor)))
	for _, trouble := range troubles(now.Supervisor) {
		fmt.Fprintln(w, colour(yellow, printable(trouble)))
	}
	if len(now.Experiments) == 0 {
		fmt.Fprintln(w, "no experiments")
		return
	}
	columns := slices.Clone(usualColumns)
	if s.format == "wide" {
		columns = append(columns, wideColumns...)
	}
	columns = append(columns, reasonColumn)
	gpu := hasGPU(now.Experiments)
	var heads []string
	for _, col := range columns {
		if !col.gpu || gpu {
			heads = append(heads, col.head)
		}
	}
	t := table{w: w}
	t.row(heads)
	for _, e := range now.Experiments {
		var cells []string
		for _, col := range columns {
			if col.gpu && !gpu {
				continue
			}
			cell := printable(cmp.Or(col.cell(e, now.At), "-"))
			if col.head == "PHASE" {
				cell = colour(phaseColours[phase(e)], cell)
			}
			cells = append(cells, cell)
		}
		t.row(cells)
	}
	t.flush()
}

// headline is how brainjar itself stands.
func headline(s control.Supervisor) string {
	facts := []string{
		fmt.Sprintf("brainjar %s: %d of %d running", s.Version, s.SlotsUsed, s.Slots),
		fmt.Sprintf("%s of %s taken", s.MemoryUsed, s.MemoryBudget),
	}
	if s.MemoryAvailable != nil {
		facts = append(facts, s.MemoryAvailable.String()+" available")
	}
	if s.Temperature != nil {
		facts = append(facts, strings.TrimSpace(fmt.Sprintf("%s %v", s.Zone, quantity.Celsius(*s.Temperature))))
	}
	if s.Stage != "" {
		facts = append(facts, "governor "+s.Stage)
	}
	return printable(strings.Join(facts, ", "))
}

// troubles are what somebody should know before they wonder.
func troubles(s control.Supervisor) []string {
	var list []string
	for _, t := range []struct {
		holds       bool
		what, words string
	}{
		{!s.Ready, "not ready", "systemd has not told yet what runs"},
		{s.Leaving, "leaving", "brainjar is about to end"},
		{s.Hold != "", "nothing is started", s.Hold},
		{s.Systemd != "", "systemd", s.Systemd},
		{s.Ledger != "", "ledger", s.Ledger},
	} {
		if t.holds {
			list = append(list, t.what+": "+t.words)
		}
	}
	return list
}

func hasGPU(experiments []control.Experiment) bool {
	for _, e := range experiments {
		if e.GPUMemory > 0 || e.GPUMemoryUsed != nil {
			return true
		}
	}
	return false
}

// column is one fact of an experiment. An empty cell is written as "-".
type column struct {
	head string
	cell func(e control.Experiment, now time.Time) string
	gpu  bool // only where there is one
}

var usualColumns = []column{
	{head: "EXPERIMENT", cell: func(e control.Experiment, _ time.Time) string { return e.Experiment }},
	{head: "PHASE", cell: func(e control.Experiment, _ time.Time) string { return e.Phase }},
	{head: "RUN", cell: func(e control.Experiment, _ time.Time) string { return numberOr(e.Run) }},
	{head: "SINCE", cell: func(e control.Experiment, now time.Time) string {
		if e.Since.IsZero() {
			return ""
		}
		return age(now.Sub(e.Since))
	}},
	{head: "CPU", cell: func(e control.Experiment, _ time.Time) string {
		if e.CPUPercent == nil {
			return ""
		}
		return strconv.FormatFloat(*e.CPUPercent, 'f', 0, 64) + "%"
	}},
	{head: "MEMORY", cell: func(e control.Experiment, _ time.Time) string {
		return strings.Join([]string{amount(e.MemoryCurrent), amount(e.MemoryPeak), e.MemoryMax.String()}, "/")
	}},
	{head: "GPU", gpu: true, cell: func(e control.Experiment, _ time.Time) string {
		if e.GPUMemory == 0 && e.GPUMemoryUsed == nil {
			return ""
		}
		if e.GPUMemory == 0 {
			return amount(e.GPUMemoryUsed)
		}
		return amount(e.GPUMemoryUsed) + "/" + e.GPUMemory.String()
	}},
	{head: "RESTARTS", cell: func(e control.Experiment, _ time.Time) string {
		return fmt.Sprintf("%d/%d", e.Attempt, e.MaxRestarts)
	}},
	{head: "LAST", cell: func(e control.Experiment, _ time.Time) string { return e.LastResult }},
}

// reasonColumn comes last, because it is the longest.
var reasonColumn = column{head: "REASON", cell: func(e control.Experiment, _ time.Time) string {
	if len(e.NeedsRestart) > 0 {
		return strings.TrimPrefix(e.Reason+"; ", "; ") + "a restart would change " + strings.Join(e.NeedsRestart, ", ")
	}
	return e.Reason
}}

var wideColumns = []column{
	{head: "PID", cell: func(e control.Experiment, _ time.Time) string { return numberOr(e.PID) }},
	{head: "STARTED", cell: func(e control.Experiment, _ time.Time) string { return localTime(e.StartedAt) }},
	{head: "TASKS", cell: func(e control.Experiment, _ time.Time) string {
		if e.Tasks == nil {
			return ""
		}
		return strconv.Itoa(*e.Tasks)
	}},
	{head: "CPU-TIME", cell: func(e control.Experiment, _ time.Time) string {
		if e.CPUSeconds == nil {
			return ""
		}
		return strconv.FormatFloat(*e.CPUSeconds, 'f', 1, 64) + "s"
	}},
	{head: "PRIORITY", cell: func(e control.Experiment, _ time.Time) string { return strconv.Itoa(e.Priority) }},
	{head: "TAGS", cell: func(e control.Experiment, _ time.Time) string { return strings.Join(e.Tags, ",") }},
	{head: "UNIT", cell: func(e control.Experiment, _ time.Time) string { return e.Unit }},
}

// numberOr is a number, "" for 0.
func numberOr(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// amount is an amount of memory, "-" where it is not known.
func amount(b *quantity.Bytes) string {
	if b == nil {
		return "-"
	}
	return b.String()
}
