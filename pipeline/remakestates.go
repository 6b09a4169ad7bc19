package pipeline

import (
	"context"
	"fmt"
	"slices"

	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// remakeStates makes the states of a handler anew from the log. An append whose handler has read a state before the swap is
// refused by it and decides again, so that no earlier state lives on.
func (p *pipe) remakeStates(h *handleStep, t *stateTable, a control.Rebuild) (*remaking, error) {
	folding, ok := h.handler.(handlers.Folding)
	if !ok {
		return nil, &control.RefusedError{Why: fmt.Sprintf("the handler %s does not say how the states in %s follow from events (handlers.Folding), so that they cannot be made anew", h.plugin.Name, a.Table)}
	}
	types := folding.StreamTypes()
	return &remaking{
		job: p.newWork(control.RebuildWork, &relayPlan{name: h.name, target: a.Table}, a.Throttle), table: a.Table, owner: t.owner,
		follow: func(ctx context.Context) error { return p.followState(ctx, t) },
		live:   t.now.Load,
		filling: func(build int) (*filling, error) {
			def := t.now.Load().Clone()
			def.Build = build
			return &filling{
				pipe: p, def: &def, owner: t.owner, filter: eventstore.Filter{StreamTypes: types}, size: pageEvents,
				fold: func(ctx context.Context, events []event.Recorded) (*table.Write, error) {
					return p.foldStates(ctx, folding, t, &def, types, events)
				},
				counts: func(_ context.Context, events []event.Recorded) (int, error) { return len(events), nil },
			}, nil
		},
	}, nil
}

// foldStates brings the states in a build behind a page of the log.
func (p *pipe) foldStates(ctx context.Context, h handlers.Folding, t *stateTable, build *table.Def, types []string, events []event.Recorded) (*table.Write, error) {
	var streams []event.Stream
	of := map[event.Stream][]event.Recorded{}
	for i := range events {
		s := events[i].Stream
		if of[s] == nil {
			streams = append(streams, s)
		}
		of[s] = append(of[s], events[i])
	}
	keys := make([]table.Row, len(streams))
	for i, s := range streams {
		keys[i] = table.Row{s.String()}
	}
	tables := p.store.Tables()
	built, err := tables.Load(ctx, build, keys)
	if err != nil {
		return nil, err
	}
	live, err := tables.Load(ctx, t.now.Load(), keys)
	if err != nil {
		return nil, err
	}
	w := &table.Write{}
	for i, s := range streams {
		if built[i] == nil && live[i] == nil && !slices.Contains(types, s.Type) {
			continue // the handler has never kept a state of it
		}
		from := handlers.Kept{State: handlers.State{Table: build.Name}}
		if built[i] != nil {
			from = keptIn(build.Name, built[i])
		}
		behind, err := p.behind(ctx, s, from.Revision, of[s])
		if err != nil {
			return nil, err
		}
		if len(behind) == 0 {
			continue
		}
		state, err := foldOne(h, from, behind)
		if err != nil {
			return nil, fmt.Errorf("state of %s: %w", s, err)
		}
		end := &behind[len(behind)-1]
		row, err := stateRow(build, s, end.Revision, end.Committed, &state)
		if err != nil {
			return nil, err
		}
		w.Put = append(w.Put, row)
	}
	return w, nil
}

// behind gives a stream's events behind a revision up to the last of those in hand, which are read where some are missing:
// a stream whose first state came while others were made.
func (p *pipe) behind(ctx context.Context, s event.Stream, revision int64, have []event.Recorded) ([]event.Recorded, error) {
	for len(have) > 0 && have[0].Revision <= revision {
		have = have[1:]
	}
	if len(have) == 0 || have[0].Revision == revision+1 {
		return have, nil
	}
	var out []event.Recorded
	for e, err := range p.store.ReadStream(ctx, s, eventstore.ReadOptions{From: revision + 1, To: have[len(have)-1].Revision}) {
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", s, err)
		}
		out = append(out, *e)
	}
	return out, nil
}

// foldOne calls the handler, whose panic is an error of the rebuild.
func foldOne(h handlers.Folding, from handlers.Kept, events []event.Recorded) (s handlers.State, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = newPanic(v)
		}
	}()
	for i := range events {
		events[i].Event = events[i].Clone()
	}
	return h.Fold(from, events)
}
