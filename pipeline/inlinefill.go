package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/project"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/pipeline/table"
)

// filling builds the rows of a table that appends write from the log, beside those that they go on writing. Rows and place
// are written together, so that what was killed can go on where it was.
type filling struct {
	pipe   *pipe
	def    *table.Def // the build
	owner  string
	filter eventstore.Filter
	// fold computes what a page of the log does to the rows.
	fold  func(ctx context.Context, events []event.Recorded) (*table.Write, error)
	at    int64 // the place of what is built
	epoch int64
	// page is called before a page is built, moved behind it, with the events that it has; nil: nobody asks.
	page  func(ctx context.Context, events int) error
	moved func(at int64, events int)
	// ahead is told of the log's end before each round.
	ahead func(head int64)
	// counts is what a dry run does with a page: it gives how many of its events are for the table.
	counts func(ctx context.Context, events []event.Recorded) (int, error)
	size   int           // of a page, in events
	still  time.Duration // how long nobody could append
}

// fillingOf is the filling of an inline table.
func (p *pipe) fillingOf(rp *relayPlan, b *inlineBuild) *filling {
	return &filling{
		pipe: p, def: b.def, owner: rp.id, filter: eventstore.Filter{Origins: rp.origins}, size: pageEvents,
		fold: func(ctx context.Context, events []event.Recorded) (*table.Write, error) {
			return p.foldInline(ctx, rp, b.proj, p.store.Tables(), events)
		},
		counts: func(ctx context.Context, events []event.Recorded) (int, error) {
			out, err := p.stepsInline(ctx, rp, events)
			of := map[int]bool{}
			for i := range out {
				of[out[i].Src] = true
			}
			return len(of), err
		},
	}
}

// pageEvents is how many events are built in one transaction.
const pageEvents = 5000

// to builds up to a position.
func (f *filling) to(ctx context.Context, end int64) error { return f.pages(ctx, end, f.take) }

// pages reads the log up to a position; each moves f.at to the end of its page.
func (f *filling) pages(ctx context.Context, end int64, each func(ctx context.Context, page *eventstore.Page) error) error {
	if f.at >= end {
		return nil
	}
	o := eventstore.SubscribeOptions{After: f.at, Filter: f.filter, MaxEvents: f.size, MaxBytes: 8 << 20}
	for page, err := range f.pipe.store.Subscribe(ctx, o) {
		if err != nil {
			return fmt.Errorf("the log: %w", err)
		}
		trim(&page, end)
		if f.page != nil {
			if err := f.page(ctx, len(page.Events)); err != nil {
				return err
			}
		}
		if err := each(ctx, &page); err != nil {
			return err
		}
		if f.at >= end {
			return nil
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errStopped
}

// trim takes away what lies behind a position.
func trim(page *eventstore.Page, end int64) {
	for n := len(page.Events); n > 0 && page.Events[n-1].Position > end; n-- {
		page.Events = page.Events[:n-1]
	}
	page.Through = min(page.Through, end)
}

func (f *filling) take(ctx context.Context, page *eventstore.Page) error {
	w := &table.Write{}
	if len(page.Events) > 0 {
		var err error
		if w, err = f.fold(ctx, page.Events); err != nil {
			return err
		}
	}
	w.Def = f.def
	w.Checkpoint = &table.Checkpoint{Relay: f.owner, LogID: f.pipe.head.LogID, Epoch: f.epoch, From: f.at, To: page.Through}
	if err := f.pipe.store.Tables().Apply(ctx, w); err != nil {
		return fmt.Errorf("table %s: %w", f.def.Name, err)
	}
	f.at = page.Through
	if f.moved != nil {
		f.moved(f.at, len(page.Events))
	}
	return nil
}

// fewLeft is how many events may be left before the last round; what comes during that is left for the moment in which
// nobody appends.
const fewLeft = 1000

// place brings what is built up to the log's end and puts it in the place of the live table.
func (f *filling) place(ctx context.Context) error {
	for {
		head, err := f.pipe.store.Head(ctx)
		if err != nil {
			return fmt.Errorf("the log: %w", err)
		}
		left := head.Position - f.at
		if f.ahead != nil {
			f.ahead(head.Position)
		}
		if err := f.to(ctx, head.Position); err != nil {
			return err
		}
		if left <= fewLeft {
			break // the next round is shorter still
		}
	}
	swapper, ok := f.pipe.store.(eventstore.Swapper)
	if !ok {
		return fmt.Errorf("table %s: the store cannot hold its log still", f.def.Name)
	}
	f.page = nil // all who append wait now
	var began time.Time
	err := swapper.SwapAtEnd(ctx, f.def, func(ctx context.Context, head int64) error {
		began = f.pipe.now()
		return f.to(ctx, head)
	})
	f.still = f.pipe.now().Sub(began)
	if err != nil {
		return fmt.Errorf("table %s: %w", f.def.Name, err)
	}
	return nil
}

// fillInline builds an inline table anew whose version was raised, before the pipeline takes anything in. The old table is
// what people read until the new one is in its place, and what daemons with the earlier definition write, where several
// share the store; they wait from then on. Several may build one table at a time: each goes on behind the pages of the others.
func (p *pipe) fillInline(ctx context.Context, in *inlineTable, info table.Info) error {
	b := in.now.Load()
	p.log.Info("the inline table is being built anew", "table", b.def.Name, "version", b.def.Version, "after", info.Position, "events", p.head.Position)
	told := p.now()
	moved := func(at int64, _ int) {
		if now := p.now(); now.Sub(told) >= progressEvery {
			told = now
			p.log.Info("the inline table is being built anew", "table", b.def.Name, "done", at, "total", p.head.Position)
		}
	}
	for attempt := 1; ; attempt++ {
		f := p.fillingOf(in.plan, b)
		f.at, f.moved = info.Position, moved
		err := f.place(ctx)
		if err == nil {
			p.log.Info("the inline table was built anew and is in place", "table", b.def.Name, "version", b.def.Version, "position", f.at)
			return nil
		}
		if _, shared := p.store.(eventstore.Replicas); !shared || !errors.Is(err, table.ErrFenced) {
			return fmt.Errorf("%w; the earlier version stays as it is", err)
		}
		// Another replica has built a page of it, or all.
		if !p.sleep(p.backoff(&p.outageRetry, min(attempt, 4)), ctx) {
			return ctx.Err()
		}
		if info, err = p.lookInline(ctx, in); err != nil || info.Live {
			return err
		}
		b = in.now.Load()
	}
}

// foldInline computes what a page of the log does to the rows.
func (p *pipe) foldInline(ctx context.Context, rp *relayPlan, proj *project.Projection, rows table.Reader, events []event.Recorded) (*table.Write, error) {
	out, err := p.stepsInline(ctx, rp, events)
	if err != nil {
		return nil, fmt.Errorf("table %s, version %d: %w", rp.table, proj.Def().Version, err)
	}
	res, err := proj.Apply(ctx, rows, itemsOf(out), project.Options{})
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", rp.table, err)
	}
	if len(res.Failed) > 0 {
		first := slices.Min(slices.Collect(maps.Keys(res.Failed)))
		return nil, fmt.Errorf("table %s, version %d: the event at position %d fails: %w", rp.table, proj.Def().Version, events[first].Position, res.Failed[first])
	}
	return &table.Write{Put: res.Put, Delete: res.Delete}, nil
}

// stepsInline takes a page through the steps between the append and the table.
func (p *pipe) stepsInline(ctx context.Context, rp *relayPlan, events []event.Recorded) ([]steps.Item, error) {
	x := rp.prog.Get()
	defer rp.prog.Put(x)
	x.Out = nil
	for i := range events {
		if err := x.Relay(ctx, &events[i], i); err != nil && !errors.Is(err, steps.ErrFiltered) {
			return nil, fmt.Errorf("the event at position %d fails: %w", events[i].Position, err)
		}
	}
	return x.Out, nil
}
