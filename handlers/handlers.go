// Package handlers is the contract of handlers, steps written in Go, and their register.
//
// A handler takes one event and gives those that go on in its place. To add one: a package with a config struct and an
// open function that calls Register in its init, tests with handlertest, one blank import in a main. The YAML is then
//
//   - handle: { NAME: { … } }
package handlers

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"reflect"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// Handler is a step in Go. It is called by several goroutines at once.
type Handler interface {
	// Handle gives what goes on in the event's place: none (it counts as filtered), one, or several in their order. The
	// event is the handler's own copy, to keep and to change; Stream, Revision and Position are set below `append`.
	//
	// The errors steer: event.Skip filters the event, event.Poison and PoisonAs park it at once, event.RetryAfter asks for
	// another attempt after a time, event.Unavailable says that the other side is down (the pipeline waits, and the event
	// has no part in it); any other error counts as an attempt and is repeated as the step's `retry` says. A panic parks
	// the event with its stack. ctx ends after retry.timeout, or when the pipeline stops at once; a handler that does not
	// heed it is left behind, and its event is parked.
	//
	// Handle must be repeatable: an event whose append meets a conflict, or that comes again after a crash, goes through
	// it again. Below `append` it runs once for each relay.
	Handle(ctx context.Context, e event.Recorded) ([]Emitted, error)
	// Close is called once, after the last Handle.
	Close() error
}

// Asking is a handler that asks others, over a network or otherwise. Tests of pipelines (leat test) hand it their answers,
// and never let it ask.
type Asking interface {
	Handler
	// Answered does what Handle does once the others have answered; answer is JSON, in the handler's own terms.
	Answered(e event.Recorded, answer []byte) ([]Emitted, error)
}

// Emitted is an event that a handler gives.
//
// An empty ID becomes one that a repeat makes again. Raw and Changed are the engine's: an event that comes out as it went
// in leaves as the bytes in which it came.
type Emitted struct {
	event.Event
	// Stream is where an `append` without a stream writes the event. Zero: the handler names none.
	Stream event.Stream
	// Expect is what that append expects of the stream as it was before this call: all events of a call that go to one
	// stream expect the same. A conflict takes the unit through its steps again.
	Expect eventstore.Expect
	// State is kept in a table in the transaction of that append. Of several for one stream the last one counts.
	State *State
}

// State is what a stream's events add up to: an aggregate's snapshot.
type State struct {
	// Table is one of those that the handler names (Stateful).
	Table string
	// Version counts up when the state's meaning changes: states of other versions are not read.
	Version int
	// Data is one JSON value.
	Data []byte
}

// Kept is a state as it was kept.
type Kept struct {
	State
	// Revision is the stream's at which it stood; 0: nothing is kept.
	Revision int64
}

// Stateful is a handler that keeps states.
type Stateful interface {
	// StateTables names the tables; they are made before the first Handle: stream, revision, version, updated, state.
	StateTables() []string
}

// Folding is a Stateful handler whose states follow from the events of their streams alone, so that they can be made anew
// (leat rebuild).
type Folding interface {
	Stateful
	// StreamTypes are the types of the streams that have states; none: what comes in says it, and those streams are meant that
	// have a state.
	StreamTypes() []string
	// Fold gives the state behind events of one stream that follow on from: from the stream's first one where its Revision
	// is 0. The table is from.Table.
	Fold(from Kept, events []event.Recorded) (State, error)
}

// Closing is embedded by handlers that have nothing to close.
type Closing struct{}

// Close implements Handler.
func (Closing) Close() error { return nil }

// Func is a handler that is nothing but a function.
type Func func(ctx context.Context, e event.Recorded) ([]Emitted, error)

// Handle implements Handler.
func (f Func) Handle(ctx context.Context, e event.Recorded) ([]Emitted, error) { return f(ctx, e) }

// Close implements Handler.
func (f Func) Close() error { return nil }

// Events makes what Handle gives of plain events.
func Events(list ...event.Event) []Emitted {
	out := make([]Emitted, len(list))
	for i := range list {
		out[i].Event = list[i]
	}
	return out
}

// Store is what a handler may read of its pipeline's store. What it gives includes the events that the same source event,
// and those before it in its batch, have given so far, as if they were committed: where one of them is not in the end, the
// append that counted on it meets a conflict, and the unit runs again.
type Store interface {
	// ReadStream gives a stream's events. A stream that does not exist gives none.
	ReadStream(ctx context.Context, s event.Stream, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error]
	// State gives what was kept of a stream in one of the handler's own tables.
	State(ctx context.Context, table string, s event.Stream) (Kept, error)
	// Query gives rows of a table of the store.
	Query(ctx context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error)
}

// Env is what a handler gets from the daemon.
type Env struct {
	Pipeline string
	// Step is the step's name, for logs.
	Step  string
	Log   *slog.Logger
	Now   func() time.Time
	Store Store
	// Shared gives a value that all plugins of the daemon share under a key, made by the first that asks.
	Shared func(key string, make func() any) any
}

type opener = func(ctx context.Context, cfg any, env Env) (Handler, error)

// Register notes a handler under the name that the YAML uses. C is the struct that is its YAML. It panics where the name
// is taken. Open must not connect nor start anything that Close does not end.
func Register[C any](name string, open func(ctx context.Context, c C, env Env) (Handler, error)) {
	config.RegisterPlugin(config.Registration{
		Kind: config.KindHandler, Name: name, Config: reflect.TypeFor[C](),
		Open: opener(func(ctx context.Context, cfg any, env Env) (Handler, error) { return open(ctx, cfg.(C), env) }),
	})
}

// Open makes the handler that a plugin key names.
func Open(ctx context.Context, p config.Plugin, env Env) (Handler, error) {
	r, ok := config.LookupPlugin(config.KindHandler, p.Name)
	if !ok {
		return nil, fmt.Errorf("handlers: no handler is called %q", p.Name)
	}
	h, err := r.Open.(opener)(ctx, p.Config, env)
	if err != nil {
		return nil, fmt.Errorf("%s: open: %w", p.Name, err)
	}
	return h, nil
}
