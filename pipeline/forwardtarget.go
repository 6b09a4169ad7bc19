package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/sinks"
)

// forwardTarget writes to a sink; its checkpoint is in the store.
type forwardTarget struct{ sink sinks.Sink }

func (t *forwardTarget) close() error { return t.sink.Close() }

func (t *forwardTarget) write(ctx context.Context, r *relay, g *gathered) (int64, error) {
	parked, stopAt, err := t.deliver(ctx, r, g.items, g.events)
	if err != nil {
		return 0, err
	}
	to := g.to
	if stopAt > 0 {
		to = stopAt
	}
	park := upTo(to, entries(g.park, parked))
	if err := t.commit(ctx, r, to, park, nil); err != nil {
		return 0, err
	}
	r.tell(park)
	return to, nil
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

// deliver hands the items to the sink until each is delivered, skipped or parked. stopAt is the position of an event
// that blocks the relay, 0 where none does.
func (t *forwardTarget) deliver(ctx context.Context, r *relay, items []item, events []event.Recorded) (park []parkedEvent, stopAt int64, err error) {
	for _, chunk := range chunks(items, r.plan.frame.Batch.Events, int(r.plan.frame.Batch.Bytes)) {
		if r.limiter != nil {
			if err := waitN(ctx, r, len(chunk)); err != nil {
				return nil, 0, err
			}
		}
		deliver := t.together
		if r.pipe.cfg.Poison.Hold == "pipeline" {
			deliver = t.oneByOne // nothing behind a poisoned event may be delivered
		}
		p, stop, err := deliver(ctx, r, chunk, events)
		park = append(park, p...)
		if err != nil || stop > 0 {
			return park, stop, err
		}
	}
	return park, 0, nil
}

func (t *forwardTarget) together(ctx context.Context, r *relay, todo []item, events []event.Recorded) ([]parkedEvent, int64, error) {
	return t.chunk(ctx, r, todo, events, 0)
}

func waitN(ctx context.Context, r *relay, n int) error {
	for n > 0 {
		k := min(n, r.limiter.Burst())
		if err := r.limiter.WaitN(ctx, k); err != nil {
			return errStopped
		}
		n -= k
	}
	return nil
}

// chunk delivers one call's worth. Failures of single events are theirs; a failure of the whole call is nobody's yet:
// the events are then sent one by one, so that the culprit is found and order is kept.
func (t *forwardTarget) chunk(ctx context.Context, r *relay, todo []item, events []event.Recorded, attempt int) (park []parkedEvent, stopAt int64, err error) {
	retry := &r.plan.retry
	outage := 0
	single := len(todo) == 1
	for len(todo) > 0 {
		failure := t.call(ctx, r, todo)
		if failure == nil {
			r.up(outage > 0)
			r.delivered.Add(int64(len(todo)))
			r.metrics.Delivered(len(todo))
			return park, 0, nil
		}
		if ctx.Err() != nil {
			return nil, 0, errStopped
		}
		after, down := event.AsUnavailable(failure)
		down = down || errors.Is(failure, context.DeadlineExceeded)
		if down && retry.Outage != "poison" {
			outage++
			r.down(failure)
			if !sleep(max(after, backoff(&r.pipe.outageRetry, min(outage+1, 16))), r.pipe.relaysStop, ctx) {
				return nil, 0, errStopped
			}
			continue
		}
		var partial *event.BatchError
		if !errors.As(failure, &partial) && !single {
			return t.oneByOne(ctx, r, todo, events)
		}
		attempt++
		left, parked, wait := triage(r, todo, failure, partial, attempt, events)
		park = append(park, parked...)
		if len(parked) > 0 && r.blocked { // one by one, see deliver: nothing else is left
			return park, parked[0].Position, nil
		}
		r.delivered.Add(int64(len(todo) - len(left) - len(parked)))
		r.metrics.Delivered(len(todo) - len(left) - len(parked))
		if todo = left; len(todo) == 0 {
			return park, 0, nil
		}
		r.metrics.Retries(len(todo))
		if !sleep(max(wait, backoff(retry, attempt+1)), r.pipe.relaysStop, ctx) {
			return nil, 0, errStopped
		}
	}
	return park, 0, nil
}

// triage decides about each event that a call did not deliver: again, or parked.
func triage(r *relay, todo []item, failure error, partial *event.BatchError, attempt int, events []event.Recorded) (left []item, park []parkedEvent, wait time.Duration) {
	for i := range todo {
		err := failure
		if partial != nil {
			if err = partial.Failed[i]; err == nil {
				continue
			}
		}
		if _, skip := event.AsSkip(err); skip {
			r.skipped.Add(1)
			continue
		}
		if after, ok := event.AsRetryAfter(err); ok {
			wait = max(wait, after)
		}
		if !event.IsPoison(err) && attempt < r.plan.retry.Attempts {
			left = append(left, todo[i])
			continue
		}
		src := &events[todo[i].src]
		if event.Code(err) == "" {
			err = event.WithCode(event.CodeSink, err)
		}
		e := r.entry(src, err, poison.Parked)
		e.Attempts = attempt
		park = append(park, parkedEvent{e, todo[i].src})
		r.hold(src.Stream)
	}
	return left, park, wait
}

func (t *forwardTarget) oneByOne(ctx context.Context, r *relay, todo []item, events []event.Recorded) (park []parkedEvent, stopAt int64, err error) {
	for i := range todo {
		src := &events[todo[i].src]
		if r.held[src.Stream] {
			park = append(park, parkedEvent{r.entry(src, nil, poison.Held), todo[i].src})
			continue
		}
		p, stop, err := t.chunk(ctx, r, todo[i:i+1], events, 0)
		park = append(park, p...)
		if err != nil || stop > 0 {
			return park, stop, err
		}
	}
	return park, 0, nil
}

// call is one Write with its time limit; a panic of the sink is an error of the call.
func (t *forwardTarget) call(ctx context.Context, r *relay, todo []item) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = newPanic(v)
		}
	}()
	batch := make([]event.Recorded, len(todo))
	for i := range todo {
		batch[i] = todo[i].ev
	}
	if d := r.plan.retry.Timeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	start := r.pipe.now()
	err = t.sink.Write(ctx, batch)
	r.metrics.Write(r.pipe.now().Sub(start), len(batch))
	return err
}

func newPanic(v any) error { return &panicError{value: v, stack: debug.Stack()} }

func (t *forwardTarget) commit(ctx context.Context, r *relay, to int64, park []poison.Entry, unpark []int64) error {
	from := r.position.Load()
	if to < 0 {
		to = from
	}
	err := r.pipe.persist(ctx, func() error {
		err := r.pipe.store.AdvanceRelay(ctx, eventstore.Advance{Relay: r.plan.id, Epoch: r.lease.Epoch, From: from, To: to, Park: park, Unpark: unpark})
		if errors.Is(err, eventstore.ErrFenced) && to > from && r.stands(ctx, to) {
			return nil // an earlier try, whose answer was lost, had gone through
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	r.position.Store(to)
	r.saved = r.pipe.now()
	return nil
}

// stands reports whether the stored checkpoint is ours and at a position.
func (r *relay) stands(ctx context.Context, at int64) bool {
	all, err := r.pipe.store.ListRelays(ctx, r.pipe.cfg.Name)
	if err != nil {
		return false
	}
	for i := range all {
		if all[i].ID == r.plan.id {
			return all[i].Position == at && all[i].Epoch == r.lease.Epoch
		}
	}
	return false
}

// resend implements resender.
func (t *forwardTarget) resend(ctx context.Context, r *relay, g *gathered, e *poison.Entry) error {
	parked, _, err := t.deliver(ctx, r, g.items, g.events)
	if err != nil {
		return err
	}
	if len(parked) > 0 {
		again(&parked[0].Entry, e)
		return t.commit(ctx, r, -1, entries(parked[:1]), nil)
	}
	return t.commit(ctx, r, -1, nil, []int64{e.ID})
}

// down notes an outage of the other side, up its end.
func (r *relay) down(err error) {
	r.metrics.Outage(true)
	r.pipe.trouble.set("relay "+r.plan.name, err)
	r.pipe.limited("outage "+r.plan.id).Error("the target is down; waiting", "relay", r.plan.name, "error", err)
}

func (r *relay) up(was bool) {
	if was {
		r.metrics.Outage(false)
		r.pipe.trouble.clear("relay " + r.plan.name)
		r.pipe.log.Info("the target is back", "relay", r.plan.name)
	}
}

// chunks cuts items by count and bytes. The items of one event stay together where they fit.
func chunks(items []item, events, bytes int) [][]item {
	var out [][]item
	start, size := 0, 0
	for i := range items {
		n := len(items[i].ev.Raw)
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
