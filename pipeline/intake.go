package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// handle is the router's handler of the intake. Steps run here, in as many goroutines as there are batches in flight;
// what must be in order waits for its turn afterwards. It never fails: every event of the batch is settled.
func (p *pipe) handle(m *message.Message) error {
	pass := passageOf(m)
	b := pass.batch
	size := b.Size()
	defer p.flight.done()
	defer p.room.give(len(b.Events), size)
	defer pass.pass()
	defer func() {
		if v := recover(); v != nil { // of the source's own functions, or a fault of ours: the router would hide it
			p.fail(panicked("intake", v))
			p.release(b)
		}
	}()

	work := p.prepare(b)
	if !p.inTurn(b) || pass.enter(p.hard) {
		p.settleWork(b, work, pass)
	} else {
		p.release(b)
	}
	pass.pass()
	<-b.Done()
	if p.frontier.done(b); p.lanes && p.places.due(p.now()) {
		p.flushPlaces()
	}
	if b.Released() {
		m.Nack()
	}
	return nil
}

// inTurn reports whether a batch must be settled after those that came before it: a cursor says that they are.
func (p *pipe) inTurn(b *event.Batch) bool { return p.ordered || b.Cursor != nil }

// work is what the steps made of a batch.
type work struct {
	pending []pending
	// through are the events of a pipeline without a log that go to the sinks, by index.
	through []int
	evs     []event.Recorded
	lastAt  time.Time
}

// prepare runs the steps on every event of the batch and settles those that are filtered.
func (p *pipe) prepare(b *event.Batch) *work {
	w := &work{}
	x := p.plan.intake.get()
	defer p.plan.intake.put(x)
	filtered := 0
	for i := range b.Events {
		r := p.steps(b, i, x)
		if at := b.Events[i].Time; !at.IsZero() {
			w.lastAt = at
		}
		if !p.plan.log && r.err == nil {
			w.through = append(w.through, i)
			w.evs = append(w.evs, x.ev)
			continue
		}
		d, ok := p.unitOf(b, i, &r, 0)
		if !ok {
			if n := len(w.pending); n > 0 {
				w.pending[n-1].through = i
			}
			b.Settle(i, event.Filtered, nil)
			filtered++
			continue
		}
		w.pending = append(w.pending, d)
	}
	p.counts.settle(event.Filtered, filtered)
	return w
}

// settleWork commits what the batch gives. It returns when the next batch may enter.
func (p *pipe) settleWork(b *event.Batch, w *work, pass *passage) {
	if age, ok := p.since(w.lastAt); ok && len(w.pending)+len(w.evs) > 0 {
		defer p.metrics.EndToEnd(age)
	}
	if p.inTurn(b) && p.cut.Load() {
		p.release(b)
		return
	}
	if !p.plan.log {
		p.direct(b, w)
		return
	}
	ds := make([]*pending, len(w.pending))
	for i := range w.pending {
		ds[i] = &w.pending[i]
	}
	switch {
	case p.lanes:
		p.frontier.enter(b)
		p.commitLanes(ds, pass)
	case p.inTurn(b):
		if b.Cursor != nil {
			for _, d := range ds {
				c := b.Cursor(d.through)
				d.unit.Cursor = &c
				p.places.drop(c.Key)
			}
			defer p.passedOver(b, w)
		}
		p.commitOrdered(ds)
	default:
		pass.pass()
		p.commitFree(ds)
	}
}

// passedOver notes the place behind a batch of which nothing was committed; it is written with the next commit of the
// source, or here once a second has gone by, since a repeat of filtered events does no harm.
func (p *pipe) passedOver(b *event.Batch, w *work) {
	n := len(b.Events)
	if n == 0 || len(w.pending) > 0 || b.Released() {
		return
	}
	p.places.note(b.Cursor(n - 1))
	if p.places.due(p.now()) {
		p.flushPlaces()
	}
}

// release gives back every event of the batch that has no outcome yet, and with it all that comes behind it in order.
func (p *pipe) release(b *event.Batch) {
	if p.inTurn(b) && !p.lanes {
		p.cut.Store(true)
	}
	p.giveBack(b)
}

// giveBack is release for a batch behind which the gate is closed.
func (p *pipe) giveBack(b *event.Batch) {
	for i := range b.Events {
		if b.Outcome(i) == event.Pending {
			p.settle(b, i, event.Released, errStopped)
		}
	}
}

var errStopped = errors.New("pipeline: stopped before the event was handled")

func (p *pipe) settle(b *event.Batch, i int, o event.Outcome, err error) {
	p.counts.settle(o, 1)
	b.Settle(i, o, err)
}

// commitOrdered commits one after another: a unit that is refused blocks those behind it until it is settled.
func (p *pipe) commitOrdered(ds []*pending) {
	for len(ds) > 0 {
		n, err := p.commit(ds, true)
		ds = ds[n:]
		if err != nil {
			p.releaseAll(ds)
			return
		}
		if len(ds) > 0 && !p.refused(ds[0]) {
			p.releaseAll(ds)
			return
		}
	}
}

// commitFree commits units that do not wait for each other; one that is refused goes its own way.
func (p *pipe) commitFree(ds []*pending) {
	if len(ds) == 0 {
		return
	}
	if _, err := p.commit(ds, false); err != nil {
		p.releaseAll(ds)
		return
	}
	for _, d := range ds {
		if d.unit.Result.Status != eventstore.Refused {
			continue
		}
		p.background.run(func() {
			if p.refused(d) {
				p.commitOrdered([]*pending{d})
			} else {
				p.releaseAll([]*pending{d})
			}
		})
	}
}

func (p *pipe) releaseAll(ds []*pending) {
	for _, d := range ds {
		if p.inTurn(d.b) && !p.lanes && d.retry == nil {
			p.cut.Store(true)
		}
		if d.b.Outcome(d.i) == event.Pending {
			p.settle(d.b, d.i, event.Released, errStopped)
		}
	}
}

// commit writes the units and settles those that are done, for as long as the store cannot be reached too. Ordered: it
// gives the number of settled ones, which is the index of the refused one. An error means that the pipeline stops.
func (p *pipe) commit(ds []*pending, ordered bool) (int, error) {
	if len(ds) == 0 {
		return 0, nil
	}
	units := make([]*eventstore.Unit, len(ds))
	events := 0
	for i, d := range ds {
		d.unit.Result = eventstore.Result{}
		units[i] = &d.unit
		for j := range d.unit.Appends {
			events += len(d.unit.Appends[j].Events)
		}
	}
	unknown, err := p.write(units, ordered, events)
	if err != nil {
		return 0, err
	}
	var n int
	for _, d := range ds {
		p.noteOwn(&d.unit)
		switch d.unit.Result.Status {
		case eventstore.Done:
			p.done(d, d.outcome)
		case eventstore.Repeated:
			if unknown {
				p.done(d, d.outcome) // it was this call's own first try that wrote it
			} else if d.outcome == event.Committed || d.outcome == event.Poisoned {
				p.done(d, event.Duplicate)
			} else {
				p.done(d, d.outcome)
			}
		default:
			if ordered {
				return n, nil
			}
			continue
		}
		n++
	}
	return n, nil
}

// noteOwn notes how far the log holds events for the relays.
func (p *pipe) noteOwn(u *eventstore.Unit) {
	n := len(u.Appends) - 1
	if n < 0 || len(u.Result.Written) <= n || u.Appends[n].Origin != p.cfg.Name {
		return
	}
	for at := u.Result.Written[n].Position; ; {
		was := p.lastOwn.Load()
		if at <= was || p.lastOwn.CompareAndSwap(was, at) {
			return
		}
	}
}

// write calls Commit until the store has answered: a commit whose outcome is unknown is simply repeated. Unknown says
// that there was one.
func (p *pipe) write(units []*eventstore.Unit, ordered bool, events int) (unknown bool, err error) {
	for attempt := 1; ; attempt++ {
		start := p.now()
		err := p.store.Commit(p.hard, units, eventstore.CommitOptions{Ordered: ordered})
		if err == nil {
			if attempt > 1 {
				p.trouble.clear("store")
			}
			p.metrics.Commit(p.now().Sub(start), events)
			return unknown, nil
		}
		if p.hard.Err() != nil {
			return unknown, err
		}
		if errors.Is(err, eventstore.ErrClosed) || errors.Is(err, eventstore.ErrCorrupt) || errors.Is(err, eventstore.ErrReadOnly) {
			p.fail(err)
			return unknown, err
		}
		unknown = unknown || !errors.Is(err, eventstore.ErrUnavailable)
		p.trouble.set("store", err)
		p.limited("store").Error("the store cannot write; trying again", "error", err, "attempt", attempt)
		if !sleep(backoff(&p.outageRetry, min(attempt+1, 16)), p.soft) {
			return unknown, err
		}
	}
}

// done settles a committed event and tells of what was parked.
func (p *pipe) done(d *pending, o event.Outcome) {
	if o == event.Poisoned && !d.told {
		e := &d.unit.Park[0]
		p.metrics.Poisoned(e.Step, e.Code, 1)
		p.limited("poison").Warn("event poisoned", "step", e.Step, "code", e.Code, "key", e.Key, "event", e.EventID, "reason", e.Reason)
		p.copyPoison(*e)
	}
	if o == event.Dropped {
		p.limited("dropped").Warn("event dropped", "reason", d.err)
	}
	if d.b.Outcome(d.i) == event.Pending {
		p.settle(d.b, d.i, o, d.err)
	}
}

// refused decides about a unit that the store did not take: it is run again after a wait, or becomes another unit
// (parked, dropped). False means that the pipeline stops before that.
func (p *pipe) refused(d *pending) bool {
	err := d.unit.Result.Err
	var conflict *eventstore.ConflictError
	again := false
	switch {
	case errors.As(err, &conflict):
		p.metrics.Conflicts(1)
		switch p.onConflict(d, conflict) {
		case "drop":
			p.dropUnit(d, err)
			return true
		case "retry":
			again = true
		}
	case errors.Is(err, eventstore.ErrGone):
		// The parked entry that this comes from was dropped or taken by another replica: there is nothing to do.
		p.dropUnit(d, err)
		d.unit.Unpark = nil
		return true
	case errors.Is(err, eventstore.ErrIDReused), errors.Is(err, eventstore.ErrIdempotency), errors.Is(err, eventstore.ErrTooLarge), event.IsPoison(err):
	default:
		again = true
	}
	retry := p.retryOf(d, conflict)
	if !again || d.attempts+1 >= retry.Attempts {
		d.unit.Inbox = p.mark(d.b, d.i, &d.b.Events[d.i])
		if errors.Is(err, eventstore.ErrIDReused) {
			d.unit.Inbox = nil // the key is another event's
		}
		if d.retry != nil {
			d.unit.Inbox = nil
		}
		var at *stepError // a projection in the append's own transaction
		if !errors.As(err, &at) {
			err = &stepError{step: p.refusedStep(d, conflict), err: err}
		}
		p.poison(d, err)
		return true
	}
	d.attempts++
	p.metrics.Retries("append", 1)
	wait := backoff(retry, d.attempts+1)
	if after, ok := event.AsRetryAfter(err); ok {
		wait = max(wait, after)
	}
	if !sleep(wait, p.soft, p.hard) {
		return false
	}
	p.rerun(d)
	return true
}

// rerun takes the event through the steps again from the first on.
func (p *pipe) rerun(d *pending) {
	x := p.plan.intake.get()
	defer p.plan.intake.put(x)
	r := p.steps(d.b, d.i, x)
	unpark, cursor, inbox, retry := d.unit.Unpark, d.unit.Cursor, d.unit.Inbox, d.retry
	again, ok := p.unitOf(d.b, d.i, &r, d.attempts)
	if !ok { // filtered now
		again.outcome = event.Filtered
		again.unit.Pipeline = p.cfg.Name
	}
	again.retry = retry
	again.through = d.through
	*d = again
	d.unit.Unpark, d.unit.Cursor, d.unit.Inbox = unpark, cursor, inbox
	if retry != nil && d.outcome == event.Poisoned {
		p.poison(d, d.err) // under its entry's own key
	}
}

func (p *pipe) dropUnit(d *pending, err error) {
	d.err, d.outcome = err, event.Dropped
	d.unit.Appends, d.unit.Within, d.unit.Park = nil, nil, nil
}

// onConflict gives what the append that was refused says of such a conflict.
func (p *pipe) onConflict(d *pending, c *eventstore.ConflictError) string {
	a := p.appendOf(d, c)
	if a == nil {
		return "retry"
	}
	want, exact := c.Expected.Exact()
	if exact && c.Actual < want {
		return a.onConflict.Ahead
	}
	if !exact { // stream_exists on a stream that does not: it is not there yet
		return a.onConflict.Ahead
	}
	return a.onConflict.Behind
}

// retryOf gives how the append that was refused retries: as its step says, else as the pipeline does.
func (p *pipe) retryOf(d *pending, c *eventstore.ConflictError) *config.Retry {
	if c != nil {
		if a := p.appendOf(d, c); a != nil && a.retry != nil {
			return a.retry
		}
	}
	return &p.cfg.Retry
}

func (p *pipe) appendOf(d *pending, c *eventstore.ConflictError) *appendStep {
	origin := ""
	for _, a := range d.unit.Appends {
		if a.Stream == c.Stream && a.Expect == c.Expected {
			origin = a.Origin
		}
	}
	for i := range p.plan.intake.steps {
		if a, ok := p.plan.intake.steps[i].step.(*appendStep); ok && a.origin == origin {
			return a
		}
	}
	return nil
}

func (p *pipe) refusedStep(d *pending, c *eventstore.ConflictError) string {
	if c != nil {
		if a := p.appendOf(d, c); a != nil {
			return a.stamp
		}
	}
	for i := len(p.plan.intake.steps) - 1; i >= 0; i-- {
		if a, ok := p.plan.intake.steps[i].step.(*appendStep); ok {
			return a.stamp
		}
	}
	return "append"
}

// flushPlaces commits the places that no unit has carried.
func (p *pipe) flushPlaces() {
	p.flushing.Lock() // an older place must not follow a newer one
	defer p.flushing.Unlock()
	if err := p.syncSinks(); err != nil {
		p.fail(err)
		return
	}
	cursors := p.places.take(p.now())
	if len(cursors) == 0 {
		return
	}
	units := make([]*eventstore.Unit, len(cursors))
	for i := range cursors {
		units[i] = &eventstore.Unit{Pipeline: p.cfg.Name, Cursor: &cursors[i]}
	}
	if _, err := p.write(units, false, 0); err != nil && !errors.Is(err, context.Canceled) {
		p.log.Warn("the source's place was not saved; some events will come again", "error", fmt.Errorf("pipeline: %w", err))
	}
}
