package pipeline

import (
	"errors"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

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
		var at *stepError // a projection in the append's own transaction
		if !errors.As(err, &at) {
			err = &stepError{step: p.refusedStep(d, conflict), err: err}
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
