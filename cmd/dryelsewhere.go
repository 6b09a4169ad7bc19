package cmd

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"slices"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/table"
)

// dryBases are a store's tables, with those that lie in other databases in their places. They are read, no more.
type dryBases struct {
	table.Store
	elsewhere map[string]table.Store // by table; nil: it begins empty
}

// Query implements table.Store.
func (t dryBases) Query(ctx context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	in, ok := t.elsewhere[q.Table]
	switch {
	case !ok:
		return t.Store.Query(ctx, q)
	case in == nil:
		return table.Def{}, nil, &table.UnknownError{Kind: "table", Name: q.Table}
	}
	return in.Query(ctx, q)
}

// readElsewhere opens the databases of tables that do not lie beside the store for reading; elsewhere has their names, by
// table. D's lock is held.
func (a *app) readElsewhere(ctx context.Context, d *dryRun, cfg *config.Config, store table.Store, elsewhere map[string]string) table.Store {
	if len(elsewhere) == 0 {
		return store
	}
	out := dryBases{store, map[string]table.Store{}}
	for _, name := range slices.Sorted(maps.Keys(elsewhere)) {
		in := elsewhere[name]
		if _, known := d.databases[in]; !known {
			d.databases[in] = a.openElsewhere(ctx, in, cfg.Databases[in])
		}
		out.elsewhere[name] = nil
		if db := d.databases[in]; db != nil {
			out.elsewhere[name] = db
		}
	}
	return out
}

// openElsewhere opens one of them; nil with words where there is none to read.
func (a *app) openElsewhere(ctx context.Context, name string, plugin config.Plugin) table.Database {
	db, err := table.OpenReading(ctx, plugin)
	switch {
	case err == nil:
		a.say("leat: dry run: tables in the database %s are read; nothing is written to it", name)
		return db
	case errors.Is(err, fs.ErrNotExist):
		a.say("leat: dry run: the database %s is not there yet: its tables begin empty", name)
	default:
		a.say("leat: dry run: the database %s cannot be read, and its tables are taken as empty: %v", name, err)
	}
	return nil
}
