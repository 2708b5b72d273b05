package transient

import (
	"context"
	"sync"
)

// stream is the queue between what sees events and who receives them: putting
// one never waits. It holds what the receiver has not taken yet; of the status
// texts of a unit only the newest, so that a chatty program does not make it
// grow.
type stream struct {
	out  chan Event
	wake chan struct{}

	mu    sync.Mutex
	queue []Event
}

func newStream() *stream {
	return &stream{out: make(chan Event), wake: make(chan struct{}, 1)}
}

func (s *stream) put(e Event) {
	s.mu.Lock()
	if n := len(s.queue); n > 0 {
		last, wasStatus := s.queue[n-1].(Status)
		if status, ok := e.(Status); ok && wasStatus && last.Unit == status.Unit {
			s.queue = s.queue[:n-1]
		}
	}
	s.queue = append(s.queue, e)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *stream) take() (Event, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.queue = nil
		return nil, false
	}
	e := s.queue[0]
	s.queue = s.queue[1:]
	return e, true
}

// run hands the events to the receiver until ctx ends.
func (s *stream) run(ctx context.Context) {
	for {
		e, ok := s.take()
		if !ok {
			select {
			case <-s.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case s.out <- e:
		case <-ctx.Done():
			return
		}
	}
}
