package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/project"
	"github.com/leatdev/leat/pipeline/table"
)

// tableTarget writes rows; its checkpoint is in the table's database, in the transaction of the rows.
type tableTarget struct {
	tables   table.Store
	proj     *project.Projection
	def      *table.Def
	logID    string
	building bool
	// kept are events that stay parked, with what a person made of them, although the table comes to them once more.
	kept   map[int64]bool
	keptTo int64  // the last of them, until the table has passed it
	apart  *apart // nil where the table lies beside the store
}

func (p *pipe) newTableTarget(rp *relayPlan) (*tableTarget, error) {
	proj, err := compileProjection(rp.projects, p.env.tables[rp.table])
	if err != nil {
		return nil, fmt.Errorf("relay %s: %w", rp.name, err)
	}
	def := proj.Def()
	t := &tableTarget{proj: proj, def: &def, logID: p.head.LogID}
	if t.tables, err = p.tablesOf(rp.table); err != nil {
		return nil, err
	}
	return t, nil
}

// ensure makes or checks the table.
func (t *tableTarget) ensure(ctx context.Context, r *relay) error {
	if was, ok := t.tables.(table.Renamer); ok && r.plan.was != "" {
		if err := was.RenameRelay(ctx, r.plan.was, r.plan.id); err != nil {
			return err
		}
	}
	info, err := t.tables.Ensure(ctx, t.def, t.proj.Definition()+"/"+r.plan.definition, r.plan.id, t.logID)
	if err == nil {
		t.setBuild(info.Def.Build)
	}
	return err
}

// setBuild lets the target write another build of its table.
func (t *tableTarget) setBuild(n int) {
	t.def.Build = n
	t.proj.SetBuild(n)
}

// open makes or checks the table, takes it under the relay's epoch, and gives the place from which to go on.
func (t *tableTarget) open(ctx context.Context, r *relay, from int64) (int64, error) {
	if err := t.ensure(ctx, r); err != nil {
		return 0, err
	}
	info, err := t.tables.Take(ctx, t.def, r.plan.id, r.epoch())
	if err != nil {
		return 0, err
	}
	if info.LogID != "" && info.LogID != t.logID {
		return 0, fmt.Errorf("table %s: %w", t.def.Name, table.ErrForeignLog)
	}
	if head := r.head.Load(); info.Position > head {
		return 0, fmt.Errorf("table %s stands at position %d, the log ends at %d: it belongs to a longer or other log: %w", t.def.Name, info.Position, head, table.ErrForeignLog)
	}
	t.building = !info.Live
	r.position.Store(info.Position)
	if t.apart = nil; !t.tables.WithStore() {
		t.apart = &apart{base: from, resent: info.Resent}
	}
	if info.Position == 0 && from > 0 {
		return from, nil
	}
	return info.Position, t.swap(ctx, r)
}

// comesAgain reports whether a parked event lies ahead of the table, which is therefore another than the one for which it was
// parked: beside the store's own tables an entry is written with the checkpoint that passes it. What a person has edited stays.
func (t *tableTarget) comesAgain(e *poison.Entry, position int64) bool {
	if t.apart != nil || e.Position <= position {
		return false
	}
	if e.Edited {
		if t.kept == nil {
			t.kept = map[int64]bool{}
		}
		t.kept[e.Position], t.keptTo = true, max(t.keptTo, e.Position)
		return false
	}
	return true
}

// left leaves out what stays parked as it is.
func (t *tableTarget) left(park []parkedEvent) []parkedEvent {
	if len(t.kept) == 0 {
		return park
	}
	return slices.DeleteFunc(slices.Clone(park), func(e parkedEvent) bool { return t.kept[e.Position] })
}

func (t *tableTarget) close() error { return nil }

// eager: a table that was built beside is swapped once it has caught up, also with a log that ends with events of others.
func (t *tableTarget) eager(r *relay, to int64) bool { return t.building && to >= r.head.Load() }

func (t *tableTarget) write(ctx context.Context, r *relay, g *gathered) (int64, error) {
	to, w, items, parked, err := t.fold(ctx, r, g)
	if err != nil {
		return 0, err
	}
	w.Park = upTo(to, entries(t.left(t.apart.left(g.park)), parked))
	if err := t.apply(ctx, r, w, to); err != nil {
		return 0, err
	}
	r.delivered.Add(int64(items))
	r.metrics.Delivered(items)
	if r.pipe.taps.On() {
		left := leftOut(parked)
		for i := range g.items {
			if it := &g.items[i]; !left[it.Src] && g.events[it.Src].Position <= to {
				r.pipe.taps.delivered(r.plan.name, &it.Event)
			}
		}
	}
	r.tell(w.Park)
	return to, t.swap(ctx, r)
}

// fold computes the rows of a page. An event that fails is parked, and what must not overtake it is left out.
func (t *tableTarget) fold(ctx context.Context, r *relay, g *gathered) (to int64, w *table.Write, items int, park []parkedEvent, err error) {
	to = g.to
	in := make([]project.Item, len(g.items))
	for i := range g.items {
		in[i] = project.Item{Event: &g.items[i].Event, Src: g.items[i].Src, Step: g.items[i].Step}
	}
	leave := project.Options{
		Skip: func(src int) bool {
			e := &g.events[src]
			if t.apart.has(e.Position) || t.kept[e.Position] {
				return true
			}
			if !r.waits(e) {
				return false
			}
			if r.holds() != "pipeline" {
				park = append(park, parkedEvent{r.entry(e, nil, poison.Held), src})
			}
			return true
		},
		Failed: func(src int, why error) {
			e := &g.events[src]
			if event.Code(why) == "" {
				why = event.WithCode(event.CodeProjection, why)
			}
			park = append(park, parkedEvent{r.entry(e, why, poison.Parked), src})
			if r.hold(e) {
				to = e.Position
			}
		},
	}
	before := r.holding.save()
	var res *project.Result
	err = r.persist(ctx, func() (err error) {
		park, to = nil, g.to
		r.holding.restore(before)
		res, err = t.proj.Apply(ctx, t.tables, in, leave)
		return err
	})
	if err != nil {
		return 0, nil, 0, nil, err
	}
	r.pipe.metrics.WrongType(r.plan.name, res.Mismatches)
	return to, &table.Write{Def: t.def, Put: res.Put, Delete: res.Delete}, applied(g, park, to), park, nil
}

// applied counts the items of a page that are in the rows.
func applied(g *gathered, park []parkedEvent, to int64) int {
	left := leftOut(park)
	n := 0
	for i := range g.items {
		if src := g.items[i].Src; !left[src] && (to < 0 || g.events[src].Position <= to) {
			n++
		}
	}
	return n
}

func leftOut(park []parkedEvent) map[int]bool {
	left := map[int]bool{}
	for i := range park {
		left[park[i].src] = true
	}
	return left
}

func (t *tableTarget) apply(ctx context.Context, r *relay, w *table.Write, to int64) error {
	from := r.position.Load()
	if to < 0 {
		to = from
	}
	w.Checkpoint = &table.Checkpoint{Relay: r.plan.id, LogID: t.logID, Epoch: r.epoch(), From: from, To: to}
	start := r.pipe.now()
	var err error
	if t.apart != nil {
		err = t.apart.apply(ctx, t, r, w)
	} else {
		err = r.persist(ctx, func() error {
			err := t.tables.Apply(ctx, w)
			if errors.Is(err, table.ErrFenced) && to > from && t.stands(ctx, r, to) {
				return nil // an earlier try, whose answer was lost, had gone through
			}
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("table %s: %w", t.def.Name, err)
	}
	r.metrics.Write(r.pipe.now().Sub(start), len(w.Put)+len(w.Delete))
	r.position.Store(to)
	r.saved = r.pipe.now()
	if t.apart != nil {
		t.apart.passed(r)
	}
	if t.keptTo > 0 && to >= t.keptTo {
		t.keptTo = 0
		clear(t.kept)
		r.poke()
	}
	return nil
}

// stands reports whether the table's checkpoint is ours and at a position.
func (t *tableTarget) stands(ctx context.Context, r *relay, at int64) bool {
	info, err := t.tables.Take(ctx, t.def, r.plan.id, r.epoch())
	return err == nil && info.Position == at
}

func (t *tableTarget) commit(ctx context.Context, r *relay, to int64, park []poison.Entry, unpark []int64) error {
	if err := t.apply(ctx, r, &table.Write{Def: t.def, Park: park, Unpark: unpark}, to); err != nil {
		return err
	}
	return t.swap(ctx, r)
}

// swap puts a table that was built beside in the place of the old one, once it has caught up.
func (t *tableTarget) swap(ctx context.Context, r *relay) error {
	if !t.building || r.position.Load() < r.head.Load() {
		return nil
	}
	if err := t.tables.Swap(ctx, t.def); err != nil {
		return fmt.Errorf("table %s: %w", t.def.Name, err)
	}
	t.building = false
	r.pipe.log.Info("table was built anew and is in place", "table", t.def.Name, "version", t.def.Version, "position", r.position.Load())
	return nil
}

// resend implements resender.
func (t *tableTarget) resend(ctx context.Context, r *relay, g *gathered, e *poison.Entry) (bool, error) {
	if t.apart != nil && t.apart.resent == e.ID {
		return true, t.apart.unpark(ctx, r, []int64{e.ID})
	}
	_, w, items, park, err := t.fold(ctx, r, g)
	if err != nil {
		return false, err
	}
	if len(park) > 0 {
		again(&park[0].Entry, e)
		r.tell(entries(park[:1]))
		return false, t.commit(ctx, r, -1, entries(park[:1]), nil)
	}
	w.Unpark = []int64{e.ID}
	if err := t.apply(ctx, r, w, -1); err != nil {
		return false, err
	}
	r.delivered.Add(int64(items))
	r.metrics.Delivered(items)
	return true, nil
}

var _ = []target{(*tableTarget)(nil), (*forwardTarget)(nil)}
