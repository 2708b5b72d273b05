package cli

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	outletLines = 1024        // that may wait to be written
	flushLimit  = time.Second // for what waits when brainjar ends
)

// outlet writes messages in a goroutine of its own, so that a terminal that was
// stopped, a full pipe or a stuck journal never stops the supervisor. Those
// that do not fit any more are counted, and the count is written instead.
type outlet struct {
	items   chan outletItem
	dropped atomic.Int64
}

type outletItem struct {
	write   func()
	flushed chan struct{} // instead of a message: closed when all before is written
}

// newOutlet returns an outlet, which lasts until the program ends. What is missing
// it writes to w.
func newOutlet(w io.Writer) *outlet {
	o := &outlet{items: make(chan outletItem, outletLines)}
	go func() {
		for item := range o.items {
			if n := o.dropped.Swap(0); n > 0 {
				fmt.Fprintf(w, "%d lines of the log are missing: nobody read them in time\n", n)
			}
			if item.flushed != nil {
				close(item.flushed)
				continue
			}
			item.write()
		}
	}()
	return o
}

// put hands over what writes a message, and never waits.
func (o *outlet) put(write func()) {
	select {
	case o.items <- outletItem{write: write}:
	default:
		o.dropped.Add(1)
	}
}

// flush waits until everything has been written, but not for long.
func (o *outlet) flush() {
	limit := time.NewTimer(flushLimit)
	defer limit.Stop()
	flushed := make(chan struct{})
	select {
	case o.items <- outletItem{flushed: flushed}:
	case <-limit.C:
		return
	}
	select {
	case <-flushed:
	case <-limit.C:
	}
}
