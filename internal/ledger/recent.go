package ledger

import "slices"

// recent are the latest runs whose end was written: a file that is begun anew gets
// them too, so that none is counted again.
type recent struct {
	ring []Run
	next int
}

// recentSize is more than can be unforgotten when brainjar dies.
const recentSize = 256

func (r *recent) add(run Run) {
	if i := r.index(run.Invocation); i >= 0 {
		r.ring[i] = merge(r.ring[i], run)
		return
	}
	if len(r.ring) < recentSize {
		r.ring = append(r.ring, run)
		return
	}
	r.ring[r.next] = run
	r.next = (r.next + 1) % recentSize
}

func (r *recent) index(invocation string) int {
	return slices.IndexFunc(r.ring, func(run Run) bool { return invocation != "" && run.Invocation == invocation })
}

func (r *recent) has(invocation string) bool { return r.index(invocation) >= 0 }
