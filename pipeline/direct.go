package pipeline

import (
	"slices"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
)

// direct brings events of a pipeline without a log to its sinks, one sink after another: the source is acknowledged
// when every sink has taken the event, or it is parked.
func (p *pipe) direct(b *event.Batch, w *work) {
	p.directTurn.Lock() // sinks take one batch after another
	defer p.directTurn.Unlock()
	parked := map[int][]poison.Entry{} // by index in w.evs
	if len(w.evs) > 0 {
		for _, r := range p.relays {
			park, err := r.pass(w.evs)
			if err != nil {
				p.release(b)
				return
			}
			for i, entries := range park {
				parked[i] = append(parked[i], entries...)
			}
		}
	}
	units := p.parkUnits(b, w, parked)
	if len(units) > 0 {
		if err := p.write(units, true, 0); err != nil {
			p.release(b)
			return
		}
	}
	p.settleDirect(b, w, parked)
	if b.Cursor != nil && len(b.Events) > 0 {
		p.places.note(b.Cursor(len(b.Events) - 1))
		if p.places.due(p.now()) {
			p.flushPlaces()
		}
	}
}

// pass takes events through the relay's steps and to its sink, and gives what was parked, by index.
func (r *relay) pass(events []event.Recorded) (map[int][]poison.Entry, error) {
	g := r.gather(events, 0)
	t := r.target.(*forwardTarget)
	late, _, err := t.deliver(r.pipe.hard, r, g.items, g.events)
	if err != nil {
		return nil, err
	}
	if len(g.park)+len(late) == 0 {
		return nil, nil
	}
	r.held, r.blocked = map[event.Stream]bool{}, false // there are no streams to hold
	all := slices.Concat(g.park, late)
	out := map[int][]poison.Entry{}
	for _, e := range all {
		out[e.src] = append(out[e.src], e.Entry)
	}
	r.tell(entries(all))
	return out, nil
}

// parkUnits makes units of what failed in the intake's steps and at the sinks.
func (p *pipe) parkUnits(b *event.Batch, w *work, parked map[int][]poison.Entry) []*eventstore.Unit {
	var units []*eventstore.Unit
	for i := range w.pending {
		units = append(units, &w.pending[i].unit)
	}
	for at, i := range w.through {
		if entries := parked[at]; len(entries) > 0 {
			for k := range entries {
				entries[k].Key = p.key(b, i, &b.Events[i])
				if entries[k].Key == "" {
					entries[k].Key = event.NewID()
				}
				entries[k].Payload, entries[k].Envelope = append([]byte{}, b.Events[i].Raw...), p.envelope
			}
			units = append(units, &eventstore.Unit{Pipeline: p.cfg.Name, Park: entries})
		}
	}
	return units
}

func (p *pipe) settleDirect(b *event.Batch, w *work, parked map[int][]poison.Entry) {
	for i := range w.pending {
		d := &w.pending[i]
		if d.unit.Result.Status == eventstore.Repeated {
			p.done(d, event.Duplicate)
		} else {
			p.done(d, d.outcome)
		}
	}
	delivered, poisoned := 0, 0
	for at, i := range w.through {
		o := event.Delivered
		if len(parked[at]) > 0 {
			o = event.Poisoned
			poisoned++
		} else {
			delivered++
		}
		b.Settle(i, o, nil)
	}
	p.counts.settle(event.Delivered, delivered)
	p.counts.settle(event.Poisoned, poisoned)
}
