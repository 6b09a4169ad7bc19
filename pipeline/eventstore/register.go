package eventstore

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/metric"
)

// Env is what a store gets from who opens it.
type Env struct {
	Log *slog.Logger
	Now func() time.Time
	// ReadOnly opens the store beside a daemon that writes.
	ReadOnly bool
	// Metrics takes the store's own numbers; nil: nobody asks for them.
	Metrics metric.Series
}

// Checker is implemented by config structs of stores that can look at their surroundings for `leat doctor`: reachable,
// writable, of a version that fits. It changes nothing and returns when ctx is done.
type Checker interface {
	Check(ctx context.Context, env Env) []check.Finding
}

type opener = func(ctx context.Context, cfg any, env Env) (Store, error)

// Register notes a backend under the name that the YAML's `stores` uses. C is the struct that is its YAML. It panics
// where the name is taken.
func Register[C any](name string, open func(ctx context.Context, c C, env Env) (Store, error)) {
	config.RegisterPlugin(config.Registration{
		Kind: config.KindStore, Name: name, Config: reflect.TypeFor[C](),
		Open: opener(func(ctx context.Context, cfg any, env Env) (Store, error) { return open(ctx, cfg.(C), env) }),
	})
}

// Open opens the store that a plugin key names.
func Open(ctx context.Context, p config.Plugin, env Env) (Store, error) {
	r, ok := config.LookupPlugin(config.KindStore, p.Name)
	if !ok {
		return nil, fmt.Errorf("eventstore: no backend is called %q", p.Name)
	}
	return r.Open.(opener)(ctx, p.Config, env)
}
