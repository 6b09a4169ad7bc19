// Package sinks is the contract of sinks, and their register.
//
// A sink takes batches of events that forwards have put into their envelope. To add one: a package with a config struct
// and an open function that calls Register in its init, a sinktest.Run test, one blank import in cmd/leat, one example.
package sinks

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/metric"
)

// Sink takes events.
type Sink interface {
	// Write returns when the other side has the batch, or with what failed: an *event.BatchError names single events
	// (the others are done), event.Unavailable says that the other side is down, event.Poison that no repeat helps,
	// event.RetryAfter when to come again; any other error fails the whole batch and counts as an attempt of each.
	// Each event's Raw is what is to leave, in the envelope that the forward asked for. The batch is the caller's: it
	// is read, not kept. Calls come one after another unless the step's limits.parallel says otherwise; after an
	// error or a crash events come again, with the same ids and in the same order.
	Write(ctx context.Context, batch []event.Recorded) error
	// Close is called once, after the last Write.
	Close() error
}

// Env is what a sink gets from the daemon.
type Env struct {
	Pipeline string
	// Relay is the step's name or target, for logs.
	Relay  string
	Log    *slog.Logger
	Now    func() time.Time
	Stdout io.Writer
	// Metrics takes the sink's own numbers; nil: nobody asks for them.
	Metrics metric.Registry
	// Shared gives a value that all plugins of the daemon share under a key, made by the first that asks.
	Shared func(key string, make func() any) any
}

// Target is implemented by config structs of sinks: what the sink writes to, in words that stay the same while it is
// the same target ("/var/out.ndjson", "bus orders"). It becomes part of the relay's identity where the step has no
// name. Without it the identity is the plugin's name.
type Target interface {
	Target() string
}

// Deferring is a sink that can put off what makes events safe (a file's fsync). After Defer, Write may return before that,
// and the pipeline calls Sync before it moves the source's place past them: once for many batches. Where Sync fails, the
// pipeline stops and the next run writes again what was written since the last Sync.
type Deferring interface {
	Defer()
	Sync(ctx context.Context) error
}

// Partial is a sink whose Write may take an event although one before it in the batch failed. Such a sink never gets two
// events of one stream in a call, so that none overtakes another.
type Partial interface {
	FailsInPart() bool
}

// MayFailInPart reports whether a sink says so of itself.
func MayFailInPart(s Sink) bool {
	p, ok := s.(Partial)
	return ok && p.FailsInPart()
}

// Checker is implemented by config structs of sinks that can look at their surroundings for `leat doctor`: the endpoint
// answers, the file can be written, we are let in. It writes no event, changes nothing and returns when ctx is done.
type Checker interface {
	Check(ctx context.Context, env Env) []check.Finding
}

type opener = func(ctx context.Context, cfg any, env Env) (Sink, error)

// Register notes a sink under the name that the YAML uses. C is the struct that is its YAML. It panics where the name
// is taken. Open may create files but must not write events.
func Register[C any](name string, open func(ctx context.Context, c C, env Env) (Sink, error)) {
	config.RegisterPlugin(config.Registration{
		Kind: config.KindSink, Name: name, Config: reflect.TypeFor[C](),
		Open: opener(func(ctx context.Context, cfg any, env Env) (Sink, error) { return open(ctx, cfg.(C), env) }),
	})
}

// Open makes the sink that a plugin key names.
func Open(ctx context.Context, p config.Plugin, env Env) (Sink, error) {
	r, ok := config.LookupPlugin(config.KindSink, p.Name)
	if !ok {
		return nil, fmt.Errorf("sinks: no sink is called %q", p.Name)
	}
	s, err := r.Open.(opener)(ctx, p.Config, env)
	if err != nil {
		return nil, fmt.Errorf("%s: open: %w", p.Name, err)
	}
	return s, nil
}

// TargetOf names what a sink's config writes to: "file /var/out.ndjson", or the plugin's name alone.
func TargetOf(p config.Plugin) string {
	if t, ok := p.Config.(Target); ok {
		return p.Name + " " + t.Target()
	}
	return p.Name
}

// Each calls write for one event after another and gathers what failed.
func Each(batch []event.Recorded, write func(event.Recorded) error) error {
	var failed *event.BatchError
	for i := range batch {
		if err := write(batch[i]); err != nil {
			failed = failed.Fail(i, err)
		}
	}
	return failed.Err()
}
