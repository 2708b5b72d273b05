package transient

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// record is what the recorder (ExecStopPost) writes about the end of one
// invocation of a service: the one witness that also sees the ends for which
// no brainjar was there, and the only one that sees the kernel's counters
// before the control group is gone.
type record struct {
	Unit       string `json:"unit"`
	Experiment string `json:"experiment"`
	Run        int    `json:"run"`
	Attempt    int    `json:"attempt"`
	Invocation string `json:"invocation"`

	// As systemd.exec(5) says of ExecStopPost; all are empty if systemd could not be asked
	// and the environment is not trusted.
	ServiceResult string `json:"service_result"`
	ExitCode      string `json:"exit_code"`   // "exited", "killed" or "dumped"
	ExitStatus    string `json:"exit_status"` // a number, or a signal such as "TERM"

	// StopRequested is nil if systemd could not be asked.
	StopRequested *bool `json:"stop_requested"`

	OOMKills   int            `json:"oom_kills"`
	MemoryPeak quantity.Bytes `json:"memory_peak"`
	CPUTime    time.Duration  `json:"cpu_time_ns"`

	Created time.Time `json:"created_at"` // when the unit began to start; zero: unknown
	Active  time.Time `json:"active_at"`  // when it became active; zero: never, or unknown
	Ended   time.Time `json:"ended_at"`
}

// The recorder is bounded: PID 1 waits for it, and with it everybody who
// waits for the end of the unit.
const (
	recorderLimit    = 5 * time.Second
	recorderAskLimit = 3 * time.Second // for what it asks systemd
	maxRecord        = 64 << 10        // bytes of a record file
)

// runRecorder is the hidden mode "record": DIR SCOPE EXPERIMENT RUN ATTEMPT
// [distrustEnvironment], with SCOPE "system" or "user". The identity comes as
// arguments, because an EnvironmentFile of the experiment could set any variable.
func runRecorder(args []string) int {
	limit := time.AfterFunc(recorderLimit, func() { os.Exit(1) })
	defer limit.Stop()
	if err := writeRecord(args, os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "brainjar record:", err)
		return 1
	}
	return 0
}

// distrustEnvironment is the argument that tells the recorder to ask systemd how
// the run ended: it puts the variables of EnvironmentFiles over its own.
const distrustEnvironment = "environment-files"

func writeRecord(args []string, env func(string) string) error {
	if len(args) != 5 && (len(args) != 6 || args[5] != distrustEnvironment) {
		return fmt.Errorf("cannot record: want DIR SCOPE EXPERIMENT RUN ATTEMPT")
	}
	dir, user, distrust := args[0], args[1] == "user", len(args) == 6
	run, errRun := strconv.Atoi(args[3])
	attempt, errAttempt := strconv.Atoi(args[4])
	if errRun != nil || errAttempt != nil {
		return fmt.Errorf("cannot record: run %q, attempt %q are not numbers", args[3], args[4])
	}
	r := record{
		Unit: UnitName(args[2], Service), Experiment: args[2], Run: run, Attempt: attempt,
		Invocation: env("INVOCATION_ID"), Ended: time.Now(),
	}
	if !distrust {
		r.ServiceResult, r.ExitCode, r.ExitStatus = env("SERVICE_RESULT"), env("EXIT_CODE"), env("EXIT_STATUS")
	}
	r.measure()
	ctx, cancel := context.WithTimeout(context.Background(), recorderAskLimit)
	defer cancel()
	r.ask(ctx, privateAddress(user), distrust)
	return r.write(dir)
}

// measure reads the counters of the unit's control group, which the recorder
// runs in.
func (r *record) measure() {
	c, err := readCgroups()
	if err != nil {
		return
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return
	}
	g := group{c, c.ownGroup(own)}
	r.OOMKills = g.oomKills()
	if u, err := g.usage(); err == nil {
		r.MemoryPeak, r.CPUTime = u.MemoryPeak, u.CPUTime
	}
}

// ask asks systemd what the environment does not say, with as few questions as
// can be: PID 1 may be busy with the ends of hundreds. Where the two differ about
// the invocation, systemd is right.
func (r *record) ask(ctx context.Context, address string, distrust bool) {
	c, err := dial(ctx, address, recorderAskLimit, r.askJob)
	if err != nil {
		return
	}
	defer c.close()
	path := unitPath(r.Unit)
	if all, err := c.getAll(ctx, path, unitIface); err == nil {
		s := readUnitState(all)
		if s.invocation != "" {
			r.Invocation = s.invocation
		}
		r.Created, r.Active = s.created, s.entered
		if r.Active.Before(r.Created) {
			r.Active = time.Time{} // of the invocation before
		}
	}
	if distrust {
		r.askEnd(ctx, c, path)
	}
}

// askJob asks whether the unit has a job that takes it down: that comes first,
// because it decides the most.
func (r *record) askJob(ctx context.Context, c *conn) error {
	units, err := c.list(ctx, r.Unit, padding)
	if err != nil {
		return err
	}
	requested := len(units) == 1 && (units[0].JobType == "stop" || units[0].JobType == "restart")
	r.StopRequested = &requested
	return nil
}

// askEnd asks systemd how the main process ended.
func (r *record) askEnd(ctx context.Context, c *conn, path dbus.ObjectPath) {
	var result string
	var code, status int32
	for property, value := range map[string]any{"Result": &result, "ExecMainCode": &code, "ExecMainStatus": &status} {
		if c.get(ctx, path, serviceIface, property, value) != nil {
			return
		}
	}
	r.ServiceResult, r.ExitCode, r.ExitStatus = result, "", strconv.Itoa(int(status))
	switch code {
	case cldExited:
		r.ExitCode = "exited"
	case cldKilled:
		r.ExitCode = "killed"
	case cldDumped:
		r.ExitCode = "dumped"
	}
}

// write puts the record where readRecord finds it, whole or not at all.
func (r *record) write(dir string) error {
	if !validInvocation(r.Invocation) {
		return fmt.Errorf("cannot record: %q is no invocation", r.Invocation)
	}
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("cannot write the record: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil { // somebody may have removed it while it ran
		return fmt.Errorf("cannot write the record: %w", err)
	}
	temporary := filepath.Join(dir, r.Invocation+".tmp")
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write the record: %w", err)
	}
	_, err = f.Write(b)
	if errClose := f.Close(); err == nil {
		err = errClose
	}
	if err == nil {
		err = os.Rename(temporary, recordFile(dir, r.Invocation))
	}
	if err != nil {
		os.Remove(temporary)
		return fmt.Errorf("cannot write the record: %w", err)
	}
	return nil
}

func recordFile(dir, invocation string) string { return filepath.Join(dir, invocation+".json") }

// readRecord reads the record of an invocation.
func readRecord(dir, invocation string) (*record, error) {
	if !validInvocation(invocation) {
		return nil, fmt.Errorf("cannot read the record: %q is no invocation", invocation)
	}
	name := recordFile(dir, invocation)
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxRecord {
		return nil, fmt.Errorf("cannot read the record %s: not a small regular file", name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseRecord(b, invocation)
}

func parseRecord(b []byte, invocation string) (*record, error) {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("cannot read the record of %s: %w", invocation, err)
	}
	if r.Invocation != invocation || r.Unit != UnitName(r.Experiment, Service) {
		return nil, fmt.Errorf("cannot read the record of %s: it is of %s %s", invocation, r.Unit, r.Invocation)
	}
	return &r, nil
}

// facts returns what systemd told the recorder, in the terms of its
// properties: those are gone when the unit is.
func (r *record) facts() facts {
	f := facts{result: r.ServiceResult, wasActive: !r.Active.IsZero(), started: r.Active, ended: r.Ended}
	if f.started.IsZero() {
		f.started = r.Created
	}
	switch r.ExitCode {
	case "exited":
		f.code = cldExited
	case "killed":
		f.code = cldKilled
	case "dumped":
		f.code = cldDumped
	}
	if n, err := strconv.Atoi(r.ExitStatus); err == nil {
		f.status = n
	} else {
		f.status = int(unix.SignalNum("SIG" + r.ExitStatus))
	}
	return f
}

// validInvocation reports whether s is an InvocationID, and so safe as the
// name of a file.
func validInvocation(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}
