package pipeline

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/steps"
)

// A step that waits for others (a handler, a lookup) may fail in a way that another attempt mends. In the intake the event
// then takes its attempts where its unit would be committed, so that it blocks its own lane alone.

// attempt takes an event whose steps have failed through them until they give a unit, or its attempts are used up and it is
// parked. An outage counts for none. False means that the pipeline stops before that: the event is to be released.
func (p *pipe) attempt(d *pending, ahead []pending) bool {
	for d.failed != nil {
		wait, again := p.next(d)
		if !again {
			break
		}
		if !p.sleep(wait, p.soft, p.hard) {
			return false
		}
		p.rerun(d, ahead)
	}
	p.recovered(d)
	return true
}

// next gives the wait before an event's next attempt; false where there is none, and it is parked.
func (p *pipe) next(d *pending) (wait time.Duration, again bool) {
	err, step := d.failed, stepOf(d.failed)
	retry := &p.cfg.Retry
	var at *steps.Error
	if errors.As(err, &at) && at.Retry != nil {
		retry = at.Retry
	}
	after, down := event.AsUnavailable(err)
	if (down && retry.Outage != "poison") || errors.Is(err, errStopped) {
		d.waits++
		p.trouble.set("step "+step, err)
		p.limited("outage "+step).Error("a step waits for what is down", "step", step, "error", err)
		return max(after, p.backoff(&p.outageRetry, min(d.waits+1, 16))), true
	}
	p.recovered(d)
	if d.attempts+1 >= retry.Attempts {
		d.failed = nil
		p.poison(d, err)
		return 0, false
	}
	d.attempts++
	p.metrics.Retries(step, 1)
	wait = p.backoff(retry, d.attempts+1)
	if told, ok := event.AsRetryAfter(err); ok {
		wait = max(wait, told)
	}
	return wait, true
}

// recovered notes that what a step waited for is back.
func (p *pipe) recovered(d *pending) {
	if d.waits > 0 {
		d.waits = 0
		p.trouble.clearAll("step ")
	}
}

// attemptDirect is attempt for the events of a batch that no log takes: they go to the sinks together, so that the batch
// waits for the attempts of all. False means that the pipeline stops before that.
func (p *pipe) attemptDirect(b *event.Batch, w *work, x *steps.Exec) bool {
	for len(w.again) > 0 {
		todo := w.again
		w.again = nil
		var longest time.Duration
		left := todo[:0]
		for i := range todo {
			d := &todo[i]
			if wait, again := p.next(d); again {
				longest = max(longest, wait)
				left = append(left, *d)
			} else {
				w.pending = append(w.pending, *d)
			}
		}
		if len(left) == 0 {
			break
		}
		if !p.sleep(longest, p.soft, p.hard) {
			return false
		}
		for i := range left {
			d := &left[i]
			x.Through = w.evs
			r := p.steps(b, d.i, x)
			p.take(b, d.i, &r, x, w, d)
		}
	}
	w.sort()
	return true
}

// sort puts the events that come to the sinks in the order of the batch again.
func (w *work) sort() {
	order := make([]int, len(w.through))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(w.through[a], w.through[b]) })
	through, evs := make([]int, len(order)), make([]event.Recorded, len(order))
	for i, from := range order {
		through[i], evs[i] = w.through[from], w.evs[from]
	}
	w.through, w.evs = through, evs
}
