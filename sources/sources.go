// Package sources is the contract of sources, and their register.
//
// A source is a Watermill subscriber whose messages carry batches (event.Batch); a message of any other subscriber
// counts as a batch of one. To add one: a package with a config struct and an open function that calls Register in
// its init, a sourcetest.Run test, one blank import in cmd/leat, one example.
package sources

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/metric"
)

// Source gives events.
//
// Subscribe is called once, with an empty topic. An error of it ends the pipeline before it has begun: event.Unavailable,
// fs.ErrNotExist and fs.ErrPermission say that the surroundings are at fault. The source sends batches and waits while nobody takes them; it closes
// the channel when its input has ended, or when ctx is done and it pulls no more. It must not close it while a batch
// that it sent is not settled only if it needs those outcomes itself; batches in flight are settled after ctx is done
// too. Close is called last, after every batch is settled.
//
// A source acknowledges an event to its own origin only in Batch.OnSettle (or when a plain message is acked): Released
// means give it back.
type Source interface {
	message.Subscriber
}

// Traits is what a pipeline must know of a source.
type Traits struct {
	// Ordered: the order of batches, and of events within them, is worth keeping; it is kept unless order_by says
	// which events belong together.
	Ordered bool
	// Lanes: each batch says which of its events belong together (event.Batch.Lane): these keep their order, others go side
	// by side. An order_by takes the place of the source's lanes.
	Lanes bool
	// Ends: the input may end, and the pipeline with it.
	Ends bool
	// Alone: of several replicas of the pipeline that share a store one alone may read, from the place that was
	// committed last; else each would give the same events. A source whose other side hands each event to one reader
	// is not. It may be opened and closed several times in one process then.
	Alone bool
}

// Described is a source that has traits; others have none.
type Described interface {
	Traits() Traits
}

// TraitsOf gives a source's traits.
func TraitsOf(s Source) Traits {
	if d, ok := s.(Described); ok {
		return d.Traits()
	}
	return Traits{}
}

// Failing is a source whose input can end by a fault.
type Failing interface {
	// Err is asked once the channel is closed: nil where the input just ended or ctx was done, else why nothing more
	// comes. The pipeline has failed then; it has not ended.
	Err() error
}

// Env is what a source gets from the daemon.
type Env struct {
	Pipeline string
	Log      *slog.Logger
	Now      func() time.Time
	// Clock is what a source waits by for a time to come (a schedule, a rate): the daemon's, which a test may move by
	// hand; nil: the machine's.
	Clock clock.Clock
	// Cursor gives the place that was committed under key, "" where none is.
	Cursor func(ctx context.Context, key string) (string, error)
	// Keep commits a place that no event carries (Batch.Cursor), for a source with nothing in flight.
	Keep func(ctx context.Context, c event.Cursor) error
	// ReadLog gives the log of one of the file's stores, "" for the pipeline's own.
	ReadLog func(store string) (eventstore.Reader, error)
	// MaxEvents and MaxBytes bound one batch; MaxEventSize one body (a larger one is sent on cut to that size plus
	// one byte, so that it is poisoned, not lost, and memory stays flat).
	MaxEvents    int
	MaxBytes     int
	MaxEventSize int
	// Mount puts a handler on the daemon's listener until the source is closed; an error where there is no listener
	// or the pattern (http.ServeMux) is taken. It gives the function that takes it off again. Where the listener asks
	// for keys, so does it for this handler, unless the handler has a method Authenticates() bool that says that it
	// checks itself who sends.
	Mount func(pattern string, h http.Handler) (remove func(), err error)
	// Metrics takes the source's own numbers; nil: nobody asks for them.
	Metrics metric.Registry
	// Trouble says what keeps the source from reading, for readiness and status; nil that nothing does any more. It may be
	// called from any goroutine, and is nil where nobody asks.
	Trouble func(err error)
	// Outbox is the outbox of the pipeline's store; nil: it has none.
	Outbox eventstore.Outbox
	// Shared gives a value that all plugins of the daemon share under a key, made by the first that asks.
	Shared func(key string, make func() any) any
}

// Matching is implemented by config structs of sources that may give events that their pattern does not ask for: the
// pipeline lets through what matches, before its first step; the rest counts as filtered.
type Matching interface {
	Match() config.Pattern
}

// Checker is implemented by config structs of sources that can look at their surroundings for `leat doctor`: the queue is
// there, the file can be read, we are let in. It changes nothing and returns when ctx is done. Env has what Open gets,
// but no Cursor and no listener to Mount on.
type Checker interface {
	Check(ctx context.Context, env Env) []check.Finding
}

// Hermetic is implemented by config structs of sources that read nothing but the clock and the store: tests of pipelines run
// them as they are, where they replace others.
type Hermetic interface{ Hermetic() }

type opener = func(ctx context.Context, cfg any, env Env) (Source, error)

// Register notes a source under the name that the YAML uses. C is the struct that is its YAML. It panics where the
// name is taken. Open must not connect nor start anything: that is Subscribe's.
func Register[C any](name string, open func(ctx context.Context, c C, env Env) (Source, error)) {
	config.RegisterPlugin(config.Registration{
		Kind: config.KindSource, Name: name, Config: reflect.TypeFor[C](),
		Open: opener(func(ctx context.Context, cfg any, env Env) (Source, error) { return open(ctx, cfg.(C), env) }),
	})
}

// Open makes the source that a plugin key names.
func Open(ctx context.Context, p config.Plugin, env Env) (Source, error) {
	r, ok := config.LookupPlugin(config.KindSource, p.Name)
	if !ok {
		return nil, fmt.Errorf("sources: no source is called %q", p.Name)
	}
	s, err := r.Open.(opener)(ctx, p.Config, env)
	if err != nil {
		return nil, fmt.Errorf("%s: open: %w", p.Name, err)
	}
	return s, nil
}
