package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// RebuildAtRest builds a table anew in a store that no daemon runs on, up to where its relay stands. Told hears of the
// progress.
func RebuildAtRest(ctx context.Context, cfg *config.Config, o Options, a control.Rebuild, told func(control.Work)) (control.Work, error) {
	unknown := &control.UnknownError{Kind: "table", Name: a.Table}
	for _, c := range cfg.Pipelines {
		plan, err := newPlan(c, func(string, error) {})
		if err != nil {
			return control.Work{}, fmt.Errorf("pipeline %s: %w", c.Name, err)
		}
		for _, name := range plan.written() {
			if unknown.Have = append(unknown.Have, name); name == a.Table {
				return remakeAtRest(ctx, cfg, o, c, a, told)
			}
		}
		for _, r := range plan.relays {
			if r.kind != kindProject {
				continue
			}
			if unknown.Have = append(unknown.Have, r.table); r.table != a.Table {
				continue
			}
			return atRest(ctx, cfg, o, c, r.id, func(ctx context.Context, r *relay) (*job, error) {
				b, err := newRebuilding(r, a)
				if err != nil {
					return nil, err
				}
				b.told = told
				if a.DryRun {
					return b.job, b.count(ctx)
				}
				if err := b.run(ctx, func() error { return b.finish(ctx) }); err != nil {
					return b.job, err
				}
				return b.job, r.pipe.keepWork(ctx, rebuildKey+a.Table, none, nil)
			})
		}
	}
	return control.Work{}, unknown
}

// atRest opens one relay of a pipeline, without its source and the other relays, under the relay's own lease.
func atRest(ctx context.Context, cfg *config.Config, o Options, c *config.Pipeline, id string, do func(ctx context.Context, r *relay) (*job, error)) (control.Work, error) {
	return pipeAtRest(ctx, cfg, o, c, func(ctx context.Context, p *pipe) (w *job, err error) {
		r, err := p.aside(id)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, r.target.close()) }()
		t, release, err := p.holdLease(ctx, id)
		if err != nil {
			return nil, err
		}
		defer release()
		defer p.endRelays()
		r.term.Store(t)
		r.mine.Store(true)
		if err := r.open(t.stop); err != nil {
			return nil, err
		}
		return do(t.stop, r)
	})
}

// pipeAtRest opens a pipeline's log, and nothing else of it.
func pipeAtRest(ctx context.Context, cfg *config.Config, o Options, c *config.Pipeline, do func(ctx context.Context, p *pipe) (*job, error)) (out control.Work, err error) {
	d := New(&config.Config{Pipelines: []*config.Pipeline{c}, Stores: cfg.Stores, Tables: cfg.Tables, Databases: cfg.Databases}, o)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.soft, d.hard = ctx, ctx
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.openStores(ctx, d.cfg); err != nil {
		return out, err
	}
	x, err := d.newPost(c, cfg.Tables)
	if err != nil {
		return out, err
	}
	p := x.pipe
	p.hard, p.giveUp = context.WithCancel(ctx)
	p.soft, p.endSoft = context.WithCancel(p.hard)
	p.relaysStop, p.endRelays = context.WithCancel(p.hard)
	defer p.giveUp()
	if err := p.openLog(ctx); err != nil {
		return out, err
	}
	p.seats = p.newSeats()
	w, err := do(ctx, p)
	if w == nil {
		return out, err
	}
	w.end(err)
	return w.status(), err
}

// aside makes a relay of the pipeline that no router runs.
func (p *pipe) aside(id string) (*relay, error) {
	for _, rp := range p.plan.relays {
		if rp.id != id {
			continue
		}
		r, err := p.newRelay(rp, rp.name, nil)
		if err != nil {
			return nil, err
		}
		return r, nil
	}
	return nil, fmt.Errorf("pipeline: there is no relay %q", id)
}

// holdLease takes a lease for as long as something beside the router runs, and keeps it until release.
func (p *pipe) holdLease(ctx context.Context, name string) (*tenure, func(), error) {
	x := &seat{name: name, given: make(chan *tenure, 1), until: func() context.Context { return p.relaysStop }}
	t, err := p.seats.acquire(ctx, x)
	if err != nil {
		return nil, nil, err
	}
	if t == nil {
		return nil, nil, &control.BusyError{Why: fmt.Sprintf("another process has the lease of %s: ask that one (--server)", name)}
	}
	p.seats.begin(x, t)
	over, renewed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(renewed)
		tick := p.clock.NewTicker(p.seats.ttl / 3)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				p.seats.renew(t)
			}
		}
	}()
	return t, func() {
		close(over)
		<-renewed
		t.lose(context.Canceled)
		if t.deadline != nil {
			t.deadline.Stop()
		}
		free, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := p.store.Release(free, t.now()); err != nil && !errors.Is(err, eventstore.ErrClosed) {
			p.log.Warn("a lease was not released; it will run out", "lease", name, "error", err)
		}
	}, nil
}

// ReplayAtRest sends a part of a log once more, from a store that no daemon runs on. One that was interrupted goes on
// where it stands, if the same is asked for again.
func ReplayAtRest(ctx context.Context, cfg *config.Config, o Options, a control.Replay, told func(control.Work)) (control.Work, error) {
	unknown := &control.UnknownError{Kind: "pipeline", Name: a.Pipeline}
	for _, c := range cfg.Pipelines {
		if unknown.Have = append(unknown.Have, c.Name); c.Name != a.Pipeline {
			continue
		}
		plan, err := newPlan(c, func(string, error) {})
		if err != nil {
			return control.Work{}, fmt.Errorf("pipeline %s: %w", c.Name, err)
		}
		rp, err := (&pipe{cfg: c, plan: plan}).forwardOf(a.Relay)
		if err != nil {
			return control.Work{}, err
		}
		return atRest(ctx, cfg, o, c, rp.id, func(ctx context.Context, r *relay) (*job, error) {
			p := r.pipe
			b, err := p.newReplaying(ctx, a, nil)
			if err != nil {
				return nil, err
			}
			if a.DryRun {
				b.told = told
				return b.job, b.count(ctx)
			}
			all, err := p.store.Cursors(ctx, c.Name)
			if err != nil {
				return nil, err
			}
			for key, value := range all {
				if !strings.HasPrefix(key, replayKey) || value == none {
					continue
				}
				was, err := p.keptReplay(key, value)
				if err != nil || was.state.Relay != rp.id {
					continue
				}
				if config.Meaning(was.state.Ask) != config.Meaning(a) {
					return nil, &control.BusyError{Why: fmt.Sprintf("%s of %s stands at position %d of %d: the next run of the pipeline goes on with it, or ask for the same again", strings.TrimPrefix(key, replayKey), rp.name, was.state.At, was.state.To)}
				}
				b = was
			}
			b.told = told
			return b.job, b.run(ctx, r.target.(*forwardTarget), false)
		})
	}
	return control.Work{}, unknown
}
