package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
)

func sortByPosition(entries []poison.Entry) {
	slices.SortStableFunc(entries, func(a, b poison.Entry) int { return cmp.Compare(a.Position, b.Position) })
}

// copyPoison sends a parked event to the sink that `poison: copy` names. The store has it already, so that a copy that
// cannot be sent is told and not waited for.
func (p *pipe) copyPoison(e poison.Entry) {
	if p.copySink == nil {
		return
	}
	p.background.Go(func() {
		out := event.Recorded{Stream: e.Stream, Position: e.Position}
		out.ID, out.Type, out.Source = e.EventID, e.Type, e.Source
		out.Raw, out.Envelope = e.Payload, e.Envelope
		out.Metadata = e.Metadata
		for k, v := range map[string]string{"poison_code": e.Code, "poison_reason": e.Reason, "poison_step": e.Step, "poison_pipeline": e.Pipeline} {
			out.SetMeta(k, v)
		}
		for attempt := 1; ; attempt++ {
			ctx, cancel := context.WithTimeout(p.hard, p.cfg.Retry.Timeout)
			err := p.copySink.Write(ctx, []event.Recorded{out})
			cancel()
			if err == nil {
				return
			}
			if attempt >= p.cfg.Retry.Attempts || !sleep(backoff(&p.cfg.Retry, attempt+1), p.soft) {
				p.limited("copy").Error("the copy of a poisoned event was not sent; it is parked all the same", "key", e.Key, "error", err)
				return
			}
		}
	})
}

// retryLoop takes up the intake's parked events that were sent again: at the start, when it is told, and every half
// minute for what another process has marked.
func (p *pipe) retryLoop() {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		if err := p.retryParked(); err != nil && p.soft.Err() == nil {
			p.limited("retry").Error("parked events cannot be sent again", "error", err)
		}
		select {
		case <-p.soft.Done():
			return
		case <-p.retryWake:
		case <-tick.C:
		}
		for _, r := range p.relays {
			if p.plan.log {
				r.poke()
			}
		}
	}
}

// poke tells a relay to look at its parked events.
func (r *relay) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (p *pipe) retryParked() error {
	var entries []poison.Entry
	f := poison.Filter{Pipeline: p.cfg.Name, States: []poison.State{poison.Retrying}, Max: 1000}
	for e, err := range p.store.ListParked(p.soft, f) {
		if err != nil {
			return fmt.Errorf("pipeline: list parked events: %w", err)
		}
		if e.Relay == "" || !p.plan.log {
			entries = append(entries, e)
		}
	}
	for i := range entries {
		if p.soft.Err() != nil {
			return nil
		}
		if entries[i].Relay != "" {
			p.resendDirect(&entries[i])
		} else {
			p.resend(&entries[i])
		}
	}
	return nil
}

// bodyOf makes a batch of one of a parked event's body.
func bodyOf(e *poison.Entry) *event.Batch {
	b := &event.Batch{Events: []event.Event{{Raw: e.Payload, Metadata: e.Metadata}}}
	b.Key = func(int) string { return e.Key }
	return b
}

// resend takes a parked event through the intake from its first step, with its id; the entry goes in the transaction
// of what the event gives.
func (p *pipe) resend(e *poison.Entry) {
	b := bodyOf(e)
	d := &pending{b: b, i: 0, retry: e, attempts: 0}
	d.unit.Pipeline, d.unit.Unpark = p.cfg.Name, []int64{e.ID}
	if !p.plan.log {
		p.resendThrough(d, e)
		return
	}
	p.rerun(d)
	if d.outcome == event.Poisoned {
		p.poison(d, d.err)
	}
	p.commitResent(d, e)
}

func (p *pipe) commitResent(d *pending, e *poison.Entry) {
	p.counts.receive(1)
	p.commitOrdered([]*pending{d})
	p.log.Info("parked event sent again", "id", e.ID, "key", e.Key, "outcome", d.b.Outcome(0).String())
}

// resendThrough is resend for pipelines without a log: the event failed in the steps and goes to every sink.
func (p *pipe) resendThrough(d *pending, e *poison.Entry) {
	x := p.plan.intake.get()
	r := p.steps(d.b, 0, x)
	p.plan.intake.put(x)
	d.outcome = event.Delivered
	switch {
	case r.err == errFiltered:
		d.outcome = event.Filtered
	case r.err != nil:
		p.poison(d, r.err)
	default:
		for _, rel := range p.relays {
			if !p.passAgain(rel, d, &r.ev) {
				return
			}
		}
	}
	p.commitResent(d, e)
}

// resendDirect sends a parked event of a pipeline without a log to the one sink that did not take it.
func (p *pipe) resendDirect(e *poison.Entry) {
	b := bodyOf(e)
	d := &pending{b: b, i: 0, retry: e, outcome: event.Delivered}
	d.unit.Pipeline, d.unit.Unpark = p.cfg.Name, []int64{e.ID}
	x := p.plan.intake.get()
	r := p.steps(b, 0, x)
	p.plan.intake.put(x)
	switch {
	case r.err == errFiltered:
		d.outcome = event.Filtered
	case r.err != nil:
		p.poison(d, r.err)
	default:
		for _, rel := range p.relays {
			if rel.plan.id == e.Relay && !p.passAgain(rel, d, &r.ev) {
				return
			}
		}
	}
	p.commitResent(d, e)
}

// passAgain sends one event to one sink; what fails is parked in the unit. False means that the pipeline stops before
// that: the entry stays as it is.
func (p *pipe) passAgain(rel *relay, d *pending, ev *event.Recorded) bool {
	p.directTurn.Lock()
	defer p.directTurn.Unlock()
	park, err := rel.pass([]event.Recorded{*ev})
	if err != nil {
		return false
	}
	for _, e := range park[0] {
		again(&e, d.retry)
		e.Payload, e.Envelope = d.retry.Payload, d.retry.Envelope
		d.unit.Park = append(d.unit.Park, e)
		if e.Step == d.retry.Step {
			d.unit.Unpark = nil
		}
		d.outcome = event.Poisoned
	}
	return true
}

// CheckBody reports whether a body can be read as the envelope that a parked event has: what an edit must satisfy.
func CheckBody(body []byte, want event.Envelope) error {
	e := event.Event{Raw: body}
	return codec.Decode(&e, want, 0)
}
