package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// rebuildKey is the cursor under which a store keeps that a table is being built anew.
const rebuildKey = "$leat/rebuild "

// mostFailures is how many events that were fine in the live table may fail in the new one: beyond that the projection
// is at fault, and the live table better.
const mostFailures = 1000

// rebuilding builds a table anew beside the live one. The relay of the live table goes on meanwhile; once the new table
// has come to where the relay stands, the relay itself takes the last steps and swaps the two, between two pages.
type rebuilding struct {
	*job
	live *relay
	// shadow is the relay as it would be, with a target of its own under the tenure of the live one.
	shadow *relay
	target *tableTarget
	// skip are the positions that the live relay had parked: they stay so.
	skip   map[int64]event.Stream
	failed []poison.Entry
	done   chan error
	// claimed is set by the relay that begins its part, or by who no longer waits for that.
	claimed atomic.Bool
}

// Rebuild begins to build a table anew. It goes on until it is done, cancelled, or the pipeline stops; a daemon that is
// started again, or another replica that takes the table over, begins it anew.
func (d *Daemon) Rebuild(ctx context.Context, a control.Rebuild) (control.Work, error) {
	unknown := &control.UnknownError{Kind: "table", Name: a.Table}
	for _, x := range d.postsNow() {
		for _, name := range x.pipe.plan.written() {
			if unknown.Have = append(unknown.Have, name); name == a.Table {
				x.turn.Lock()
				defer x.turn.Unlock()
				return d.remake(ctx, x, a, false)
			}
		}
		for _, r := range x.pipe.plan.relays {
			if r.kind != kindProject {
				continue
			}
			unknown.Have = append(unknown.Have, r.table)
			if r.table != a.Table {
				continue
			}
			x.turn.Lock()
			defer x.turn.Unlock()
			return d.rebuild(ctx, x, a)
		}
	}
	return control.Work{}, unknown
}

func (d *Daemon) rebuild(ctx context.Context, x *post, a control.Rebuild) (control.Work, error) {
	r, err := d.runningRelay(x, func(r *relay) bool { return r.plan.table == a.Table && r.plan.kind == kindProject })
	if err != nil {
		return control.Work{}, err
	}
	if r == nil {
		return control.Work{}, &control.BusyError{Why: fmt.Sprintf("the pipeline %s does not run", x.cfg.Name)}
	}
	b, err := newRebuilding(r, a)
	if err != nil {
		return control.Work{}, err
	}
	key, t := rebuildKey+a.Table, r.term.Load()
	run := func(ctx context.Context) error {
		if a.DryRun {
			return b.count(ctx)
		}
		ctx, end := under(ctx, t)
		defer end()
		err := b.run(ctx, func() error { return b.handOver(ctx) })
		if overtaken(ctx, t, err) {
			return errStopped // whoever runs the relay next, perhaps this process's next run, begins it anew
		}
		fence := t.now()
		if e := r.pipe.keepWork(context.WithoutCancel(ctx), key, none, &fence); e != nil && !errors.Is(e, eventstore.ErrFenced) {
			r.pipe.log.Warn("the rebuild could not be struck off; the next start does it again", "table", a.Table, "error", e)
		}
		return err
	}
	if !a.DryRun {
		text, err := json.Marshal(a)
		if err != nil {
			return control.Work{}, err
		}
		if err := r.pipe.keepWork(ctx, key, string(text), nil); err != nil {
			return control.Work{}, err
		}
	}
	if err := d.begin(b.job, run); err != nil {
		return control.Work{}, err
	}
	return b.status(), nil
}

func newRebuilding(r *relay, a control.Rebuild) (*rebuilding, error) {
	p := r.pipe
	t, err := p.newTableTarget(r.plan)
	if err != nil {
		return nil, err
	}
	b := &rebuilding{job: p.newWork(control.RebuildWork, r.plan, a.Throttle), live: r, target: t, skip: map[int64]event.Stream{}, done: make(chan error, 1)}
	b.now.DryRun, b.now.Total = a.DryRun, r.seen.Load()
	b.shadow = &relay{pipe: p, plan: r.plan, target: t, seat: r.seat, wake: make(chan struct{}, 1), moved: make(chan struct{}, 1)}
	b.shadow.term.Store(r.term.Load())
	return b, nil
}

// pages reads the log from a position to another and calls each with what is to be looked at.
func (b *rebuilding) pages(ctx context.Context, after, to int64, each func(page *eventstore.Page) error) error {
	p := b.live.pipe
	if after >= to {
		return nil
	}
	o := eventstore.SubscribeOptions{After: after, Filter: b.live.selects(), MaxEvents: b.pageSize(5000), MaxBytes: 8 << 20}
	for page, err := range p.reader.Subscribe(ctx, o) {
		if err != nil {
			return fmt.Errorf("the log: %w", err)
		}
		for n := len(page.Events); n > 0 && page.Events[n-1].Position > to; n-- {
			page.Events = page.Events[:n-1]
		}
		page.Through, page.Head = min(page.Through, to), to
		kept := page.Events[:0]
		for i := range page.Events {
			if _, skip := b.skip[page.Events[i].Position]; !skip {
				kept = append(kept, page.Events[i])
			}
		}
		page.Events = kept
		if err := b.slow(ctx, len(page.Events)); err != nil {
			return err
		}
		if err := each(&page); err != nil || page.Through >= to {
			return err
		}
	}
	return errStopped
}

// count is a dry run: it takes the log through the steps.
func (b *rebuilding) count(ctx context.Context) error {
	return b.pages(ctx, 0, b.live.seen.Load(), func(page *eventstore.Page) error {
		g, err := b.shadow.gather(page.Events, page.Through)
		if err != nil {
			return err
		}
		src := map[int]bool{}
		for i := range g.items {
			src[g.items[i].Src] = true
		}
		b.at(func(s *control.Work) {
			s.Done, s.Events, s.Parked = page.Through, s.Events+int64(len(src)), s.Parked+int64(len(g.park))
		})
		return nil
	})
}

// parkedNow gives the positions that the relay has parked.
func (b *rebuilding) parkedNow(ctx context.Context) (map[int64]event.Stream, error) {
	out := map[int64]event.Stream{}
	for e, err := range b.live.pipe.store.ListParked(ctx, poison.Filter{Relay: b.live.plan.id}) {
		if err != nil {
			return nil, fmt.Errorf("list parked events: %w", err)
		}
		out[e.Position] = e.Stream
	}
	return out, nil
}

// run builds the table up to where the live one stands, and lets finish do the rest. What it has built is dropped where
// it does not come to that.
func (b *rebuilding) run(ctx context.Context, finish func() error) (err error) {
	t, r := b.target, b.live
	info, err := t.tables.Rebuild(ctx, r.target.(*tableTarget).def, r.plan.id, b.shadow.epoch())
	if err != nil {
		return err
	}
	t.setBuild(info.Def.Build)
	defer func() {
		if err != nil {
			if e := t.tables.Abandon(context.WithoutCancel(ctx), t.def); e != nil {
				r.pipe.log.Warn("what was built of the table could not be dropped; the next rebuild does it", "table", t.def.Name, "error", e)
			}
		}
	}()
	if b.skip, err = b.parkedNow(ctx); err != nil {
		return err
	}
	b.hold(b.skip)
	start, err := r.begins(ctx)
	if err != nil {
		return err
	}
	b.begun = start
	b.shadow.seen.Store(start)
	r.pipe.log.Info("the table is being built anew", "table", t.def.Name, "events", r.seen.Load())
	for told := r.pipe.now(); ; {
		// The relay goes on meanwhile: each round is shorter than the one before.
		to := r.seen.Load()
		b.at(func(s *control.Work) { s.Total = to })
		err := b.pages(ctx, b.shadow.seen.Load(), to, func(page *eventstore.Page) error {
			if now := r.pipe.now(); now.Sub(told) >= progressEvery {
				told = now
				s := b.status()
				r.pipe.log.Info("the table is being built anew", "table", t.def.Name, "done", s.Done, "total", s.Total, "rate", int64(s.Rate))
			}
			return b.apply(ctx, page)
		})
		if err != nil {
			return err
		}
		if r.seen.Load()-to < 5000 {
			return finish()
		}
	}
}

// hold lets the shadow hold what the relay holds behind parked events.
func (b *rebuilding) hold(parked map[int64]event.Stream) {
	if b.shadow.holds() != "stream" {
		return // the relay itself stands still there, or nothing waits
	}
	for at, s := range parked {
		b.shadow.holdAt(s, at)
	}
}

// begins gives the position behind which the relay began: the store's own checkpoint of a table's relay stays there.
func (r *relay) begins(ctx context.Context) (int64, error) {
	all, err := r.pipe.store.ListRelays(ctx, r.pipe.cfg.Name)
	if err != nil {
		return 0, fmt.Errorf("list relays: %w", err)
	}
	for i := range all {
		if all[i].ID == r.plan.id {
			return all[i].Position, nil
		}
	}
	return 0, fmt.Errorf("%w: the store has no relay %q", eventstore.ErrFenced, r.plan.id)
}

// apply brings a page into the new table.
func (b *rebuilding) apply(ctx context.Context, page *eventstore.Page) error {
	s, t := b.shadow, b.target
	if len(page.Events) == 0 {
		return b.moved(ctx, page.Through)
	}
	g, err := s.gather(page.Events, page.Through)
	if err != nil {
		return err
	}
	to, w, items, parked, err := t.fold(ctx, s, g)
	if err != nil {
		return err
	}
	failed := upTo(to, entries(g.park, parked))
	b.failed = append(b.failed, failed...)
	if len(b.failed) > mostFailures {
		return fmt.Errorf("more than %d events fail in the new table that are in the live one, which stays as it is; the first: position %d: %s", mostFailures, b.failed[0].Position, b.failed[0].Reason)
	}
	if to < page.Through {
		return fmt.Errorf("the event at position %d fails, and with `hold: pipeline` the table would end there; the live one stays as it is: %s", to, b.failed[len(b.failed)-1].Reason)
	}
	if err := t.apply(ctx, s, w, to); err != nil {
		return err
	}
	s.seen.Store(to)
	b.at(func(n *control.Work) { n.Done, n.Events, n.Parked = to, n.Events+int64(items), int64(len(b.failed)) })
	return nil
}

// moved moves the checkpoint past events that are none of the table's.
func (b *rebuilding) moved(ctx context.Context, to int64) error {
	if err := b.target.apply(ctx, b.shadow, &table.Write{Def: b.target.def}, to); err != nil {
		return err
	}
	b.shadow.seen.Store(to)
	b.at(func(n *control.Work) { n.Done = to })
	return nil
}

// handOver lets the relay take the last steps, when it is between two pages.
func (b *rebuilding) handOver(ctx context.Context) error {
	stop := b.live.stop()
	select {
	case b.live.swaps <- b:
	case <-stop.Done():
		return errStopped
	case <-ctx.Done():
		return errStopped
	}
	select {
	case err := <-b.done:
		return err
	case <-stop.Done():
	case <-ctx.Done():
	}
	if b.claimed.CompareAndSwap(false, true) {
		return errStopped // the relay stopped before it came to it
	}
	return <-b.done
}

// finish is the relay's part: nothing else changes its place or its table meanwhile.
func (b *rebuilding) finish(ctx context.Context) (err error) {
	if !b.claimed.CompareAndSwap(false, true) {
		return errStopped
	}
	defer func() { b.done <- err }()
	r, t := b.live, b.target
	to := r.seen.Load()
	b.at(func(s *control.Work) { s.Total = to })
	now, err := b.parkedNow(ctx)
	if err != nil {
		return err
	}
	failed := map[int64]bool{}
	for i := range b.failed {
		failed[b.failed[i].Position] = true
	}
	for at := range b.skip {
		if _, still := now[at]; !still {
			return fmt.Errorf("the parked event at position %d was sent again or dropped meanwhile, so the new table would differ from the live one: rebuild again", at)
		}
	}
	for at := range now {
		if _, before := b.skip[at]; !before && at <= b.shadow.seen.Load() && !failed[at] {
			return fmt.Errorf("the event at position %d was parked meanwhile, and is in the new table: rebuild again", at)
		}
	}
	b.skip = now
	b.hold(now)
	if err := b.pages(ctx, b.shadow.seen.Load(), to, func(page *eventstore.Page) error { return b.apply(ctx, page) }); err != nil {
		return err
	}
	if err := b.moved(ctx, to); err != nil {
		return err
	}
	var park []poison.Entry
	for i := range b.failed {
		if e := &b.failed[i]; now[e.Position].IsZero() {
			park = append(park, *e)
		}
	}
	if len(park) > 0 {
		if err := r.persist(ctx, func() error { return r.pipe.store.Park(ctx, park...) }); err != nil {
			return err
		}
	}
	if err := t.tables.Swap(ctx, t.def); err != nil {
		return fmt.Errorf("table %s: %w", t.def.Name, err)
	}
	live := r.target.(*tableTarget)
	live.setBuild(t.def.Build)
	r.position.Store(to)
	r.saved = r.pipe.now()
	for i := range park {
		r.holdAt(park[i].Stream, park[i].Position)
	}
	r.tell(park)
	r.pipe.log.Info("the table was built anew and is in place", "table", t.def.Name, "position", to, "events", b.status().Events)
	return nil
}
