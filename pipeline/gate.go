package pipeline

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/event"
)

// gate stands between a source and the router. A router starts a goroutine for every message it is given, as many as
// the subscriber lets out (watermill v1.5.1, message/router.go:670), so the bound on work in flight is here: a batch
// passes when there is room for its events and bytes. It also numbers the batches, since goroutines lose their order.
type gate struct {
	src  message.Subscriber
	pull context.Context // ends when nothing more is to be pulled
	hard context.Context // ends when nobody reads any more
	room *room
	// taken is told of each batch that was received; refused of one that found no room before the stop, and of all
	// behind it: they would overtake it.
	taken   func(b *event.Batch)
	refused func(b *event.Batch)
	failed  error         // why the source cannot be subscribed to; the router wraps it in words of its own
	ended   chan struct{} // closed when the source has closed its channel
	flight  *flight
}

// passage is a batch on its way through the intake.
type passage struct {
	batch *event.Batch
	turn  <-chan struct{} // closed when the batch before it has entered
	next  chan struct{}   // to be closed when this one has
	once  sync.Once
}

// pass lets the next batch enter.
func (p *passage) pass() { p.once.Do(func() { close(p.next) }) }

// enter waits for the batch's turn.
func (p *passage) enter(ctx context.Context) bool {
	select {
	case <-p.turn:
		return true
	default:
	}
	select {
	case <-p.turn:
		return true
	case <-ctx.Done():
		return false
	}
}

type passageKey struct{}

func passageOf(m *message.Message) *passage { return m.Context().Value(passageKey{}).(*passage) }

// Subscribe implements message.Subscriber. The router cancels its context the moment it is closed; the source gets
// the gate's own, so that batches in flight finish in peace.
func (g *gate) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	in, err := g.src.Subscribe(g.pull, "")
	if err != nil {
		g.failed = err
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		defer close(g.ended)
		first := make(chan struct{})
		close(first)
		turn := (<-chan struct{})(first)
		closed := false
		for m := range in {
			b := event.FromMessage(m)
			closed = closed || g.hard.Err() != nil || !g.room.take(g.pull, len(b.Events), b.Size())
			g.taken(b) // not before it is in flight: the counters add up at any moment
			if closed {
				g.refused(b)
				m.Nack()
				continue
			}
			p := &passage{batch: b, turn: turn, next: make(chan struct{})}
			turn = p.next
			m.SetContext(context.WithValue(m.Context(), passageKey{}, p))
			g.flight.add()
			out <- m // the router takes messages until the channel is closed
		}
	}()
	return out, nil
}

// Close implements message.Subscriber. The source is closed by its pipeline, after its last batch.
func (g *gate) Close() error { return nil }

// room bounds events and bytes in flight. A batch that is larger than the whole room passes when it is alone.
type room struct {
	mu            sync.Mutex
	freed         chan struct{}
	events, bytes int
	maxE, maxB    int
	changed       func(events, bytes int)
}

func newRoom(events, bytes int, changed func(events, bytes int)) *room {
	return &room{maxE: events, maxB: bytes, freed: make(chan struct{}), changed: changed}
}

func (r *room) take(ctx context.Context, events, bytes int) bool {
	for {
		r.mu.Lock()
		if r.events == 0 || (r.events+events <= r.maxE && r.bytes+bytes <= r.maxB) {
			r.events, r.bytes = r.events+events, r.bytes+bytes
			r.changed(r.events, r.bytes)
			r.mu.Unlock()
			return true
		}
		freed := r.freed
		r.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return false
		}
	}
}

func (r *room) give(events, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events, r.bytes = r.events-events, r.bytes-bytes
	r.changed(r.events, r.bytes)
	close(r.freed)
	r.freed = make(chan struct{})
}
