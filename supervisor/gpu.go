package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strings"

	"brainjar/internal/config"
	"brainjar/sensors"
	"brainjar/transient"
)

// Board is what the supervisor must know of the machine beyond what its service
// manager enforces and its sensors tell. Its zero value is a machine without a GPU.
type Board struct {
	// GPUDevices returns the device nodes that a program needs to use the GPUs. It may
	// power one on, and is called outside the loop. What is found is returned also with
	// an error. Nil: there is no GPU.
	GPUDevices func(context.Context) ([]sensors.Device, error)
	// Unified says that the GPU has no memory but the machine's, as on a Jetson.
	Unified bool
	// PowerModes sets the board's power mode. Nil: there are none.
	PowerModes PowerModes
}

// ErrNoGPU says that there is nothing to grant to an experiment with gpu = true.
var ErrNoGPU = errors.New("this machine has no GPU that programs can compute on: none of its device nodes is in /dev")

// lacks returns why experiments with gpu = true could not be started here, nil if
// they could or there are none.
func (b Board) lacks(ctx context.Context, cfg *config.Config) error {
	i := slices.IndexFunc(cfg.Experiments, func(c *config.Experiment) bool { return c.GPU })
	if i < 0 {
		return nil
	}
	_, err := launch{cfg: cfg.Experiments[i]}.grantGPU(ctx, b, new(transient.Spec))
	return err
}

// gpuGroups are the groups to which distributions give the nodes of GPUs: video those
// of Jetsons, render those of /dev/dri.
var gpuGroups = []string{"video", "render"}

// granted is what a run got of the GPUs.
type granted struct {
	devices []sensors.Device
	groups  []string
	trouble error // why there may be more nodes than these
}

// String is what was granted, for people.
func (g granted) String() string {
	words := count(len(g.devices), "device node") + ": " + strings.Join(g.paths(), " ")
	if len(g.groups) > 0 {
		words += "; groups: " + strings.Join(g.groups, " ")
	}
	return words
}

func (g granted) paths() []string {
	paths := make([]string, len(g.devices))
	for i, d := range g.devices {
		paths[i] = d.Path
	}
	return paths
}

// grantGPU lets a run open the nodes of the GPUs, which are looked up for each run:
// systemd takes no patterns and passes over what does not exist, and a Jetson makes
// some of them only when its GPU is used. A user's service manager can add no groups:
// there the nodes are open to those to whom the machine has opened them.
func (l launch) grantGPU(ctx context.Context, b Board, spec *transient.Spec) (g granted, err error) {
	if !l.cfg.GPU {
		return g, nil
	}
	if b.GPUDevices != nil {
		g.devices, g.trouble = b.GPUDevices(ctx)
	}
	switch {
	case len(g.devices) == 0 && g.trouble != nil:
		return g, fmt.Errorf("cannot grant gpu = true: %w: %w", ErrNoGPU, g.trouble)
	case len(g.devices) == 0:
		return g, fmt.Errorf("cannot grant gpu = true: %w", ErrNoGPU)
	}
	for _, d := range g.devices {
		spec.Devices = append(spec.Devices, transient.Device{Path: d.Path, Access: d.Access})
	}
	if len(l.cfg.Devices) == 0 { // nobody asked that other devices be closed
		spec.Limits.Implied = append(spec.Limits.Implied, "devices")
	}
	if !l.userManager {
		for _, name := range gpuGroups {
			if _, err := user.LookupGroup(name); err == nil {
				g.groups = append(g.groups, name)
			}
		}
	}
	spec.SupplementaryGroups = append(spec.SupplementaryGroups, g.groups...)
	return g, nil
}

// tellGrant says what a run that systemd has taken got of the GPUs.
func (s *Supervisor) tellGrant(e *experiment, run int, g granted) {
	if len(g.devices) == 0 {
		return
	}
	if g.trouble != nil {
		s.Log.Warn("a GPU does not show all of its nodes", "experiment", e.cfg.ID, "err", g.trouble)
	}
	s.Log.Info("GPU granted", "experiment", e.cfg.ID, "run", run, "nodes", len(g.devices), "devices", strings.Join(g.paths(), " "), "groups", strings.Join(g.groups, " "))
	s.note(eventGPU, e.cfg.ID, run, g.String())
}

// eventGPU is the kind of the events that tell what was granted of the GPUs.
const eventGPU = "gpu"
