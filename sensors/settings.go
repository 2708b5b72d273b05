package sensors

import (
	"context"
	"errors"
	"time"
)

// Settings is how somebody has set a Jetson. On other machines all of it is Absent.
type Settings struct {
	PowerMode    Value[PowerMode] `json:"power_mode"`
	JetsonClocks Value[bool]      `json:"jetson_clocks"` // every clock is held at its ceiling
}

// Settings asks how the board is set. Unlike a Reading it runs a program of the
// vendor, which may take 5 s: it is not to be asked often. The problems say why a
// value is Failed.
func (fs FS) Settings(ctx context.Context) (Settings, []Problem) {
	var s Settings
	var problems []Problem
	if !(Board{SoC: fs.soc()}).Jetson() {
		return s, nil
	}
	began := time.Now()
	mode, err := fs.PowerMode(ctx)
	switch {
	case err == nil:
		s.PowerMode = known(mode)
	case !errors.Is(err, ErrNoPowerModes):
		s.PowerMode.State = Failed
		problems = append(problems, Problem{"nvpmodel", err, began})
	}
	pinned, err := fs.pinned(ctx)
	s.JetsonClocks = pinned
	if err != nil {
		problems = append(problems, Problem{"clocks", err, began})
	}
	return s, problems
}

// pinned reads whether all clocks are held at their ceilings. Absent: there are none.
func (fs FS) pinned(ctx context.Context) (Value[bool], error) {
	clocks, err := fs.Clocks(ctx)
	switch {
	case err != nil:
		return Value[bool]{State: Failed}, err
	case len(clocks) == 0:
		return Value[bool]{}, nil
	}
	return known(Pinned(clocks)), nil
}
