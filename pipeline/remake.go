package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// written gives the tables that the append's own transaction writes: the inline ones and those of states.
func (p *plan) written() []string {
	var out []string
	for _, r := range p.inline {
		out = append(out, r.table)
	}
	return append(out, p.steps.StateTables()...)
}

// remaking builds a table anew that appends write. They go on writing the live one meanwhile; in the end the log stands
// still for a moment, in which the build gets the rest and takes the live one's place (eventstore.Swapper).
type remaking struct {
	*job
	table string
	owner string
	// follow finds the live build, live gives it.
	follow func(ctx context.Context) error
	live   func() *table.Def
	// filling gives what fills a build.
	filling func(build int) (*filling, error)
}

// newRemaking prepares the rebuild of a table among plan.written.
func (p *pipe) newRemaking(a control.Rebuild) (*remaking, error) {
	for _, in := range p.inline {
		if in.plan.table == a.Table {
			return p.remakeInline(in, a), nil
		}
	}
	if t := p.plan.steps.StateTable(a.Table); t != nil {
		return p.remakeStates(t, a)
	}
	return nil, &control.BusyError{Why: fmt.Sprintf("the pipeline %s does not run", p.cfg.Name)}
}

func (p *pipe) remakeInline(in *inlineTable, a control.Rebuild) *remaking {
	return &remaking{
		job: p.newWork(control.RebuildWork, in.plan, a.Throttle), table: a.Table, owner: in.plan.id,
		follow: func(ctx context.Context) error { _, err := p.lookInline(ctx, in); return err },
		live:   func() *table.Def { return in.now.Load().def },
		filling: func(build int) (*filling, error) {
			b, err := p.buildOf(in.plan, build)
			if err != nil {
				return nil, err
			}
			return p.fillingOf(in.plan, b), nil
		},
	}
}

// lease is what one alone has who builds the table anew.
func (m *remaking) lease() string { return rebuildKey + m.owner }

// run builds the table and puts it in place. What it has built is dropped where it does not come to that.
func (m *remaking) run(ctx context.Context, t *tenure) (err error) {
	p, tables := m.p, m.p.store.Tables()
	if err := m.follow(ctx); err != nil {
		return err
	}
	info, err := tables.Rebuild(ctx, m.live(), m.owner, t.epoch())
	if err != nil {
		return err
	}
	f, err := m.filling(info.Def.Build)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if e := tables.Abandon(context.WithoutCancel(ctx), f.def); e != nil {
				p.log.Warn("what was built of the table could not be dropped; the next rebuild does it", "table", m.table, "error", e)
			}
		}
	}()
	f.epoch, f.size, f.page = t.epoch(), m.pageSize(pageEvents), m.slow
	told := p.now()
	p.log.Info("the table is being built anew", "table", m.table, "events", p.lastOwn.Load())
	f.moved = func(at int64, events int) {
		m.at(func(s *control.Work) { s.Done, s.Total, s.Events = at, max(s.Total, at), s.Events+int64(events) })
		if now := p.now(); now.Sub(told) >= progressEvery {
			told = now
			s := m.status()
			p.log.Info("the table is being built anew", "table", m.table, "done", s.Done, "total", s.Total, "rate", int64(s.Rate))
		}
	}
	f.ahead = func(head int64) { m.at(func(s *control.Work) { s.Total = head }) }
	if err := f.place(ctx); err != nil {
		return err
	}
	p.log.Info("the table was built anew and is in place", "table", m.table, "position", f.at, "events", m.status().Events, "appends_waited", f.still)
	if e := m.follow(ctx); e != nil && ctx.Err() == nil {
		p.log.Warn("the new table is found at the next append", "table", m.table, "error", e)
	}
	return nil
}

// count is a dry run: it takes the log through the steps.
func (m *remaking) count(ctx context.Context) error {
	f, err := m.filling(m.live().Build)
	if err != nil {
		return err
	}
	head, err := m.p.store.Head(ctx)
	if err != nil {
		return fmt.Errorf("the log: %w", err)
	}
	m.at(func(s *control.Work) { s.Total = head.Position })
	return f.pages(ctx, head.Position, func(ctx context.Context, page *eventstore.Page) error {
		n, err := f.counts(ctx, page.Events)
		if err != nil {
			return err
		}
		f.at = page.Through
		m.at(func(s *control.Work) { s.Done, s.Events = f.at, s.Events+int64(n) })
		return nil
	})
}

// remake begins the rebuild of a table that appends write; with again only if one is still written down as begun.
func (d *Daemon) remake(ctx context.Context, x *post, a control.Rebuild, again bool) (control.Work, error) {
	d.mu.Lock()
	p, paused := x.pipe, x.paused
	d.mu.Unlock()
	if paused == control.PausedAll {
		return control.Work{}, &control.BusyError{Why: fmt.Sprintf("the pipeline %s is paused: resume it first", x.cfg.Name)}
	}
	m, err := p.newRemaking(a)
	if err != nil {
		return control.Work{}, err
	}
	if a.DryRun {
		if err := d.begin(m.job, m.count); err != nil {
			return control.Work{}, err
		}
		return m.status(), nil
	}
	// Before the lease is asked for: this process would get it a second time.
	if d.underWay(func(w *control.Work) bool {
		return w.Kind == control.RebuildWork && w.Pipeline == x.cfg.Name && w.Target == a.Table
	}) {
		return control.Work{}, &control.BusyError{Why: fmt.Sprintf("a rebuild of %s is under way", a.Table)}
	}
	t, release, err := p.holdLease(ctx, m.lease())
	if err != nil {
		return control.Work{}, err
	}
	key := rebuildKey + a.Table
	free := func(err error) (control.Work, error) {
		release()
		return control.Work{}, err
	}
	if again {
		if value, err := p.store.Cursor(ctx, p.cfg.Name, key); err != nil || value == none || value == "" {
			return free(err)
		}
	} else {
		text, err := json.Marshal(a)
		if err != nil {
			return free(err)
		}
		fence := t.now()
		if err := p.keepWork(ctx, key, string(text), &fence); err != nil {
			return free(err)
		}
	}
	err = d.begin(m.job, func(ctx context.Context) error {
		defer release()
		ctx, end := under(ctx, t)
		defer end()
		err := m.run(ctx, t)
		if overtaken(ctx, t, err) {
			return errStopped // whoever gets the lease next begins it anew
		}
		fence := t.now()
		if e := p.keepWork(context.WithoutCancel(ctx), key, none, &fence); e != nil && !errors.Is(e, eventstore.ErrFenced) {
			p.log.Warn("the rebuild could not be struck off; the next start does it again", "table", a.Table, "error", e)
		}
		return err
	})
	if err != nil {
		return free(err)
	}
	return m.status(), nil
}

// remakeAtRest builds a table anew that appends write, in a store that no daemon of this file need run on.
func remakeAtRest(ctx context.Context, cfg *config.Config, o Options, c *config.Pipeline, a control.Rebuild, told func(control.Work)) (control.Work, error) {
	return pipeAtRest(ctx, cfg, o, c, func(ctx context.Context, p *pipe) (w *job, err error) {
		defer p.endRelays()
		defer func() { err = errors.Join(err, p.plan.steps.Close()) }()
		if err := p.openSteps(ctx); err != nil {
			return nil, err
		}
		for _, rp := range p.plan.inline {
			in := &inlineTable{plan: rp}
			if rp.table != a.Table {
				continue
			}
			info, err := p.lookInline(ctx, in)
			if err != nil {
				return nil, err
			}
			if !info.Live {
				return nil, &control.RefusedError{Why: fmt.Sprintf("the table %s is built anew at the next start, under its version %d", a.Table, info.Def.Version)}
			}
			p.inline = append(p.inline, in)
		}
		m, err := p.newRemaking(a)
		if err != nil {
			return nil, err
		}
		m.told = told
		if a.DryRun {
			return m.job, m.count(ctx)
		}
		t, release, err := p.holdLease(ctx, m.lease())
		if err != nil {
			return nil, err
		}
		defer release()
		if err := m.run(t.stop, t); err != nil {
			return m.job, err
		}
		return m.job, p.keepWork(ctx, rebuildKey+a.Table, none, nil)
	})
}
