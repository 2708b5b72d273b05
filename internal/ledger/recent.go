package ledger

// recent are the latest invocations whose end was written. It answers for a file
// that was set aside.
type recent struct {
	members map[string]bool
	ring    []string
	next    int
}

// recentSize is more than can be unforgotten when brainjar dies.
const recentSize = 1000

func (r *recent) add(invocation string) {
	if invocation == "" || r.members[invocation] {
		return
	}
	if r.members == nil {
		r.members = make(map[string]bool)
	}
	if len(r.ring) < recentSize {
		r.ring = append(r.ring, "")
	}
	delete(r.members, r.ring[r.next])
	r.ring[r.next], r.members[invocation] = invocation, true
	r.next = (r.next + 1) % recentSize
}

func (r *recent) has(invocation string) bool { return r.members[invocation] }
