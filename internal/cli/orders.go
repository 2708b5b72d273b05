package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"brainjar/internal/control"
	"brainjar/supervisor"
)

// phase is where an experiment stands.
func phase(e control.Experiment) supervisor.Phase { return supervisor.Phase(e.Phase) }

// active says that an experiment has a unit, or is about to.
func active(e control.Experiment) bool { return phase(e).Active() }

// ended says that an experiment has ended for good, until somebody starts it.
func ended(e control.Experiment) bool { return phase(e).Over() || e.Phase == forgotten }

// wanted says that an experiment runs, or is to.
func wanted(e control.Experiment) bool { return !ended(e) && phase(e) != supervisor.Idle }

// inPhase makes a condition of a phase.
func inPhase(p supervisor.Phase) func(control.Experiment) bool {
	return func(e control.Experiment) bool { return phase(e) == p }
}

// started says that an experiment runs, or that its start has come to an end in
// another way.
func started(before, now control.Experiment) bool {
	again := now.Run > before.Run
	switch phase(now) {
	case supervisor.Running, supervisor.Frozen:
		return true
	case supervisor.Backoff:
		return again
	case supervisor.Queued:
		return now.Blocked
	}
	return ended(now) || phase(now) == supervisor.Held
}

// restarted is started, of another run than before.
func restarted(before, now control.Experiment) bool {
	if active(before) && active(now) && now.Run == before.Run {
		return false
	}
	return started(before, now)
}

// over says that the run that was there before has ended.
func over(before, now control.Experiment) bool { return !active(now) || now.Run > before.Run }

// runs makes an error of a start that did not lead to a run that goes on, or that
// went well.
func runs(now control.Experiment) error {
	switch phase(now) {
	case supervisor.Running, supervisor.Frozen, supervisor.Succeeded:
		return nil
	}
	code := ExitFailed
	if now.Blocked {
		code = ExitNotAdmitted
	}
	return &failure{fmt.Errorf("%s has not been started: %s", now.Experiment, stand(now)), code, "`brainjar why " + now.Experiment + "` says more"}
}

// mustBe makes an error of another phase.
func mustBe(p supervisor.Phase) func(control.Experiment) error {
	return func(now control.Experiment) error {
		if phase(now) == p {
			return nil
		}
		return &failure{fmt.Errorf("%s is not %s: %s", now.Experiment, p, stand(now)), ExitFailed, ""}
	}
}

const waitingHelp = `

It waits for the outcome and says how each experiment stands then. --no-wait
returns when the order is on disk. Ctrl-C and --timeout end only the waiting: the
order holds.`

const manyHelp = `

The bare id of a matrix means all its members. All experiments that are named are
tried; of several failures the worst is the exit code.`

// newOrders are the commands that do something with experiments and need no more
// than to be told which.
func newOrders(r *remote) []*cobra.Command {
	plain := func(verb string) func(context.Context, *control.Client, string) (control.Experiment, error) {
		return func(ctx context.Context, c *control.Client, id string) (control.Experiment, error) {
			return c.Order(ctx, id, verb)
		}
	}
	command := func(verb, short, long string, o order) *cobra.Command {
		o.remote, o.verb = r, verb
		if o.give == nil {
			o.give = plain(verb)
		}
		cmd := &cobra.Command{Use: verb + " ID...", Short: short, Long: long + manyHelp, GroupID: groupOrders}
		if o.reached != nil {
			cmd.Long = long + waitingHelp + manyHelp
		}
		o.flags(cmd)
		return cmd
	}
	return []*cobra.Command{
		command("stop", "End experiments gracefully, and want them no more",
			`End experiments gracefully: the checkpoint signal and time to save, then the stop
signal, then SIGKILL. They are not started again until someone starts them.`,
			order{concerns: wanted, reached: over}),
		command("restart", "End experiments gracefully and start them again",
			`End experiments gracefully and queue them again, with their count of restarts
begun anew; what does not run is started. --all and --tag mean those that are
wanted: that run, or wait to.`,
			order{concerns: wanted, reached: restarted, judge: runs}),
		command("freeze", "Take the CPU from experiments that run",
			`Take the CPU from experiments that run. They keep their memory, and their time
goes on.`,
			order{concerns: inPhase(supervisor.Running), reached: func(_, now control.Experiment) bool { return phase(now) == supervisor.Frozen || !active(now) }, judge: mustBe(supervisor.Frozen)}),
		command("thaw", "Let frozen experiments go on",
			`Let frozen experiments go on.`,
			order{concerns: inPhase(supervisor.Frozen), reached: func(_, now control.Experiment) bool { return phase(now) != supervisor.Frozen }, judge: mustBe(supervisor.Running)}),
		command("disable", "Do not start experiments when brainjar starts, whatever the configuration says",
			`Do not queue experiments when brainjar starts, whatever autostart says in the
configuration. Nothing is stopped now; what runs is not wanted again once it was
stopped with brainjar.`,
			order{}),
		command("forget", "Forget submitted experiments that have ended",
			`Forget submitted experiments that do not run. Their runs stay in the history.
--all and --tag mean those that have ended.`,
			order{concerns: func(e control.Experiment) bool { return e.Submitted && (ended(e) || phase(e) == supervisor.Idle) }}),
		newEnable(r), newHold(r), newRelease(r), newKill(r),
	}
}

func newEnable(r *remote) *cobra.Command {
	var auto bool
	o := &order{remote: r, verb: "enable"}
	o.give = func(ctx context.Context, c *control.Client, id string) (control.Experiment, error) {
		if auto {
			return c.Order(ctx, id, "auto")
		}
		return c.Order(ctx, id, "enable")
	}
	cmd := &cobra.Command{Use: "enable ID...", Short: "Start experiments when brainjar starts, whatever the configuration says", GroupID: groupOrders,
		Long: `Queue experiments whenever brainjar starts, whatever autostart says in the
configuration, until disable, or until enable --auto leaves it to the configuration
again. Nothing is started now.` + manyHelp}
	o.flags(cmd)
	cmd.Flags().BoolVar(&auto, "auto", false, "take enable or disable back")
	return cmd
}

func newHold(r *remote) *cobra.Command {
	var why control.HoldRequest
	o := &order{remote: r, verb: "hold", concerns: wanted}
	o.give = func(ctx context.Context, c *control.Client, id string) (control.Experiment, error) {
		return c.Hold(ctx, id, why)
	}
	cmd := &cobra.Command{Use: "hold ID...", Short: "Keep experiments from being started", GroupID: groupOrders,
		Long: `Keep experiments from being started, until they are released or started. What
runs, runs to its end; what has succeeded or failed stays so, also when it is released.
--all and --tag mean those that are wanted: that run, or wait to. One that is idle is held
by its name alone, because a release would queue it.` + manyHelp}
	o.flags(cmd)
	cmd.Flags().StringVar(&why.Reason, "reason", "", "why, for whoever looks")
	return cmd
}

func newRelease(r *remote) *cobra.Command {
	o := &order{remote: r, verb: "release", concerns: func(e control.Experiment) bool { return e.Hold != "" || phase(e) == supervisor.Held }}
	o.give = func(ctx context.Context, c *control.Client, id string) (control.Experiment, error) {
		return c.Order(ctx, id, "release")
	}
	cmd := &cobra.Command{Use: "release ID...", Short: "Undo hold; --all also resets the circuit breaker", GroupID: groupOrders,
		Long: `Undo a hold, whoever put it: experiments are queued. --all releases all that is
held and resets the circuit breaker; after ` + "`systemctl stop brainjar.slice`" + ` it lets starts go on.` + manyHelp}
	o.flags(cmd)
	cmd.RunE = r.asking(func(ctx context.Context, c *control.Client, ids []string) error {
		if !o.selection.all {
			return o.run(ctx, c, ids)
		}
		if err := c.ReleaseAll(ctx); err != nil {
			return err
		}
		if o.format == "json" {
			return printDocument(r.stdout, []control.Experiment{})
		}
		_, err := fmt.Fprintln(r.stdout, "released all that was held, and reset the circuit breaker")
		return err
	})
	return cmd
}

func newKill(r *remote) *cobra.Command {
	var how control.KillRequest
	o := &order{remote: r, verb: "kill", concerns: active}
	o.give = func(ctx context.Context, c *control.Client, id string) (control.Experiment, error) {
		return c.Kill(ctx, id, how)
	}
	cmd := &cobra.Command{Use: "kill ID...", Short: "Send a signal to experiments", GroupID: groupOrders,
		Long: `Send a signal to all processes of experiments that run, or to the main one. A run that
dies of it has failed, and may be started again as after any failure. To end an
experiment for good, use stop.` + manyHelp}
	o.flags(cmd)
	cmd.Flags().StringVarP(&how.Signal, "signal", "s", "SIGKILL", "the signal, by name")
	cmd.Flags().StringVar(&how.Whom, "whom", "all", "all or main: which of the processes")
	give := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		if how.Whom != "all" && how.Whom != "main" {
			return usageError(cmd, errors.New("--whom wants all or main"))
		}
		return give(cmd, ids)
	}
	return cmd
}
