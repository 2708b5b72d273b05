package transient

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// helperFD is the helper's end of the control socket.
const helperFD = 3

// How long the helper may take for what it is told.
const helperLimit = 10 * time.Second

// child is the helper, and later the program that it executes.
type child struct {
	pid     int
	control *os.File // ours: the plan goes out, what went wrong comes back
	pidfd   *os.File // readable when it has ended
}

// forkHelper starts the helper of a spec's scope. It has a session of its own and
// no descriptor of the Manager's but those of the spec's output; it ends by itself
// if the Manager does before it is told.
func forkHelper(spec Spec) (*child, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot make a socket for the helper: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "control"), os.NewFile(uintptr(pair[1]), "helper")
	defer theirs.Close()
	streams, closeStreams, err := scopeStreams(spec)
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("cannot start the helper: %w", err)
	}
	defer closeStreams()
	pidfd := -1
	process, err := os.StartProcess("/proc/self/exe", []string{"brainjar", scopeMode}, &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: append(streams, theirs),
		Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("cannot start the helper: %w", err)
	}
	pid := process.Pid
	_ = process.Release() // it is reaped by wait
	if pidfd < 0 {        // Linux before 5.4
		ours.Close()
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		return nil, fmt.Errorf("cannot watch the helper: %w", ErrUnsupported)
	}
	_ = unix.SetNonblock(pidfd, true) // makes os.NewFile poll it
	return &child{pid, ours, os.NewFile(uintptr(pidfd), "pidfd")}, nil
}

// scopeStreams opens where the helper, and then the program, reads and writes.
func scopeStreams(spec Spec) (streams []*os.File, closeAll func(), err error) {
	if spec.Streams != nil {
		return spec.Streams[:], func() {}, nil
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	if spec.LogFile == "" {
		return []*os.File{null, null, null}, func() { null.Close() }, nil
	}
	log, err := openLog(spec.LogFile)
	if err != nil {
		null.Close()
		return nil, nil, err
	}
	return []*os.File{null, log, log}, func() { null.Close(); log.Close() }, nil
}

// execute tells the helper the plan and waits until it has executed the
// program, which closes the socket. It returns what went wrong.
func (c *child) execute(ctx context.Context, plan scopePlan) (problem string) {
	stop := context.AfterFunc(ctx, func() { _ = c.control.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = c.control.SetDeadline(time.Now().Add(helperLimit))
	b, err := plan.encode()
	if err == nil {
		_, err = c.control.Write(b)
	}
	if err != nil {
		return "cannot tell the helper what to execute: " + err.Error()
	}
	answer, err := io.ReadAll(io.LimitReader(c.control, 4096))
	if err != nil {
		return "the helper does not answer: " + err.Error()
	}
	return string(answer)
}

// release closes the control socket.
func (c *child) release() { c.control.Close() }

// wait waits for the end of the process and reaps it.
func (c *child) wait(ctx context.Context) (status syscall.WaitStatus, usage syscall.Rusage, err error) {
	defer c.pidfd.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.pidfd.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := c.pidfd.SyscallConn()
	if err != nil {
		return 0, usage, err
	}
	var reaped int
	var errWait error
	err = raw.Read(func(uintptr) bool {
		reaped, errWait = syscall.Wait4(c.pid, &status, syscall.WNOHANG, &usage)
		return reaped != 0 || errWait != nil && !errors.Is(errWait, syscall.EINTR)
	})
	return status, usage, errors.Join(err, errWait)
}

// leave lets the process be: a helper that has not been told anything ends,
// and a program goes on.
func (c *child) leave() {
	c.release()
	c.pidfd.Close()
}

// abandon ends a helper that has not been told anything: it ends when the
// socket is closed.
func (c *child) abandon() {
	c.release()
	_ = syscall.Kill(c.pid, syscall.SIGKILL)
	_, _ = syscall.Wait4(c.pid, nil, 0, nil)
	c.pidfd.Close()
}

// runScopeExec is the hidden mode "scope-exec": it waits for a plan on its
// control socket and becomes the program. What goes wrong it says there.
func runScopeExec(args []string) int {
	control := os.NewFile(helperFD, "control")
	if control == nil || len(args) != 0 {
		return 2
	}
	_ = unix.SetNonblock(helperFD, false)
	syscall.CloseOnExec(helperFD)
	line, err := bufio.NewReader(control).ReadBytes('\n')
	if err != nil {
		return 1 // the Manager has ended, or does not want it any more
	}
	var plan scopePlan
	if err := json.Unmarshal(line, &plan); err != nil {
		fmt.Fprintf(control, "cannot read the plan: %v", err)
		return 1
	}
	err = plan.become()
	fmt.Fprint(control, err)
	return 203 // systemd's EXIT_EXEC
}

// become executes the program. It returns only if it cannot.
func (p scopePlan) become() error {
	if !p.Connected {
		if err := p.connectJournal(); err != nil {
			return err
		}
	}
	adjust := []byte(fmt.Sprint(oomScoreAdjust))
	if err := os.WriteFile("/proc/self/oom_score_adj", adjust, 0); err != nil {
		return fmt.Errorf("cannot set the OOM score: %w", err)
	}
	if err := p.limitOpenFiles(); err != nil {
		return err
	}
	if p.Switch {
		if err := errors.Join(syscall.Setgroups(p.Groups), syscall.Setgid(p.GID), syscall.Setuid(p.UID)); err != nil {
			return fmt.Errorf("cannot become user %d: %w", p.UID, err)
		}
	}
	if err := os.Chdir(p.Directory); err != nil {
		return fmt.Errorf("cannot enter the working directory: %w", err)
	}
	if len(p.Command) == 0 {
		return errors.New("there is no command")
	}
	err := syscall.Exec(p.Command[0], p.Command, p.Environment)
	return fmt.Errorf("cannot execute %s: %w", p.Command[0], err)
}

// connectJournal sends the output to the journal. Without a journal it is lost; to
// hand it to brainjar would tie the program's life to brainjar's.
func (p scopePlan) connectJournal() error {
	journal, err := journalStream(p.Identifier, p.Unit)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	for _, fd := range []int{1, 2} {
		if err := unix.Dup3(journal, fd, 0); err != nil {
			return fmt.Errorf("cannot connect it to the journal: %w", err)
		}
	}
	return nil
}

// limitOpenFiles sets how many files may be open. A number that nobody wrote is
// lowered to what this process may have, as systemd does for services.
func (p scopePlan) limitOpenFiles() error {
	if p.OpenFiles == 0 {
		return nil
	}
	limit := syscall.Rlimit{Cur: p.OpenFiles, Max: p.OpenFiles}
	err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	if errors.Is(err, syscall.EPERM) && p.OpenFilesImplied {
		if err = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil {
			limit.Cur = limit.Max
			err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot set open_files to %d: %w", p.OpenFiles, err)
	}
	return nil
}

// journalStream opens a stream of lines to the journal, as systemd does for
// services: systemd's "Native Journal Protocol" describes its header.
func journalStream(identifier, unit string) (fd int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var d net.Dialer
	socket, err := d.DialContext(ctx, "unix", "/run/systemd/journal/stdout")
	if err != nil {
		return -1, err
	}
	defer socket.Close()
	if os.Geteuid() != 0 {
		unit = "" // journald takes it from root alone, and finds it by itself
	}
	const info = "6"
	header := []string{identifier, unit, info, "1", "0", "0", "0"} // "1": "<N>" begins a line of level N
	if _, err := io.WriteString(socket, strings.Join(header, "\n")+"\n"); err != nil {
		return -1, err
	}
	// A copy that blocks, as programs expect.
	stream, ok := socket.(*net.UnixConn)
	if !ok {
		return -1, errors.New("the journal's socket is none")
	}
	f, err := stream.File()
	if err != nil {
		return -1, err
	}
	defer f.Close()
	fd, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 10)
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	return fd, err
}
