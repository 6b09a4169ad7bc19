package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
)

// holding is what waits behind parked events of a relay: later events of their streams, or all later events.
type holding struct {
	mu      sync.Mutex
	streams map[event.Stream]int64 // position of the first parked event
	at      int64                  // `hold: pipeline`: position of the first parked event, 0: none
	turns   map[event.Stream]*turn // streams that wait for another attempt of an event, however parked ones are held
}

// first gives the position behind which the whole relay waits, 0 where it does not.
func (h *holding) first() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

// any reports whether anything waits.
func (h *holding) any() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at > 0 || len(h.streams) > 0
}

// count gives the number of streams that wait, or 1 where all do.
func (h *holding) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at > 0 {
		return 1
	}
	return len(h.streams)
}

// holds gives what waits behind a parked event: stream, pipeline or none. Without a log there is nothing that could
// wait: the events are the source's.
func (r *relay) holds() string {
	if !r.pipe.plan.log {
		return "none"
	}
	return r.pipe.cfg.Poison.Hold
}

// forget ends a tenure: whoever has the relay next reads what is parked.
func (h *holding) forget() {
	h.restore(held{})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turns = nil
}

// hold notes that e is parked and reports whether the whole relay waits behind it now.
func (r *relay) hold(e *event.Recorded) bool { return r.holdAt(e.Stream, e.Position) }

func (r *relay) holdAt(s event.Stream, position int64) bool {
	h := &r.holding
	h.mu.Lock()
	defer h.mu.Unlock()
	switch r.holds() {
	case "stream":
		if h.streams == nil {
			h.streams = map[event.Stream]int64{}
		}
		if at, ok := h.streams[s]; !ok || position < at {
			h.streams[s] = position
		}
	case "pipeline":
		if h.at == 0 || position < h.at {
			h.at = position
		}
		return true
	}
	return false
}

// waits reports whether an event lies behind a parked one that holds it.
func (r *relay) waits(e *event.Recorded) bool {
	h := &r.holding
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok := h.streams[e.Stream]
	return (ok && e.Position > at) || (h.at > 0 && e.Position > h.at)
}

// held is a holding as it stood.
type held struct {
	streams map[event.Stream]int64
	at      int64
}

func (h *holding) save() held {
	h.mu.Lock()
	defer h.mu.Unlock()
	return held{maps.Clone(h.streams), h.at}
}

func (h *holding) restore(s held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams, h.at = maps.Clone(s.streams), s.at
}

// poke tells a relay to look at its parked events.
func (r *relay) poke() {
	r.asked.Add(1)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// mayResend reports whether the relay has anything parked that another process may have mended or dropped.
func (r *relay) mayResend() bool {
	if r.holding.any() {
		return true
	}
	n, _, err := r.pipe.store.CountParked(r.pipe.soft, poison.Filter{Relay: r.plan.id, States: []poison.State{poison.Retrying}})
	return err == nil && n > 0
}

// perhapsAbandoned reports whether parked events that the relay can deliver without a person are there, while the seat
// belongs to a replica of which it is not known whether it was alive at a moment.
func (r *relay) perhapsAbandoned(at time.Time) bool {
	if r.serving.Load() || !r.pipe.seats.showsTheDead(at) {
		return false
	}
	n, _, err := r.pipe.store.CountParked(r.pipe.relaysStop, poison.Filter{Relay: r.plan.id, States: []poison.State{poison.Retrying, poison.Waiting, poison.Held}})
	return err != nil || n > 0
}

// again takes up the entries that were sent again and, behind those that are mended or gone, the held ones.
func (r *relay) again(ctx context.Context) error {
	if r.early() {
		return nil // it is told again
	}
	asked := r.asked.Load()
	all, err := r.parkedEntries(ctx, event.Stream{})
	if err != nil {
		return err
	}
	r.holding.leave(all, event.Stream{})
	stuck, err := r.retake(ctx, all)
	if err != nil {
		return err
	}
	r.holding.restore(stuck)
	r.metrics.Held(r.holding.count())
	r.answered.Store(asked)
	r.tellMoved()
	return nil
}

// retake delivers those of the entries whose turn it is, and gives what waits behind the others.
func (r *relay) retake(ctx context.Context, all []poison.Entry) (held, error) {
	stuck := held{streams: map[event.Stream]int64{}}
	for i := range all {
		e := &all[i]
		if _, behind := stuck.streams[e.Stream]; behind || (r.holds() == "pipeline" && stuck.at > 0) {
			r.holding.held(e.Stream)
			continue
		}
		turn := r.turnAgain(e)
		if e.State != poison.Parked && !turn.due.After(r.pipe.now()) {
			done, err := r.resend(ctx, e)
			if err != nil {
				return stuck, err
			}
			if done {
				r.holding.done(e.Stream, e.Position)
				r.tellMoved()
				continue
			}
			turn = r.holding.turnOf(e.Stream, e.Position)
		}
		switch {
		case !turn.due.IsZero():
			turn.behind = 0 // it is counted anew
			r.holding.put(e.Stream, turn)
			stuck.streams[e.Stream] = e.Position
		default:
			r.holding.done(e.Stream, e.Position)
			if r.holds() == "stream" {
				stuck.streams[e.Stream] = e.Position
			}
		}
		if r.holds() == "pipeline" && stuck.at == 0 {
			stuck.at = e.Position
		}
	}
	return stuck, nil
}

// turnAgain gives the attempts that an entry has had and when the next is due: at once after a restart, where what was
// waited for is not known any more, and for what somebody sends again, whose attempts begin anew.
func (r *relay) turnAgain(e *poison.Entry) turn {
	if e.State != poison.Waiting {
		r.holding.done(e.Stream, e.Position)
		return turn{position: e.Position}
	}
	t := r.holding.turnOf(e.Stream, e.Position)
	if t.due.IsZero() {
		t.tries = e.Attempts
		r.holding.put(e.Stream, t)
	}
	return t
}

// parkedEntries lists what the relay has parked, of one stream or of all, in the order of the log.
func (r *relay) parkedEntries(ctx context.Context, s event.Stream) ([]poison.Entry, error) {
	var all []poison.Entry
	err := r.persist(ctx, func() error {
		all = nil
		for e, err := range r.pipe.store.ListParked(ctx, poison.Filter{Relay: r.plan.id, Stream: s}) {
			if err != nil {
				return fmt.Errorf("pipeline: list parked events: %w", err)
			}
			all = append(all, e)
		}
		return nil
	})
	sortByPosition(all)
	return all, err
}

// resend delivers one parked event; false where it failed again and stays.
func (r *relay) resend(ctx context.Context, e *poison.Entry) (bool, error) {
	ev, err := eventOf(ctx, r.pipe.reader, e, r.persist)
	if err != nil {
		return false, err
	}
	before := r.holding.save()
	defer r.holding.restore(before)
	r.holding.restore(held{}) // it is its own turn now
	g, err := r.gather([]event.Recorded{*ev}, -1)
	if err != nil {
		return false, err
	}
	defer g.endSpans()
	for i := range g.park {
		again(&g.park[i].Entry, e)
	}
	var done bool
	if len(g.park) > 0 {
		park := entries(g.park)
		if err = r.target.commit(ctx, r, -1, park, nil); err == nil {
			r.tell(park)
		}
	} else {
		done, err = r.target.resend(ctx, r, g, e)
	}
	if errors.Is(err, eventstore.ErrGone) { // dropped meanwhile
		return true, nil
	}
	return done, err
}

// eventOf gives the event of an entry: from the log, with the body that a person gave it.
func eventOf(ctx context.Context, log eventstore.Reader, e *poison.Entry, persist func(context.Context, func() error) error) (*event.Recorded, error) {
	var ev *event.Recorded
	err := persist(ctx, func() error {
		for got, err := range log.ReadAll(ctx, eventstore.ReadOptions{From: e.Position, To: e.Position}) {
			if err != nil {
				return fmt.Errorf("pipeline: read position %d: %w", e.Position, err)
			}
			ev = got
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if ev == nil {
		return nil, fmt.Errorf("pipeline: %w: position %d of a parked event is not in the log", eventstore.ErrCorrupt, e.Position)
	}
	if e.Edited {
		edited := event.Event{Raw: e.Payload}
		if err := codec.Decode(&edited, e.Envelope, 0); err != nil {
			return ev, nil //nolint:nilerr // the check at the edit refuses such a body; the log's own is the safe one
		}
		edited.ID = ev.ID // sent again with the same id
		edited.Metadata = ev.Metadata
		ev.Event = edited
	}
	return ev, nil
}
