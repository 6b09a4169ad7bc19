package sqlite

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/table"
)

const createCatalog = `CREATE TABLE IF NOT EXISTS leat_tables (
	name TEXT NOT NULL COLLATE NOCASE,
	version INTEGER NOT NULL,
	live INTEGER NOT NULL,
	definition TEXT NOT NULL,
	relay TEXT NOT NULL,
	log_id TEXT NOT NULL,
	position INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	columns TEXT NOT NULL,
	updated TEXT NOT NULL,
	resent INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (name, version)
) WITHOUT ROWID`

// list reads the catalog, of one name where it is not empty: the live table first, the one being built behind it.
func list(ctx context.Context, q Querier, name string) ([]table.Info, error) {
	r := reader{q}
	catalog, err := catalogOf(ctx, q)
	if err != nil || catalog == "" {
		return nil, err
	}
	query := "SELECT version,live,definition,relay,log_id,position,epoch,columns,updated,resent FROM leat_tables"
	if !strings.Contains(catalog, "resent") {
		query = strings.Replace(query, ",resent", ",0", 1)
	}
	var args []any
	if name != "" {
		query, args = query+" WHERE name=?", []any{name}
	}
	var infos []table.Info
	err = r.each(ctx, 10, query+" ORDER BY name, live DESC", args, func(raw []any) (bool, error) {
		at, err := time.Parse(time.RFC3339Nano, raw[8].(string))
		if err != nil {
			return false, fmt.Errorf("table: the catalog leat_tables is damaged: %w", err)
		}
		i := table.Info{
			Live: raw[1].(int64) != 0, Definition: raw[2].(string), Relay: raw[3].(string), LogID: raw[4].(string),
			Position: raw[5].(int64), Epoch: raw[6].(int64), Resent: raw[9].(int64), Updated: at,
		}
		infos, err = table.List(infos, i, raw[7].(string), int(raw[0].(int64)))
		return true, err
	})
	return infos, err
}

// catalogOf gives the statement that made the catalog, "" where there is none. Older ones lack the column resent.
func catalogOf(ctx context.Context, q Querier) (statement string, err error) {
	err = reader{q}.each(ctx, 1, "SELECT sql FROM sqlite_master WHERE type='table' AND name='leat_tables'", nil, func(raw []any) (bool, error) {
		statement = raw[0].(string)
		return true, nil
	})
	return statement, err
}

// ensureCatalog makes the catalog, or brings it up to date.
func ensureCatalog(ctx context.Context, c Conn) error {
	catalog, err := catalogOf(ctx, c)
	switch {
	case err != nil:
		return err
	case catalog == "":
		_, err = c.ExecContext(ctx, createCatalog)
	case !strings.Contains(catalog, "resent"):
		_, err = c.ExecContext(ctx, "ALTER TABLE leat_tables ADD COLUMN resent INTEGER NOT NULL DEFAULT 0")
	}
	return err
}

// find gives what the catalog has under d's name, and which of it d's version is.
func find(ctx context.Context, q Querier, d *table.Def) ([]table.Info, int, error) {
	infos, err := list(ctx, q, d.Name)
	if err != nil {
		return nil, -1, err
	}
	if len(infos) == 0 {
		return nil, -1, unknownTable(ctx, q, d.Name)
	}
	i, err := table.Find(infos, d)
	return infos, i, err
}

func unknownTable(ctx context.Context, q Querier, name string) error {
	infos, err := list(ctx, q, "")
	if err != nil {
		return err
	}
	return table.Unknown(name, infos)
}

// Ensure implements table.Store.
func (s *Store) Ensure(ctx context.Context, d *table.Def, definition, relay, logID string) (table.Info, error) {
	var info table.Info
	err := s.write(ctx, func(c Conn) error {
		if err := ensureCatalog(ctx, c); err != nil {
			return err
		}
		infos, err := list(ctx, c, d.Name)
		if err != nil {
			return err
		}
		at, def, err := table.Admit(infos, d, definition, relay, logID)
		if err != nil {
			return err
		}
		if at >= 0 {
			info = infos[at]
			if info.Def.Same(&def) {
				return nil
			}
			err = s.extend(ctx, c, &info.Def, &def, at == 0)
			info.Def = def
			return err
		}
		info = table.Info{Def: def, Definition: definition, Relay: relay, LogID: logID, Rows: -1, Updated: s.now().UTC()}
		if len(infos) == 0 {
			info.Live = true
			return s.create(ctx, c, &info, true)
		}
		if len(infos) > 1 {
			if err := drop(ctx, c, &infos[1].Def); err != nil {
				return err
			}
		}
		info.Building = def.Version
		return s.create(ctx, c, &info, false)
	})
	return info, wrap(d, err)
}

// create makes a table, and the view that people read it by where it is live.
func (s *Store) create(ctx context.Context, c Conn, i *table.Info, live bool) error {
	d := &i.Def
	if live {
		if err := nameIsFree(ctx, c, d.Name); err != nil {
			return err
		}
	}
	var b strings.Builder
	for n, col := range d.Columns {
		b.WriteString(declare(col))
		if n < len(d.Key) {
			b.WriteString(" NOT NULL")
		}
		b.WriteString(", ")
	}
	create := "CREATE TABLE " + quote(placeOf(d.Name, d.Serial())) + " (" + b.String() + table.TypesColumn + " TEXT, PRIMARY KEY (" + quoteAll(d.Key) + ")) WITHOUT ROWID"
	if _, err := c.ExecContext(ctx, create); err != nil {
		return err
	}
	if err := index(ctx, c, d); err != nil {
		return err
	}
	columns, err := d.Shape()
	if err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, "INSERT INTO leat_tables (name,version,live,definition,relay,log_id,position,epoch,columns,updated) VALUES (?,?,?,?,?,?,?,?,?,?)",
		d.Name, int64(d.Serial()), live, i.Definition, i.Relay, i.LogID, i.Position, i.Epoch, columns, i.Updated.Format(stamp))
	if err != nil || !live {
		return err
	}
	return show(ctx, c, d)
}

// nameIsFree refuses a name that the database has for something else.
func nameIsFree(ctx context.Context, c Conn, name string) error {
	return reader{c}.each(ctx, 1, "SELECT type FROM sqlite_master WHERE name=? COLLATE NOCASE", []any{name}, func(raw []any) (bool, error) {
		return false, fmt.Errorf("table %s: the database has a %s of that name already, which is no table of leat's", name, raw[0])
	})
}

// declare gives a column's declaration. Columns of numbers and of any type have no type in SQLite, as each of its
// types would change some of their values.
func declare(c table.Column) string {
	switch c.Type {
	case table.Text, table.Timestamp, table.JSON:
		return quote(c.Name) + " TEXT"
	}
	return quote(c.Name)
}

// show makes the view that people read.
func show(ctx context.Context, c Conn, d *table.Def) error {
	if _, err := c.ExecContext(ctx, "DROP VIEW IF EXISTS "+quote(d.Name)); err != nil {
		return err
	}
	_, err := c.ExecContext(ctx, "CREATE VIEW "+quote(d.Name)+" AS SELECT "+quoteAll(d.Names())+" FROM "+quote(placeOf(d.Name, d.Serial())))
	return err
}

// index makes the indexes that a definition names, and drops others.
func index(ctx context.Context, c Conn, d *table.Def) error {
	place := placeOf(d.Name, d.Serial())
	drop := map[string]bool{}
	err := reader{c}.each(ctx, 1, "SELECT name FROM sqlite_master WHERE type='index' AND tbl_name=? COLLATE NOCASE AND sql IS NOT NULL", []any{place}, func(raw []any) (bool, error) {
		drop[raw[0].(string)] = true
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, columns := range d.Indexes {
		h := fnv.New64a()
		for _, col := range columns {
			h.Write([]byte(col + "\x00"))
		}
		name := fmt.Sprintf("%s_%016x", place, h.Sum64())
		if drop[name] {
			delete(drop, name)
			continue
		}
		if _, err := c.ExecContext(ctx, "CREATE INDEX IF NOT EXISTS "+quote(name)+" ON "+quote(place)+" ("+quoteAll(columns)+")"); err != nil {
			return err
		}
	}
	for name := range drop {
		if _, err := c.ExecContext(ctx, "DROP INDEX "+quote(name)); err != nil {
			return err
		}
	}
	return nil
}

// extend adds columns and brings the indexes and the view up to date.
func (s *Store) extend(ctx context.Context, c Conn, was, now *table.Def, live bool) error {
	for _, col := range now.Columns[len(was.Columns):] {
		if _, err := c.ExecContext(ctx, "ALTER TABLE "+quote(placeOf(now.Name, now.Serial()))+" ADD COLUMN "+declare(col)); err != nil {
			return err
		}
	}
	if err := index(ctx, c, now); err != nil {
		return err
	}
	columns, err := now.Shape()
	if err != nil {
		return err
	}
	if _, err := c.ExecContext(ctx, "UPDATE leat_tables SET columns=? WHERE name=? AND version=?", columns, now.Name, int64(now.Serial())); err != nil {
		return err
	}
	if !live {
		return nil
	}
	return show(ctx, c, now)
}

// drop removes a version's rows and its line in the catalog.
func drop(ctx context.Context, c Conn, d *table.Def) error {
	if _, err := c.ExecContext(ctx, "DROP TABLE "+quote(placeOf(d.Name, d.Serial()))); err != nil {
		return err
	}
	_, err := c.ExecContext(ctx, "DELETE FROM leat_tables WHERE name=? AND version=?", d.Name, int64(d.Serial()))
	return err
}

// advance moves a checkpoint, or says why it cannot.
func (s *Store) advance(ctx context.Context, c Conn, d *table.Def, p *table.Checkpoint) error {
	res, err := c.ExecContext(ctx, `UPDATE leat_tables SET position=?, epoch=?, updated=?, resent=CASE WHEN ? > 0 THEN ? ELSE resent END
		WHERE name=? AND version=? AND relay=? AND log_id=? AND epoch<=? AND position=? AND position<=?`,
		p.To, p.Epoch, s.now().UTC().Format(stamp), p.Resent, p.Resent, d.Name, int64(d.Serial()), p.Relay, p.LogID, p.Epoch, p.From, p.To)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	infos, i, err := find(ctx, c, d)
	if err != nil {
		return err
	}
	if err := infos[i].Check(p); err != nil {
		return err
	}
	return fmt.Errorf("table %s: the checkpoint could not be moved", d.Name)
}

// Take implements table.Store.
func (s *Store) Take(ctx context.Context, d *table.Def, relay string, epoch int64) (table.Info, error) {
	var info table.Info
	err := s.tx(ctx, d, func(ctx context.Context, c Conn) error {
		infos, i, err := find(ctx, c, d)
		if err != nil {
			return err
		}
		if infos[i].Relay != relay || infos[i].Epoch > epoch {
			return fmt.Errorf("table %s: relay %q has it under epoch %d: %w", d.Name, infos[i].Relay, infos[i].Epoch, table.ErrFenced)
		}
		if _, err := c.ExecContext(ctx, "UPDATE leat_tables SET epoch=? WHERE name=? AND version=?", epoch, d.Name, int64(d.Serial())); err != nil {
			return err
		}
		info = infos[i]
		info.Epoch = epoch
		return nil
	})
	return info, err
}

// Rebuild implements table.Store.
func (s *Store) Rebuild(ctx context.Context, d *table.Def, relay string, epoch int64) (table.Info, error) {
	var info table.Info
	err := s.tx(ctx, d, func(ctx context.Context, c Conn) error {
		infos, _, err := find(ctx, c, d)
		if err != nil {
			return err
		}
		def, err := table.AdmitRebuild(infos, d, relay, epoch)
		if err != nil {
			return err
		}
		if len(infos) > 1 {
			if err := drop(ctx, c, &infos[1].Def); err != nil {
				return err
			}
		}
		live := &infos[0]
		info = table.Info{Def: def, Definition: live.Definition, Relay: relay, LogID: live.LogID, Epoch: epoch, Rows: -1, Building: def.Version, Updated: s.now().UTC()}
		return s.create(ctx, c, &info, false)
	})
	return info, err
}

// Abandon implements table.Store.
func (s *Store) Abandon(ctx context.Context, d *table.Def) error {
	return s.tx(ctx, d, func(ctx context.Context, c Conn) error {
		infos, err := list(ctx, c, d.Name)
		if err != nil || !table.AdmitAbandon(infos, d) {
			return err
		}
		return drop(ctx, c, &infos[1].Def)
	})
}

// Swap implements table.Store.
func (s *Store) Swap(ctx context.Context, d *table.Def) error {
	return s.tx(ctx, d, func(ctx context.Context, c Conn) error {
		infos, _, err := find(ctx, c, d)
		if err != nil {
			return err
		}
		i, err := table.AdmitSwap(infos, d)
		if err != nil || i == 0 {
			return err
		}
		if err := drop(ctx, c, &infos[0].Def); err != nil {
			return err
		}
		if _, err := c.ExecContext(ctx, "UPDATE leat_tables SET live=1 WHERE name=? AND version=?", d.Name, int64(d.Serial())); err != nil {
			return err
		}
		return show(ctx, c, &infos[i].Def)
	})
}

// RenameRelay implements table.Renamer.
func (s *Store) RenameRelay(ctx context.Context, was, now string) error {
	err := s.write(ctx, func(c Conn) error {
		if err := ensureCatalog(ctx, c); err != nil {
			return err
		}
		_, err := c.ExecContext(ctx, "UPDATE leat_tables SET relay=? WHERE relay=? AND NOT EXISTS (SELECT 1 FROM leat_tables WHERE relay=?)", now, was, now)
		return err
	})
	return wrap(&table.Def{Name: "leat_tables"}, err)
}

// countUpTo is how far Tables counts the rows of a table.
const countUpTo = 100_000

// Tables implements table.Store. Rows are counted up to 100,000; beyond that they are -1.
func (s *Store) Tables(ctx context.Context) ([]table.Info, error) {
	infos, err := list(ctx, s.readers, "")
	if err != nil {
		return nil, wrap(&table.Def{Name: "leat_tables"}, err)
	}
	for n := range infos {
		d := &infos[n].Def
		err := reader{s.readers}.each(ctx, 1, fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d)", quote(placeOf(d.Name, d.Serial())), countUpTo+1), nil, func(raw []any) (bool, error) {
			if count := raw[0].(int64); count <= countUpTo {
				infos[n].Rows = count
			}
			return true, nil
		})
		if err != nil && !isCode(err, 1) { // it was swapped away meanwhile
			return nil, wrap(d, err)
		}
	}
	return infos, nil
}
