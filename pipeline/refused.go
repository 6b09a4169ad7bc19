package pipeline

import (
	"errors"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/steps"
)

// refused decides about a unit that the store did not take: it is run again after a wait, or becomes another unit
// (parked, dropped). False means that the pipeline stops before that.
func (p *pipe) refused(d *pending) bool {
	err := d.unit.Result.Err
	var conflict *eventstore.ConflictError
	var stale *steps.StaleStateError
	again := false
	switch {
	case errors.As(err, &stale):
		if !p.insist("the table of states", func() error { return stale.Table.Follow(p.hard) }) {
			return false
		}
		p.rerun(d, nil)
		return true
	case errors.As(err, &conflict):
		p.metrics.Conflicts(1)
		switch p.onConflict(d, conflict) {
		case "drop":
			p.dropUnit(d, err)
			return true
		case "retry":
			again = true
			if d.claimed {
				return p.reload(d, conflict)
			}
		}
	case errors.Is(err, eventstore.ErrGone):
		// Another replica has moved the row of the outbox.
		if len(d.unit.Outbox) > 0 {
			d.unit = eventstore.Unit{Pipeline: d.unit.Pipeline, Cursor: d.unit.Cursor}
			d.outcome = event.Duplicate
			return true
		}
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
		var at *steps.Error // a projection in the append's own transaction
		if !errors.As(err, &at) {
			err = &steps.Error{Step: p.refusedStep(d, conflict), Err: err}
		}
		p.poison(d, err)
		return true
	}
	d.attempts++
	p.metrics.Retries("append", 1)
	wait := p.backoff(retry, d.attempts+1)
	if after, ok := event.AsRetryAfter(err); ok {
		wait = max(wait, after)
	}
	if !p.sleep(wait, p.soft, p.hard) {
		return false
	}
	p.rerun(d, nil)
	return true
}

// reload takes a unit whose handler has decided on a stream that has moved on since through its steps again. Somebody has
// made progress, so that it costs no attempt, unless the stream stands where the last conflict found it: then another
// attempt decides on the same and counts. Of those that want one stream one at a time is under way, so that each finds the
// stream as the one before it has left it; others come in between from other processes only.
func (p *pipe) reload(d *pending, c *eventstore.ConflictError) bool {
	retry := p.retryOf(d, c)
	stuck := d.moved == c.Actual+1
	d.moved = c.Actual + 1
	if stuck {
		if d.attempts+1 >= retry.Attempts {
			d.unit.Inbox = p.mark(d.b, d.i, &d.b.Events[d.i])
			if d.retry != nil {
				d.unit.Inbox = nil
			}
			p.poison(d, &steps.Error{Step: p.refusedStep(d, c), Err: c})
			return true
		}
		d.attempts++
		if !p.sleep(p.backoff(retry, d.attempts+1), p.soft, p.hard) {
			return false
		}
	}
	p.metrics.Retries("append", 1)
	if !p.streams.lock(p.hard, c.Stream) {
		return false
	}
	d.unlock = func() { p.streams.unlock(c.Stream) }
	p.rerun(d, nil)
	return true
}

// rerun takes the event through the steps again from the first on.
func (p *pipe) rerun(d *pending, ahead []pending) {
	x := p.plan.intake.Get()
	defer p.plan.intake.Put(x)
	x.Ahead = uncommitted(ahead)
	r := p.steps(d.b, d.i, x)
	unpark, cursor, inbox, retry := d.unit.Unpark, d.unit.Cursor, d.unit.Inbox, d.retry
	again, ok := p.unitOf(d.b, d.i, &r, d.attempts)
	if !ok { // nothing to write any more
		again.unit.Pipeline = p.cfg.Name
	}
	again.retry = retry
	again.through, again.waits, again.moved, again.unlock = d.through, d.waits, d.moved, d.unlock
	*d = again
	d.unit.Unpark, d.unit.Cursor, d.unit.Inbox = unpark, cursor, inbox
	var rejected *steps.RejectError
	if errors.As(d.err, &rejected) {
		d.unit.Inbox = nil // its sender may mend it and send it again
	}
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
		return a.OnConflict.Ahead
	}
	if !exact { // stream_exists on a stream that does not: it is not there yet
		return a.OnConflict.Ahead
	}
	return a.OnConflict.Behind
}

// retryOf gives how the append that was refused retries: as its step says, else as the pipeline does.
func (p *pipe) retryOf(d *pending, c *eventstore.ConflictError) *config.Retry {
	if c != nil {
		if a := p.appendOf(d, c); a != nil && a.Retry != nil {
			return a.Retry
		}
	}
	return &p.cfg.Retry
}

func (p *pipe) appendOf(d *pending, c *eventstore.ConflictError) *steps.Append {
	for _, a := range d.unit.Appends {
		if a.Stream == c.Stream && a.Expect == c.Expected {
			return steps.Of(&a)
		}
	}
	return nil
}

func (p *pipe) refusedStep(d *pending, c *eventstore.ConflictError) string {
	if c != nil {
		if a := p.appendOf(d, c); a != nil {
			return a.Name
		}
	}
	for i := len(d.unit.Appends) - 1; i >= 0; i-- {
		if a := steps.Of(&d.unit.Appends[i]); a != nil {
			return a.Name
		}
	}
	return "append"
}
