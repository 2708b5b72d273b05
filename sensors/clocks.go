package sensors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// Clock is one clock whose ceiling root can set: that of a GPU (max_freq of
// devfreq) or of the CPUs of a policy (scaling_max_freq of cpufreq). A ceiling below
// the floor is in force all the same: both kernels' interfaces let the ceiling win.
type Clock struct {
	Name  string           `json:"name"` // "17000000.ga10b", "policy0"
	GPU   bool             `json:"gpu"`  // else it is that of CPUs
	File  string           `json:"file"` // of the ceiling, below the root
	Min   quantity.Hertz   `json:"min_hertz"`
	Max   quantity.Hertz   `json:"max_hertz"` // the ceiling now
	Steps []quantity.Hertz `json:"steps_hertz,omitempty"`
	Least quantity.Hertz   `json:"least_hertz"` // the slowest of which the hardware is capable
}

// unit is what a number in the clock's file counts, in Hz.
func unit(file string) int64 {
	if strings.HasSuffix(file, "scaling_max_freq") {
		return 1000
	}
	return 1
}

// Clocks reads all clocks of GPUs and CPUs. One that cannot be read is left out and
// told by the error, which may come with the others. A driver may take 2 s to answer.
//
// What it reads is the lower of what was set and what the kernel's own cooling
// allows at this moment. So that the latter is not taken for the former, it is to be
// read before the board is hot.
func (fs FS) Clocks(ctx context.Context) ([]Clock, error) {
	ctx, cancel := context.WithTimeout(ctx, clocksLimit)
	defer cancel()
	var clocks []Clock
	var err error
	if stuck := clockGate.do(ctx, func() { clocks, err = fs.readClocks() }); stuck != nil {
		return nil, fmt.Errorf("cannot read clocks: no answer within %s: %w", clocksLimit, stuck)
	}
	if err != nil {
		err = fmt.Errorf("cannot read clocks: %w", err)
	}
	return clocks, err
}

// clocksLimit is how long the clocks may take to be read.
const clocksLimit = 2 * time.Second

// readClocks is Clocks, for as long as the drivers take.
func (fs FS) readClocks() ([]Clock, error) {
	gpus, errGPUs := fs.gpuDirs()
	policies, errPolicies := fs.numbered(cpuDir+"/cpufreq", "policy")
	errs := []error{errGPUs, errPolicies}
	var clocks []Clock
	for _, dir := range gpus {
		a := &attributes{read: fs.reader(), dir: dir}
		c := Clock{Name: filepath.Base(dir), GPU: true, Min: a.clock("min_freq", 1).V, Max: a.clock("max_freq", 1).V}
		c.Steps = fs.steps(filepath.Join(dir, "available_frequencies"), 1)
		clocks, errs = fs.add(clocks, c, filepath.Join(dir, "max_freq"), append(errs, a.err))
	}
	for _, dir := range policies {
		a := &attributes{read: fs.reader(), dir: dir, asleep: []error{unix.EBUSY}}
		if a.cpus("affected_cpus").State == Absent {
			continue // all of its CPUs are switched off
		}
		c := Clock{Name: filepath.Base(dir), Min: a.clock("scaling_min_freq", 1000).V, Max: a.clock("scaling_max_freq", 1000).V}
		c.Least = a.clock("cpuinfo_min_freq", 1000).V
		c.Steps = fs.steps(filepath.Join(dir, "scaling_available_frequencies"), 1000)
		clocks, errs = fs.add(clocks, c, filepath.Join(dir, "scaling_max_freq"), append(errs, a.err))
	}
	return clocks, errors.Join(errs...)
}

// add adds a clock that has a ceiling.
func (fs FS) add(clocks []Clock, c Clock, file string, errs []error) ([]Clock, []error) {
	if c.Max <= 0 {
		return clocks, errs
	}
	name, err := filepath.Rel(fs.path(), file)
	if err != nil {
		return clocks, append(errs, err)
	}
	c.File = name
	if c.Least == 0 {
		c.Least = c.Min
	}
	if len(c.Steps) > 0 {
		c.Least = c.Steps[0]
	}
	return append(clocks, c), errs
}

// steps reads the frequencies that a clock can have, the lowest first; nil where the
// kernel does not tell.
func (fs FS) steps(path string, unit int64) []quantity.Hertz {
	table, err := fs.table()(path)
	if err != nil {
		return nil
	}
	return parseSteps(string(table), unit)
}

// parseSteps reads a list of frequencies in a unit of so many Hz. One that holds
// anything else is none.
func parseSteps(text string, unit int64) []quantity.Hertz {
	var steps []quantity.Hertz
	for _, field := range strings.Fields(text) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil || n <= 0 || n > mostHertz/unit {
			return nil
		}
		steps = append(steps, quantity.Hertz(n*unit))
	}
	slices.Sort(steps)
	return slices.Compact(steps)
}

// Cap is a ceiling that brainjar sets, and what was there before. It can be written
// down, so that a later process can put back what was there.
type Cap struct {
	Clock  string         `json:"clock"`
	File   string         `json:"file"`
	Before quantity.Hertz `json:"before_hertz"`
	Limit  quantity.Hertz `json:"limit_hertz"`
}

// slack is by how much a driver may round a limit down that is none of its steps.
const slack = 100e6

// holds says whether a ceiling is the cap's, and nobody's who set one since.
func (c Cap) holds(now quantity.Hertz) bool { return now <= c.Limit && now > c.Limit-slack }

// PlanCaps returns the caps that bring clocks down to a share, above 0 and below 1,
// of what they had before. held are the caps that are in force: where one still
// holds, what was before it counts, so that caps do not add up. A clock gets the
// highest of its steps that is within the share, but no less than its slowest; one
// that has nothing to give gets no cap.
func PlanCaps(clocks []Clock, held []Cap, share float64) []Cap {
	var caps []Cap
	for _, c := range clocks {
		before := c.Max
		for _, h := range held {
			if h.File == c.File && h.holds(c.Max) {
				before = h.Before
			}
		}
		limit := max(quantity.Hertz(float64(before)*share), c.Least)
		for _, step := range slices.Backward(c.Steps) {
			if step <= limit {
				limit = step
				break
			}
		}
		if limit < before {
			caps = append(caps, Cap{Clock: c.Name, File: c.File, Before: before, Limit: limit})
		}
	}
	return caps
}

// clockLimit is how long the drivers of all clocks together may take.
const clockLimit = 5 * time.Second

// ApplyCaps sets ceilings, each of which is read back. The caps are to be written
// down before. Its error names those that do not hold; the others do.
func (fs FS) ApplyCaps(ctx context.Context, caps []Cap) error {
	ctx, cancel := context.WithTimeout(ctx, clockLimit)
	defer cancel()
	var errs []error
	stuck := clockGate.do(ctx, func() {
		for _, c := range caps {
			if err := fs.applyCap(ctx, c); err != nil {
				errs = append(errs, fmt.Errorf("cannot cap %s: %w", c.Clock, err))
			}
		}
	})
	if stuck != nil {
		return fmt.Errorf("cannot cap clocks: no answer within %s: %w", clockLimit, stuck)
	}
	return errors.Join(errs...)
}

// applyCap sets a ceiling, unless nobody waits for it any more.
func (fs FS) applyCap(ctx context.Context, c Cap) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := fs.setCeiling(c.File, c.Limit); err != nil {
		return err
	}
	if now, err := fs.ceiling(c.File); err != nil || now > c.Limit {
		return fmt.Errorf("it rises to %s: %w", now, cmp.Or(err, errNotTaken))
	}
	return nil
}

var errNotTaken = errors.New("the driver did not take the limit")

// RestoreCaps puts back what was there before, and returns the caps that are still
// to be put back, with the reasons: what could not be written, clocks whose CPUs are
// switched off, and those that are lower now than brainjar set them, because the
// kernel cools or a power mode came: it may be tried again. A ceiling that somebody
// raised since is theirs and left alone, as is one that was never capped.
func (fs FS) RestoreCaps(ctx context.Context, caps []Cap) ([]Cap, error) {
	ctx, cancel := context.WithTimeout(ctx, clockLimit)
	defer cancel()
	var left []Cap // belongs to the call, which may go on by itself
	var errs []error
	stuck := clockGate.do(ctx, func() {
		for _, c := range caps {
			if err := fs.restoreCap(ctx, c); err != nil {
				left = append(left, c)
				errs = append(errs, fmt.Errorf("cannot restore %s: %w", c.Clock, err))
			}
		}
	})
	if stuck != nil {
		return slices.Clone(caps), fmt.Errorf("cannot restore clocks: no answer within %s: %w", clockLimit, stuck)
	}
	return left, errors.Join(errs...)
}

// restoreCap puts back one ceiling, unless nobody waits for it any more.
func (fs FS) restoreCap(ctx context.Context, c Cap) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now, err := fs.ceiling(c.File)
	switch {
	case err != nil:
		return err
	case now > c.Limit:
		return nil
	case !c.holds(now):
		return fmt.Errorf("something else holds it at %s", now)
	}
	if err := fs.setCeiling(c.File, c.Before); err != nil {
		return err
	}
	if now, err = fs.ceiling(c.File); err != nil || now != c.Before {
		return fmt.Errorf("it rises to %s only: %w", now, cmp.Or(err, errNotTaken))
	}
	return nil
}

// ceiling reads a ceiling.
func (fs FS) ceiling(file string) (quantity.Hertz, error) {
	if err := checkCeiling(file); err != nil {
		return 0, err
	}
	content, err := fs.reader()(fs.path(file))
	if err != nil {
		return 0, err
	}
	n, err := parseNumber(content)
	if err != nil || n <= 0 || n > mostHertz {
		return 0, fmt.Errorf("cannot read %s: %q is no frequency", fs.path(file), trim(content))
	}
	return quantity.Hertz(n * unit(file)), nil
}

// setCeiling writes a ceiling.
func (fs FS) setCeiling(file string, limit quantity.Hertz) error {
	if err := checkCeiling(file); err != nil {
		return err
	}
	return writeFile(fs.path(file), strconv.FormatInt(int64(limit)/unit(file), 10))
}

// checkCeiling makes sure that a file is one of those that this package sets: caps
// come back from where they were written down.
func checkCeiling(file string) error {
	for _, pattern := range []string{"sys/class/devfreq/*/max_freq", cpuDir + "/cpufreq/policy*/scaling_max_freq"} {
		if ok, err := filepath.Match(pattern, file); ok && err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s is not the ceiling of a clock: %w", file, os.ErrInvalid)
}

// Pinned says whether every clock is held at its ceiling, as jetson_clocks leaves
// them. While brainjar's own caps hold, that cannot be told: a floor is shown no
// higher than the ceiling.
func Pinned(clocks []Clock) bool {
	return len(clocks) > 0 && !slices.ContainsFunc(clocks, func(c Clock) bool { return c.Min < c.Max })
}
