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
	appends []eventstore.Append
	err     error // nil, errFiltered, or why it failed
	lane    string
	states  []unitState
	claimed bool
	// dropped is why a step dropped the event, unrouted the branch that had no case for it.
	dropped  error
	unrouted string
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

// key is the identity of a source event: the same again when it is delivered again; "" where it has none.
func (p *pipe) key(b *event.Batch, i int, e *event.Event) string {
	if b.Cursor != nil {
		c := b.Cursor(i)
		return c.Key + ":" + c.Value
	}
	if e.ID != "" {
		return e.Source + "|" + e.ID
	}
	if b.Key != nil {
		return b.Key(i)
	}
	return ""
}

// decode takes the body apart and fills in what the source's frame says.
func (p *pipe) decode(b *event.Batch, i int, x *exec) error {
	e := &b.Events[i]
	if b.Recorded != nil {
		if limit := int(p.cfg.Limits.EventSize); limit > 0 && len(e.Raw) > limit {
			return &stepError{step: "source", err: event.PoisonAs(event.CodeTooLarge, fmt.Errorf("the event is larger than limits.event_size, %d bytes", limit))}
		}
		x.ev = b.Recorded[i]
		return nil
	}
	err := codec.Decode(e, p.envelope, int(p.cfg.Limits.EventSize))
	if b.Refused != nil {
		if refused := b.Refused(i); refused != nil {
			err = refused
		}
	}
	if err != nil {
		return &stepError{step: "source", err: err}
	}
	if p.plan.eventMap != nil {
		m := p.plan.eventMap.prog.get()
		m.start(&event.Recorded{Event: *e})
		err := p.plan.eventMap.apply(m)
		*e = m.ev.Event
		p.plan.eventMap.prog.put(m)
		if err != nil {
			return &stepError{step: "source", err: event.PoisonAs(event.CodeExpression, err)}
		}
	}
	x.ev.Event = *e // the rest of x.ev is empty in an intake
	return nil
}

// steps runs the intake's steps on event i and leaves it in x.ev as they made it; b.Events[i] is the event as its envelope
// gave it. A panic of a plugin is the event's failure.
func (p *pipe) steps(b *event.Batch, i int, x *exec) (r result) {
	defer func() {
		if v := recover(); v != nil {
			r.err = &stepError{step: "intake", err: newPanic(v)}
		}
	}()
	if p.sourceLanes && b.Lane != nil {
		r.lane = b.Lane(i)
	}
	if !p.laneSlots.take(p.hard) {
		r.err = &stepError{step: "intake", retry: &p.cfg.Retry, err: errStopped}
		return r
	}
	defer p.laneSlots.give()
	err := p.decode(b, i, x)
	p.traces.begin(b, i, x, err == nil)
	if err != nil {
		r.err = err
		return r
	}
	if p.taps.on() {
		p.taps.received(&x.ev)
	}
	x.appends, x.ctx = nil, p.hard
	x.fresh()
	x.b, x.i = b, i
	if p.plan.log && x.ev.ID == "" {
		x.ev.ID = derivedID(x.identity(), "source", 0)
	}
	x.start(&x.ev)
	if p.plan.orderBy != nil {
		if r.lane, r.err = p.laneBy(x); r.err != nil {
			return r
		}
	}
	r.err = x.run()
	r.appends, r.states, r.claimed = x.appends, x.states, x.claimed
	r.dropped, r.unrouted = x.dropped, x.unrouted
	return r
}

// laneBy gives the lane of the event in hand by order_by.
func (p *pipe) laneBy(x *exec) (string, error) {
	lane, err := p.plan.orderBy.JSON(x.buf[:0], x.view)
	if err != nil {
		return "", &stepError{step: "source", err: event.PoisonAs(event.CodeExpression, fmt.Errorf("order_by: %w", err))}
	}
	x.buf = lane
	return string(lane), nil
}

type panicError struct {
	value any
	stack []byte
}

func newPanic(v any) error { return &panicError{value: v, stack: debug.Stack()} }

// panicked makes the error that stops a pipeline of a panic in one of its handlers.
func panicked(where string, v any) error {
	return fmt.Errorf("%s: panic: %v\n%s", where, v, debug.Stack())
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// unitOf makes the unit of an event that gives something; ok is false where nothing is to be committed: the outcome says
// why.
func (p *pipe) unitOf(b *event.Batch, i int, r *result, attempts int) (pending, bool) {
	d := pending{b: b, i: i, lane: r.lane, attempts: attempts, outcome: event.Committed, through: i, claimed: r.claimed, unrouted: r.unrouted}
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
		d.unit.Appends = r.appends
		d.unit.Within = p.withStates(r.states)
	case repeatable(r.err):
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
	case r.err == errFiltered && r.dropped == nil: //nolint:errorlint // as it is
		return event.Filtered, nil, true
	case r.err == nil && (len(r.appends) > 0 || !p.plan.log):
		return 0, nil, false
	}
	return p.endingOf(r)
}

func (p *pipe) endingOf(r *result) (event.Outcome, error, bool) {
	var rejected *rejectError
	if errors.As(r.err, &rejected) {
		return event.Dropped, r.err, true
	}
	_, skipped := event.AsSkip(r.err)
	nothing := errors.Is(r.err, errFiltered) || (r.err == nil && p.plan.log && len(r.appends) == 0) || skipped
	switch {
	case !nothing:
		return 0, nil, false
	case r.dropped != nil:
		return event.Dropped, r.dropped, true
	}
	return event.Filtered, nil, true
}

// rejectError says that a step refuses the source event as a whole: its sender is told, and it is dropped.
type rejectError struct{ err error }

func (e *rejectError) Error() string { return e.err.Error() }
func (e *rejectError) Unwrap() error { return e.err }

// repeatable reports whether another attempt may mend what failed in a step.
func repeatable(err error) bool {
	return err != nil && err != errFiltered && repeatableError(err) //nolint:errorlint // the usual one, as it is
}

func repeatableError(err error) bool {
	var p *panicError
	var s *stepError
	return !event.IsPoison(err) && !errors.As(err, &p) && errors.As(err, &s) && s.retry != nil // of a step, not of the source
}

// identity names the source event in hand for derived ids.
func (p *pipe) identity(x *exec) string {
	key := p.key(x.b, x.i, &x.b.Events[x.i])
	if key == "" {
		key = event.NewID()
	}
	return p.cfg.Name + "\x00" + key
}

// mark gives the inbox entry of an event; nil where its place in the source is remembered instead, or where nothing
// identifies it.
func (p *pipe) mark(b *event.Batch, i int, e *event.Event) *eventstore.Mark {
	if b.Cursor != nil && !p.inLane(b) {
		return nil
	}
	key := p.key(b, i, e)
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
		Pipeline: p.cfg.Name, Step: stepOf(err), State: poison.Parked, Code: codeOf(err), Reason: err.Error(), Stack: stackOf(err),
		First: now, Last: now, EventID: e.ID, Type: e.Type, Source: e.Source,
		Payload: e.Raw, Envelope: p.envelope, Metadata: e.Metadata, TraceID: trace.ID(&e),
	}
	if b.Recorded != nil {
		out.Payload, out.Envelope = payloadOf(&e)
		out.Stream, out.Position = b.Recorded[i].Stream, b.Recorded[i].Position
	}
	out.Key = p.key(b, i, &e)
	if out.Key == "" {
		out.Key = event.NewID()
	}
	return out
}

func stepOf(err error) string {
	var s *stepError
	if errors.As(err, &s) {
		return s.step
	}
	return "append"
}

func stackOf(err error) string {
	var p *panicError
	if errors.As(err, &p) {
		return string(p.stack)
	}
	return ""
}

// codeOf gives the stable code of a failure.
func codeOf(err error) string {
	if c := event.Code(err); c != "" {
		return c
	}
	var conflict *eventstore.ConflictError
	var p *panicError
	switch {
	case errors.As(err, &p):
		return event.CodePanic
	case errors.As(err, &conflict):
		return event.CodeConflict
	case errors.Is(err, eventstore.ErrIDReused):
		return event.CodeIDReused
	case errors.Is(err, eventstore.ErrIdempotency):
		return event.CodeIdempotency
	case errors.Is(err, eventstore.ErrTooLarge):
		return event.CodeTooLarge
	}
	return event.CodeAttempts
}

// since gives the age of an event for the end-to-end histogram.
func (p *pipe) since(at time.Time) (time.Duration, bool) {
	if at.IsZero() {
		return 0, false
	}
	return p.now().Sub(at), true
}
