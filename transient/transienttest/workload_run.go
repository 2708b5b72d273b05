package transienttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"github.com/coreos/go-systemd/v22/daemon"
)

// workloadFailed is the exit code of a workload that could not do a step. (It
// is one that no test asks for, and not one of systemd's own.)
const workloadFailed = 199

// childFailed is the exit code of a workload whose child-alloc died.
const childFailed = 1

// deadly are the signals that a test may send to a workload. Go's runtime
// catches some and ignores others; a workload has the kernel's defaults.
var deadly = []syscall.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGUSR1,
	syscall.SIGUSR2, syscall.SIGPIPE, syscall.SIGALRM, syscall.SIGTERM,
}

// RunWorkload runs this process as a workload, if it was started as one (see
// Command), and then does not return. It is the first line of a TestMain; args
// are os.Args[1:].
func RunWorkload(args []string) (handled bool) {
	if len(args) == 0 || args[0] != workloadWord {
		return false
	}
	steps, err := parseSteps(args[1:])
	if err != nil {
		giveUp(err)
	}
	for _, sig := range deadly {
		if err := defaultAction(sig); err != nil {
			giveUp(err)
		}
	}
	p := process{signals: make(chan os.Signal, 16), handlers: make(map[os.Signal][]step)}
	p.run(steps)
	os.Exit(0)
	return true
}

func giveUp(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(workloadFailed)
}

// process is a workload that is being run.
type process struct {
	signals  chan os.Signal // those with a handler
	handlers map[os.Signal][]step
	memory   [][]byte
	beats    int
}

func (p *process) run(steps []step) {
	for _, s := range steps {
		if err := p.do(s); err != nil {
			giveUp(fmt.Errorf("cannot do step %s: %w", s.verb, err))
		}
	}
}

func (p *process) do(s step) error {
	switch s.verb {
	case "sleep":
		p.sleepUntil(time.Now().Add(s.duration))
	case "spin":
		for until := time.Now().Add(s.duration); time.Now().Before(until); {
			p.handle()
		}
	case "beat":
		for {
			p.beats++
			if err := notify(fmt.Sprintf("STATUS=beat %d", p.beats)); err != nil {
				return err
			}
			p.sleepUntil(time.Now().Add(max(s.duration, time.Millisecond)))
		}
	case "exit":
		os.Exit(s.code)
	case "kill":
		return die(s.signal)
	case "ignore":
		signal.Ignore(s.signal)
	case "on":
		p.handlers[s.signal] = s.handler
		signal.Ignore(s.signal) // so that the runtime takes note that it is no longer the default
		signal.Notify(p.signals, s.signal)
	case "alloc":
		memory := make([]byte, s.size)
		for i := 0; i < len(memory); i += os.Getpagesize() {
			memory[i] = 1
		}
		p.memory = append(p.memory, memory)
	case "child-alloc":
		if err := exec.CommandContext(context.Background(), "/proc/self/exe", workloadWord, "alloc="+s.size.String()).Run(); err != nil {
			os.Exit(childFailed)
		}
	case "fork":
		child := exec.CommandContext(context.Background(), "/proc/self/exe", workloadWord, "ignore=TERM", "sleep=1h")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			return err
		}
		return notify(fmt.Sprintf("STATUS=child %d", child.Process.Pid))
	case "ready":
		return notify(daemon.SdNotifyReady)
	case "ping":
		return notify(daemon.SdNotifyWatchdog)
	case "status":
		return notify("STATUS=" + s.text)
	case "print":
		_, err := fmt.Println(s.text)
		return err
	case "write":
		return appendLine(s.file, s.text)
	}
	return nil
}

// sleepUntil waits, and runs the handlers of the signals that come meanwhile.
func (p *process) sleepUntil(t time.Time) {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	for {
		select {
		case sig := <-p.signals:
			p.run(p.handlers[sig])
		case <-timer.C:
			return
		}
	}
}

// handle runs the handlers of the signals that have come.
func (p *process) handle() {
	select {
	case sig := <-p.signals:
		p.run(p.handlers[sig])
	default:
	}
}

// notify tells the service manager; a unit that it does not listen to is an
// error, for the test would wait in vain.
func notify(state string) error {
	sent, err := daemon.SdNotify(false, state)
	if err == nil && !sent {
		err = errors.New("there is no NOTIFY_SOCKET")
	}
	return err
}

// die ends the process by the signal itself, whatever Go's runtime would make
// of it.
func die(sig syscall.Signal) error {
	if sig != syscall.SIGKILL {
		if err := defaultAction(sig); err != nil {
			return err
		}
	}
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		return err
	}
	time.Sleep(time.Minute) // it may be delivered to another thread
	return errors.New("still alive")
}

// defaultAction gives a signal the kernel's default action, behind the back of
// Go's runtime; see rt_sigaction(2). All zero is SIG_DFL, with no flag and an
// empty mask.
func defaultAction(sig syscall.Signal) error {
	var action [4]uint64
	const maskSize = 8
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION,
		uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, maskSize, 0, 0) //nolint:gosec // rt_sigaction(2): package signal cannot undo what it has set
	if errno != 0 {
		return fmt.Errorf("cannot reset signal %v: %w", sig, errno)
	}
	return nil
}

func appendLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(slices.Concat([]byte(line), []byte("\n")))
	return errors.Join(err, f.Close())
}
