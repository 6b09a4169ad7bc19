package event

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
)

// Cursor is a place in a source that remembers places: everything before it is settled.
type Cursor struct {
	// Key names the part of the source that the place is in (a file's fingerprint, a partition).
	Key string
	// Value is the source's own notation.
	Value string
}

// Batch is what one Watermill message carries: one or more events with an outcome for each.
//
// A source fills the exported fields before it sends the batch and does not touch them again. Settle is safe for
// concurrent use.
type Batch struct {
	// Events hold Raw (and Metadata, where the transport has any); the pipeline's codec fills the rest.
	Events []Event
	// Recorded are the same events as they stand in a log, from sources that read one: their fields are taken as they
	// are, and no body is decoded. Nil: the events come from outside.
	Recorded []Recorded
	// Bytes is what the batch weighs against the pipeline's limits; zero: the sum of the bodies.
	Bytes int
	// Key gives the transport's own id of an event: the same again when it is delivered again. Nil: it has none.
	Key func(i int) string
	// Lane names the lane that an event belongs to: those of one lane are handled one after another, in the order in which
	// they are sent, over all batches; lanes go side by side. Where one is Released, those behind it in its lane that were
	// sent by then are Released too. It counts for sources that say so (sources.Traits.Lanes). Nil: the source knows none.
	Lane func(i int) string
	// Cursor gives the place behind an event. Nil: the source remembers no places, each event is marked in the inbox.
	Cursor func(i int) Cursor
	// Row gives the row of the store's own outbox that an event came in: it goes in the transaction of what the event
	// gives. Nil: it came from elsewhere.
	Row func(i int) int64
	// Refused says what the source itself holds against event i, nil: nothing. Such an event goes through no step and is
	// parked with this error, unless it is known already. What it says of the body is not compared with an earlier one,
	// as the body may be a stand-in for one that could not be had. Nil: nothing is held against any.
	Refused func(i int) error
	// OnSettle is told of each event's outcome, once, from any goroutine; it must not block. Err is the reason where
	// the outcome is Poisoned or Released.
	OnSettle func(i int, o Outcome, err error)
	// OnDone is told once, when every event is settled.
	OnDone func()

	outcomes []atomic.Uint32
	left     atomic.Int64
	once     sync.Once
	done     chan struct{}
}

func (b *Batch) init() {
	b.once.Do(func() {
		b.outcomes = make([]atomic.Uint32, len(b.Events))
		b.left.Store(int64(len(b.Events)))
		b.done = make(chan struct{})
		if len(b.Events) == 0 {
			close(b.done)
		}
	})
}

// Settle gives event i its outcome. The first one counts, later ones are ignored.
func (b *Batch) Settle(i int, o Outcome, err error) {
	b.init()
	if !b.outcomes[i].CompareAndSwap(uint32(Pending), uint32(o)) {
		return
	}
	if b.OnSettle != nil {
		b.OnSettle(i, o, err)
	}
	if b.left.Add(-1) == 0 {
		if b.OnDone != nil {
			b.OnDone()
		}
		close(b.done)
	}
}

// Outcome gives what became of event i so far.
func (b *Batch) Outcome(i int) Outcome {
	b.init()
	return Outcome(b.outcomes[i].Load())
}

// Done is closed when every event is settled.
func (b *Batch) Done() <-chan struct{} {
	b.init()
	return b.done
}

// Released reports whether any event went back to its source.
func (b *Batch) Released() bool {
	b.init()
	for i := range b.outcomes {
		if Outcome(b.outcomes[i].Load()) == Released {
			return true
		}
	}
	return false
}

// Size gives the bytes that the batch weighs.
func (b *Batch) Size() int {
	if b.Bytes > 0 {
		return b.Bytes
	}
	n := 0
	for i := range b.Events {
		n += len(b.Events[i].Raw)
	}
	return n
}

type batchKey struct{}

// Message wraps the batch for a Watermill router. It is lean: no UUID from the random source, no payload. The
// metadata map is there because Watermill's own middlewares write to it.
func (b *Batch) Message(ctx context.Context) *message.Message {
	m := message.NewMessage("", nil)
	m.SetContext(context.WithValue(ctx, batchKey{}, b))
	return m
}

// FromMessage gives the batch that a message carries. A plain message of any Watermill subscriber becomes a batch of
// one: its payload is the body, its metadata the event's, its UUID the transport's id.
func FromMessage(m *message.Message) *Batch {
	if b, ok := m.Context().Value(batchKey{}).(*Batch); ok {
		return b
	}
	e := Event{Raw: m.Payload}
	for k, v := range m.Metadata {
		e.SetMeta(k, v)
	}
	b := &Batch{Events: []Event{e}}
	if m.UUID != "" {
		b.Key = func(int) string { return m.UUID }
	}
	return b
}

// NewID gives a fresh event id.
func NewID() string { return watermill.NewUUID() }
