package control

import (
	"context"
	"sync"
	"time"

	"brainjar/supervisor"
)

// kept is how many events are kept for followers: who falls further behind is cut.
const kept = 8192

// Hub passes events on to those who follow them. It keeps the latest in one ring,
// from which each follower reads at its own pace: nothing is kept for anybody alone.
type Hub struct {
	mu   sync.Mutex
	ring []Event       // the latest, from next on the oldest
	next int           // where the next one goes, once the ring is full
	last int64         // the id given last
	gone int64         // the id of the newest that is not kept any more
	wake chan struct{} // closed when there is another event
}

// NewHub returns a hub without events.
func NewHub() *Hub { return &Hub{wake: make(chan struct{})} }

// Change publishes a change of a phase. It does not block.
func (h *Hub) Change(c supervisor.Change) { h.Publish(eventOf(c)) }

// Publish passes an event on. Its id is made from its time, so that ids also ascend
// from one brainjar to the next.
func (h *Hub) Publish(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = nextID(h.last, e.At)
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

// nextID is the id of an event that follows the one with the id last: microseconds
// since 1970, or one more than that.
func nextID(last int64, at time.Time) int64 { return max(last+1, at.UnixMicro()) }

// Last returns the id of the newest event; ids of later ones are greater.
func (h *Hub) Last() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// Since returns the events after an id that are kept. behind: there were more.
func (h *Hub) Since(id int64) (events []Event, behind bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since(id)
}

func (h *Hub) since(id int64) (events []Event, behind bool) {
	for i := range h.ring {
		if e := h.ring[(h.next+i)%len(h.ring)]; e.ID > id {
			events = append(events, e)
		}
	}
	return events, id < h.gone
}

// After is Since, but waits until there is an event or ctx ends.
func (h *Hub) After(ctx context.Context, id int64) (events []Event, behind bool, err error) {
	for {
		h.mu.Lock()
		wake := h.wake
		if h.last > id {
			events, behind = h.since(id)
		}
		h.mu.Unlock()
		if len(events) > 0 {
			return events, behind, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}
