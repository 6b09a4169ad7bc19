package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// apart is what a table in another database than the store's needs to have each event's effect once. Rows and
// checkpoint are one transaction there; what is parked, and what is taken from the parked events, is one in the store.
// Whatever ends between the two is made up for:
//
// Events are parked before the checkpoint passes them. After a crash between, their entries stand ahead of the
// checkpoint: such events are passed without being applied, before any entry is sent again.
//
// An entry that was sent again is taken away after its effect was written, together with its id. After a crash between,
// the table says that this id, the last one, is done.
//
// Both go by the relay's epoch, in the store and in the table.
type apart struct {
	base   int64          // the relay's place in the store, where it was to start; it stays
	resent int64          // the entry whose effect was written last
	ahead  map[int64]bool // positions beyond the checkpoint that have entries
	upTo   int64          // the last of them, 0 where there is none
}

// tablesOf gives the store of tables that holds a table: the database that its definition names, else the store's.
func (p *pipe) tablesOf(name string) (table.Store, error) {
	t := p.env.tables[name]
	if t == nil || t.In == "" {
		return p.store.Tables(), nil
	}
	db := p.env.database(t.In)
	if db == nil {
		return nil, fmt.Errorf("pipeline: no database is called %q", t.In)
	}
	return db, nil
}

// note remembers an entry that stands ahead of the checkpoint.
func (a *apart) note(position, checkpoint int64) {
	if a == nil || position <= checkpoint {
		return
	}
	if a.ahead == nil {
		a.ahead = map[int64]bool{}
	}
	a.ahead[position] = true
	a.upTo = max(a.upTo, position)
}

// has reports whether an event has an entry already.
func (a *apart) has(position int64) bool { return a != nil && a.ahead[position] }

// left leaves out what has an entry already.
func (a *apart) left(park []parkedEvent) []parkedEvent {
	if a == nil || len(a.ahead) == 0 {
		return park
	}
	return slices.DeleteFunc(slices.Clone(park), func(e parkedEvent) bool { return a.ahead[e.Position] })
}

// early reports whether entries must not be sent again yet, as the relay has not passed all of them.
func (r *relay) early() bool {
	t, ok := r.target.(*tableTarget)
	return ok && ((t.apart != nil && t.apart.upTo > r.position.Load()) || t.keptTo > r.position.Load())
}

// passed forgets the entries ahead once the relay has passed them, and takes up what waited for that.
func (a *apart) passed(r *relay) {
	if a.upTo > 0 && r.position.Load() >= a.upTo {
		a.upTo = 0
		clear(a.ahead)
		r.poke()
	}
}

// apply writes w in the order that apart promises.
func (a *apart) apply(ctx context.Context, t *tableTarget, r *relay, w *table.Write) error {
	move := func(advance eventstore.Advance) error {
		advance.Relay, advance.Epoch, advance.From, advance.To = r.plan.id, r.epoch(), a.base, a.base
		return r.persist(ctx, func() error { return r.pipe.store.AdvanceRelay(ctx, advance) })
	}
	park, unpark := w.Park, w.Unpark
	if len(park) > 0 {
		if err := move(eventstore.Advance{Park: park}); err != nil {
			return err
		}
	}
	w.Park, w.Unpark = nil, nil
	c := w.Checkpoint
	if len(unpark) > 0 {
		c.Resent = unpark[0]
	}
	tried := false
	err := r.persist(ctx, func() error {
		if tried { // perhaps it went through, and its answer was lost
			info, err := t.tables.Take(ctx, t.def, r.plan.id, r.epoch())
			if err != nil {
				return err
			}
			if (c.To > c.From && info.Position == c.To) || (c.Resent > 0 && info.Resent == c.Resent) {
				return nil
			}
		}
		tried = true
		return t.tables.Apply(ctx, w)
	})
	if err != nil {
		return err
	}
	if c.Resent > 0 {
		a.resent = c.Resent
		return a.unpark(ctx, r, unpark)
	}
	return nil
}

// unpark takes entries away whose effect is written; one that is gone already is none's loss.
func (a *apart) unpark(ctx context.Context, r *relay, ids []int64) error {
	err := r.persist(ctx, func() error {
		return r.pipe.store.AdvanceRelay(ctx, eventstore.Advance{Relay: r.plan.id, Epoch: r.epoch(), From: a.base, To: a.base, Unpark: ids})
	})
	if errors.Is(err, eventstore.ErrGone) {
		return nil
	}
	return err
}

// openDatabases opens the databases that tables of a config lie in and that are not open yet.
func (d *Daemon) openDatabases(ctx context.Context, cfg *config.Config) error {
	for _, name := range slices.Sorted(maps.Keys(cfg.Databases)) {
		used := false
		for _, t := range cfg.Tables {
			used = used || t.In == name
		}
		if !used || d.database(name) != nil {
			continue
		}
		db, err := d.o.OpenDatabase(ctx, name, cfg.Databases[name])
		if err != nil {
			return fmt.Errorf("database %s: %w", name, err)
		}
		d.mu.Lock()
		d.databases[name] = db
		d.mu.Unlock()
	}
	return nil
}

// database gives an open database, nil where there is none of that name.
func (d *Daemon) database(name string) table.Store {
	d.mu.Lock()
	defer d.mu.Unlock()
	if db, ok := d.databases[name]; ok {
		return db
	}
	return nil
}

// StoreWithTables gives an open store whose tables are, for reading, also those that lie in other databases.
func (d *Daemon) StoreWithTables(name string) (eventstore.Store, bool) {
	s, ok := d.Store(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !ok || len(d.databases) == 0 {
		return s, ok
	}
	all := allTables{Store: s.Tables()}
	for _, db := range slices.Sorted(maps.Keys(d.databases)) {
		all.others = append(all.others, d.databases[db])
	}
	return tabled{s, all}, true
}

type tabled struct {
	eventstore.Store
	tables allTables
}

func (s tabled) Tables() table.Store { return s.tables }

// allTables are a store's tables, and behind them those of other databases.
type allTables struct {
	table.Store
	others []table.Database
}

// Tables implements table.Store.
func (a allTables) Tables(ctx context.Context) ([]table.Info, error) {
	all, err := a.Store.Tables(ctx)
	for _, db := range a.others {
		more, e := db.Tables(ctx)
		all, err = append(all, more...), errors.Join(err, e)
	}
	return all, err
}

// Query implements table.Store: a name means the store's own table where there is one.
func (a allTables) Query(ctx context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	def, rows, err := a.Store.Query(ctx, q)
	var unknown *table.UnknownError
	if !errors.As(err, &unknown) || unknown.Kind != "table" {
		return def, rows, err
	}
	for _, db := range a.others {
		def, rows, other := db.Query(ctx, q)
		var here *table.UnknownError
		if !errors.As(other, &here) || here.Kind != "table" {
			return def, rows, other
		}
		unknown.Have = append(unknown.Have, here.Have...)
	}
	return def, rows, err
}
