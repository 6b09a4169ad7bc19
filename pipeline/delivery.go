package pipeline

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/pipeline/telemetry"
	"github.com/leatdev/leat/sinks"
)

// delivery brings the items of a page to a sink: each is delivered, skipped or parked when it ends. With
// `limits: {parallel: n}` n of them share a page, each with streams of its own.
type delivery struct {
	t      *forwardTarget
	r      *relay
	events []event.Recorded
	items  []steps.Item
	// careful: a call holds one event of each stream, so that none overtakes one that failed.
	careful bool
	park    []parkedEvent
	given   map[int]bool // by src: parked, what else it gives goes with it
	stopAt  int64        // position of the event that blocks the relay; 0: none does
	outages int
	down    bool
}

// outgoing is an item with the attempts that it has cost.
type outgoing struct {
	*steps.Item
	attempts int
}

// laneSeed spreads streams over parallel calls; which goes where needs to hold for one page only.
var laneSeed = maphash.MakeSeed()

// lane says what must be kept in order: events of one stream, or of an ordered source where there is no log.
type lane struct {
	stream event.Stream
	src    int
}

func (r *relay) laneOf(it *steps.Item, events []event.Recorded) lane {
	switch {
	case r.pipe.plan.log:
		return lane{stream: events[it.Src].Stream}
	case r.pipe.ordered:
		return lane{}
	}
	return lane{src: it.Src}
}

// deliver hands the items to the sink until each is delivered, skipped or parked. stopAt is the position of an event
// that blocks the relay, 0 where none does. An error means that the pipeline stops.
func (t *forwardTarget) deliver(ctx context.Context, r *relay, items []steps.Item, events []event.Recorded) (park []parkedEvent, stopAt int64, err error) {
	n := r.plan.frame.Limits.Parallel
	if n < 2 || r.holds() == "pipeline" || len(items) < 2 || r.calls != nil {
		d := t.delivery(r, events)
		err := d.all(ctx, items)
		return d.park, d.stopAt, err
	}
	shares := make([][]steps.Item, n)
	for i := range items {
		k := maphash.Comparable(laneSeed, r.laneOf(&items[i], events)) % uint64(n)
		shares[k] = append(shares[k], items[i])
	}
	ds := make([]*delivery, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for k, share := range shares {
		ds[k] = t.delivery(r, events)
		wg.Go(func() { errs[k] = ds[k].all(ctx, share) })
	}
	wg.Wait()
	for _, d := range ds {
		park = append(park, d.park...)
	}
	return park, 0, errors.Join(errs...)
}

func (t *forwardTarget) delivery(r *relay, events []event.Recorded) *delivery {
	d := &delivery{t: t, r: r, events: events, given: map[int]bool{}}
	d.careful = sinks.MayFailInPart(t.sink)
	return d
}

// all delivers the items, a call's worth at a time.
func (d *delivery) all(ctx context.Context, items []steps.Item) error {
	d.items = items
	limit := d.r.plan.frame.Batch.Events
	if d.r.limiter != nil {
		limit = min(limit, d.r.limiter.Burst())
	}
	for _, chunk := range chunks(items, limit, int(d.r.plan.frame.Batch.Bytes)) {
		todo := make([]outgoing, len(chunk))
		for i := range chunk {
			todo[i].Item = &chunk[i]
		}
		if err := d.send(ctx, todo); err != nil || d.stopAt > 0 {
			return err
		}
	}
	return nil
}

// send delivers one call's worth. Failures of single events are theirs; a failure of the whole call is nobody's yet:
// the events are then sent one by one, so that the culprit is found and order is kept.
func (d *delivery) send(ctx context.Context, todo []outgoing) error {
	careful := d.careful
	for {
		if todo = d.wanted(todo); len(todo) == 0 {
			return nil
		}
		wave, rest := todo, []outgoing(nil)
		switch {
		case d.r.holds() == "pipeline":
			wave, rest = todo[:1], todo[1:] // nothing behind a poisoned event may be delivered
		case careful:
			wave, rest = d.oneOfEach(todo)
		}
		failure, err := d.call(ctx, wave)
		if err != nil {
			return err
		}
		if failure == nil {
			d.up()
			d.delivered(len(wave))
			if d.r.pipe.taps.On() {
				for i := range wave {
					d.r.pipe.taps.delivered(d.r.plan.name, &wave[i].Event)
				}
			}
			todo = rest
			continue
		}
		if after, down := d.outage(failure); down {
			if err := d.wait(ctx, failure, after); err != nil {
				return err
			}
			continue
		}
		var partial *event.BatchError
		if !errors.As(failure, &partial) && len(wave) > 1 {
			if after, ok := event.AsRetryAfter(failure); ok && !d.r.pipe.sleep(after, d.r.stopping(), ctx) {
				return errStopped
			}
			for i := range wave {
				if err := d.send(ctx, wave[i:i+1]); err != nil || d.stopAt > 0 {
					return err
				}
			}
			todo = rest
			continue
		}
		left, wait, down := d.triage(wave, failure, partial)
		if d.stopAt > 0 {
			return nil
		}
		todo, careful = append(left, rest...), true
		if down != nil {
			if err := d.wait(ctx, down, wait); err != nil {
				return err
			}
		} else if len(left) > 0 {
			d.r.metrics.Retries(len(left))
			worst := slices.MaxFunc(left, func(a, b outgoing) int { return a.attempts - b.attempts }).attempts
			if !d.r.pipe.sleep(max(wait, d.r.pipe.backoff(&d.r.plan.retry, worst+1)), d.r.stopping(), ctx) {
				return errStopped
			}
		}
	}
}

// wanted leaves out what waits behind a parked event, which is parked too, and what goes with one.
func (d *delivery) wanted(todo []outgoing) []outgoing {
	if len(d.given) == 0 && !d.r.holding.any() {
		return todo
	}
	out := todo[:0:0]
	for i := range todo {
		src := todo[i].Src
		switch e := &d.events[src]; {
		case d.given[src]:
		case d.r.waits(e):
			d.given[src] = true
			d.park = append(d.park, parkedEvent{d.r.entry(e, nil, poison.Held), src})
		default:
			out = append(out, todo[i])
		}
	}
	return out
}

// oneOfEach takes the first event of each lane.
func (d *delivery) oneOfEach(todo []outgoing) (wave, rest []outgoing) {
	seen := map[lane]bool{}
	for i := range todo {
		if l := d.r.laneOf(todo[i].Item, d.events); seen[l] {
			rest = append(rest, todo[i])
		} else {
			seen[l] = true
			wave = append(wave, todo[i])
		}
	}
	return wave, rest
}

// triage decides about each event that a call did not deliver: again, or parked. Down is the failure of one that the
// other side could not take at present, which is not the event's fault.
func (d *delivery) triage(wave []outgoing, failure error, partial *event.BatchError) (left []outgoing, wait time.Duration, down error) {
	done := 0
	for i := range wave {
		o := &wave[i]
		err := failure
		if partial != nil {
			if err = partial.Failed[i]; err == nil {
				done++
				if d.r.pipe.taps.On() {
					d.r.pipe.taps.delivered(d.r.plan.name, &o.Event)
				}
				continue
			}
		}
		if _, skip := event.AsSkip(err); skip {
			d.r.skipped.Add(1)
			d.r.metrics.Filtered(1)
			continue
		}
		if after, is := d.outage(err); is {
			wait, down = max(wait, after), err
			left = append(left, *o)
			continue
		}
		if after, ok := event.AsRetryAfter(err); ok {
			wait = max(wait, after)
		}
		o.attempts++
		if event.IsPoison(err) {
			d.parkItem(o, err)
			continue
		}
		what := inPlace
		if d.alone(o.Src) {
			var e poison.Entry
			if e, what = d.r.later(&d.events[o.Src], sinkError(err)); what == aside {
				d.given[o.Src] = true
				d.park = append(d.park, parkedEvent{e, o.Src})
				o.Span.Set(telemetry.Text("leat.outcome", "waiting"))
				continue
			}
		}
		if what == inPlace && o.attempts < d.r.plan.retry.Attempts {
			left = append(left, *o)
			continue
		}
		d.parkItem(o, err)
	}
	d.delivered(done)
	return left, wait, down
}

// alone reports whether an event gives one item. One that gives several is not set aside: its next attempt would send again
// those that went through.
func (d *delivery) alone(src int) bool {
	n := 0
	for i := range d.items {
		if d.items[i].Src == src {
			n++
		}
	}
	return n == 1
}

func (d *delivery) parkItem(o *outgoing, err error) {
	src := &d.events[o.Src]
	e := d.r.entry(src, sinkError(err), poison.Parked)
	e.Attempts = o.attempts
	d.given[o.Src] = true
	d.park = append(d.park, parkedEvent{e, o.Src})
	fail(o.Span, sinkError(err))
	if d.r.hold(src) {
		d.stopAt = src.Position
	}
}

// sinkError gives a sink's error without a code of its own the code of what it is.
func sinkError(err error) error {
	var p *steps.PanicError
	switch {
	case event.Code(err) != "" || errors.As(err, &p):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return event.WithCode(event.CodeTimeout, err)
	}
	return event.WithCode(event.CodeSink, err)
}

// outage reports whether a failure is the other side's, for which the relay waits; a call that ran out of time is one.
func (d *delivery) outage(err error) (time.Duration, bool) {
	if d.r.plan.retry.Outage == "poison" {
		return 0, false
	}
	after, down := event.AsUnavailable(err)
	var partial *event.BatchError
	return after, down || (errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &partial))
}

// wait is the pause of an outage.
func (d *delivery) wait(ctx context.Context, failure error, after time.Duration) error {
	d.outages++
	d.down = true
	d.r.down(failure)
	if !d.r.pipe.sleep(max(after, d.r.pipe.backoff(&d.r.pipe.outageRetry, min(d.outages+1, 16))), d.r.stopping(), ctx) {
		return errStopped
	}
	return nil
}

// up notes that the other side answers again.
func (d *delivery) up() {
	if d.down {
		d.down, d.outages = false, 0
		d.r.up()
	}
}

func (d *delivery) delivered(n int) {
	d.r.delivered.Add(int64(n))
	d.r.metrics.Delivered(n)
}

// call is one Write with its time limit; a panic of the sink is a failure of the call.
func (d *delivery) call(ctx context.Context, wave []outgoing) (failure, err error) {
	if l := d.r.limiter; l != nil {
		now := d.r.pipe.now()
		turn := l.ReserveN(now, min(len(wave), l.Burst()))
		if wait := turn.DelayFrom(now); wait > 0 && !d.r.pipe.sleep(wait, d.r.stopping()) {
			turn.CancelAt(d.r.pipe.now())
			return nil, errStopped
		}
	}
	batch := make([]event.Recorded, len(wave))
	for i := range wave {
		batch[i] = wave[i].Event
	}
	spans, within := d.r.send(wave, batch), ctx
	if len(spans) == 1 {
		within = spans[0].Context(ctx)
	}
	if d.r.calls != nil {
		failure = d.r.calls.write(within, batch)
	} else {
		failure = d.r.write(within, d.t.sink, batch)
	}
	endSend(spans, failure)
	if failure != nil && ctx.Err() != nil {
		return nil, errStopped // not the event's fault: it is cancelled
	}
	return failure, nil
}

// write calls the sink of a relay.
func (r *relay) write(ctx context.Context, s sinks.Sink, batch []event.Recorded) error {
	start := r.pipe.now()
	err := r.pipe.deliver(ctx, s, batch, r.plan.retry.Timeout)
	r.metrics.Write(r.pipe.now().Sub(start), len(batch))
	return err
}

// deliver calls a sink; a panic becomes an error that holds the stack.
func (p *pipe) deliver(ctx context.Context, s sinks.Sink, batch []event.Recorded, limit time.Duration) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = steps.NewPanic(v)
		}
	}()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = clock.WithTimeout(ctx, p.clock, limit)
		defer cancel()
	}
	return s.Write(ctx, batch)
}

// chunks cuts items by count and bytes. One that is larger than the bytes goes alone.
func chunks(items []steps.Item, events, bytes int) [][]steps.Item {
	var out [][]steps.Item
	start, size := 0, 0
	for i := range items {
		n := len(items[i].Event.Raw)
		if i > start && (i-start >= events || size+n > bytes) {
			out = append(out, items[start:i])
			start, size = i, 0
		}
		size += n
	}
	if start < len(items) {
		out = append(out, items[start:])
	}
	return out
}
