// Package journal reads what experiments wrote to systemd's journal, and writes
// what brainjar has to say to it, with its facts as fields.
//
// Reading is done by journalctl(1), as a process with fixed arguments: it reads
// the files of every version, also compressed ones, which needs no cgo here. Only
// fields are matched that journald adds itself, so no program can slip lines into
// the output of another one, systemd.journal-fields(7).
//
// The package must not know what an experiment is, nor why a line is of interest.
// It imports nothing of brainjar.
package journal

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Query says what is read.
type Query struct {
	// Experiments are their ids; none means all that ever wrote something and, with
	// Follow, those that will: of these, lines of processes that end at once can be
	// missing. System adds what systemd itself says of their units.
	Experiments []string
	System      bool

	// Invocation is the InvocationID of one run, and Run its number. A number alone
	// is enough for services of the system's service manager; scopes have no field
	// for it. Of a user's service manager the journal knows neither: there Since and
	// Until have to tell a run from the others, and Run is only noted in each Entry.
	Invocation string
	Run        int

	Since, Until time.Time // zero: from the first, to the last
	Lines        int       // the newest so many; 0: all
	Follow       bool      // wait for more until the context ends
	User         bool      // units of the user's own service manager
}

// Entry is one line of output.
type Entry struct {
	At         time.Time `json:"at"`
	Experiment string    `json:"experiment"`
	Run        int       `json:"run,omitempty"` // 0: not known
	PID        int       `json:"pid,omitempty"` // of the process that wrote it
	Priority   int       `json:"priority"`      // as in syslog(3): 3 is an error, 6 information
	Message    string    `json:"message"`       // valid UTF-8: what is not is replaced
}

// ErrNoJournal says that there is no journal that this process can read. The error
// that wraps it says what to do.
var ErrNoJournal = errors.New("the journal cannot be read")

// Names of units and of the slice that holds all of them, as brainjar gives them.
const (
	prefix = "brainjar-"
	slice  = "brainjar.slice"
)

// kinds are the types of units that experiments have.
var kinds = []string{".service", ".scope"}

// fields are those of an entry that are read.
const fields = "MESSAGE,PRIORITY,_PID,_SYSTEMD_UNIT,_SYSTEMD_USER_UNIT,UNIT,USER_UNIT,BRAINJAR_RUN"

// arguments are those of journalctl for a query of these experiments, and with the
// slice of others that may come. "+" stands for: or.
func (q Query) arguments(experiments []string) []string {
	args := []string{"--quiet", "--no-pager", "--all", "--output=json", "--output-fields=" + fields}
	if q.Lines > 0 {
		args = append(args, "--lines="+strconv.Itoa(q.Lines))
	}
	if q.Follow {
		args = append(args, "--follow")
		if q.Lines == 0 {
			args = append(args, "--no-tail")
		}
	}
	if !q.Since.IsZero() {
		args = append(args, "--since="+stamp(q.Since))
	}
	if !q.Until.IsZero() {
		args = append(args, "--until="+stamp(q.Until))
	}
	args = append(args, "--")
	alternatives := [][]string{}
	if len(experiments) > 0 {
		alternatives = append(alternatives, append(units(q.unitField(), experiments), q.ofRun("_SYSTEMD_INVOCATION_ID=")...))
		if q.System {
			alternatives = append(alternatives, q.managers(experiments))
		}
	}
	if len(q.Experiments) == 0 {
		alternatives = append(alternatives, append([]string{q.sliceField() + slice}, q.ofRun("_SYSTEMD_INVOCATION_ID=")...))
	}
	for i, matches := range alternatives {
		if i > 0 {
			args = append(args, "+")
		}
		if q.User {
			args = append(args, "_UID="+strconv.Itoa(os.Getuid()))
		}
		args = append(args, matches...)
	}
	return args
}

// unitField is the field for the unit that wrote an entry.
func (q Query) unitField() string {
	if q.User {
		return "_SYSTEMD_USER_UNIT="
	}
	return "_SYSTEMD_UNIT="
}

func (q Query) sliceField() string {
	if q.User {
		return "_SYSTEMD_USER_SLICE="
	}
	return "_SYSTEMD_SLICE="
}

// managers matches what the service manager said.
func (q Query) managers(experiments []string) []string {
	if q.User {
		return append([]string{"_SYSTEMD_USER_UNIT=init.scope"}, units("USER_UNIT=", experiments)...)
	}
	matches := append([]string{"_PID=1"}, units("UNIT=", experiments)...)
	return append(matches, q.ofRun("INVOCATION_ID=")...)
}

func (q Query) ofRun(invocationField string) []string {
	switch {
	case q.User:
		return nil
	case q.Invocation != "":
		return []string{invocationField + q.Invocation}
	case q.Run > 0:
		return []string{"BRAINJAR_RUN=" + strconv.Itoa(q.Run)}
	}
	return nil
}

func units(field string, experiments []string) (matches []string) {
	for _, experiment := range experiments {
		for _, kind := range kinds {
			matches = append(matches, field+prefix+experiment+kind)
		}
	}
	return matches
}

// stamp is a time as systemd.time(7) reads it, to the microsecond.
func stamp(t time.Time) string {
	return fmt.Sprintf("@%d.%06d", t.Unix(), t.Nanosecond()/1000)
}
