package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"brainjar/internal/control"
)

// The times of watching. Variables, so that tests need not wait for them.
var (
	reconnectLimit = 60 * time.Second       // without brainjar, before that is an error
	reconnectPause = 500 * time.Millisecond // from one attempt to the next
	watchPause     = 50 * time.Millisecond  // at least, from one look to the next
)

// watch yields how experiments stand (no ids: all): at once, and again whenever
// something happened to them, and each time that every passes, if that is not 0.
//
// Events only say when to look: what is yielded is always how things stand. So
// none can be lost between two looks, and a brainjar that is started again, which
// is waited for, goes on where the old one was. The caller has just heard of brainjar:
// if it is not there, it is being started again.
func watch(ctx context.Context, c *control.Client, ids []string, every time.Duration) iter.Seq2[control.Status, error] {
	return func(yield func(control.Status, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		wake := make(chan struct{}, 1)
		over := make(chan struct{})
		go func() {
			defer close(over)
			listen(ctx, c, ids, wake)
		}()
		defer func() {
			cancel()
			<-over
		}()
		lastAnswer := time.Now()
		for {
			status, err := c.Status(ctx, ids...)
			next := every
			switch {
			case ctx.Err() != nil:
				yield(status, ctx.Err())
				return
			case err == nil && status.Supervisor.Ready:
				lastAnswer = time.Now()
				if !yield(status, nil) {
					return
				}
			case err == nil: // it has just begun, and does not know yet what runs
				lastAnswer, next = time.Now(), reconnectPause
			case !passing(err):
				yield(status, err)
				return
			case time.Since(lastAnswer) > reconnectLimit:
				yield(status, fmt.Errorf("gave up after %v: %w", reconnectLimit, err))
				return
			default:
				next = reconnectPause
			}
			if !pause(ctx, wake, next) {
				yield(control.Status{}, ctx.Err())
				return
			}
		}
	}
}

// passing reports whether an error may go away by itself: brainjar is being
// started again.
func passing(err error) bool {
	var refusal *control.Error
	if errors.As(err, &refusal) {
		return refusal.Code == control.CodeNotReady
	}
	return errors.Is(err, control.ErrUnreachable)
}

// pause waits for something to happen, or for every, but at least for watchPause.
// It reports whether ctx goes on.
func pause(ctx context.Context, wake <-chan struct{}, every time.Duration) bool {
	sleep(ctx, watchPause)
	var tick <-chan time.Time
	if every > 0 {
		timer := time.NewTimer(every)
		defer timer.Stop()
		tick = timer.C
	}
	select {
	case <-wake:
	case <-tick:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// listen wakes whenever something happens, and when it has begun to hear that.
func listen(ctx context.Context, c *control.Client, ids []string, wake chan<- struct{}) {
	call := func(int64) {
		select {
		case wake <- struct{}{}:
		default: // it is to wake already
		}
	}
	for ctx.Err() == nil {
		for _, err := range c.Events(ctx, control.EventQuery{Experiments: ids, Follow: true, Opened: call}) {
			if err != nil {
				break
			}
			call(0)
		}
		sleep(ctx, reconnectPause)
		call(0) // it may be another brainjar, or none
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// lookAgain is how often what is waited for is looked at though nothing happened to it:
// what it depends on may have failed for good.
const lookAgain = 5 * time.Second

// await watches experiments until done says of each that it has reached what is
// waited for; done hears of each as often as there is news. It returns how those
// stand that have, and the ids of the others, if ctx or brainjar ended first.
func await(ctx context.Context, c *control.Client, ids []string, done func(control.Experiment, control.Supervisor) bool) (reached []control.Experiment, missing []string, err error) {
	missing = slices.Clone(ids)
	if len(missing) == 0 {
		return nil, nil, nil
	}
	asked := ids
	if len(ids) > 1 {
		asked = nil // all: one that is forgotten meanwhile does not matter to the others
	}
	for status, err := range watch(ctx, c, asked, lookAgain) {
		if err != nil {
			return reached, missing, err
		}
		missing = slices.DeleteFunc(missing, func(id string) bool {
			i := slices.IndexFunc(status.Experiments, func(e control.Experiment) bool { return e.Experiment == id })
			if i < 0 {
				reached = append(reached, control.Experiment{Experiment: id, Phase: forgotten})
				return true
			}
			now := status.Experiments[i]
			if !done(now, status.Supervisor) {
				return false
			}
			reached = append(reached, now)
			return true
		})
		if len(missing) == 0 {
			return reached, nil, nil
		}
	}
	return reached, missing, ctx.Err()
}

// forgotten stands in the place of the phase of an experiment that is not there
// any more.
const forgotten = "forgotten"
