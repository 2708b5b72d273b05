package transient

import (
	"context"
	"fmt"
)

// sliceState is how the slice stood when it was last looked at.
type sliceState struct {
	active  bool // once a unit has run it stays so, until somebody stops it
	stopped bool // SliceStopped was sent last
}

// lookSlice finds out whether somebody stops the slice, or has stopped it since it was
// last looked at, and reports that. The stop job is there before the first unit ends, so
// it is told before that, too.
func (m *Manager) lookSlice(ctx context.Context, c *conn) error {
	units, err := c.list(ctx, Slice)
	if err != nil {
		return fmt.Errorf("cannot look at %s: %w", Slice, err)
	}
	active, stopping := false, false
	for _, u := range units {
		active, stopping = u.Active == "active", u.JobType == "stop"
	}
	m.mu.Lock()
	stopped := stopping || m.state.active && !active
	m.mu.Unlock()
	if stopped && c.shutsDown(ctx) {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.state
	m.state = sliceState{active: active, stopped: stopped || before.stopped && !active}
	if m.state.stopped != before.stopped {
		m.stream.put(SliceStopped{Stopped: m.state.stopped})
	}
	return nil
}
