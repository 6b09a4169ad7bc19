package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/steps"
)

// An event that a relay cannot bring to its target now, for a reason that another attempt may mend, is set aside: its entry
// (poison.Waiting) is committed with the checkpoint, as a parked event's is, later events of its stream are held behind
// it, and the other streams go on. What is set aside is in the store, so that it outlives a kill and a hand-over; what
// is known here is when its next attempt is due.
//
// With `hold: pipeline` nothing may pass, and a page waits for the attempts of its events.

// Bounds of what is set aside. Beyond them the relay reads on only when something has moved: were everything to fail, the
// log would be copied into the poison table.
const (
	maxAside  = 100    // streams
	maxBehind = 10_000 // events held behind them
	// maxDown is how many events may wait for a step that says it is down. One more, and the relay stalls: it is not these
	// events that the other side cannot serve.
	maxDown = 8
)

// turn is the event at which a stream waits for another attempt.
type turn struct {
	position int64
	due      time.Time
	tries    int // attempts that were made and count
	outages  int // attempts that were in vain as the other side was down
	behind   int // events held behind it
}

// setsAside reports whether other streams may pass an event that is tried again.
func (r *relay) setsAside() bool { return r.passes && r.holds() != "pipeline" }

// What becomes of an event that has failed and may be tried again.
type verdict int

const (
	inPlace verdict = iota // the relay waits for its attempts
	aside                  // it has an entry, and the relay goes on
	over                   // its attempts are used up
)

// later decides about an event that has failed. Where it is set aside, the entry says so.
func (r *relay) later(e *event.Recorded, err error) (poison.Entry, verdict) {
	if !r.setsAside() {
		return poison.Entry{}, inPlace
	}
	retry := &r.plan.retry
	var at *steps.Error
	if errors.As(err, &at) && at.Retry != nil {
		retry = at.Retry
	}
	t := r.holding.turnOf(e.Stream, e.Position)
	after, down := event.AsUnavailable(err)
	if down = down && retry.Outage != "poison"; down {
		if t.outages == 0 && r.holding.down() >= maxDown {
			return poison.Entry{}, inPlace
		}
		t.outages++
		t.due = r.pipe.now().Add(max(after, r.pipe.backoff(&r.pipe.outageRetry, min(t.outages+1, 16))))
	} else {
		t.tries++
		if t.tries >= retry.Attempts {
			return poison.Entry{}, over
		}
		wait := r.pipe.backoff(retry, t.tries+1)
		if told, is := event.AsRetryAfter(err); is {
			wait = max(wait, told)
		}
		t.due = r.pipe.now().Add(wait)
		r.metrics.Retries(1)
	}
	r.holding.put(e.Stream, t)
	entry := r.entry(e, err, poison.Waiting)
	if down {
		entry.Attempts = 0
	}
	r.pipe.limited("waiting "+r.plan.id).Warn("an event waits for its next attempt; other streams go on", "relay", r.plan.name, "stream", e.Stream.String(),
		"position", e.Position, "event", e.ID, "attempt", t.tries, "error", err)
	return entry, aside
}

// turnOf gives where a stream waits, if it waits at that position.
func (h *holding) turnOf(s event.Stream, position int64) turn {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.turns[s]; t != nil && t.position == position {
		return *t
	}
	return turn{position: position}
}

func (h *holding) put(s event.Stream, t turn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.turns == nil {
		h.turns = map[event.Stream]*turn{}
	}
	if h.streams == nil {
		h.streams = map[event.Stream]int64{}
	}
	h.turns[s] = &t
	if at, ok := h.streams[s]; !ok || t.position < at {
		h.streams[s] = t.position
	}
}

// done forgets the attempts of an event.
func (h *holding) done(s event.Stream, position int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.turns[s]; t != nil && t.position == position {
		delete(h.turns, s)
	}
}

// waiting reports whether a stream waits for another attempt.
func (h *holding) waiting(s event.Stream) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.turns[s] != nil
}

// behindTurn reports whether an event lies behind one that waits for another attempt.
func (h *holding) behindTurn(e *event.Recorded) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.turns[e.Stream]
	return t != nil && e.Position > t.position
}

// held notes that an event is held.
func (h *holding) held(s event.Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.turns[s]; t != nil {
		t.behind++
	}
}

// aside gives the streams that wait for another attempt, and all events that do, or are held behind one.
func (h *holding) aside() (streams, events int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.turns {
		events += 1 + t.behind
	}
	return len(h.turns), events
}

// next gives the stream whose attempt is due first.
func (h *holding) next() (s event.Stream, due time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, t := range h.turns {
		if !ok || t.due.Before(due) {
			s, due, ok = k, t.due, true
		}
	}
	return s, due, ok
}

// down counts the events that wait for what is down.
func (h *holding) down() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, t := range h.turns {
		if t.outages > 0 {
			n++
		}
	}
	return n
}

// leave forgets the turns of events that are not among the entries of a stream, or of all: they were given up meanwhile.
func (h *holding) leave(entries []poison.Entry, of event.Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	there := map[int64]bool{}
	for i := range entries {
		there[entries[i].Position] = true
	}
	for s, t := range h.turns {
		if (of.IsZero() || s == of) && !there[t.position] {
			delete(h.turns, s)
		}
	}
}

// anyTurn reports whether anything waits for another attempt.
func (h *holding) anyTurn() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.turns) > 0
}

// left counts what the relay has not brought to its target: log positions, and what it has set aside.
func (r *relay) left() int64 {
	_, events := r.holding.aside()
	return max(0, r.pipe.lastOwn.Load()-r.seen.Load()) + int64(events)
}

// full reports whether the relay has set so much aside that it reads on only when something of it has moved.
func (r *relay) full() bool {
	streams, events := r.holding.aside()
	return streams >= maxAside || events >= maxBehind
}

// nextTurn is a timer for the attempt that is due first; nil where there is none, or it may not be made.
func (r *relay) nextTurn() *clock.Timer {
	_, due, ok := r.holding.next()
	if !ok || r.paused.Load() || r.early() {
		return nil
	}
	return r.pipe.clock.NewTimer(max(0, due.Sub(r.pipe.now())))
}

// takeTurns tries again what is due, and behind what goes through what it has held.
func (r *relay) takeTurns(ctx context.Context) error {
	for {
		s, due, ok := r.holding.next()
		if !ok || due.After(r.pipe.now()) || r.early() {
			return nil
		}
		all, err := r.parkedEntries(ctx, s)
		if err != nil {
			return err
		}
		r.holding.leave(all, s)
		stuck, err := r.retake(ctx, all)
		if err != nil {
			return err
		}
		r.holding.restoreStream(s, stuck)
		r.metrics.Held(r.holding.count())
	}
}

// restoreStream puts what became of one stream's entries in place of what was known of them.
func (h *holding) restoreStream(s event.Stream, now held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at, ok := now.streams[s]; ok {
		if h.streams == nil {
			h.streams = map[event.Stream]int64{}
		}
		h.streams[s] = at
	} else {
		delete(h.streams, s)
	}
}
