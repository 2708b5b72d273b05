package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"syscall"

	"brainjar/internal/config"
	"brainjar/internal/control"
)

// The exit codes of every command.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitUnreachable = 3   // the daemon, or the service manager
	ExitUnknown     = 4   // an experiment that nobody knows
	ExitNotAdmitted = 5   // it may not start, or not yet
	ExitAwaited     = 6   // the experiment that was waited for did not succeed
	ExitConfig      = 78  // the configuration has errors (EX_CONFIG of sysexits.h)
	ExitInterrupted = 130 // 128 + SIGINT, as shells have it
	exitBrokenPipe  = 141 // 128 + SIGPIPE: nobody reads the output any more
)

// severity are the exit codes, the worst last: that of several failures counts.
var severity = []int{ExitOK, ExitAwaited, ExitNotAdmitted, ExitUnknown, ExitFailed, ExitConfig, ExitUsage, ExitUnreachable, ExitInterrupted, exitBrokenPipe}

// failure is an error that knows its exit code and what to do about it.
type failure struct {
	err  error
	code int
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// exitError is an exit code about which there is nothing more to say: that of an
// experiment that brainjar ran in the foreground, or that ended in another way than one
// that was waited for should.
type exitError int

func (s exitError) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// failures are those of several experiments: each is told, the worst code counts.
type failures []error

func (f failures) Error() string { return errors.Join(f...).Error() }

// err is nil where there is none.
func (f failures) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

func usageError(cmd interface{ CommandPath() string }, err error) error {
	return &failure{err, ExitUsage, "see `" + cmd.CommandPath() + " --help`"}
}

// exitCode maps an error to the exit code of the program.
func exitCode(err error) int {
	var several failures
	var f *failure
	var problems config.Errors
	var refusal *control.Error
	var status exitError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &several):
		worst := ExitOK
		for _, one := range several {
			if code := exitCode(one); slices.Index(severity, code) > slices.Index(severity, worst) {
				worst = code
			}
		}
		return worst
	case errors.As(err, &f):
		return f.code
	case errors.As(err, &problems):
		return ExitConfig
	case errors.As(err, &refusal):
		return refusalCode(refusal.Code)
	case errors.Is(err, syscall.EPIPE):
		return exitBrokenPipe
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.Is(err, control.ErrUnreachable):
		return ExitUnreachable
	}
	return ExitFailed
}

// refusalCode maps the code of an answer to the exit code.
func refusalCode(code string) int {
	switch code {
	case control.CodeUnknown:
		return ExitUnknown
	case control.CodeBadRequest:
		return ExitUsage
	case control.CodeConfig:
		return ExitConfig
	case control.CodeNotAdmitted:
		return ExitNotAdmitted
	case control.CodeNotReady:
		return ExitUnreachable
	}
	return ExitFailed
}

// errInterrupted says that somebody pressed Ctrl-C.
var errInterrupted = errors.New("interrupted")

// report writes an error for a person: what and why, then what to do.
func report(w io.Writer, err error) {
	var several failures
	var problems config.Errors
	var refusal *control.Error
	var status exitError
	switch {
	case errors.As(err, &status):
		return
	case errors.As(err, &several):
		for _, one := range several {
			report(w, one)
		}
		return
	case errors.Is(err, syscall.EPIPE):
		return
	case errors.As(err, &problems):
		for _, p := range problems {
			fmt.Fprintf(w, "error: %s\n", p)
		}
		return
	}
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	if errors.As(err, &refusal) && len(refusal.Details) > 1 { // the message is all of them
		for _, detail := range refusal.Details {
			fmt.Fprintf(w, "error: %s\n", printable(detail))
		}
	} else {
		fmt.Fprintf(w, "error: %s\n", printableLines(err.Error()))
	}
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", printable(hint))
	}
}

// hintOf says what to do about an error, "" if there is nothing to say.
func hintOf(err error) string {
	var f *failure
	var refusal *control.Error
	switch {
	case errors.As(err, &f):
		return f.hint
	case errors.As(err, &refusal):
		return refusal.Hint
	case !errors.Is(err, control.ErrUnreachable):
		return ""
	case errors.Is(err, fs.ErrPermission):
		return "run it with sudo, or become a member of the group brainjar (`sudo usermod -aG brainjar $USER`, then log in again)"
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return "is it running? `systemctl status brainjar`; --user asks that of your own service manager, --socket another one"
	}
	return "`journalctl -u brainjar` says what it does"
}
