package pipeline

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/steps"
)

// handle is the router's handler of the intake. Steps run here, in as many goroutines as there are batches in flight;
// what must be in order waits for its turn afterwards. It never fails: every event of the batch is settled.
func (p *pipe) handle(m *message.Message) error {
	pass := passageOf(m)
	b := pass.batch
	defer p.flight.done()
	stay := p.room.stay(b, p.lanes)
	defer stay.end()
	defer pass.pass()
	defer func() {
		if v := recover(); v != nil { // of the source's own functions, or a fault of ours: the router would hide it
			p.fail(panicked("intake", v))
			p.release(b)
		}
	}()

	if p.worksInLanes(b) {
		p.enterLanes(b, pass)
	} else {
		p.inBatches(b, pass)
	}
	pass.pass()
	stay.part()
	<-b.Done()
	if p.frontier.done(b); p.lanes {
		p.flushDue()
	}
	if b.Released() {
		m.Nack()
	}
	return nil
}

// inBatches takes the events of a batch through the steps together, and settles them in their turn.
func (p *pipe) inBatches(b *event.Batch, pass *passage) {
	// Where handlers read the store, what comes before is committed first: or they would decide on what is past.
	if p.inTurn(b) && p.reads.Load() {
		pass.enter(p.hard)
	}
	p.traces.receive(b)
	work := p.prepare(b)
	if !p.inTurn(b) || pass.enter(p.hard) {
		p.settleWork(b, work, pass)
	} else {
		p.release(b)
	}
}

// inTurn reports whether a batch must be settled after those that came before it: a cursor says that they are.
func (p *pipe) inTurn(b *event.Batch) bool { return p.ordered || b.Cursor != nil }

// work is what the steps made of a batch.
type work struct {
	pending []pending
	// through are the events of a pipeline without a log that go to the sinks, by index of their source event.
	through []int
	evs     []event.Recorded
	// again are those whose steps failed, where there is no log.
	again    []pending
	filtered int
	lastAt   time.Time
	// stopped: the pipeline stops before every event had its attempts.
	stopped bool
}

// uncommitted gives what the events before give that are not settled yet: a handler sees it.
func (w *work) uncommitted(yield func([]eventstore.Append) bool) { uncommitted(w.pending)(yield) }

// prepare runs the steps on every event of the batch and settles those that give nothing.
func (p *pipe) prepare(b *event.Batch) *work {
	w := &work{}
	x := p.plan.intake.Get()
	defer p.plan.intake.Put(x)
	if p.plan.parallel > 1 && len(b.Events) > 1 {
		p.prepareTogether(b, w, x)
		return w
	}
	x.Ahead = w.uncommitted
	for i := range b.Events {
		x.Through = w.evs
		r := p.steps(b, i, x)
		if at := b.Events[i].Time; !at.IsZero() {
			w.lastAt = at
		}
		p.take(b, i, &r, x, w, nil)
	}
	p.prepared(b, w, x)
	return w
}

// prepareTogether runs the steps on several events of the batch at a time, as steps that wait for others allow
// (limits.parallel). What they give is taken in the order of the batch; they do not see what those before them give.
func (p *pipe) prepareTogether(b *event.Batch, w *work, x *steps.Exec) {
	type made struct {
		r       result
		through []event.Recorded
	}
	all := make([]made, len(b.Events))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(p.plan.parallel, len(b.Events)) {
		wg.Go(func() {
			own := p.plan.intake.Get()
			defer p.plan.intake.Put(own)
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				own.Through = nil
				all[i].r = p.steps(b, i, own)
				all[i].through = own.Through
			}
		})
	}
	wg.Wait()
	for i := range all {
		if at := b.Events[i].Time; !at.IsZero() {
			w.lastAt = at
		}
		x.Through = append(w.evs, all[i].through...)
		p.take(b, i, &all[i].r, x, w, nil)
	}
	p.prepared(b, w, x)
}

// prepared sees to what is left of a batch behind its steps.
func (p *pipe) prepared(b *event.Batch, w *work, x *steps.Exec) {
	if len(w.again) > 0 {
		w.stopped = !p.attemptDirect(b, w, x)
	}
	p.counts.settle(event.Filtered, w.filtered)
}

// take sorts what the steps made of an event into the work; was is the event's earlier attempt.
func (p *pipe) take(b *event.Batch, i int, r *result, x *steps.Exec, w *work, was *pending) {
	if !p.plan.log && r.err == nil {
		for range len(x.Through) - len(w.evs) {
			w.through = append(w.through, i)
		}
		w.evs = x.Through
		return
	}
	attempts := 0
	if was != nil {
		attempts = was.attempts
	}
	d, ok := p.unitOf(b, i, r, attempts)
	switch {
	case !ok:
		if n := len(w.pending); n > 0 {
			w.pending[n-1].through = max(i, w.pending[n-1].through)
		}
		p.nothing(b, i, &d, r, w)
	case d.failed != nil && !p.plan.log:
		if was != nil {
			d.waits = was.waits
		}
		w.again = append(w.again, d)
	default:
		w.pending = append(w.pending, d)
	}
}

// nothing settles an event that gives nothing.
func (p *pipe) nothing(b *event.Batch, i int, d *pending, r *result, w *work) {
	if r.Unrouted != "" && d.outcome == event.Filtered {
		p.counts.unroute(r.Unrouted)
	}
	if d.outcome == event.Dropped {
		p.limited("dropped "+stepOf(d.err)).Warn("event dropped", "step", stepOf(d.err), "event", b.Events[i].ID, "reason", d.err)
		p.settle(b, i, event.Dropped, d.err)
		return
	}
	b.Settle(i, event.Filtered, nil)
	w.filtered++
}

// settleWork commits what the batch gives. It returns when the next batch may enter.
func (p *pipe) settleWork(b *event.Batch, w *work, pass *passage) {
	if age, ok := p.since(w.lastAt); ok && len(w.pending)+len(w.evs) > 0 {
		defer p.metrics.EndToEnd(age)
	}
	if (p.inTurn(b) && p.cut.Load()) || w.stopped {
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
	p.flushDue()
}

// release gives back every event of the batch that has no outcome yet, and with it all that comes behind it in order.
func (p *pipe) release(b *event.Batch) {
	if p.inTurn(b) && !p.inLane(b) {
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

var errStopped = steps.ErrStopped

func (p *pipe) settle(b *event.Batch, i int, o event.Outcome, err error) {
	if o == event.Poisoned && err != nil && event.Code(err) == "" {
		err = event.WithCode(steps.Code(err), err) // the source tells its sender by the code, which the store's errors do not carry
	}
	p.counts.settle(o, 1)
	b.Settle(i, o, err)
}
