package pipeline

import (
	"sync"

	"github.com/leatdev/leat/pipeline/event"
)

// stay is a batch's place in the room. Once its handler has done what it could, each event that is left gives its own part
// back when it is settled: one that waits in its lane does not keep the room of its whole batch.
type stay struct {
	room *room
	b    *event.Batch
	// sizes are those of the events, nil where they give nothing back by themselves.
	sizes []int

	mu            sync.Mutex
	events, bytes int         // taken
	late          map[int]int // bytes of the events that were left, by index; nil: the handler is not done
}

// stay takes over the room that the gate took for a batch. Parted: its events give it back one by one in the end.
func (r *room) stay(b *event.Batch, parted bool) *stay {
	s := &stay{room: r, b: b, events: len(b.Events), bytes: b.Size()}
	if !parted {
		return s
	}
	s.sizes = make([]int, len(b.Events)) // an event's steps may write to it at any time
	for i := range s.sizes {
		s.sizes[i] = len(b.Events[i].Raw)
	}
	settled := b.OnSettle
	b.OnSettle = func(i int, o event.Outcome, err error) {
		s.leave(i)
		if settled != nil {
			settled(i, o, err)
		}
	}
	return s
}

// part gives back what is settled by now.
func (s *stay) part() {
	if s.sizes == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	events, bytes := 0, 0
	s.late = map[int]int{}
	for i := range s.b.Events {
		if s.b.Outcome(i) == event.Pending {
			size := min(s.sizes[i], s.bytes-bytes)
			s.late[i] = size
			events, bytes = events+1, bytes+size
		}
	}
	if events > 0 {
		s.give(s.events-events, s.bytes-bytes)
	}
}

// leave gives back the part of an event that was left.
func (s *stay) leave(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size, was := s.late[i]; was {
		delete(s.late, i)
		s.give(1, size)
	}
}

// end gives back the rest.
func (s *stay) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = nil
	s.give(s.events, s.bytes)
}

func (s *stay) give(events, bytes int) {
	if events+bytes > 0 {
		s.events, s.bytes = s.events-events, s.bytes-bytes
		s.room.give(events, bytes)
	}
}
