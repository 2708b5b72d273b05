package supervisor

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"brainjar/internal/config"
	"brainjar/transient"
)

// launch is one run, as the configuration wants it.
type launch struct {
	cfg         *config.Experiment
	run         int
	attempt     int
	last        transient.Result
	userManager bool
	process     *transient.Process // to adopt; nil: the command is started
	streams     *Streams           // of its client; nil: none
}

// spec turns the run into what transient needs to know. It looks at the
// working directory, so it is called outside the loop.
func (l launch) spec() (transient.Spec, error) {
	c := l.cfg
	spec := transient.Spec{
		Experiment: c.ID, Run: l.run, Attempt: l.attempt, LastResult: string(l.last),
		Process:          l.process,
		Kind:             transient.Kind(c.Kind),
		Description:      orElse(c.Description, "brainjar experiment "+c.ID),
		Command:          c.CommandFor(l.run, l.attempt),
		Environment:      c.EnvironmentFor(l.run, l.attempt),
		EnvironmentFiles: c.EnvironmentFiles,
		User:             c.User, Group: c.Group,
		WorkingDirectory: c.WorkingDirectory,
		Limits:           limits(c),
		OpenFiles:        c.OpenFiles, GPU: c.GPU,
		Ready: transient.Ready(c.Ready), ReadyTimeout: c.ReadyTimeout,
		RuntimeMax: c.RuntimeMax, Watchdog: c.Watchdog,
		StopSignal: c.StopSignal, StopTimeout: c.StopTimeout,
		Sandbox: transient.Sandbox(c.Sandbox), WritablePaths: c.WritablePaths,
		LogRate:         transient.LogRate(c.LogRate),
		Streams:         (*[3]*os.File)(l.streams),
		AllowUnenforced: c.AllowUnenforced,
	}
	for _, d := range c.Devices {
		spec.Devices = append(spec.Devices, transient.Device(d))
	}
	if c.User == "" && !l.userManager {
		return spec, chooseUser(&spec)
	}
	return spec, nil
}

// limitKeys are the keys that limit resources, as the configuration spells them.
var limitKeys = []string{
	"memory_max", "memory_high", "memory_swap_max", "cpu_quota", "cpu_weight", "cpus", "io_weight", "tasks_max", "open_files",
}

func limits(c *config.Experiment) transient.Limits {
	l := transient.Limits{
		MemoryMax: c.MemoryMax, MemoryHigh: c.MemoryHigh, MemorySwapMax: c.MemorySwapMax,
		CPUQuota: c.CPUQuota, CPUWeight: c.CPUWeight, CPUs: c.CPUs,
		IOWeight: c.IOWeight, TasksMax: c.TasksMax,
	}
	for _, key := range limitKeys {
		if !c.Explicit(key) {
			l.Implied = append(l.Implied, key)
		}
	}
	return l
}

// chooseUser finds the user for an experiment that names none, which must not
// be root: the owner of its working directory, or else one that systemd makes
// up for the length of the run.
func chooseUser(spec *transient.Spec) error {
	spec.DynamicUser = true
	if spec.WorkingDirectory == "" {
		return nil
	}
	info, err := os.Stat(spec.WorkingDirectory)
	if err != nil {
		return fmt.Errorf("cannot use working_directory: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid == 0 {
		return nil
	}
	spec.DynamicUser = false
	uid := strconv.FormatUint(uint64(stat.Uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		spec.User = u.Username // systemd adds the user's own groups
		return nil
	}
	spec.User = uid
	if spec.Group == "" {
		spec.Group = strconv.FormatUint(uint64(stat.Gid), 10)
	}
	return nil
}

// restartPolicy is what Judge needs of an experiment's configuration.
func restartPolicy(c *config.Experiment) RestartPolicy {
	r := c.Restart
	return RestartPolicy{
		OnFailure:   r.Policy != config.RestartNo,
		OnSuccess:   r.Policy == config.RestartAlways,
		Backoff:     BackoffPolicy{Delay: r.Delay, Factor: r.Factor, Max: r.MaxDelay, Jitter: r.Jitter},
		MaxRestarts: r.MaxRestarts, ResetAfter: r.ResetAfter,
		SuccessCodes: r.SuccessCodes, FatalCodes: r.FatalCodes, CheckpointCodes: r.CheckpointCodes,
		MaxRequeues: c.MaxRequeues,
	}
}
