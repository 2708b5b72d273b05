package control

import (
	"context"
	"math"
	"slices"
	"sort"
	"sync"
	"time"

	"brainjar/internal/ledger"
	"brainjar/supervisor"
)

// kept is how many events are kept for followers: who falls further behind is cut.
// atOnce is how many a follower is given at a time.
const (
	kept   = 8192
	atOnce = 256
)

// Hub passes events on to those who follow them. It keeps the latest in one ring,
// from which each follower reads at its own pace: nothing is kept for anybody alone.
type Hub struct {
	mu   sync.RWMutex
	ring []Event       // the latest, from next on the oldest
	next int           // where the next one goes, once the ring is full
	last int64         // the id of the newest
	gone int64         // the id of the newest that is not kept any more
	wake chan struct{} // closed when there is another event
}

// NewHub returns a hub without events. last is the id of the newest that the ledger has:
// what happens from now on has greater ones.
func NewHub(last int64) *Hub {
	return &Hub{wake: make(chan struct{}), last: max(last, time.Now().UnixMicro())}
}

// Change publishes a change of a phase.
func (h *Hub) Change(c supervisor.Change) { h.publish(eventOf(c)) }

// Note publishes an event that is not a change of a phase.
func (h *Hub) Note(e ledger.Event) { h.publish(pastEvent(e)) }

// publish passes an event on. It waits for no follower.
func (h *Hub) publish(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = max(h.last+1, e.ID)
	e.ID = h.last
	if len(h.ring) < kept {
		h.ring = append(h.ring, e)
	} else {
		h.gone, h.ring[h.next] = h.ring[h.next].ID, e
		h.next = (h.next + 1) % kept
	}
	close(h.wake)
	h.wake = make(chan struct{})
}

// Last returns the id of the newest event.
func (h *Hub) Last() int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.last
}

// Oldest returns the id of the oldest event that is kept: those before it are in the
// ledger. While there is none it is the greatest there can be.
func (h *Hub) Oldest() int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.oldest()
}

func (h *Hub) oldest() int64 {
	if len(h.ring) == 0 {
		return math.MaxInt64
	}
	return h.at(0).ID
}

// at is the i-th of the events that are kept, 0 the oldest.
func (h *Hub) at(i int) Event { return h.ring[(h.next+i)%len(h.ring)] }

// After waits for events after the one with an id and returns some of them, oldest
// first. behind: not all that came after it are kept.
func (h *Hub) After(ctx context.Context, id int64) (events []Event, behind bool, err error) {
	for {
		h.mu.RLock()
		wake := h.wake
		behind = id < h.gone
		begin := sort.Search(len(h.ring), func(i int) bool { return h.at(i).ID > id })
		for i := begin; i < min(begin+atOnce, len(h.ring)); i++ {
			events = append(events, h.at(i))
		}
		h.mu.RUnlock()
		if len(events) > 0 || behind {
			return events, behind, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// Newest returns the newest n events after the one with an id that mean something,
// oldest first; oldest is as Oldest returns it.
func (h *Hub) Newest(n int, id int64, means func(Event) bool) (events []Event, oldest int64) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for i := len(h.ring) - 1; i >= 0 && len(events) < n && h.at(i).ID > id; i-- {
		if e := h.at(i); means(e) {
			events = append(events, e)
		}
	}
	slices.Reverse(events)
	return events, h.oldest()
}
