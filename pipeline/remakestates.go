package pipeline

import (
	"context"
	"fmt"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/pipeline/table"
)

// remakeStates makes the states of a handler anew from the log. An append whose handler has read a state before the swap is
// refused by it and decides again, so that no earlier state lives on.
func (p *pipe) remakeStates(t *steps.StateTable, a control.Rebuild) (*remaking, error) {
	types, ok := t.StreamTypes()
	if !ok {
		return nil, &control.RefusedError{Why: fmt.Sprintf("the handler %s does not say how the states in %s follow from events (handlers.Folding), so that they cannot be made anew", t.Handler(), a.Table)}
	}
	return &remaking{
		job: p.newWork(control.RebuildWork, &relayPlan{name: t.Step(), target: a.Table}, a.Throttle), table: a.Table, owner: t.Owner(),
		follow: t.Follow,
		live:   t.Live,
		filling: func(build int) (*filling, error) {
			def := t.Live().Clone()
			def.Build = build
			return &filling{
				pipe: p, def: &def, owner: t.Owner(), filter: eventstore.Filter{StreamTypes: types}, size: pageEvents,
				fold: func(ctx context.Context, events []event.Recorded) (*table.Write, error) {
					return t.Fold(ctx, &def, events)
				},
				counts: func(_ context.Context, events []event.Recorded) (int, error) { return len(events), nil },
			}, nil
		},
	}, nil
}
