package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/filter"
)

// Aggregate decides by the state that a stream's events add up to. It never writes: what Decide gives goes on to `append`,
// which expects the stream where it was read. S is any type that JSON can hold; its zero value is the state of a stream
// that does not exist.
type Aggregate[S any] interface {
	// Evolve gives the state after an event of the stream. It must depend on nothing else, and must not change what s
	// refers to (maps, slices) unless S is rebuilt for each call: it returns the new state.
	Evolve(s S, e event.Recorded) S
	// Decide gives the events that follow from one that came in: none (it counts as filtered), or several. Their errors
	// steer as those of Handler.Handle.
	Decide(ctx context.Context, s S, e event.Recorded) ([]event.Event, error)
}

// Streams is the part of an aggregate's YAML that says where its streams and states are. Config structs of aggregates
// embed it under an inline tag.
type Streams struct {
	Stream  config.Text `yaml:"stream" sees:"event,log" doc:"the stream that decides, type/id" example:"account/{{ data.account }}"`
	State   string      `yaml:"state,omitempty" doc:"table that keeps the state of each stream, with its revision, in the append's transaction; loading starts from it. Without it the whole stream is read" example:"accounts"`
	Version int         `yaml:"state_version,omitempty" default:"1" min:"1" doc:"raise it when the state's meaning changes: states of other versions are not read and are written anew"`
}

// StateTables implements config.Keeping.
func (s Streams) StateTables() []string {
	if s.State == "" {
		return nil
	}
	return []string{s.State}
}

// NewAggregate makes a handler of an aggregate. For each event it loads the state of the event's stream (the kept one and
// the events behind it, or all), lets the aggregate decide, and emits the events with the stream and the revision that it
// loaded, so that the YAML below is
//
//   - handle: { account: { stream: "account/{{ data.account }}", state: accounts } }
//   - append: {}
func NewAggregate[S any](a Aggregate[S], where Streams, env Env) (Handler, error) {
	if env.Store == nil {
		return nil, errors.New("handlers: an aggregate needs a store to read")
	}
	h := &aggregate[S]{Aggregate: a, where: where, store: env.Store, scope: filter.NewScope(filter.Event | filter.Log)}
	var err error
	if h.stream, err = h.scope.Template(where.Stream.Source); err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	typ, id, ok := h.stream.Cut('/')
	if !ok {
		return nil, fmt.Errorf("stream: %q: a stream is written type/id", where.Stream.Source)
	}
	h.typ, h.id = typ, id
	h.views.New = func() any { return h.scope.NewView() }
	return h, nil
}

type aggregate[S any] struct {
	Aggregate[S]
	Closing
	where           Streams
	store           Store
	scope           *filter.Scope
	stream, typ, id *filter.Template
	views           sync.Pool
}

// StateTables implements Stateful.
func (h *aggregate[S]) StateTables() []string { return h.where.StateTables() }

// Handle implements Handler.
func (h *aggregate[S]) Handle(ctx context.Context, e event.Recorded) ([]Emitted, error) {
	stream, err := h.streamOf(&e)
	if err != nil {
		return nil, err
	}
	s, revision, err := h.load(ctx, stream)
	if err != nil {
		return nil, err
	}
	decided, err := h.Decide(ctx, s, e)
	if err != nil || len(decided) == 0 {
		return nil, err
	}
	out := make([]Emitted, len(decided))
	for i := range decided {
		out[i] = Emitted{Event: decided[i], Stream: stream, Expect: eventstore.Revision(revision)}
		if h.where.State == "" {
			continue
		}
		s = h.Evolve(s, event.Recorded{Event: decided[i], Stream: stream, Revision: revision + int64(i) + 1})
		data, err := json.Marshal(s)
		if err != nil {
			return nil, event.PoisonAs(event.CodeHandler, fmt.Errorf("handlers: the state of %s makes no JSON: %w", stream, err))
		}
		out[i].State = &State{Table: h.where.State, Version: h.where.Version, Data: data}
	}
	return out, nil
}

// StreamTypes implements Folding.
func (h *aggregate[S]) StreamTypes() []string {
	if typ, ok := h.typ.Constant(); ok {
		return []string{typ}
	}
	return nil
}

// Fold implements Folding.
func (h *aggregate[S]) Fold(from Kept, events []event.Recorded) (State, error) {
	var s S
	if from.Revision > 0 {
		if err := json.Unmarshal(from.Data, &s); err != nil {
			return State{}, fmt.Errorf("handlers: a state does not fit its type: %w", err)
		}
	}
	for i := range events {
		s = h.Evolve(s, events[i])
	}
	data, err := json.Marshal(s)
	if err != nil {
		return State{}, fmt.Errorf("handlers: a state makes no JSON: %w", err)
	}
	return State{Table: from.Table, Version: h.where.Version, Data: data}, nil
}

func (h *aggregate[S]) streamOf(e *event.Recorded) (event.Stream, error) {
	full := *e
	codec.FillMetadata(&full.Event)
	v := h.views.Get().(*filter.View)
	v.Reset(&full)
	typ, err := h.typ.Text(v)
	var id string
	if err == nil {
		id, err = h.id.Text(v)
	}
	v.Reset(&event.Recorded{})
	h.views.Put(v)
	switch {
	case err != nil:
		return event.Stream{}, event.PoisonAs(event.CodeStream, fmt.Errorf("stream: %w", err))
	case typ == "" || id == "":
		return event.Stream{}, event.PoisonAs(event.CodeStream, fmt.Errorf("stream: a part of %q came out empty", typ+"/"+id))
	}
	return event.Stream{Type: typ, ID: id}, nil
}

// load gives the state of a stream and the revision at which it stands.
func (h *aggregate[S]) load(ctx context.Context, stream event.Stream) (s S, revision int64, err error) {
	if h.where.State != "" {
		kept, err := h.store.State(ctx, h.where.State, stream)
		if err != nil {
			return s, 0, fmt.Errorf("handlers: state of %s: %w", stream, err)
		}
		if kept.Revision > 0 && kept.Version == h.where.Version {
			// A state that does not fit the type is no better than none: the stream has it all.
			var from S
			if json.Unmarshal(kept.Data, &from) == nil {
				s, revision = from, kept.Revision
			}
		}
	}
	for e, err := range h.store.ReadStream(ctx, stream, eventstore.ReadOptions{From: revision + 1}) {
		if err != nil {
			return s, 0, fmt.Errorf("handlers: read %s: %w", stream, err)
		}
		s, revision = h.Evolve(s, *e), e.Revision
	}
	return s, revision, nil
}
