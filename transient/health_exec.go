package transient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// execute runs the program of a check to its end.
func (m *Manager) execute(ctx context.Context, unit Unit, check HealthCheck) error {
	who, err := m.owner(unit)
	if err != nil {
		return err
	}
	command, err := resolveCommand(Spec{Command: check.Exec, WorkingDirectory: check.WorkingDirectory})
	if err != nil {
		return err
	}
	// The kernel kills the program if the thread that started it ends, as it
	// does when brainjar is killed: so that thread must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: who.credential()}
	cmd.Env = healthEnvironment(unit, who)
	if cmd.Dir = check.WorkingDirectory; cmd.Dir == "" {
		cmd.Dir = fmt.Sprintf("/proc/%d/cwd", who.pid)
	}
	var output tail
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = healthGrace
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot run the check: %w", err)
	}
	// brainjar may be protected from the kernel's want of memory; a check is not.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid), []byte(strconv.Itoa(oomScoreAdjust)), 0)
	awaitExit(cmd.Process.Pid)
	_ = killGroup(cmd.Process.Pid) // what it left behind; its number is taken until it is reaped
	err = cmd.Wait()
	if cmd.ProcessState == nil {
		return fmt.Errorf("cannot run the check: %w", err)
	}
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case ctx.Err() != nil:
		return &unhealthyError{ctx.Err().Error(), oneLine(output.last)}
	case status.Signaled():
		return &unhealthyError{"died by " + unix.SignalName(status.Signal()), oneLine(output.last)}
	case status.ExitStatus() != 0:
		return &unhealthyError{fmt.Sprintf("exited with code %d", status.ExitStatus()), oneLine(output.last)}
	}
	return nil // also if somebody else still held its output
}

// awaitExit waits until a child has ended, and does not reap it.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

func killGroup(pid int) error {
	err := syscall.Kill(-pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// healthEnvironment is all that the program of a check is told: nothing of
// brainjar's own environment.
func healthEnvironment(unit Unit, who owner) []string {
	home := "/"
	if account, err := user.LookupId(strconv.FormatUint(uint64(who.uid), 10)); err == nil && account.HomeDir != "" {
		home = account.HomeDir
	}
	return []string{
		"PATH=" + defaultPath,
		"HOME=" + home,
		"EXPERIMENT_ID=" + unit.Experiment,
		"BRAINJAR_EXPERIMENT=" + unit.Experiment,
		"BRAINJAR_RUN=" + strconv.Itoa(unit.Run),
	}
}

// tail keeps the end of what is written to it.
type tail struct{ last []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.last = append(t.last, p[max(0, len(p)-healthOutput):]...)
	t.last = t.last[max(0, len(t.last)-healthOutput):]
	return len(p), nil
}
