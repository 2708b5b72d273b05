package cli

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"brainjar/transient"
)

// gcPercent trades a little of the CPU, of which brainjar needs next to none,
// for memory, which on its machines belongs to the experiments.
const gcPercent = 30

// processors is how many run brainjar's goroutines: it needs a hundredth of one, and
// goroutines that wake each other on several spend more on that than they gain.
const processors = 1

// shedEvery is how often it is looked whether something has happened that needed memory.
const shedEvery = 10 * time.Second

// shedFrom is how many bytes of the heap must be free to be worth a collection.
const shedFrom = 512 << 10

// shed gives memory back after changes: what a burst of starts needed, which the runtime
// would keep for minutes, and the pages of the program's own code. Those that are needed
// again come back from the page cache.
func (b *brainjar) shed(ctx context.Context) {
	tick := time.NewTicker(shedEvery)
	defer tick.Stop()
	free := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}}
	seen, calm := int64(-1), false // the start of the program is a change too
	for {
		select {
		case <-tick.C:
			changes := b.changes.Load()
			if changes == seen && calm {
				continue
			}
			calm, seen = changes == seen, changes // once more when it has ended
			if metrics.Read(free); free[0].Value.Uint64() > shedFrom {
				debug.FreeOSMemory()
			}
			_ = transient.Shed() // without it all goes on
		case <-ctx.Done():
			return
		}
	}
}
