package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/pipeline/table"
)

// commitOrdered commits one after another: a unit that is refused blocks those behind it until it is settled.
func (p *pipe) commitOrdered(ds []*pending) {
	for len(ds) > 0 {
		whole := ds
		if i := slices.IndexFunc(ds, func(d *pending) bool { return d.failed != nil }); i >= 0 {
			whole = ds[:i]
		}
		n, err := p.commit(whole, true)
		ds = ds[n:]
		if err != nil {
			p.releaseAll(ds)
			return
		}
		if len(ds) == 0 {
			return
		}
		again := false
		if n < len(whole) {
			again = p.refused(ds[0])
		} else {
			again = p.attempt(ds[0], nil)
		}
		if !again {
			p.releaseAll(ds)
			return
		}
		p.decideAgain(ds)
	}
}

// decideAgain takes those behind a unit that was run again through the steps once more, where handlers read the store: they
// have decided on what it was to give before.
func (p *pipe) decideAgain(ds []*pending) {
	if !ds[0].claimed {
		return
	}
	ahead := []pending{*ds[0]}
	for _, d := range ds[1:] {
		if d.claimed && d.failed == nil && d.outcome == event.Committed {
			p.rerun(d, ahead)
		}
		ahead = append(ahead, *d)
	}
}

// commitFree commits units that do not wait for each other; one that is refused goes its own way.
func (p *pipe) commitFree(ds []*pending) {
	var failed []*pending
	ds = slices.DeleteFunc(ds, func(d *pending) bool {
		if d.failed != nil {
			failed = append(failed, d)
		}
		return d.failed != nil
	})
	for _, d := range failed {
		p.background.run(func() { p.commitOrdered([]*pending{d}) })
	}
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
		if p.inTurn(d.b) && !p.inLane(d.b) && d.retry == nil {
			p.cut.Store(true)
		}
		d.free()
		if d.b.Outcome(d.i) == event.Pending {
			p.settle(d.b, d.i, event.Released, errStopped)
		}
	}
}

// free lets others of the stream's lane run.
func (d *pending) free() {
	if d.unlock != nil {
		d.unlock()
		d.unlock = nil
	}
}

// uncommitted gives what units give that are not settled yet: a handler of one behind them sees it.
func uncommitted(ds []pending) iter.Seq[[]eventstore.Append] {
	return func(yield func([]eventstore.Append) bool) {
		for i := range ds {
			if d := &ds[i]; d.b.Outcome(d.i) == event.Pending && !yield(d.unit.Appends) {
				return
			}
		}
	}
}

// withStates gives what a unit does in its transaction beside its appends: the inline projections, and its states.
func (p *pipe) withStates(states steps.States) func(context.Context, table.Tx, []event.Recorded) error {
	if len(states) == 0 {
		return p.within
	}
	return func(ctx context.Context, tx table.Tx, written []event.Recorded) error {
		if p.within != nil {
			if err := p.within(ctx, tx, written); err != nil {
				return err
			}
		}
		return states.Within(ctx, tx, written)
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
	began := p.now()
	unknown, err := p.write(units, ordered, events)
	p.traces.committed(ds, began, err)
	for _, d := range ds {
		d.free()
	}
	if err != nil {
		return 0, err
	}
	tapped := p.taps.On()
	var n int
	for _, d := range ds {
		p.noteOwn(&d.unit)
		if tapped && d.unit.Result.Status == eventstore.Done {
			p.taps.committed(&d.unit)
		}
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
	if n < 0 || len(u.Result.Written) <= n {
		return
	}
	for ; n >= 0; n-- {
		if a := steps.Of(&u.Appends[n]); a != nil && a.Last {
			break
		}
	}
	if n < 0 {
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
	replacedTimes := 0
	for attempt := 1; ; attempt++ {
		start := p.now()
		err := p.store.Commit(p.hard, units, eventstore.CommitOptions{Ordered: ordered, Fence: p.fenceOf(units)})
		if err == nil {
			if attempt > 1 {
				p.trouble.clear("store")
			}
			p.metrics.Commit(p.now().Sub(start), events)
			left := replaced(units, ordered)
			if len(left) == 0 {
				return unknown, nil
			}
			// An inline table has another build by now: the same units again, for that one.
			if !p.insist("an inline table", func() error { return p.followInline(p.hard) }) {
				return unknown, errStopped
			}
			if replacedTimes++; replacedTimes > 2 && !p.sleep(p.backoff(&p.outageRetry, replacedTimes), p.soft) {
				return unknown, errStopped
			}
			units, attempt = left, 0
			continue
		}
		if p.hard.Err() != nil {
			return unknown, err
		}
		if errors.Is(err, eventstore.ErrFenced) {
			p.fenced(err)
			return unknown, err
		}
		if errors.Is(err, eventstore.ErrClosed) || errors.Is(err, eventstore.ErrCorrupt) || errors.Is(err, eventstore.ErrReadOnly) {
			p.fail(err)
			return unknown, err
		}
		unknown = unknown || !errors.Is(err, eventstore.ErrUnavailable)
		p.trouble.set("store", err)
		p.limited("store").Error("the store cannot write; trying again", "error", err, "attempt", attempt)
		if !p.sleep(p.backoff(&p.outageRetry, min(attempt+1, 16)), p.soft) {
			return unknown, err
		}
	}
}

// done settles a committed event and tells of what was parked.
func (p *pipe) done(d *pending, o event.Outcome) {
	if o == event.Poisoned && !d.told {
		e := &d.unit.Park[0]
		p.taps.parked(e)
		p.metrics.Poisoned(e.Step, e.Code, 1)
		p.limited("poison "+e.Step+" "+e.Code).Warn("event poisoned", "step", e.Step, "code", e.Code, "key", e.Key, "event", e.EventID, "trace_id", e.TraceID, "reason", e.Reason)
		p.copyPoison(*e)
	}
	if o == event.Dropped {
		p.limited("dropped").Warn("event dropped", "reason", d.err)
	}
	if o == event.Filtered && d.unrouted != "" {
		p.counts.unroute(d.unrouted)
	}
	if d.b.Outcome(d.i) == event.Pending {
		p.settle(d.b, d.i, o, d.err)
	}
}

// flushDue is flushPlaces where a second has gone by since the last time. It does not wait for one that is under way,
// which lasts as long as the store cannot write: what is noted since goes with the next.
func (p *pipe) flushDue() {
	if !p.places.due(p.now()) {
		return
	}
	select {
	case p.flushing <- struct{}{}:
		p.flush()
	default:
	}
}

// flushPlaces commits the places that no unit has carried.
func (p *pipe) flushPlaces() {
	p.flushing <- struct{}{} // an older place must not follow a newer one
	p.flush()
}

func (p *pipe) flush() {
	defer func() { <-p.flushing }()
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
	if _, err := p.write(units, false, 0); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, eventstore.ErrFenced) {
		p.log.Warn("the source's place was not saved; some events will come again", "error", fmt.Errorf("pipeline: %w", err))
	}
}
