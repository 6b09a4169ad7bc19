package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatdev/leat/pipeline/table"
)

// fold is the name in lower case: names that differ in case alone are one name to other databases.
const createCatalog = `CREATE TABLE leat_tables (
  fold text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  live boolean NOT NULL,
  definition text NOT NULL,
  relay text COLLATE "C" NOT NULL,
  log_id text NOT NULL,
  position bigint NOT NULL,
  epoch bigint NOT NULL,
  columns text NOT NULL,
  updated timestamptz NOT NULL,
  resent bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (fold, version)
) WITH (fillfactor = 50)`

func (s *Store) clock() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

func exists(ctx context.Context, q Querier, name string) (kind string, err error) {
	rows, err := q.Query(ctx, "SELECT c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relname = $1", name)
	if err != nil {
		return "", err
	}
	_, err = pgx.ForEachRow(rows, []any{&kind}, func() error { return nil })
	return kind, err
}

// list reads the catalog, of one name where it is not empty: the live table first, the one being built behind it.
func list(ctx context.Context, q Querier, name string) ([]table.Info, error) {
	if kind, err := exists(ctx, q, "leat_tables"); err != nil || kind == "" {
		return nil, err
	}
	rows, err := q.Query(ctx, `SELECT version, live, definition, relay, log_id, position, epoch, columns, updated, coalesce((to_jsonb(t)->>'resent')::bigint, 0) FROM leat_tables t
WHERE $1 = '' OR fold = $1 ORDER BY fold, live DESC`, strings.ToLower(name))
	if err != nil {
		return nil, err
	}
	var (
		infos   []table.Info
		i       table.Info
		serial  int
		columns string
	)
	scanned := []any{&serial, &i.Live, &i.Definition, &i.Relay, &i.LogID, &i.Position, &i.Epoch, &columns, &i.Updated, &i.Resent}
	_, err = pgx.ForEachRow(rows, scanned, func() error {
		i.Updated = i.Updated.UTC()
		infos, err = table.List(infos, i, columns, serial)
		return err
	})
	return infos, err
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

// change runs fn in a transaction that changes tables: one at a time in a schema.
func (s *Store) change(ctx context.Context, d *table.Def, fn func(c Conn) error) error {
	return s.tx(ctx, d, func(c Conn) error {
		if err := alone(ctx, c); err != nil {
			return err
		}
		return fn(c)
	})
}

// alone waits for the turn to change tables, which ends with the transaction.
func alone(ctx context.Context, c Conn) error {
	_, err := c.Exec(ctx, "SELECT pg_advisory_xact_lock(1818583413, hashtext(current_schema()))")
	return err
}

func ensureCatalog(ctx context.Context, c Conn) error {
	kind, err := exists(ctx, c, "leat_tables")
	if err != nil {
		return err
	}
	if kind == "" {
		_, err = c.Exec(ctx, createCatalog)
		return err
	}
	// An older catalog lacks a column. The statement alone would wait for whoever writes to any table.
	rows, err := c.Query(ctx, "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('leat_tables') AND attname = 'resent'")
	if err != nil {
		return err
	}
	there := false
	if _, err := pgx.ForEachRow(rows, []any{new(int)}, func() error { there = true; return nil }); err != nil || there {
		return err
	}
	_, err = c.Exec(ctx, "ALTER TABLE leat_tables ADD COLUMN resent bigint NOT NULL DEFAULT 0")
	return err
}

// Ensure implements table.Store.
func (s *Store) Ensure(ctx context.Context, d *table.Def, definition, relay, logID string) (table.Info, error) {
	var info table.Info
	err := s.change(ctx, d, func(c Conn) error {
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
		info = table.Info{Def: def, Definition: definition, Relay: relay, LogID: logID, Rows: -1, Updated: s.clock()}
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
	if err != nil {
		return table.Info{}, err
	}
	return info, nil
}

// create makes a table, and the view that people read it by where it is live.
func (s *Store) create(ctx context.Context, c Conn, i *table.Info, live bool) error {
	d := &i.Def
	if live {
		kind, err := exists(ctx, c, d.Name)
		if err != nil {
			return err
		}
		if kind != "" {
			return fmt.Errorf("table %s: the schema has something of that name already, which is no table of leat's", d.Name)
		}
	}
	var b strings.Builder
	for n := range d.Columns {
		b.WriteString(declare(d, n))
		if n < len(d.Key) {
			b.WriteString(" NOT NULL")
		}
		b.WriteString(", ")
	}
	create := "CREATE TABLE " + quote(placeOf(d.Name, d.Serial())) + " (" + b.String() + table.TypesColumn + " text, PRIMARY KEY (" + quoteAll(d.Key) + ")) WITH (fillfactor = 80)"
	if _, err := c.Exec(ctx, create); err != nil {
		return err
	}
	if err := index(ctx, c, d); err != nil {
		return err
	}
	columns, err := d.Shape()
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, "INSERT INTO leat_tables (fold, version, live, definition, relay, log_id, position, epoch, columns, updated) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		strings.ToLower(d.Name), d.Serial(), live, i.Definition, i.Relay, i.LogID, i.Position, i.Epoch, columns, i.Updated)
	if err != nil || !live {
		return err
	}
	return show(ctx, c, d)
}

// declare gives a column's declaration. Text is ordered by its bytes, as everywhere in leat.
func declare(d *table.Def, i int) string {
	k := kind(d, i)
	if k == "text" {
		k = `text COLLATE "C"`
	}
	return quote(d.Columns[i].Name) + " " + k
}

// show makes the view that people read.
func show(ctx context.Context, c Conn, d *table.Def) error {
	var columns []string
	for _, col := range d.Columns {
		name := quote(col.Name)
		if col.Type == table.Any {
			columns = append(columns, "substr("+name+", 2) AS "+name)
		} else {
			columns = append(columns, name)
		}
	}
	_, err := c.Exec(ctx, "CREATE VIEW "+quote(d.Name)+" AS SELECT "+strings.Join(columns, ", ")+" FROM "+quote(placeOf(d.Name, d.Serial())))
	return err
}

func hide(ctx context.Context, c Conn, d *table.Def) error {
	_, err := c.Exec(ctx, "DROP VIEW IF EXISTS "+quote(d.Name))
	return err
}

// index makes the indexes that a definition names, and drops others.
func index(ctx context.Context, c Conn, d *table.Def) error {
	place := placeOf(d.Name, d.Serial())
	rows, err := c.Query(ctx, "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass($1) AND NOT i.indisprimary", quote(place))
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, columns := range d.Indexes {
		name := fmt.Sprintf("leat_index_%016x", hash(append([]string{place}, columns...)...))
		if i := slices.Index(names, name); i >= 0 {
			names = slices.Delete(names, i, i+1)
			continue
		}
		var terms []string
		for _, col := range columns {
			term := quote(col)
			if kind(d, d.Index(col)) == "json" {
				term = "(" + term + "::text)"
			}
			terms = append(terms, term)
		}
		if _, err := c.Exec(ctx, "CREATE INDEX IF NOT EXISTS "+quote(name)+" ON "+quote(place)+" ("+strings.Join(terms, ", ")+")"); err != nil {
			return err
		}
	}
	for _, name := range names {
		if _, err := c.Exec(ctx, "DROP INDEX "+quote(name)); err != nil {
			return err
		}
	}
	return nil
}

// extend adds columns and brings the indexes and the view up to date.
func (s *Store) extend(ctx context.Context, c Conn, was, now *table.Def, live bool) error {
	if live {
		if err := hide(ctx, c, now); err != nil {
			return err
		}
	}
	for i := len(was.Columns); i < len(now.Columns); i++ {
		if _, err := c.Exec(ctx, "ALTER TABLE "+quote(placeOf(now.Name, now.Serial()))+" ADD COLUMN "+declare(now, i)); err != nil {
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
	if _, err := c.Exec(ctx, "UPDATE leat_tables SET columns = $1 WHERE fold = $2 AND version = $3", columns, strings.ToLower(now.Name), now.Serial()); err != nil {
		return err
	}
	if !live {
		return nil
	}
	return show(ctx, c, now)
}

// drop removes a version's rows and its line in the catalog.
func drop(ctx context.Context, c Conn, d *table.Def) error {
	if _, err := c.Exec(ctx, "DROP TABLE "+quote(placeOf(d.Name, d.Serial()))); err != nil {
		return err
	}
	_, err := c.Exec(ctx, "DELETE FROM leat_tables WHERE fold = $1 AND version = $2", strings.ToLower(d.Name), d.Serial())
	return err
}

// advance queues the move of a checkpoint, which tells whether it could be moved.
func (s *Store) advance(b *pgx.Batch, d *table.Def, p *table.Checkpoint) *bool {
	moved := new(bool)
	b.Queue(`UPDATE leat_tables SET position = $1, epoch = $2, updated = $3, resent = CASE WHEN $9::bigint > 0 THEN $9 ELSE resent END
WHERE fold = $4 AND version = $5 AND relay = $6 AND log_id = $7 AND epoch <= $2 AND position = $8 AND position <= $1`,
		p.To, p.Epoch, s.clock(), strings.ToLower(d.Name), d.Serial(), p.Relay, p.LogID, p.From, p.Resent).Exec(func(tag pgconn.CommandTag) error {
		*moved = tag.RowsAffected() == 1
		return nil
	})
	return moved
}

// refuse says why a checkpoint could not be moved.
func refuse(ctx context.Context, c Conn, d *table.Def, p *table.Checkpoint) error {
	infos, i, err := find(ctx, c, d)
	if err != nil {
		return err
	}
	if err := infos[i].Check(p); err != nil {
		return err
	}
	return fmt.Errorf("table %s: the checkpoint could not be moved: %w", d.Name, table.ErrFenced)
}

// Take implements table.Store.
func (s *Store) Take(ctx context.Context, d *table.Def, relay string, epoch int64) (table.Info, error) {
	var info table.Info
	err := s.change(ctx, d, func(c Conn) error {
		infos, i, err := find(ctx, c, d)
		if err != nil {
			return err
		}
		tag, err := c.Exec(ctx, "UPDATE leat_tables SET epoch = $1 WHERE fold = $2 AND version = $3 AND relay = $4 AND epoch <= $1", epoch, strings.ToLower(d.Name), d.Serial(), relay)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return fmt.Errorf("table %s: relay %q has it under epoch %d: %w", d.Name, infos[i].Relay, infos[i].Epoch, table.ErrFenced)
		}
		// Read again: the former owner may have moved it while its row was waited for.
		if infos, i, err = find(ctx, c, d); err == nil {
			info = infos[i]
		}
		return err
	})
	return info, err
}

// Rebuild implements table.Store.
func (s *Store) Rebuild(ctx context.Context, d *table.Def, relay string, epoch int64) (table.Info, error) {
	var info table.Info
	err := s.change(ctx, d, func(c Conn) error {
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
		info = table.Info{Def: def, Definition: live.Definition, Relay: relay, LogID: live.LogID, Epoch: epoch, Rows: -1, Building: def.Version, Updated: s.clock()}
		return s.create(ctx, c, &info, false)
	})
	return info, err
}

// Abandon implements table.Store.
func (s *Store) Abandon(ctx context.Context, d *table.Def) error {
	return s.change(ctx, d, func(c Conn) error {
		infos, err := list(ctx, c, d.Name)
		if err != nil || !table.AdmitAbandon(infos, d) {
			return err
		}
		return drop(ctx, c, &infos[1].Def)
	})
}

// Swap implements table.Store.
func (s *Store) Swap(ctx context.Context, d *table.Def) error {
	return s.change(ctx, d, func(c Conn) error { return swap(ctx, c, d) })
}

func swap(ctx context.Context, c Conn, d *table.Def) error {
	infos, _, err := find(ctx, c, d)
	if err != nil {
		return err
	}
	i, err := table.AdmitSwap(infos, d)
	if err != nil || i == 0 {
		return err
	}
	if err := hide(ctx, c, d); err != nil {
		return err
	}
	if err := drop(ctx, c, &infos[0].Def); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, "UPDATE leat_tables SET live = true WHERE fold = $1 AND version = $2", strings.ToLower(d.Name), d.Serial()); err != nil {
		return err
	}
	return show(ctx, c, &infos[i].Def)
}

// SwapIn is Swap within a transaction that somebody else commits.
func (s *Store) SwapIn(ctx context.Context, c Conn, d *table.Def) error {
	err := alone(ctx, c)
	if err == nil {
		err = swap(ctx, c, d)
	}
	return s.explain(ctx, d, err)
}

// RenameRelay implements table.Renamer.
func (s *Store) RenameRelay(ctx context.Context, was, now string) error {
	return s.change(ctx, &table.Def{Name: "leat_tables"}, func(c Conn) error {
		if kind, err := exists(ctx, c, "leat_tables"); err != nil || kind == "" {
			return err
		}
		_, err := c.Exec(ctx, "UPDATE leat_tables SET relay = $2 WHERE relay = $1 AND NOT EXISTS (SELECT FROM leat_tables WHERE relay = $2)", was, now)
		return err
	})
}

// countUpTo is how far Tables counts the rows of a table.
const countUpTo = 100_000

// Tables implements table.Store. Rows are counted up to 100,000; beyond that they are -1.
func (s *Store) Tables(ctx context.Context) ([]table.Info, error) {
	infos, err := list(ctx, s.readers, "")
	if err != nil {
		return nil, s.explain(ctx, &table.Def{Name: "leat_tables"}, err)
	}
	for n := range infos {
		d := &infos[n].Def
		var count int64
		rows, err := s.readers.Query(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT FROM %s LIMIT %d) t", quote(placeOf(d.Name, d.Serial())), countUpTo+1))
		if err == nil {
			_, err = pgx.ForEachRow(rows, []any{&count}, func() error { return nil })
		}
		var fenced error
		if err != nil {
			if fenced = s.explain(ctx, d, err); errors.Is(fenced, table.ErrFenced) { // it was swapped away meanwhile
				continue
			}
			return nil, fenced
		}
		if count <= countUpTo {
			infos[n].Rows = count
		}
	}
	return infos, nil
}
