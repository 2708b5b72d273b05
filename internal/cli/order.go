package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"brainjar/internal/control"
	"brainjar/supervisor"
)

// order is a command that tells brainjar to do something with experiments, and
// waits for the outcome.
type order struct {
	remote    *remote
	verb      string
	selection selection
	noWait    bool
	timeout   time.Duration
	format    string

	// give gives the order for one experiment.
	give func(ctx context.Context, c *control.Client, id string) (control.Experiment, error)
	// concerns says which experiments --all and --tag mean. nil: all.
	concerns func(control.Experiment) bool
	// reached says whether an experiment, that stood as before when the order was
	// given, has come to where the order leads. nil: there is nothing to wait for.
	reached func(before, now control.Experiment) bool
	// judge says whether that is where it should lead. nil: always.
	judge func(now control.Experiment) error
	// unknown: an id that nobody knows may be ordered.
	unknown bool
}

// flags adds what all orders have.
func (o *order) flags(cmd *cobra.Command) {
	o.selection.flags(cmd, o.remote)
	if o.reached != nil {
		cmd.Flags().BoolVar(&o.noWait, "no-wait", false, "return when the order is on disk")
		cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "wait no longer than this; the order holds all the same")
	}
	formatFlag(cmd, &o.format, "text", "json")
	cmd.Args = func(cmd *cobra.Command, ids []string) error { return o.selection.one(cmd, ids) }
	cmd.RunE = o.remote.asking(o.run)
}

func (o *order) run(ctx context.Context, c *control.Client, ids []string) error {
	before, failed, err := o.choose(ctx, c, ids)
	if err != nil {
		return err
	}
	given := make(map[string]control.Experiment)
	stands := []control.Experiment{} // at the end
	var waiting []string
	for _, e := range before {
		answer, err := o.give(ctx, c, e.Experiment)
		switch {
		case err != nil && (ctx.Err() != nil || errors.Is(err, control.ErrUnreachable)):
			return append(failed, err)
		case err != nil:
			failed = append(failed, about(e.Experiment, err))
		case o.reached == nil || o.noWait:
			stands = append(stands, answer)
			o.tell(answer)
		default:
			given[e.Experiment] = e
			waiting = append(waiting, e.Experiment)
		}
	}
	reached, late, err := o.wait(ctx, c, given, waiting)
	stands = append(stands, reached...)
	if o.judge != nil {
		for _, e := range reached {
			if wrong := o.judge(e); wrong != nil {
				failed = append(failed, wrong)
			}
		}
	}
	switch {
	case errors.Is(err, errTimeout):
		for _, id := range late {
			failed = append(failed, o.tooLate(id))
		}
	case err != nil:
		failed = append(failed, err)
	}
	if o.format == "json" {
		if err := printDocument(o.remote.stdout, stands); err != nil {
			return err
		}
	}
	return failed.err()
}

// choose returns the experiments that the order is for, as they stand.
func (o *order) choose(ctx context.Context, c *control.Client, ids []string) ([]control.Experiment, failures, error) {
	status, err := c.Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	if o.unknown {
		for _, id := range ids {
			if _, missing := o.selection.of(status.Experiments, []string{id}); missing != nil {
				status.Experiments = append(status.Experiments, control.Experiment{Experiment: id})
			}
		}
	}
	chosen, unknown := o.selection.of(status.Experiments, ids)
	if len(ids) == 0 && o.concerns != nil {
		concerned := slices.DeleteFunc(slices.Clone(chosen), func(e control.Experiment) bool { return !o.concerns(e) })
		if len(concerned) == 0 && len(unknown) == 0 {
			fmt.Fprintf(o.remote.stderr, "nothing to %s\n", o.verb)
		}
		chosen = concerned
	}
	return chosen, unknown, nil
}

// sayAgain is how often it is said why an experiment still waits.
const sayAgain = time.Minute

// errTimeout says that the outcome has not come in time.
var errTimeout = errors.New("the outcome has not come in time")

// wait waits for the outcome, and tells each when it comes.
func (o *order) wait(ctx context.Context, c *control.Client, given map[string]control.Experiment, ids []string) (reached []control.Experiment, late []string, err error) {
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.timeout, errTimeout)
		defer cancel()
	}
	mention := o.remote.mentioning()
	reached, late, err = await(ctx, c, ids, func(now control.Experiment, _ control.Supervisor) bool {
		if o.reached(given[now.Experiment], now) {
			if o.judge == nil || o.judge(now) == nil { // else the error says how it stands
				o.tell(now)
			}
			return true
		}
		mention(now)
		return false
	})
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errTimeout):
		err = errTimeout
	case errors.Is(err, context.Canceled):
		err = &failure{errors.New("interrupted: what was ordered holds"), ExitInterrupted, ""}
	}
	return reached, late, err
}

// mentioning returns a function that says on stderr what an experiment waits for, or
// what keeps it from running, now and then.
func (r *remote) mentioning() func(control.Experiment) {
	said := make(map[string]time.Time)
	return func(now control.Experiment) {
		if (phase(now) == supervisor.Queued || phase(now) == supervisor.Backoff) && now.Reason != "" && time.Since(said[now.Experiment]) > sayAgain {
			said[now.Experiment] = time.Now()
			fmt.Fprintf(r.stderr, "%s: %s\n", now.Experiment, stand(now))
		}
	}
}

func (o *order) tooLate(id string) error {
	code := ExitFailed
	if o.verb == "start" || o.verb == "restart" {
		code = ExitNotAdmitted
	}
	return &failure{fmt.Errorf("%s: not done within %v; the order holds", id, o.timeout), code, "`brainjar why " + id + "` says what it waits for"}
}

// tell writes how an experiment stands, for people.
func (o *order) tell(e control.Experiment) {
	if o.verb == "forget" { // the answer is how it stood at last
		e = control.Experiment{Experiment: e.Experiment, Phase: forgotten}
	}
	if o.format == "text" {
		fmt.Fprintf(o.remote.stdout, "%s: %s\n", e.Experiment, stand(e))
	}
}

// stand says in a few words how an experiment stands.
func stand(e control.Experiment) string {
	text := e.Phase
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	switch {
	case e.PID > 0 && active(e):
		text += fmt.Sprintf(" (run %d, pid %d)", e.Run, e.PID)
	case e.Run > 0:
		text += fmt.Sprintf(" (run %d)", e.Run)
	}
	return printable(text)
}

// about says which experiment an error is about, where it does not say so itself.
func about(id string, err error) error {
	text := err.Error()
	if errors.Is(err, control.ErrUnreachable) || strings.HasSuffix(text, ": "+id) || strings.Contains(text, ": "+id+" ") || strings.HasPrefix(text, id+" ") {
		return err
	}
	return fmt.Errorf("%s: %w", id, err)
}
