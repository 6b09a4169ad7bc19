package pipeline

import (
	"errors"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// gathered is what a relay's steps made of a page.
type gathered struct {
	events []event.Recorded
	items  []steps.Item
	park   []parkedEvent
	// to is the position behind the page.
	to int64
	// unrouted are the events for which a branch had no case: the branch, by index.
	unrouted map[int]string
	// spans are those of the events, where they are traced.
	spans []*telemetry.Span
}

// gather takes the events of a page through the relay's steps. What fails there is parked; what belongs to a stream
// with parked events is held behind them.
func (r *relay) gather(events []event.Recorded, to int64) (*gathered, error) {
	g := &gathered{events: events, to: to}
	x := r.plan.prog.Get()
	defer r.plan.prog.Put(x)
	x.Out = make([]steps.Item, 0, len(events))
	for i := range events {
		e := &events[i]
		before := len(x.Out)
		span := g.begin(r, x, e)
		if r.holding.behindTurn(e) { // its steps run when it is its turn
			g.park = append(g.park, parkedEvent{r.entry(e, nil, poison.Held), i})
			span.Set(telemetry.Text("leat.outcome", "held"))
			continue
		}
		tries := 0 // more than one is told by attempts
		err := r.runSteps(x, e, i)
		if steps.Repeatable(err) && r.waits(e) {
			x.Out = x.Out[:before] // it has no attempts before its turn
			g.park = append(g.park, parkedEvent{r.entry(e, nil, poison.Held), i})
			continue
		}
		if steps.Repeatable(err) {
			x.Out = x.Out[:before]
			entry, what := r.later(e, err)
			switch what {
			case aside:
				g.park = append(g.park, parkedEvent{entry, i})
				span.Set(telemetry.Text("leat.outcome", "waiting"))
				continue
			case inPlace:
				if tries, err = r.attempts(x, e, i, err); errors.Is(err, errStopped) {
					g.endSpans()
					return nil, err
				}
			}
		}
		if step := x.Unrouted(); step != "" {
			g.lose(r, i, step)
		}
		if (err == nil || errors.Is(err, steps.ErrFiltered)) && r.waits(e) {
			if len(x.Out) > before {
				g.park = append(g.park, parkedEvent{r.entry(e, nil, poison.Held), i})
				span.Set(telemetry.Text("leat.outcome", "held"))
			}
			x.Out = x.Out[:before]
			continue
		}
		if err == nil || errors.Is(err, steps.ErrFiltered) {
			if len(x.Out) == before {
				span.Set(telemetry.Text("leat.outcome", "filtered"))
				r.skipped.Add(1)
				r.metrics.Filtered(1)
			}
			continue
		}
		x.Out = x.Out[:before]
		if _, skip := event.AsSkip(err); skip {
			r.skipped.Add(1)
			r.metrics.Filtered(1)
			continue
		}
		p := parkedEvent{r.entry(e, err, poison.Parked), i}
		p.Attempts = max(p.Attempts, tries)
		g.park = append(g.park, p)
		fail(span, err)
		if r.hold(e) {
			g.events, g.to = events[:i+1], e.Position
			break
		}
	}
	g.items = x.Out
	return g, nil
}

func (r *relay) runSteps(x *steps.Exec, e *event.Recorded, i int) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &steps.Error{Step: r.plan.name, Err: steps.NewPanic(v)}
		}
	}()
	return x.Relay(r.hard(), e, i)
}

// lose notes an event for which a branch had no case.
func (g *gathered) lose(r *relay, i int, step string) {
	if g.unrouted == nil {
		g.unrouted = map[int]string{}
	}
	g.unrouted[i] = step
	if r.pipe.plan.log {
		r.pipe.metrics.Unrouted(step, 1)
	}
}
