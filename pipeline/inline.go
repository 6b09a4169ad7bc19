package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/project"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/pipeline/table"
)

// inlineTable is a table that the append's own transaction writes. Its rows may be built anew while appends go on, by this
// process or another; whoever appends to the build that was replaced is told by table.ErrFenced.
type inlineTable struct {
	plan *relayPlan
	now  atomic.Pointer[inlineBuild]
}

// inlineBuild is what is written now. It is replaced, never changed.
type inlineBuild struct {
	proj *project.Projection
	def  *table.Def
}

// buildOf compiles the projection for one build of the table.
func (p *pipe) buildOf(rp *relayPlan, build int) (*inlineBuild, error) {
	proj, err := compileProjection(rp.projects, p.env.tables[rp.table])
	if err != nil {
		return nil, fmt.Errorf("project %s: %w", rp.table, err)
	}
	proj.SetBuild(build)
	def := proj.Def()
	def.Build = build
	return &inlineBuild{proj, &def}, nil
}

// openInline makes or checks the tables that are written in the append's own transaction.
func (p *pipe) openInline(ctx context.Context) error {
	for _, rp := range p.plan.inline {
		in := &inlineTable{plan: rp}
		info, err := p.ensureInline(ctx, in)
		if err != nil {
			return err
		}
		if !info.Live {
			if err := p.fillInline(ctx, in, info); err != nil {
				return err
			}
		}
		p.inline = append(p.inline, in)
	}
	if len(p.inline) > 0 {
		p.within = p.writeInline
	}
	return nil
}

// ensureInline makes or checks an inline table.
func (p *pipe) ensureInline(ctx context.Context, in *inlineTable) (table.Info, error) {
	info, err := p.lookInline(ctx, in)
	if _, shared := p.store.(eventstore.Replicas); err == nil && !info.Live && info.Position == 0 && !shared {
		// Nothing was built of it: what rows there are, appends have written before it was.
		if err = p.store.Tables().Abandon(ctx, in.now.Load().def); err == nil {
			info, err = p.lookInline(ctx, in)
		}
	}
	return info, err
}

// lookInline finds the build of an inline table that is to be written.
func (p *pipe) lookInline(ctx context.Context, in *inlineTable) (table.Info, error) {
	b, err := p.buildOf(in.plan, 0)
	if err != nil {
		return table.Info{}, err
	}
	info, err := p.store.Tables().Ensure(ctx, b.def, b.proj.Definition()+"/"+in.plan.definition, in.plan.id, p.head.LogID)
	if err != nil {
		return info, err
	}
	if b, err = p.buildOf(in.plan, info.Def.Build); err == nil {
		in.now.Store(b)
	}
	return info, err
}

// followInline finds the builds that are to be written, where one of them was replaced.
func (p *pipe) followInline(ctx context.Context) error {
	for _, in := range p.inline {
		if _, err := p.lookInline(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// replaced gives the units that were refused since a build that they write was replaced, and what stayed untried behind
// the first of them.
func replaced(units []*eventstore.Unit, ordered bool) []*eventstore.Unit {
	is := func(u *eventstore.Unit) bool {
		return u.Result.Status == eventstore.Refused && errors.Is(u.Result.Err, table.ErrFenced)
	}
	first := slices.IndexFunc(units, is)
	switch {
	case first < 0:
		return nil
	case ordered:
		return units[first:]
	}
	var out []*eventstore.Unit
	for _, u := range units[first:] {
		if is(u) {
			out = append(out, u)
		}
	}
	return out
}

// insist calls fn until it succeeds; false means that the pipeline stops before that.
func (p *pipe) insist(what string, fn func() error) bool {
	for attempt := 1; ; attempt++ {
		err := fn()
		if err == nil {
			if attempt > 1 {
				p.trouble.clear(what)
			}
			return true
		}
		if p.hard.Err() != nil {
			return false
		}
		p.trouble.set(what, err)
		p.limited(what).Error("the pipeline cannot write; trying again", "to", what, "error", err, "attempt", attempt)
		if !p.sleep(p.backoff(&p.outageRetry, min(attempt+1, 16)), p.soft) {
			return false
		}
	}
}

// writeInline is the inline tables' part of a unit.
func (p *pipe) writeInline(ctx context.Context, tx table.Tx, written []event.Recorded) error {
	for _, in := range p.inline {
		now := in.now.Load()
		x := in.plan.prog.Get()
		x.Out = nil
		for i := range written {
			if !slices.Contains(in.plan.origins, written[i].Origin) {
				continue
			}
			if err := x.Relay(ctx, &written[i], i); err != nil && !errors.Is(err, steps.ErrFiltered) {
				in.plan.prog.Put(x)
				return err
			}
		}
		items := itemsOf(x.Out)
		in.plan.prog.Put(x)
		res, err := now.proj.Apply(ctx, tx, items, project.Options{})
		if err != nil {
			return err
		}
		for _, why := range res.Failed {
			return &steps.Error{Step: in.plan.name, Err: event.PoisonAs(event.CodeProjection, why)}
		}
		if err := tx.Write(ctx, now.def, res.Put, res.Delete); err != nil {
			return err
		}
	}
	return nil
}

func itemsOf(out []steps.Item) []project.Item {
	items := make([]project.Item, len(out))
	for i := range out {
		items[i] = project.Item{Event: &out[i].Event, Src: out[i].Src, Step: out[i].Step}
	}
	return items
}
