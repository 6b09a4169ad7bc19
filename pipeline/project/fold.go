package project

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/apd/v3"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/pipeline/table"
)

// fold is one batch on its way over the rows.
type fold struct {
	p    *Projection
	d    *table.Def
	r    table.Reader
	o    Options
	view *filter.View

	rows    map[string]*entry
	entries []*entry // in the order in which they were met
	works   []work
	targets []target
	scanned map[string]bool // equalities whose rows are all among the entries
	journal []undo
	keyBuf  []byte
	now     table.Row // what row means to expressions
	res     *Result
}

// entry is a row that the batch has to do with.
type entry struct {
	key    table.Row
	loaded table.Row // as the table has it, nil: not there
	now    table.Row // as it is by now; a row is never written to once it stands here
}

// work is what an item comes to, found out before the rows are loaded.
type work struct {
	from, to int // its targets
	err      error
}

// target is a row by its key, with the item of each that it is for.
type target struct {
	entry *entry // nil where the step has a condition instead of a key
	elem  []byte
	index int
}

type undo struct {
	e   *entry
	was table.Row
}

// Apply folds items, in their order, over the rows that r has. An error means that the table could not be read (or ctx
// has ended); what is wrong with single events is in the Result.
func (p *Projection) Apply(ctx context.Context, r table.Reader, items []Item, o Options) (*Result, error) {
	f, _ := p.folds.Get().(*fold)
	if f == nil {
		f = &fold{p: p, d: &p.def, view: p.scope.NewView(), rows: map[string]*entry{}}
	}
	f.r, f.o, f.res = r, o, &Result{}
	res, err := f.run(ctx, items)
	f.reset()
	p.folds.Put(f)
	return res, err
}

func (f *fold) reset() {
	clear(f.rows)
	clear(f.entries)
	clear(f.targets)
	clear(f.works)
	clear(f.journal)
	f.entries, f.targets, f.works, f.journal = f.entries[:0], f.targets[:0], f.works[:0], f.journal[:0]
	f.scanned, f.now, f.r, f.o, f.res = nil, nil, nil, Options{}, nil
}

func (f *fold) run(ctx context.Context, items []Item) (*Result, error) {
	for i := range items {
		f.works = append(f.works, f.find(&items[i]))
	}
	if err := f.load(ctx); err != nil {
		return nil, err
	}
	for from := 0; from < len(items); {
		to := from + 1
		for to < len(items) && items[to].Src == items[from].Src {
			to++
		}
		if err := f.event(ctx, items, from, to); err != nil {
			return nil, err
		}
		from = to
	}
	f.collect()
	return f.res, nil
}

// changes gives the step's changes for an event of that type, the common ones and the type's own; each may be nil.
func (s *step) changes(typ string) (common, own *ops) {
	if common = s.ops; common.empty() {
		common = nil
	}
	if own = s.types[typ]; own != nil && own.empty() {
		own = nil
	}
	return common, own
}

// find works out which rows an item is for.
func (f *fold) find(it *Item) work {
	s := &f.p.steps[it.Step]
	w := work{from: len(f.targets), to: len(f.targets)}
	if common, own := s.changes(it.Event.Type); common == nil && own == nil {
		return w
	}
	f.view.Reset(it.Event)
	if s.each == nil {
		w.err = f.target(s, nil, 0)
	} else {
		w.err = f.each(s)
	}
	w.to = len(f.targets)
	return w
}

func (f *fold) each(s *step) error {
	raw, err := s.each.JSON(nil, f.view)
	if err != nil {
		return event.PoisonAs(event.CodeExpression, fmt.Errorf("project: each: %w", err))
	}
	switch rawjson.KindOf(raw) {
	case rawjson.KindNull:
		return nil
	case rawjson.KindArray:
	default:
		return refuse("each: %s is no array", rawjson.KindOf(raw))
	}
	var failed error
	n := 0
	err = rawjson.Array(raw, func(elem []byte) bool {
		f.view.SetItem(elem, n)
		failed = f.target(s, elem, n)
		n++
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return refuse("each: %w", err)
	}
	return nil
}

// target adds a target for the event and item in the view.
func (f *fold) target(s *step, elem []byte, index int) error {
	t := target{elem: elem, index: index}
	if s.where == nil {
		key := make(table.Row, len(s.key))
		for i, p := range s.key {
			v, err := f.keyPart(&f.d.Columns[i], p)
			if err != nil {
				return err
			}
			key[i] = v
		}
		t.entry = f.entry(key)
	}
	f.targets = append(f.targets, t)
	return nil
}

func (f *fold) keyPart(col *table.Column, p *filter.Program) (table.Value, error) {
	v, err := value("key", col, p, f.view)
	if err != nil {
		return nil, err
	}
	switch table.Kind(v) {
	case "":
		return nil, refuse("key %s: %s is missing or null", col.Name, p.Source())
	case table.JSON:
		return nil, refuse("key %s: %s is an array or object", col.Name, p.Source())
	}
	return v, nil
}

// entry gives the entry of a key; a new one is not loaded yet.
func (f *fold) entry(key table.Row) *entry {
	f.keyBuf = table.AppendKey(f.keyBuf[:0], key)
	e := f.rows[string(f.keyBuf)]
	if e == nil {
		e = &entry{key: key}
		f.rows[string(f.keyBuf)] = e
		f.entries = append(f.entries, e)
	}
	return e
}

// load reads the rows of all keys of the batch.
func (f *fold) load(ctx context.Context) error {
	if len(f.entries) == 0 {
		return nil
	}
	keys := make([]table.Row, len(f.entries))
	for i, e := range f.entries {
		keys[i] = e.key
	}
	rows, err := f.r.Load(ctx, f.d, keys)
	if err != nil {
		return fmt.Errorf("project: table %s: %w", f.d.Name, err)
	}
	for i, row := range rows {
		f.entries[i].loaded, f.entries[i].now = row, row
	}
	return nil
}

// event applies the items of one event, or none of them.
func (f *fold) event(ctx context.Context, items []Item, from, to int) error {
	src := items[from].Src
	if f.o.Skip != nil && f.o.Skip(src) {
		return nil
	}
	f.journal = f.journal[:0]
	for i := from; i < to; i++ {
		err := f.works[i].err
		if err == nil {
			err = f.item(ctx, &items[i], f.targets[f.works[i].from:f.works[i].to])
		}
		var broken *readError
		if errors.As(err, &broken) {
			return broken.err
		}
		if err != nil {
			f.fail(src, err)
			return nil
		}
	}
	return nil
}

func (f *fold) fail(src int, err error) {
	f.rollBack()
	if f.res.Failed == nil {
		f.res.Failed = map[int]error{}
	}
	f.res.Failed[src] = err
	if f.o.Failed != nil {
		f.o.Failed(src, err)
	}
}

func (f *fold) rollBack() {
	for _, u := range slices.Backward(f.journal) {
		u.e.now = u.was
	}
}

// readError is no event's fault: the table cannot be read.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }

func (f *fold) item(ctx context.Context, it *Item, targets []target) error {
	if len(targets) == 0 {
		return nil
	}
	s := &f.p.steps[it.Step]
	common, own := s.changes(it.Event.Type)
	f.view.Reset(it.Event)
	for i := range targets {
		t := &targets[i]
		if t.elem != nil {
			f.view.SetItem(t.elem, t.index)
		}
		if t.entry != nil {
			if err := f.change(t.entry, common, own); err != nil {
				return err
			}
			continue
		}
		found, err := f.matching(ctx, s.where)
		if err != nil {
			return err
		}
		for _, e := range found {
			if err := f.change(e, common, own); err != nil {
				return err
			}
		}
	}
	return nil
}

// change makes the common changes and then the type's own.
func (f *fold) change(e *entry, common, own *ops) error {
	if common != nil {
		if err := f.apply(e, common); err != nil {
			return err
		}
	}
	if own != nil {
		return f.apply(e, own)
	}
	return nil
}

// column gives expressions the row.
func (f *fold) column(name string) (any, bool) {
	i := f.d.Index(name)
	if i < 0 || i >= len(f.now) {
		return nil, false
	}
	return f.now[i], true
}

// show lets expressions see a row, or that there is none.
func (f *fold) show(row table.Row) {
	f.now = row
	if row == nil {
		f.view.SetRow(nil)
	} else {
		f.view.SetRow(f.column)
	}
}

// apply makes one set of changes. All expressions see the row as it was before.
func (f *fold) apply(e *entry, o *ops) error {
	f.show(e.now)
	gone := o.always
	if o.delete != nil {
		var err error
		if gone, err = o.delete.Bool(f.view); err != nil {
			return event.PoisonAs(event.CodeExpression, fmt.Errorf("project: delete: %w", err))
		}
	}
	if gone {
		f.put(e, nil)
		return nil
	}
	if e.now == nil && !o.makes() {
		return nil
	}
	next := make(table.Row, len(f.d.Columns))
	copy(next, e.key)
	copy(next, e.now)
	for _, c := range o.set {
		v, err := value("set", &f.d.Columns[c.column], c.program, f.view)
		if err != nil {
			return err
		}
		next[c.column] = v
	}
	for _, c := range o.add {
		col := &f.d.Columns[c.column]
		by, err := number("add", col, c.program, f.view)
		if err != nil {
			return err
		}
		if by == nil {
			return refuse("add %s: %s is missing or null", col.Name, c.program.Source())
		}
		if next[c.column], err = sum(col, next[c.column], by.(*apd.Decimal)); err != nil {
			return err
		}
	}
	for _, c := range o.app {
		col := &f.d.Columns[c.column]
		elem, err := c.program.JSON(nil, f.view)
		if err != nil {
			return expression("append", col.Name, err)
		}
		if next[c.column], err = push(col, next[c.column], elem); err != nil {
			return err
		}
	}
	for _, i := range o.unset {
		next[i] = nil
	}
	f.put(e, next)
	return nil
}

func (f *fold) put(e *entry, row table.Row) {
	f.journal = append(f.journal, undo{e, e.now})
	e.now = row
}

// scanKeep bounds how many rows a condition may keep in memory for the rest of the batch; a condition that more rows
// meet in the database is asked again for each event.
const scanKeep = 10_000

// matching gives the rows for which the condition is true, in the order of their keys.
func (f *fold) matching(ctx context.Context, w *where) ([]*entry, error) {
	equal := w.asked(f.d, f.view)
	id := f.equalID(equal)
	var found []*entry
	if !f.scanned[id] {
		var others []*entry // rows of the database that the batch has not met yet
		for row, err := range f.r.Scan(ctx, f.d, equal) {
			if err != nil {
				return nil, &readError{fmt.Errorf("project: table %s: %w", f.d.Name, err)}
			}
			f.keyBuf = table.AppendKey(f.keyBuf[:0], row[:len(f.d.Key)])
			if f.rows[string(f.keyBuf)] != nil {
				continue
			}
			e := &entry{key: row[:len(f.d.Key):len(f.d.Key)], loaded: row, now: row}
			if len(others) < scanKeep {
				others = append(others, e)
				continue
			}
			if f.meets(e, w, nil) {
				found = append(found, e)
			}
		}
		keep := len(found) == 0 && len(others) < scanKeep
		for _, e := range others {
			if keep || f.meets(e, w, nil) {
				f.adopt(e)
			}
		}
		for _, e := range found {
			f.adopt(e)
		}
		found = found[:0]
		if keep {
			if f.scanned == nil {
				f.scanned = map[string]bool{}
			}
			f.scanned[id] = true
		}
	}
	for _, e := range f.entries {
		if e.now != nil && f.meets(e, w, equal) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *entry) int { return table.CompareRows(a.key, b.key) })
	return found, nil
}

func (f *fold) adopt(e *entry) {
	f.keyBuf = table.AppendKey(f.keyBuf[:0], e.key)
	f.rows[string(f.keyBuf)] = e
	f.entries = append(f.entries, e)
}

// meets evaluates the condition for a row, after the cheap part of it.
func (f *fold) meets(e *entry, w *where, equal map[string]table.Value) bool {
	for name, v := range equal {
		if !table.Equal(e.now[f.d.Index(name)], v) {
			return false
		}
	}
	f.show(e.now)
	ok, err := w.program.Bool(f.view)
	if err != nil {
		f.res.Mismatches++
	}
	return ok
}

// equalID identifies a set of equalities.
func (f *fold) equalID(equal map[string]table.Value) string {
	f.keyBuf = f.keyBuf[:0]
	for i := range f.d.Columns {
		if v, ok := equal[f.d.Columns[i].Name]; ok {
			f.keyBuf = append(f.keyBuf, byte(i>>8), byte(i))
			f.keyBuf = table.AppendKey(f.keyBuf, table.Row{v})
		}
	}
	return string(f.keyBuf)
}

// collect compares what the rows were with what they are.
func (f *fold) collect() {
	for _, e := range f.entries {
		switch {
		case e.now == nil && e.loaded != nil:
			f.res.Delete = append(f.res.Delete, e.key)
		case e.now != nil && (e.loaded == nil || table.CompareRows(e.now, e.loaded) != 0):
			f.res.Put = append(f.res.Put, e.now)
		}
	}
}
