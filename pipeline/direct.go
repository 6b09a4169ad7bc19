package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/sinks"
)

// direct brings events of a pipeline without a log to its sinks, one sink after another: the source is acknowledged
// when every sink has taken the event, or it is parked.
func (p *pipe) direct(b *event.Batch, w *work) {
	if !p.takeTurn() {
		p.release(b)
		return
	}
	defer p.giveTurn()
	if b.Cursor != nil {
		p.deferSinks()
	}
	if !p.handOver(b, w) {
		p.release(b)
		return
	}
	if b.Cursor != nil && len(b.Events) > 0 && !b.Released() {
		p.places.note(b.Cursor(len(b.Events) - 1))
		p.flushDue()
	}
}

// handOver brings what the steps made of events to the sinks and settles them. False means that the pipeline stops before
// that: nothing is settled.
func (p *pipe) handOver(b *event.Batch, w *work) bool {
	parked := map[int][]poison.Entry{} // by index in the batch
	routed := routes{}
	if len(w.evs) > 0 {
		for _, r := range p.relays {
			g, park, err := r.pass(w.evs)
			if err != nil {
				return false
			}
			routed.note(g)
			for at, entries := range park {
				i := w.through[at]
				parked[i] = append(parked[i], entries...)
			}
		}
	}
	p.commitOrdered(p.failures(b, w, parked))
	delivered := 0
	for at := 0; at < len(w.through); {
		i, to := w.through[at], at
		step, lost := "", true
		for ; to < len(w.through) && w.through[to] == i; to++ {
			if s, is := routed.lost(to); is {
				step = s
			} else {
				lost = false
			}
		}
		at = to
		switch {
		case len(parked[i]) > 0:
		case lost:
			p.counts.unroute(step)
			p.settle(b, i, event.Filtered, nil)
		default:
			b.Settle(i, event.Delivered, nil)
			delivered++
		}
	}
	p.counts.settle(event.Delivered, delivered)
	return true
}

// routes notes which events of a batch came to a branch without a case for them, and which to any sink.
type routes struct {
	unrouted map[int]string // the branch, by index in the events
	taken    map[int]bool
}

func (r *routes) note(g *gathered) {
	if g.unrouted == nil && r.unrouted == nil {
		return
	}
	if r.unrouted == nil {
		r.unrouted, r.taken = map[int]string{}, map[int]bool{}
	}
	maps.Copy(r.unrouted, g.unrouted)
	for i := range g.items {
		r.taken[g.items[i].Src] = true
	}
}

func (r *routes) lost(at int) (step string, lost bool) {
	step, lost = r.unrouted[at]
	return step, lost && !r.taken[at]
}

// takeTurn waits until the sinks are free: they take one batch after another. False means that the pipeline has ended.
func (p *pipe) takeTurn() bool {
	select {
	case p.directTurn <- struct{}{}:
		return true
	case <-p.hard.Done():
		return false
	}
}

func (p *pipe) giveTurn() { <-p.directTurn }

// deferSinks leaves it to syncSinks to make safe what sinks take: they are asked once for every place of the source that
// is saved, not for every batch. Only a source that remembers its place can give the events between again.
func (p *pipe) deferSinks() {
	if p.plan.log || p.deferred {
		return
	}
	p.deferred = true
	for _, r := range p.relays {
		if s, ok := r.target.(*forwardTarget).sink.(sinks.Deferring); ok {
			s.Defer()
		}
	}
}

// syncSinks makes safe what was written since the last call.
func (p *pipe) syncSinks() error {
	if !p.deferred {
		return nil
	}
	for _, r := range p.relays {
		if s, ok := r.target.(*forwardTarget).sink.(sinks.Deferring); ok {
			if err := s.Sync(p.hard); err != nil {
				return fmt.Errorf("relay %s: what it wrote last is written again by the next run: %w", r.plan.name, err)
			}
		}
	}
	return nil
}

// pass takes events through the relay's steps and to its sink, and gives what was parked, by index.
func (r *relay) pass(events []event.Recorded) (*gathered, map[int][]poison.Entry, error) {
	g, err := r.gather(events, 0)
	if err != nil {
		return nil, nil, err
	}
	defer g.endSpans()
	t := r.target.(*forwardTarget)
	late, _, err := t.deliver(r.pipe.hard, r, g.items, g.events)
	if err != nil {
		return nil, nil, err
	}
	if len(g.park)+len(late) == 0 {
		return g, nil, nil
	}
	all := slices.Concat(g.park, late)
	out := map[int][]poison.Entry{}
	for _, e := range all {
		out[e.src] = append(out[e.src], e.Entry)
	}
	r.tell(entries(all))
	return g, out, nil
}

// failures are the units of what failed in the steps above the sinks and at them, in the order of the batch.
func (p *pipe) failures(b *event.Batch, w *work, parked map[int][]poison.Entry) []*pending {
	var ds []*pending
	for i := range w.pending {
		ds = append(ds, &w.pending[i])
	}
	for i, entries := range parked {
		entries = onePerRelay(entries)
		key := steps.KeyOf(b, i)
		if key == "" {
			key = event.NewID()
		}
		for k := range entries {
			entries[k].Key = key
			entries[k].Payload, entries[k].Envelope = slices.Clone(b.Events[i].Raw), p.envelope
		}
		d := &pending{b: b, i: i, outcome: event.Poisoned, told: true, err: errAtSink}
		d.unit.Pipeline, d.unit.Park = p.cfg.Name, entries
		ds = append(ds, d)
	}
	slices.SortFunc(ds, func(a, b *pending) int { return cmp.Compare(a.i, b.i) })
	return ds
}

// onePerRelay leaves one entry for each relay: an event that gave several is parked as one.
func onePerRelay(entries []poison.Entry) []poison.Entry {
	seen := map[string]bool{}
	return slices.DeleteFunc(entries, func(e poison.Entry) bool {
		again := seen[e.Relay]
		seen[e.Relay] = true
		return again
	})
}

var errAtSink = fmt.Errorf("pipeline: a sink did not take the event; the parked entry says why")

// resendDirect sends a parked event of a pipeline without a log again: to the one sink that did not take it, or to all
// where it failed above them.
func (p *pipe) resendDirect(d *pending, e *poison.Entry) {
	to := p.relays
	if e.Relay != "" {
		to = slices.DeleteFunc(slices.Clone(to), func(r *relay) bool { return r.plan.id != e.Relay })
		if len(to) == 0 {
			p.log.Error("a parked event cannot be sent again: the pipeline has no such sink any more", "id", e.ID, "relay", e.Relay)
			if _, err := p.store.SetParked(context.WithoutCancel(p.hard), poison.Filter{IDs: []int64{e.ID}}, poison.Parked); err != nil {
				p.log.Warn("parked events cannot be changed", "error", err)
			}
			return
		}
	}
	evs, ok := p.attemptResent(d)
	if !ok {
		return
	}
	if d.outcome == event.Delivered {
		for _, rel := range to {
			if !p.passAgain(rel, d, evs) {
				return
			}
		}
	}
	if err := p.syncTurn(); err != nil { // the entry goes only once the sink has the event for good
		if !errors.Is(err, errStopped) {
			p.fail(err)
		}
		return
	}
	p.commitResent(d, e)
}

// attemptResent takes a parked event through the steps above the sinks, and gives what is to go to them where its outcome is
// to be delivered. False means that the pipeline stops before that: the entry stays as it is.
func (p *pipe) attemptResent(d *pending) ([]event.Recorded, bool) {
	x := p.plan.intake.Get()
	defer p.plan.intake.Put(x)
	for {
		x.Through = nil
		r := p.steps(d.b, 0, x)
		var nothing bool
		if d.outcome, d.err, nothing = p.ending(&r); nothing {
			return nil, true
		}
		d.outcome = event.Delivered
		if r.err == nil {
			p.recovered(d)
			return x.Through, true
		}
		if !steps.Repeatable(r.err) {
			p.poison(d, r.err)
			return nil, true
		}
		d.failed = r.err
		wait, again := p.next(d)
		if !again {
			return nil, true
		}
		d.failed = nil
		if !p.sleep(wait, p.soft, p.hard) {
			return nil, false
		}
	}
}

// syncTurn is syncSinks between batches.
func (p *pipe) syncTurn() error {
	if !p.takeTurn() {
		return errStopped
	}
	defer p.giveTurn()
	return p.syncSinks()
}

// passAgain sends one event to one sink; what fails is parked in the unit. False means that the pipeline stops before
// that: the entry stays as it is.
func (p *pipe) passAgain(rel *relay, d *pending, evs []event.Recorded) bool {
	if !p.takeTurn() {
		return false
	}
	defer p.giveTurn()
	_, park, err := rel.pass(evs)
	if err != nil {
		return false
	}
	for _, e := range onePerRelay(slices.Concat(slices.Collect(maps.Values(park))...)) {
		again(&e, d.retry)
		e.Payload, e.Envelope = d.retry.Payload, d.retry.Envelope
		d.unit.Park = append(d.unit.Park, e)
		if e.Step == d.retry.Step {
			d.unit.Unpark = nil
		}
		d.outcome, d.told, d.err = event.Poisoned, true, errAtSink
	}
	return true
}
