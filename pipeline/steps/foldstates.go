package steps

import (
	"context"
	"fmt"
	"slices"

	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// StreamTypes gives the types of streams that the states follow from; false where the handler does not say how they do
// (handlers.Folding), so that they cannot be made anew.
func (t *StateTable) StreamTypes() ([]string, bool) {
	h, ok := t.step.handler.(handlers.Folding)
	if !ok {
		return nil, false
	}
	return h.StreamTypes(), true
}

// Handler is the name of the handler's plugin.
func (t *StateTable) Handler() string { return t.step.plugin.Name }

// Fold brings the states in a build behind a page of the log. The handler is one that StreamTypes is true for.
func (t *StateTable) Fold(ctx context.Context, build *table.Def, events []event.Recorded) (*table.Write, error) {
	h := t.step.handler.(handlers.Folding)
	types := h.StreamTypes()
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
	tables := t.step.env.Store.Tables()
	built, err := tables.Load(ctx, build, keys)
	if err != nil {
		return nil, err
	}
	live, err := tables.Load(ctx, t.Live(), keys)
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
			from = t.kept(built[i])
		}
		behind, err := t.behind(ctx, s, from.Revision, of[s])
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
func (t *StateTable) behind(ctx context.Context, s event.Stream, revision int64, have []event.Recorded) ([]event.Recorded, error) {
	for len(have) > 0 && have[0].Revision <= revision {
		have = have[1:]
	}
	if len(have) == 0 || have[0].Revision == revision+1 {
		return have, nil
	}
	var out []event.Recorded
	for e, err := range t.step.env.Store.ReadStream(ctx, s, eventstore.ReadOptions{From: revision + 1, To: have[len(have)-1].Revision}) {
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
			err = NewPanic(v)
		}
	}()
	for i := range events {
		events[i].Event = events[i].Clone()
	}
	return h.Fold(from, events)
}
