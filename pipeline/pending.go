package pipeline

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/pipeline/trace"
)

// pending is a source event that has a unit to commit.
type pending struct {
	b    *event.Batch
	i    int
	lane string
	// raw: the steps have not seen it yet; they do when it is its turn in its lane.
	raw  bool
	unit eventstore.Unit
	// outcome is the event's when the unit is committed.
	outcome event.Outcome
	// err is why it is poisoned or dropped, in words for people; step is where.
	err      error
	attempts int
	// through is the last event of the batch that the unit's cursor may cover.
	through int
	// told: log and metrics know already that it is poisoned.
	told bool
	// failed is a step's error that another attempt may mend: there is no unit yet. waits counts outages in a row.
	failed error
	waits  int
	// claimed: an append expects what a handler has loaded of its stream; moved is where the last conflict found it.
	claimed bool
	moved   int64
	// unrouted names the branch that had no case for the event.
	unrouted string
	// unlock lets go of the lane of a stream.
	unlock func()
	// retry is the parked entry that this event comes from; nil for events of the source.
	retry *poison.Entry
}

// released reports whether the event went back to its source.
func (d *pending) released() bool { return d.b.Outcome(d.i) == event.Released }

// result is what the steps made of one event.
type result struct {
	steps.Given
	err  error // nil, steps.ErrFiltered, or why it failed
	lane string
}

// payloadHash is the inbox's hash; it must be the same after a restart.
func payloadHash(b []byte) uint64 {
	// FNV-1a, 64 bits (Fowler, Noll, Vo).
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	if h == 0 {
		h = 1
	}
	return h
}

// decode takes the body apart and fills in what the source's frame says.
func (p *pipe) decode(b *event.Batch, i int, x *steps.Exec) error {
	e := &b.Events[i]
	if b.Recorded != nil {
		if limit := int(p.cfg.Limits.EventSize); limit > 0 && len(e.Raw) > limit {
			return &steps.Error{Step: "source", Err: event.PoisonAs(event.CodeTooLarge, fmt.Errorf("the event is larger than limits.event_size, %d bytes", limit))}
		}
		*x.Event() = b.Recorded[i]
		return nil
	}
	err := codec.Decode(e, p.envelope, int(p.cfg.Limits.EventSize))
	if b.Refused != nil {
		if refused := b.Refused(i); refused != nil {
			err = refused
		}
	}
	if err != nil {
		return &steps.Error{Step: "source", Err: err}
	}
	if p.plan.frame != nil {
		if err := p.plan.frame.Apply(e); err != nil {
			return &steps.Error{Step: "source", Err: event.PoisonAs(event.CodeExpression, err)}
		}
	}
	x.Event().Event = *e // the rest of it is empty in an intake
	return nil
}

// steps runs the intake's steps on event i and leaves it in x.ev as they made it; b.Events[i] is the event as its envelope
// gave it. A panic of a plugin is the event's failure.
func (p *pipe) steps(b *event.Batch, i int, x *steps.Exec) (r result) {
	defer func() {
		if v := recover(); v != nil {
			r.err = &steps.Error{Step: "intake", Err: steps.NewPanic(v)}
		}
	}()
	if p.sourceLanes && b.Lane != nil {
		r.lane = b.Lane(i)
	}
	if !p.laneSlots.take(p.hard) {
		r.err = &steps.Error{Step: "intake", Retry: &p.cfg.Retry, Err: errStopped}
		return r
	}
	defer p.laneSlots.give()
	err := p.decode(b, i, x)
	p.traces.begin(b, i, x, err == nil)
	if err != nil {
		r.err = err
		return r
	}
	if p.taps.On() {
		p.taps.received(x.Event())
	}
	x.Begin(p.hard, b, i)
	if p.plan.orderBy != nil {
		if r.lane, r.err = p.laneBy(x); r.err != nil {
			return r
		}
	}
	r.Given, r.err = x.Unit()
	return r
}

// laneBy gives the lane of the event in hand by order_by.
func (p *pipe) laneBy(x *steps.Exec) (string, error) {
	lane, err := x.JSON(p.plan.orderBy)
	if err != nil {
		return "", &steps.Error{Step: "source", Err: event.PoisonAs(event.CodeExpression, fmt.Errorf("order_by: %w", err))}
	}
	return string(lane), nil
}

// panicked makes the error that stops a pipeline of a panic in one of its handlers.
func panicked(where string, v any) error {
	return fmt.Errorf("%s: panic: %v\n%s", where, v, debug.Stack())
}

// unitOf makes the unit of an event that gives something; ok is false where nothing is to be committed: the outcome says
// why.
func (p *pipe) unitOf(b *event.Batch, i int, r *result, attempts int) (pending, bool) {
	d := pending{b: b, i: i, lane: r.lane, attempts: attempts, outcome: event.Committed, through: i, claimed: r.Claimed, unrouted: r.Unrouted}
	var ok bool
	if d.outcome, d.err, ok = p.ending(r); ok {
		return d, false
	}
	d.outcome = event.Committed
	d.unit.Pipeline = p.cfg.Name
	d.unit.Inbox = p.mark(b, i, &b.Events[i])
	if b.Row != nil {
		d.unit.Outbox = []int64{b.Row(i)}
	}
	switch {
	case r.err == nil:
		d.unit.Appends = r.Appends
		d.unit.Within = p.withStates(r.States)
	case steps.Repeatable(r.err):
		d.failed = r.err
	default:
		p.poison(&d, r.err)
	}
	return d, true
}

// ending gives the outcome of an event that gives nothing: it was filtered, or a step has dropped it. False where there is
// something to be done for it.
func (p *pipe) ending(r *result) (event.Outcome, error, bool) {
	switch { // what most events meet costs nothing
	case r.err == steps.ErrFiltered && r.Dropped == nil: //nolint:errorlint // as it is
		return event.Filtered, nil, true
	case r.err == nil && (len(r.Appends) > 0 || !p.plan.log):
		return 0, nil, false
	}
	return p.endingOf(r)
}

func (p *pipe) endingOf(r *result) (event.Outcome, error, bool) {
	var rejected *steps.RejectError
	if errors.As(r.err, &rejected) {
		return event.Dropped, r.err, true
	}
	_, skipped := event.AsSkip(r.err)
	nothing := errors.Is(r.err, steps.ErrFiltered) || (r.err == nil && p.plan.log && len(r.Appends) == 0) || skipped
	switch {
	case !nothing:
		return 0, nil, false
	case r.Dropped != nil:
		return event.Dropped, r.Dropped, true
	}
	return event.Filtered, nil, true
}

// mark gives the inbox entry of an event; nil where its place in the source is remembered instead, or where nothing
// identifies it.
func (p *pipe) mark(b *event.Batch, i int, e *event.Event) *eventstore.Mark {
	if b.Cursor != nil && !p.inLane(b) {
		return nil
	}
	key := steps.KeyOf(b, i)
	if key == "" {
		return nil
	}
	m := &eventstore.Mark{Key: key, Hash: payloadHash(b.Events[i].Raw)}
	if b.Refused != nil && b.Refused(i) != nil {
		m.Hash = 0
	}
	return m
}

// poison turns a pending event into one that is parked.
func (p *pipe) poison(d *pending, err error) {
	d.err, d.outcome = err, event.Poisoned
	d.unit.Appends, d.unit.Within = nil, nil
	e := p.entry(d.b, d.i, err)
	e.Attempts = d.attempts + 1
	if d.retry != nil {
		e.Key, e.First, e.Edited = d.retry.Key, d.retry.First, d.retry.Edited
		e.Attempts += d.retry.Attempts
		if e.Step == d.retry.Step {
			d.unit.Unpark = nil // the entry stays, with the new reason
		}
	}
	d.unit.Park = []poison.Entry{e}
}

// entry writes down what is known of a failed source event.
func (p *pipe) entry(b *event.Batch, i int, err error) poison.Entry {
	e := b.Events[i].Clone()
	now := p.now()
	out := poison.Entry{
		Pipeline: p.cfg.Name, Step: stepOf(err), State: poison.Parked, Code: steps.Code(err), Reason: err.Error(), Stack: stackOf(err),
		First: now, Last: now, EventID: e.ID, Type: e.Type, Source: e.Source,
		Payload: e.Raw, Envelope: p.envelope, Metadata: e.Metadata, TraceID: trace.ID(&e),
	}
	if b.Recorded != nil {
		out.Payload, out.Envelope = payloadOf(&e)
		out.Stream, out.Position = b.Recorded[i].Stream, b.Recorded[i].Position
	}
	out.Key = steps.KeyOf(b, i)
	if out.Key == "" {
		out.Key = event.NewID()
	}
	return out
}

func stepOf(err error) string {
	var s *steps.Error
	if errors.As(err, &s) {
		return s.Step
	}
	return "append"
}

func stackOf(err error) string {
	var p *steps.PanicError
	if errors.As(err, &p) {
		return string(p.Stack)
	}
	return ""
}

// since gives the age of an event for the end-to-end histogram.
func (p *pipe) since(at time.Time) (time.Duration, bool) {
	if at.IsZero() {
		return 0, false
	}
	return p.now().Sub(at), true
}
