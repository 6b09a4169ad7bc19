package pipeline

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/pipeline/trace"
)

// parkedEvent is an entry for the event at src of the page.
type parkedEvent struct {
	poison.Entry
	src int
}

// entry writes down an event that the relay cannot deliver.
func (r *relay) entry(e *event.Recorded, err error, state poison.State) poison.Entry {
	now := r.pipe.now()
	c := e.Clone()
	out := poison.Entry{
		Pipeline: r.pipe.cfg.Name, Step: r.plan.step(), Relay: r.plan.id, State: state, Attempts: 1, First: now, Last: now,
		Key: strconv.FormatInt(e.Position, 10), Stream: e.Stream, Position: e.Position,
		EventID: c.ID, Type: c.Type, Source: c.Source, Metadata: c.Metadata, Envelope: c.Envelope, TraceID: trace.ID(&c),
	}
	out.Payload, out.Envelope = payloadOf(&c)
	if state == poison.Held {
		out.Attempts = 0 // it was not its turn
		out.Code, out.Reason = event.CodeHeld, "waits behind a parked event of stream "+e.Stream.String()
		return out
	}
	out.Step = r.plan.step()
	out.Code, out.Reason, out.Stack = steps.Code(err), err.Error(), stackOf(err)
	return out
}

// payloadOf gives an event's body as it came, or one that says the same.
func payloadOf(e *event.Event) ([]byte, event.Envelope) {
	if !e.Changed && len(e.Raw) > 0 {
		return e.Raw, e.Envelope
	}
	body, err := codec.Encode(nil, e, event.EventBridge)
	if err != nil {
		return e.Data, event.Plain
	}
	return body, event.EventBridge
}

// tell logs and counts what was parked.
func (r *relay) tell(park []poison.Entry) {
	for i := range park {
		e := &park[i]
		switch e.State {
		case poison.Held:
			r.holding.held(e.Stream)
			continue
		case poison.Waiting:
			continue
		}
		r.parked.Add(1)
		r.pipe.taps.parked(e)
		r.metrics.Poisoned(e.Code, 1)
		r.pipe.limited("poison "+e.Step+" "+e.Code).Warn("event poisoned", "relay", r.plan.name, "code", e.Code, "position", e.Position, "event", e.EventID, "trace_id", e.TraceID, "reason", e.Reason)
		r.pipe.copyPoison(*e)
	}
}

// upTo leaves out entries of events behind a position: they come again.
func upTo(position int64, park []poison.Entry) []poison.Entry {
	return slices.DeleteFunc(park, func(e poison.Entry) bool { return e.Position > position })
}

// entries gives what was parked, in the order of the page.
func entries(lists ...[]parkedEvent) []poison.Entry {
	all := slices.Concat(lists...)
	slices.SortStableFunc(all, func(a, b parkedEvent) int { return cmp.Compare(a.src, b.src) })
	out := make([]poison.Entry, len(all))
	for i := range all {
		out[i] = all[i].Entry
	}
	return out
}

// again makes the entry of an event that failed once more.
func again(e *poison.Entry, was *poison.Entry) {
	e.First, e.Attempts, e.Edited = was.First, was.Attempts+e.Attempts, was.Edited
	e.Key, e.Position, e.Stream = was.Key, was.Position, was.Stream
	if was.Edited {
		e.Payload, e.Envelope = was.Payload, was.Envelope
	}
}
