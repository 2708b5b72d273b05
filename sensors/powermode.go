package sensors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PowerMode is one of a Jetson's power modes. The same number means different
// things on different boards.
type PowerMode struct {
	Number int    `json:"number"`
	Name   string `json:"name"` // "MODE_30W", "MAXN"
}

// Errors of power modes.
var (
	ErrNoPowerModes   = errors.New("this machine has no power modes")
	ErrPowerMode      = errors.New("no such power mode")
	ErrModeNeedReboot = errors.New("the board must be rebooted for this power mode")
)

const (
	nvpmodelConf = "etc/nvpmodel.conf"
	queryLimit   = 5 * time.Second
	setLimit     = 30 * time.Second // CPUs are switched on and off
)

// PowerModes returns the power modes of this board, in the order of its
// configuration. Its error is ErrNoPowerModes where there is none.
func (fs FS) PowerModes() ([]PowerMode, error) {
	conf, err := fs.table()(fs.path(nvpmodelConf))
	if nothing(err) {
		return nil, ErrNoPowerModes
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list power modes: %w", err)
	}
	modes := parsePowerModes(conf)
	if len(modes) == 0 {
		return nil, ErrNoPowerModes
	}
	return modes, nil
}

// parsePowerModes finds lines such as "< POWER_MODEL ID=2 NAME=MODE_30W >".
func parsePowerModes(conf []byte) []PowerMode {
	var modes []PowerMode
	for line := range bytes.Lines(conf) {
		fields := strings.Fields(string(line))
		if len(fields) != 5 || fields[0] != "<" || fields[1] != "POWER_MODEL" || fields[4] != ">" {
			continue
		}
		id, isID := strings.CutPrefix(fields[2], "ID=")
		name, isName := strings.CutPrefix(fields[3], "NAME=")
		number, err := strconv.ParseUint(id, 10, 16)
		if isID && isName && name != "" && err == nil {
			modes = append(modes, PowerMode{int(number), name})
		}
	}
	return modes
}

// PowerMode asks nvpmodel in which power mode the board is; the file that it keeps
// can be stale. Its error is ErrNoPowerModes where there is no nvpmodel.
func (fs FS) PowerMode(ctx context.Context) (PowerMode, error) {
	program, err := fs.program("nvpmodel")
	if errors.Is(err, errNoProgram) {
		return PowerMode{}, ErrNoPowerModes
	}
	output, _, err := run(ctx, nvpmodel, queryLimit, program, "-q")
	if err != nil {
		return PowerMode{}, fmt.Errorf("cannot ask for the power mode: %w", err)
	}
	mode, err := parsePowerMode(output)
	if err != nil {
		return PowerMode{}, fmt.Errorf("cannot ask for the power mode: %w", err)
	}
	return mode, nil
}

// parsePowerMode reads the answer of nvpmodel -q: after any warnings a line with
// the mode's name and one with its number.
func parsePowerMode(output []byte) (PowerMode, error) {
	lines := strings.Split(string(output), "\n")
	for i, line := range lines[:len(lines)-1] {
		_, name, found := strings.Cut(line, "NV Power Mode:")
		name = strings.TrimSpace(name)
		number, err := strconv.ParseUint(strings.TrimSpace(lines[i+1]), 10, 16)
		if found && name != "" && err == nil {
			return PowerMode{int(number), name}, nil
		}
	}
	return PowerMode{}, fmt.Errorf("nvpmodel answers %q", firstLine(output))
}

// SetPowerMode brings the board into a power mode, given by its name, in any case,
// or by its number, and returns the mode in which it was before. It needs root. Its
// error is ErrPowerMode where the board has none of that name, and
// ErrModeNeedReboot where nvpmodel would reboot, which it is not let.
func (fs FS) SetPowerMode(ctx context.Context, nameOrNumber string) (before PowerMode, err error) {
	modes, err := fs.PowerModes()
	if err != nil {
		return PowerMode{}, err
	}
	wanted, err := FindPowerMode(modes, nameOrNumber)
	if err != nil {
		return PowerMode{}, err
	}
	before, err = fs.PowerMode(ctx)
	if err != nil || before == wanted {
		return before, err
	}
	program, err := fs.program("nvpmodel")
	if err != nil {
		return before, ErrNoPowerModes
	}
	output, complaints, err := run(ctx, nvpmodel, setLimit, program, "-m", strconv.Itoa(wanted.Number))
	now, errNow := fs.PowerMode(ctx)
	switch {
	case errNow == nil && now == wanted:
		return before, nil // whatever it said
	case bytes.Contains(bytes.ToUpper(slices.Concat(output, complaints)), []byte("REBOOT")):
		err = ErrModeNeedReboot
	case err == nil && errNow != nil:
		err = errNow
	case err == nil:
		err = fmt.Errorf("it is still %s: %s", now.Name, firstLine(complaints, output))
	}
	return before, fmt.Errorf("cannot set power mode %s: %w", wanted.Name, err)
}

// FindPowerMode finds a mode by its name, in any case, else by its number. Its error is
// ErrPowerMode, with the modes that there are.
func FindPowerMode(modes []PowerMode, nameOrNumber string) (PowerMode, error) {
	for _, mode := range modes {
		if strings.EqualFold(mode.Name, nameOrNumber) {
			return mode, nil
		}
	}
	number, err := strconv.ParseUint(nameOrNumber, 10, 16)
	var names []string
	for _, mode := range modes {
		if err == nil && mode.Number == int(number) {
			return mode, nil
		}
		names = append(names, mode.Name)
	}
	return PowerMode{}, fmt.Errorf("%w: %q; this board has %s", ErrPowerMode, nameOrNumber, strings.Join(names, ", "))
}
