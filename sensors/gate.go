package sensors

import (
	"context"
	"errors"
)

// gate lets one call at a time into something that may never return: a driver's
// write, a program of the vendor. While one is stuck there, no second follows.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

// The gates of what sensors does beside reading. They belong to the machine, not to
// an FS: it has one GPU to power on, one set of clocks, one nvpmodel.
var (
	wakeGate    = newGate()
	clockGate   = newGate()
	nvpmodel    = newGate()
	nvidiaCards = newGate()
)

// errStuck is that an earlier call has not returned.
var errStuck = errors.New("an earlier call has not returned")

// do makes a call and waits until it has returned or ctx is done, which is an error.
// The call then goes on by itself: what it writes to must not be read.
func (g gate) do(ctx context.Context, call func()) error {
	select {
	case g <- struct{}{}:
	case <-ctx.Done():
		return errors.Join(errStuck, ctx.Err())
	}
	done := make(chan struct{})
	go func() {
		call()
		<-g
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
