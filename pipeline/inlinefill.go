package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/project"
	"github.com/leatdev/leat/pipeline/table"
)

// fillInline builds an inline table anew whose version was raised, before the pipeline takes anything in: no append can write
// the table meanwhile. Rows and place are written together, so that a start after a kill goes on where this one was. The old
// table is what people read until the new one is in its place.
func (p *pipe) fillInline(ctx context.Context, rp *relayPlan, proj *project.Projection, def *table.Def, info table.Info) error {
	tables := p.store.Tables()
	if _, shared := p.store.(eventstore.Replicas); shared {
		return fmt.Errorf("table %s is inline and lies in a store that several processes share, where another may append while it is built under its new version %d: keep the version that it has, or project into a table of another name",
			def.Name, def.Version)
	}
	at := info.Position
	p.log.Info("the inline table is being built anew", "table", def.Name, "version", def.Version, "after", at, "events", p.head.Position)
	told := p.now()
	if at < p.head.Position {
		o := eventstore.SubscribeOptions{After: at, Filter: eventstore.Filter{Origins: rp.origins}, MaxEvents: 5000, MaxBytes: 8 << 20}
		for page, err := range p.reader.Subscribe(ctx, o) {
			if err != nil {
				return fmt.Errorf("the log: %w", err)
			}
			w, err := p.foldInline(ctx, rp, proj, tables, page.Events)
			if err != nil {
				return fmt.Errorf("table %s, version %d: %w; the earlier version stays as it is", def.Name, def.Version, err)
			}
			w.Def = def
			w.Checkpoint = &table.Checkpoint{Relay: rp.id, LogID: p.head.LogID, From: at, To: page.Through}
			if err := tables.Apply(ctx, w); err != nil {
				return fmt.Errorf("table %s: %w", def.Name, err)
			}
			if at = page.Through; at >= p.head.Position {
				break
			}
			if now := p.now(); now.Sub(told) >= progressEvery {
				told = now
				p.log.Info("the inline table is being built anew", "table", def.Name, "done", at, "total", p.head.Position)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := tables.Swap(ctx, def); err != nil {
		return fmt.Errorf("table %s: %w", def.Name, err)
	}
	p.log.Info("the inline table was built anew and is in place", "table", def.Name, "version", def.Version, "position", at)
	return nil
}

// foldInline computes what a page of the log, or what a transaction has appended, does to the rows.
func (p *pipe) foldInline(ctx context.Context, rp *relayPlan, proj *project.Projection, rows table.Reader, events []event.Recorded) (*table.Write, error) {
	x := rp.prog.get()
	defer rp.prog.put(x)
	x.out = nil
	for i := range events {
		x.src, x.ctx = i, ctx
		x.fresh()
		x.start(&events[i])
		if err := x.take(x.prog.from(events[i].Origin)); err != nil && !errors.Is(err, errFiltered) {
			return nil, fmt.Errorf("the event at position %d fails: %w", events[i].Position, err)
		}
	}
	items := make([]project.Item, len(x.out))
	for i := range x.out {
		items[i] = project.Item{Event: &x.out[i].ev, Src: x.out[i].src, Step: x.out[i].op}
	}
	res, err := proj.Apply(ctx, rows, items, project.Options{})
	if err != nil {
		return nil, err
	}
	if len(res.Failed) > 0 {
		first := slices.Min(slices.Collect(maps.Keys(res.Failed)))
		return nil, fmt.Errorf("the event at position %d fails: %w", events[first].Position, res.Failed[first])
	}
	return &table.Write{Put: res.Put, Delete: res.Delete}, nil
}
