package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"brainjar/internal/control"
)

// The exit codes of exec that are not the program's own, as docker and env have them.
const (
	exitExecFailed = 125 // brainjar itself
	exitHangup     = 128 + int(syscall.SIGHUP)
)

// execution is `brainjar exec`.
type execution struct {
	submit
	id     string
	detach bool
	quiet  bool

	again bool // the experiment is there already: brainjar was started anew
	told  bool // that brainjar has gone
	asked int  // signals that were to end it
}

func newExec(r *remote) *cobra.Command {
	x := execution{submit: submit{remote: r}}
	cmd := &cobra.Command{
		Use: "exec [flags] -- COMMAND...", Short: "Run a command under limits, in the foreground", GroupID: groupOrders,
		Long: `Run a command under limits, in the foreground: as an experiment that is admitted
like any other, and that gets your own standard input, output and error. It is not
restarted unless --restart-policy says so. When it has ended, only its runs in the
history are left.

SIGINT (Ctrl-C) and SIGQUIT go to all its processes, SIGTERM, SIGUSR1 and SIGUSR2 to the
main one. A second SIGINT or SIGTERM stops it gracefully, as brainjar stop does, a third
one kills it. When this command dies, the experiment is stopped; with
--detach-on-hangup it runs on. When brainjar is restarted, this command finds it again.

Exit codes: that of the command; 128 and the number of the signal that killed it;
127 the command was not found, 126 it cannot be executed, 125 brainjar failed, or what
it waits for has failed for good.`,
		Example: `  brainjar exec --memory-max 8G --gpu -- python3 eval.py < questions.txt > answers.txt
  parallel brainjar exec --memory-max 2G -- ./probe {} ::: 1 2 3 4`,
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); dash != 0 || len(args) == 0 {
				return usageError(cmd, errors.New("write the command, and nothing else, after --"))
			}
			if x.id == "" {
				return nil
			}
			return checkIDs(x.id)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			return x.run(cmd.Context(), c, args)
		},
	}
	x.keys.add(cmd, "command", "matrix", "autostart", "log", "kind")
	cmd.Flags().StringVar(&x.id, "id", "", "its name (default: exec- and something)")
	cmd.Flags().BoolVar(&x.detach, "detach-on-hangup", false, "let it run on when this command dies or its terminal goes")
	cmd.Flags().BoolVarP(&x.quiet, "quiet", "q", false, "do not say what it waits for")
	return cmd
}

// comeBack is how long a brainjar that has gone may take to come back.
const comeBack = time.Minute

func (x *execution) run(ctx context.Context, c *control.Client, command []string) error {
	keys, err := x.complete(command)
	if err != nil {
		return err
	}
	restart, _ := keys["restart"].(map[string]any)
	if restart == nil {
		restart = make(map[string]any)
	}
	if restart["policy"] == nil {
		restart["policy"] = "no"
	}
	keys["restart"] = restart
	if x.id == "" {
		name := make([]byte, 4)
		if _, err := rand.Read(name); err != nil {
			return err
		}
		x.id = "exec-" + hex.EncodeToString(name)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	for since := time.Now(); ; {
		one, err := c.Exec(ctx, x.id, control.ExecRequest{Keys: keys, Detach: x.detach, Again: x.again}, [3]*os.File{os.Stdin, os.Stdout, os.Stderr})
		if err == nil {
			err = x.attend(ctx, c, one, signals)
			one.Close()
			if !errors.Is(err, errGone) {
				return err
			}
			x.again, since = true, time.Now()
		}
		if err := x.retry(err, since, signals); err != nil {
			return err
		}
	}
}

// errGone says that brainjar has gone while the experiment ran.
var errGone = errors.New("brainjar has gone")

// retry waits a moment before brainjar is asked again, where that is of use.
func (x *execution) retry(err error, since time.Time, signals <-chan os.Signal) error {
	var refusal *control.Error
	notReady := errors.As(err, &refusal) && refusal.Code == control.CodeNotReady
	gone := errors.Is(err, errGone) || x.again && errors.Is(err, control.ErrUnreachable)
	if time.Since(since) > comeBack || !notReady && !gone {
		x.warn("error: %v", err)
		if hint := hintOf(err); hint != "" {
			x.warn("hint: %s", hint)
		}
		return exitError(exitExecFailed)
	}
	if gone && !x.told {
		x.told = true
		x.say("brainjar has gone, the experiment runs on: waiting for it to come back")
	}
	select {
	case sig := <-signals:
		return exitError(128 + int(number(sig)))
	case <-time.After(200 * time.Millisecond):
		return nil
	}
}

func (x *execution) say(format string, args ...any) {
	if !x.quiet {
		x.warn(format, args...)
	}
}

func (x *execution) warn(format string, args ...any) {
	fmt.Fprintf(x.remote.stderr, "%s: %s\n", x.id, printable(fmt.Sprintf(format, args...)))
}

// patience is how long an experiment waits before that is said.
const patience = time.Second

// attend passes signals on until the experiment has ended, and returns its exit code.
func (x *execution) attend(ctx context.Context, c *control.Client, one *control.Execution, signals <-chan os.Signal) error {
	type told struct {
		control.ExecTold
		err error
	}
	lines := make(chan told)
	over := make(chan struct{})
	defer close(over)
	go func() {
		for {
			t, err := one.Next()
			select {
			case lines <- told{t, err}:
			case <-over:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	waits := time.NewTimer(patience)
	defer waits.Stop()
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				return exitError(exitHangup)
			}
			if err := one.Order(x.orderFor(sig)); err != nil {
				return errGone
			}
		case <-waits.C:
			if e, err := c.Experiment(ctx, x.id); err == nil && e.StartedAt.IsZero() {
				x.say("%s", stand(e))
			}
		case t := <-lines:
			switch {
			case t.err != nil:
				return errGone
			case t.Ended != nil:
				return x.ended(*t.Ended)
			case t.Event != nil:
				waits.Reset(patience)
				if t.Event.To == "backoff" || t.Event.To == "held" {
					x.say("%s: %s", t.Event.To, t.Event.Reason)
				}
			}
		}
	}
}

// orderFor is what a signal to this command means for the experiment.
func (x *execution) orderFor(sig os.Signal) control.ExecOrder {
	if sig == syscall.SIGINT || sig == syscall.SIGTERM {
		x.asked++
	}
	switch {
	case x.asked > 2:
		return control.ExecOrder{Kill: true}
	case x.asked > 1:
		return control.ExecOrder{Stop: true}
	}
	return control.ExecOrder{Signal: unix.SignalName(number(sig))}
}

// number is a signal as the kernel knows it.
func number(sig os.Signal) syscall.Signal {
	n, _ := sig.(syscall.Signal) // on Unix there are no others
	return n
}

// ended says what the exit code alone does not.
func (x *execution) ended(e control.Ended) error {
	status := e.Status()
	if e.ExitCode == nil && e.Signal == "" || e.Result == "oom-kill" || e.Result == "timeout" {
		x.warn("%s", e.Reason)
	}
	if status == 0 {
		return nil
	}
	return exitError(status)
}
