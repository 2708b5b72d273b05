package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/transient"
)

// Options are what Examine cannot find out by itself.
type Options struct {
	User       bool   // a user's service manager is meant
	Socket     string // path
	Group      string // whose members may use the socket
	StateDir   string
	RuntimeDir string

	// Ask asks the brainjar at the socket; absent: none runs.
	Ask func(context.Context) (absent bool, err error)
}

// examineLimit is how long it may take to look at a machine. Trials, which clean up
// after themselves, may take a little longer.
const examineLimit = 10 * time.Second

// errSilent says that something did not answer in examineLimit.
var errSilent = errors.New("no answer for " + examineLimit.String())

// Examine looks at this machine: at everything at the same time, and at nothing for
// longer than 15 s. What hangs is told as an error of its own. Limits are tried by
// transient.Try.
func Examine(ctx context.Context, o Options) Machine {
	m := Machine{Root: os.Geteuid() == 0, User: o.User, Socket: o.Socket}
	trials := ask(ctx, 2*examineLimit, func(ctx context.Context) ([]transient.Trial, error) { return transient.Try(ctx, o.User) })
	ctx, cancel := context.WithTimeout(ctx, examineLimit)
	defer cancel()
	var machine sensors.FS
	host := ask(ctx, examineLimit, func(ctx context.Context) (transient.Host, error) { return transient.Probe(ctx, o.User) })
	reading := ask(ctx, examineLimit, (&sensors.Sampler{FS: machine, SourceTimeout: examineLimit / 2}).Once)
	swaps := ask(ctx, examineLimit, func(context.Context) ([]string, error) { return machine.Swaps() })
	settings := ask(ctx, examineLimit, func(ctx context.Context) (set struct {
		sensors.Settings
		problems []sensors.Problem
	}, err error) {
		set.Settings, set.problems = machine.Settings(ctx)
		return set, nil
	})
	devices := ask(ctx, examineLimit, machine.GPUDevices)
	socket := ask(ctx, examineLimit, o.Ask)
	group := ask(ctx, examineLimit, func(context.Context) (bool, error) {
		_, err := user.LookupGroup(o.Group)
		return err == nil, nil
	})
	state := ask(ctx, examineLimit, func(context.Context) (Place, error) { return place(o.StateDir), nil })
	runtime := ask(ctx, examineLimit, func(context.Context) (Place, error) { return place(o.RuntimeDir), nil })
	old := ask(ctx, examineLimit, func(ctx context.Context) ([]string, error) { return transient.Wanted(ctx, OldPattern) })

	m.Host, m.HostError = host()
	m.Reading, m.ReadingError = reading()
	m.Swaps, m.SwapError = swaps()
	set, err := settings()
	m.Settings, m.Unset = set.Settings, set.problems
	if err != nil {
		m.Unset = append(m.Unset, sensors.Problem{Source: "power mode", Err: err})
	}
	m.GPUDevices, m.GPUError = devices()
	m.Absent, m.SocketError = socket()
	m.Group, _ = group() // one that cannot be looked up is of no use
	m.State, m.Runtime = answered(o.StateDir, state), answered(o.RuntimeDir, runtime)
	m.OldUnits, m.OldUnitsError = old()
	m.Synchronised, m.ClockError = synchronised()
	m.Trials, m.TrialError = trials()
	return m
}

// ask begins to ask something, and returns a function that waits for the answer. What
// does not return in time is left behind: this process ends soon.
func ask[T any](ctx context.Context, limit time.Duration, question func(context.Context) (T, error)) func() (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		value, err := question(ctx)
		answers <- answer{value, err}
	}()
	timer := time.NewTimer(limit)
	return func() (value T, err error) {
		defer timer.Stop()
		select {
		case a := <-answers:
			return a.value, a.err
		case <-timer.C:
		}
		select {
		case a := <-answers: // long since: while another answer was waited for, time ran out here too
			return a.value, a.err
		default:
			return value, errSilent
		}
	}
}

// answered is a place, or that it is not known.
func answered(path string, answer func() (Place, error)) Place {
	p, err := answer()
	if err != nil {
		return Place{Path: path, Error: fmt.Errorf("cannot look at %s: %w", path, err)}
	}
	return p
}

// place looks at a directory, or at the one in which it would be made.
func place(path string) Place {
	p := Place{Path: path, Exists: true}
	dir := path
	for {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			p.Exists, dir = false, filepath.Dir(dir)
			continue
		}
		if err == nil && !info.IsDir() {
			err = unix.ENOTDIR
		}
		if err != nil {
			p.Error = fmt.Errorf("cannot use %s: %w", path, err)
			return p
		}
		break
	}
	var disk unix.Statfs_t
	err := unix.Statfs(dir, &disk)
	if err == nil {
		p.Free = quantity.Bytes(disk.Bavail) * quantity.Bytes(disk.Bsize)
		err = unix.Access(dir, unix.W_OK|unix.X_OK)
	}
	if err != nil {
		p.Error = fmt.Errorf("cannot write in %s: %w", dir, err)
	}
	return p
}

// synchronised asks the kernel whether something keeps its clock right, adjtimex(2).
func synchronised() (bool, error) {
	const unsynchronised = 0x40 // STA_UNSYNC
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false, fmt.Errorf("cannot ask whether the clock is right: %w", err)
	}
	return t.Status&unsynchronised == 0, nil
}
