package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sources"
)

func (d *Daemon) openSource(p *pipe) (sources.Source, error) {
	outbox, _ := p.store.(eventstore.Outbox)
	return d.o.OpenSource(context.Background(), p.cfg.Source.Plugin, sources.Env{
		Pipeline: p.cfg.Name, Log: p.log.With("source", p.cfg.Source.Plugin.Name), Now: d.o.Now, Clock: d.o.Clock,
		Cursor:    func(ctx context.Context, key string) (string, error) { return p.store.Cursor(ctx, p.cfg.Name, key) },
		MaxEvents: p.cfg.Source.Limits.Events, MaxBytes: int(p.cfg.Source.Limits.Bytes), MaxEventSize: int(p.cfg.Limits.EventSize),
		Keep: func(ctx context.Context, c event.Cursor) error {
			return p.store.Commit(ctx, []*eventstore.Unit{{Pipeline: p.cfg.Name, Cursor: &c}}, eventstore.CommitOptions{Fence: p.fence.Load()})
		},
		Mount:   func(pattern string, h http.Handler) (func(), error) { return d.mount(p.cfg.Name, pattern, h) },
		ReadLog: func(store string) (eventstore.Reader, error) { return d.logOf(cmp.Or(store, p.cfg.Store)) },
		Outbox:  outbox, Shared: d.share, Metrics: p.numbers("source"),
		Trouble: func(err error) {
			if err == nil {
				p.trouble.clear("source")
			} else {
				p.trouble.set("source", err)
			}
		},
	})
}

func (d *Daemon) openSink(p *pipe, relay string, c config.Plugin) (sinks.Sink, error) {
	return d.o.OpenSink(context.Background(), c, sinks.Env{
		Pipeline: p.cfg.Name, Relay: relay, Log: p.log.With("sink", c.Name), Now: d.o.Now, Stdout: d.o.Stdout, Shared: d.share, Metrics: p.numbers(relay),
	})
}

func (d *Daemon) openLookup(p *pipe, step string, c *config.Lookup) (steps.Lookup, error) {
	if d.o.OpenLookup != nil {
		if find := d.o.OpenLookup(p.cfg.Name, step, c); find != nil {
			return find, nil
		}
	}
	if c.Store != "" {
		s, ok := d.Store(c.Store)
		if !ok {
			return nil, fmt.Errorf("pipeline: no store is called %q", c.Store)
		}
		return steps.Rows(s.Tables(), c), nil
	}
	in, err := p.tablesOf(c.Table)
	if err != nil {
		return nil, err
	}
	return steps.Rows(in, c), nil
}

func (d *Daemon) openHandler(p *pipe, step string, c config.Plugin, s handlers.Store) (handlers.Handler, error) {
	return d.o.OpenHandler(context.Background(), c, handlers.Env{
		Pipeline: p.cfg.Name, Step: step, Log: p.log.With("handler", c.Name), Now: d.o.Now, Store: s, Shared: d.share,
	})
}

// logOf gives the log of an open store.
func (d *Daemon) logOf(store string) (eventstore.Reader, error) {
	if d.o.OpenLog != nil {
		if log := d.o.OpenLog(store); log != nil {
			return log, nil
		}
	}
	s, ok := d.Store(store)
	if !ok {
		return nil, fmt.Errorf("pipeline: no store is called %q", store)
	}
	return s, nil
}

func (d *Daemon) share(key string, make func() any) any {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v, ok := d.shared[key]; ok {
		return v
	}
	v := make()
	d.shared[key] = v
	return v
}
