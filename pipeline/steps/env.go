package steps

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// Env is what a running pipeline hands to its steps. All of it is set.
type Env struct {
	// Clock is what steps wait by, Now the time that they tell.
	Clock clock.Clock
	Now   func() time.Time
	// Store is what handlers read, and where the states of their aggregates lie; LogID is that of its log.
	Store eventstore.Store
	LogID string
	// Reads is set once a handler has read the store, so that what it decides depends on what is committed before.
	Reads *atomic.Bool
	// Tables gives the store of tables that holds one.
	Tables func(table string) (table.Store, error)
	// Handler makes the handler of a step, which reads by s.
	Handler func(step string, c config.Plugin, s handlers.Store) (handlers.Handler, error)
	// Lookup gives the function by which a step finds rows.
	Lookup func(step string, c *config.Lookup) (Lookup, error)
}

// Open makes the handlers and finds the databases of lookups; the tables of these need not be there yet. It is called before an
// event goes through steps of the tree, and Close is called also where it fails.
func (t *Tree) Open(ctx context.Context, env Env) error {
	for _, h := range t.handles {
		h.env, h.owner = &env, t.pipeline+"/"+h.name
		var err error
		if h.handler, err = env.Handler(h.name, h.plugin, handleStore{&env, h}); err != nil {
			return fmt.Errorf("step %s: %w", h.name, err)
		}
		s, ok := h.handler.(handlers.Stateful)
		if !ok {
			continue
		}
		for _, name := range s.StateTables() {
			if err := h.openState(ctx, name); err != nil {
				return fmt.Errorf("step %s: %w", h.name, err)
			}
		}
	}
	for _, m := range t.lookups {
		if err := m.open(&env); err != nil {
			return fmt.Errorf("step %s: %w", m.name, err)
		}
	}
	return nil
}

// Close closes the handlers.
func (t *Tree) Close() error {
	var errs []error
	for _, h := range t.handles {
		if h.handler != nil {
			errs = append(errs, h.handler.Close())
		}
	}
	return errors.Join(errs...)
}

// sleep waits for d, or until ctx ends; it reports whether the time has passed.
func (e *Env) sleep(ctx context.Context, d time.Duration) bool {
	t := e.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
