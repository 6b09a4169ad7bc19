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

// retryLoop takes up the intake's parked events that were sent again: at the start, when it is told, and now and then
// for what another process has marked: sooner where other replicas may be asked to.
func (p *pipe) retryLoop() {
	every := 30 * time.Second
	if p.seats.replicas != nil {
		every = 5 * time.Second
	}
	tick := p.clock.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		if err := p.retryParked(); err != nil && p.soft.Err() == nil {
			p.limited("retry").Error("parked events cannot be sent again", "error", err)
		}
		if first {
			close(p.retried)
		}
		told := false
		select {
		case <-p.soft.Done():
			return
		case <-p.retryWake:
			told = true
		case <-tick.C:
		}
		for _, r := range slices.Concat(p.relays, p.replaysNow()) {
			if p.plan.log && r.mine.Load() && (told || r.mayResend()) {
				r.poke()
			}
		}
	}
}

// retryPage is how many parked events are taken up at once; they have their bodies with them.
const retryPage = 100

func (p *pipe) retryParked() error {
	for {
		var entries []poison.Entry
		for e, err := range p.store.ListParked(p.soft, poison.Filter{Pipeline: p.cfg.Name, States: []poison.State{poison.Retrying}}) {
			if err != nil {
				return fmt.Errorf("pipeline: list parked events: %w", err)
			}
			if e.Relay == "" || !p.plan.log {
				entries = append(entries, e)
			}
			if len(entries) == retryPage {
				break
			}
		}
		for i := range entries {
			if p.soft.Err() != nil {
				return nil
			}
			p.resend(&entries[i])
		}
		if len(entries) < retryPage {
			return nil
		}
	}
}

// bodyOf makes a batch of one of a parked event's body.
func bodyOf(e *poison.Entry) *event.Batch {
	b := &event.Batch{Events: []event.Event{{Raw: e.Payload, Metadata: e.Metadata}}}
	b.Key = func(int) string { return e.Key }
	return b
}

// recordedOf makes a batch of one of a parked event that came from a log.
func (p *pipe) recordedOf(e *poison.Entry) (*event.Batch, error) {
	log, err := p.env.logOf(p.plan.reads.Store)
	if err != nil {
		return nil, err
	}
	ev, err := eventOf(p.soft, log, e, func(_ context.Context, read func() error) error { return read() })
	if err != nil {
		return nil, err
	}
	return &event.Batch{Events: []event.Event{ev.Event}, Recorded: []event.Recorded{*ev}, Key: func(int) string { return e.Key }}, nil
}

// resend takes a parked event through the intake from its first step, with its id; the entry goes in the transaction
// of what the event gives.
func (p *pipe) resend(e *poison.Entry) {
	b := bodyOf(e)
	if e.Position > 0 && p.plan.reads != nil && !p.plan.follows {
		var err error
		if b, err = p.recordedOf(e); err != nil {
			p.limited("retry").Error("a parked event cannot be sent again", "id", e.ID, "error", err)
			return
		}
	}
	d := &pending{b: b, retry: e}
	d.unit.Pipeline, d.unit.Unpark = p.cfg.Name, []int64{e.ID}
	if !p.plan.log {
		p.resendDirect(d, e)
		return
	}
	p.rerun(d, nil)
	p.commitResent(d, e)
}

func (p *pipe) commitResent(d *pending, e *poison.Entry) {
	p.counts.receive(1)
	p.commitOrdered([]*pending{d})
	p.log.Info("parked event sent again", "id", e.ID, "key", e.Key, "outcome", d.b.Outcome(0).String())
}

// CheckBody reports whether a body can be read as the envelope that a parked event has: what an edit must satisfy.
func CheckBody(body []byte, want event.Envelope) error {
	e := event.Event{Raw: body}
	return codec.Decode(&e, want, 0)
}
