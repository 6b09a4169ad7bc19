package sqs

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/leatdev/leat/pipeline/event"
)

// held is a message between its receive and its delete or return.
type held struct {
	id, key, group string
	event          event.Event
	size           int
	receives       int
	refused        error // why it is to be parked without being tried
	object         *object

	// Under hand.mu:
	handle string
	until  time.Time     // when it becomes visible, unless extended
	lost   bool          // it could not be extended
	beat   chan struct{} // closed when the call that extends it is done; nil: none is under way
}

// lane is a message group: some of its events are with the pipeline or ready, those that came later wait for them.
type lane struct {
	busy    int // with the pipeline, or ready
	waiting []*held
}

// hand is all that the source has in hand: what waits to be passed on, and what was and is not settled.
type hand struct {
	s *Source

	mu      sync.Mutex
	held    map[string]*held // by message id
	ready   []*held          // to be passed on next
	lanes   map[string]*lane
	unsent  int // ready, and waiting in lanes
	bytes   int // of them
	stopped bool
	wake    chan struct{} // something is ready
	freed   chan struct{} // something was passed on; closed and made anew
}

func newHand(s *Source) *hand {
	return &hand{s: s, held: map[string]*held{}, lanes: map[string]*lane{}, wake: make(chan struct{}, 1), freed: make(chan struct{})}
}

// Unsent messages beyond which nobody receives: what is held here, other replicas cannot have.
const (
	unsentEvents = 200
	unsentBytes  = 16 << 20
)

// room waits until more may be received; false where ctx is done.
func (h *hand) room(ctx context.Context) bool {
	for {
		h.mu.Lock()
		full, freed := h.unsent >= unsentEvents || h.bytes >= unsentBytes, h.freed
		h.mu.Unlock()
		if ctx.Err() != nil {
			return false
		}
		if !full {
			return h.s.settler.keepsUp(ctx)
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return false
		}
	}
}

// take puts messages received at a time in their place. It reports whether the pipeline keeps up with what comes.
func (h *hand) take(messages []incoming, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	keepsUp := h.unsent < 2*most
	var idle []*lane // of which something came
	for i := range messages {
		m := &messages[i].Message
		if old := h.held[text(m.MessageId)]; old != nil {
			// It came again while it is in hand: its visibility ended, or the queue made a copy. The old handle is worth
			// nothing now.
			h.s.counts.Again.Add(1)
			old.handle, old.until, old.lost = text(m.ReceiptHandle), now.Add(h.s.visibility), false
			continue
		}
		n := h.s.read(m)
		if messages[i].refused != nil {
			n.refused = messages[i].refused
		}
		n.object = messages[i].object
		n.until = now.Add(h.s.visibility)
		if h.stopped {
			h.s.settler.giveBack(n.handle, 0, nil)
			continue
		}
		h.held[n.id] = n
		h.unsent++
		h.bytes += n.size
		if !h.s.fifo {
			h.ready = append(h.ready, n)
			continue
		}
		l := h.lanes[n.group]
		if l == nil {
			l = &lane{}
			h.lanes[n.group] = l
		}
		if l.waiting = append(l.waiting, n); l.busy == 0 {
			idle = append(idle, l)
		}
	}
	for _, l := range idle {
		h.pass(l)
	}
	h.rouse()
	return keepsUp
}

// pass makes ready what waits in a lane.
func (h *hand) pass(l *lane) {
	l.busy += len(l.waiting)
	h.ready = append(h.ready, l.waiting...)
	l.waiting = nil
}

func (h *hand) rouse() {
	if len(h.ready) > 0 {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
}

// send passes on what is ready until ctx is done, gives the rest back and closes out.
func (h *hand) send(ctx context.Context, out chan<- *message.Message) {
	defer close(out)
	work := context.WithoutCancel(ctx)
	for {
		batch := h.next()
		if batch == nil {
			select {
			case <-h.wake:
				continue
			case <-ctx.Done():
				h.giveBackAll(nil)
				return
			}
		}
		select {
		case out <- h.message(batch).Message(work):
		case <-ctx.Done():
			h.giveBackAll(batch)
			return
		}
	}
}

// next takes the next batch within the limits; at least one message, nil where nothing is ready.
func (h *hand) next() []*held {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, size := 0, 0
	for n < len(h.ready) && n < h.s.env.MaxEvents && (n == 0 || size+h.ready[n].size <= h.s.env.MaxBytes) {
		size += h.ready[n].size
		n++
	}
	if n == 0 {
		return nil
	}
	batch := append([]*held(nil), h.ready[:n]...)
	h.ready = append(h.ready[:0], h.ready[n:]...)
	h.unsent -= n
	h.bytes -= size
	close(h.freed)
	h.freed = make(chan struct{})
	return batch
}

func (h *hand) message(batch []*held) *event.Batch {
	b := &event.Batch{
		Events:   make([]event.Event, len(batch)),
		Key:      func(i int) string { return batch[i].key },
		OnSettle: func(i int, o event.Outcome, _ error) { h.settle(batch[i], o) },
	}
	if h.s.fifo {
		b.Lane = func(i int) string { return batch[i].group }
	}
	for _, m := range batch {
		if m.refused != nil {
			b.Refused = func(i int) error { return batch[i].refused }
			break
		}
	}
	for i, m := range batch {
		b.Events[i] = m.event
		b.Bytes += m.size
		m.event = event.Event{} // the pipeline's now
	}
	return b
}

// settle takes a message out of the pipeline's hands.
func (h *hand) settle(m *held, o event.Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o != event.Released {
		h.s.settler.delete(m)
		h.leaveLane(m)
		return
	}
	after := 0 * time.Second
	if !h.stopped {
		after = returnAfter(m.receives)
	}
	h.giveBack(m, after)
	if l := h.lanes[m.group]; h.s.fifo && l != nil {
		for _, behind := range l.waiting {
			h.drop(behind)
			h.giveBack(behind, after)
		}
		l.waiting = nil
		h.ready = slices.DeleteFunc(h.ready, func(behind *held) bool {
			if behind.group != m.group {
				return false
			}
			h.drop(behind)
			h.giveBack(behind, after)
			l.busy--
			return true
		})
		h.leaveLane(m) // the pipeline gives back what it has of those behind
	}
}

// returnAfter is how long an event that failed stays hidden, by how often it was received.
func returnAfter(receives int) time.Duration {
	return min(time.Second<<min(max(receives-1, 0), 12), 15*time.Minute)
}

// leaveLane lets the next events of the group go, once all that the pipeline had of it are settled.
func (h *hand) leaveLane(m *held) {
	l := h.lanes[m.group]
	if !h.s.fifo || l == nil {
		return
	}
	if l.busy--; l.busy > 0 {
		return
	}
	if len(l.waiting) == 0 {
		delete(h.lanes, m.group)
		return
	}
	h.pass(l)
	h.rouse()
}

func (h *hand) giveBack(m *held, after time.Duration) {
	delete(h.held, m.id)
	h.s.settler.giveBack(m.handle, after, m.beat)
}

// drop takes an unsent message out of the count.
func (h *hand) drop(m *held) {
	h.unsent--
	h.bytes -= m.size
}

// giveBackAll ends sending: what was not passed on goes back at once.
func (h *hand) giveBackAll(batch []*held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	for _, m := range batch {
		h.giveBack(m, 0)
	}
	for _, m := range h.ready {
		h.drop(m)
		h.giveBack(m, 0)
	}
	h.ready = nil
	for _, l := range h.lanes {
		for _, m := range l.waiting {
			h.drop(m)
			h.giveBack(m, 0)
		}
		l.waiting = nil
	}
}

// handle gives the newest receipt handle of a message.
func (h *hand) handle(m *held) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return m.handle
}

// forget ends what is known of a message: it is deleted, or left to come again.
func (h *hand) forget(m *held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[m.id] == m {
		delete(h.held, m.id)
	}
}
