// Package transienttest is for tests of what stands on transient: Fake, a
// service manager in memory; a little language of workloads that the fake and
// real systemd both run; and the contract that both must fulfil.
//
// It must not know what experiments are started for. Programs do not import
// it; tests do.
package transienttest

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// workloadWord is the first argument of a command that is a workload.
const workloadWord = "workload"

// Command returns the command of a workload: program must be a test binary
// whose TestMain calls RunWorkload (the fake takes any name). The steps run in
// order, and at their end the program exits with 0:
//
//	sleep=200ms       wait
//	spin=1s           burn one CPU for that long
//	beat=50ms         for ever: send a status "beat N" and wait
//	exit=7            exit with that code
//	kill=TERM         die by that signal
//	ignore=TERM       ignore the signal from now on
//	on=USR1:STEP,…    at that signal run these steps, then go on; a sleep that
//	                  was interrupted ends when it would have ended
//	alloc=64M         take that much memory, touch it and keep it
//	child-alloc=64M   the same in a child, waited for; if it dies: exit=1
//	fork              leave a child behind that ignores SIGTERM and sleeps;
//	                  sends the status "child PID"
//	ready, ping       sd_notify READY=1, WATCHDOG=1
//	status=TEXT       sd_notify STATUS=TEXT
//	print=TEXT        a line on standard output (the fake: nothing)
//	write=FILE:TEXT   append a line to a file (the fake: nothing)
func Command(program string, steps ...string) []string {
	return append([]string{program, workloadWord}, steps...)
}

// step is one step of a workload, read.
type step struct {
	verb     string
	text     string         // status, print, write (the line)
	file     string         // write
	duration time.Duration  // sleep, spin, beat
	signal   syscall.Signal // kill, ignore, on
	size     quantity.Bytes // alloc, child-alloc
	code     int            // exit
	handler  []step         // on
}

// parseSteps reads the steps of a workload.
func parseSteps(args []string) ([]step, error) {
	steps := make([]step, 0, len(args))
	for _, arg := range args {
		s, err := parseStep(arg)
		if err != nil {
			return nil, fmt.Errorf("cannot read workload step %q: %w", arg, err)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func parseStep(arg string) (s step, err error) {
	verb, value, _ := strings.Cut(arg, "=")
	s.verb = verb
	switch verb {
	case "sleep", "spin", "beat":
		s.duration, err = time.ParseDuration(value)
	case "exit":
		s.code, err = strconv.Atoi(value)
	case "kill", "ignore":
		s.signal, err = parseSignal(value)
	case "on":
		name, handler, _ := strings.Cut(value, ":")
		if s.signal, err = parseSignal(name); err == nil {
			s.handler, err = parseSteps(strings.Split(handler, ","))
		}
	case "alloc", "child-alloc":
		s.size, err = quantity.ParseBytes(value)
	case "status", "print":
		s.text = value
	case "write":
		s.file, s.text, _ = strings.Cut(value, ":")
	case "fork", "ready", "ping":
	default:
		err = fmt.Errorf("no such step")
	}
	return s, err
}

func parseSignal(name string) (syscall.Signal, error) {
	if s := unix.SignalNum("SIG" + name); s != 0 {
		return s, nil
	}
	return 0, fmt.Errorf("no such signal")
}
