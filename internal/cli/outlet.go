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

// outlet writes lines in a goroutine of its own, so that a terminal that was
// stopped, a full pipe or a stuck journal never stops the supervisor. Lines
// that do not fit any more are counted, and the count is written instead.
type outlet struct {
	items   chan outletItem
	dropped atomic.Int64
}

type outletItem struct {
	line    string
	flushed chan struct{} // instead of a line: closed when all before is written
}

// newOutlet returns an outlet to w, which it uses until the program ends.
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
			_, _ = io.WriteString(w, item.line) // where the log cannot be written, nobody can be told
		}
	}()
	return o
}

// put hands over a line and never waits.
func (o *outlet) put(line string) {
	select {
	case o.items <- outletItem{line: line}:
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
