// Package postgres keeps tables in a PostgreSQL database, the event store's own or any other.
//
// People read a table with any client under its plain name, which is a view; the rows of version 1 of orders lie in
// leat_orders_v1, so that the next version is built beside it and takes its place in one transaction. The catalog
// leat_tables keeps each table's definition, relay and checkpoint.
//
// A value reads back just as it was written. Numbers are numeric, times timestamptz; the nanoseconds that those have no
// room for are in the column leat_types, which the view leaves out. A time in a key is text of one width, so that it is
// exact. A column of any type is text that starts with a letter for the type, which the view leaves out. What is in a
// key or an index has the bounds of PostgreSQL's: about 2,700 bytes, compressed.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/table"
)

// Store keeps tables in a schema of a PostgreSQL database. It is safe for concurrent use. How durable a commit is, the
// sessions' settings say. An error by which the database cannot read or write at present is event.Unavailable.
type Store struct {
	readers Querier
	write   WriteFunc
	park    ParkFunc
	now     func() time.Time
}

var (
	_ table.Store   = (*Store)(nil)
	_ table.Renamer = (*Store)(nil)
)

// New makes a store over an open database. Readers see what write has committed; write is nil where the database is
// open for reading only; park is nil where no event store lies in the database. Nothing is touched yet.
func New(readers Querier, write WriteFunc, park ParkFunc) *Store {
	s := &Store{readers: readers, write: write, park: park, now: time.Now}
	if write == nil {
		s.write = func(context.Context, func(Conn) error) error {
			return errors.New("the database is open for reading only")
		}
	}
	return s
}

// WithStore implements table.Store.
func (s *Store) WithStore() bool { return s.park != nil }

// Apply implements table.Store.
func (s *Store) Apply(ctx context.Context, w *table.Write) error {
	if len(w.Park)+len(w.Unpark) > 0 && s.park == nil {
		return fmt.Errorf("table %s: nothing can be parked beside it", w.Def.Name)
	}
	sh, err := newShape(w.Def)
	if err != nil {
		return err
	}
	rows, err := sh.encode(w.Put, w.Delete)
	if err != nil {
		return err
	}
	return s.tx(ctx, w.Def, func(c Conn) error {
		if err := s.put(ctx, c, sh, w, rows); err != nil {
			return err
		}
		if len(w.Park)+len(w.Unpark) > 0 {
			return s.park(ctx, c, w.Park, w.Unpark)
		}
		return nil
	})
}

// put moves the checkpoint and writes the rows, in one round trip; a write without a checkpoint goes to any version
// that is still there.
func (s *Store) put(ctx context.Context, c Conn, sh *shape, w *table.Write, rows *encoded) error {
	if w.Checkpoint == nil {
		if _, _, err := find(ctx, c, w.Def); err != nil {
			return err
		}
		return sh.write(ctx, c, rows)
	}
	b := &pgx.Batch{}
	moved := s.advance(b, w.Def, w.Checkpoint)
	sh.queue(b, rows)
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if !*moved {
		return refuse(ctx, c, w.Def, w.Checkpoint)
	}
	return nil
}

// tx runs fn in a transaction.
func (s *Store) tx(ctx context.Context, d *table.Def, fn func(c Conn) error) error {
	return s.explain(ctx, d, s.write(ctx, fn))
}

// explain turns the database's word that a table is not there into ours, names the table, and tells an outage from
// other errors. What is under way is over: it asks on a connection of its own.
func (s *Store) explain(ctx context.Context, d *table.Def, err error) error {
	var e *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &e) && e.Code == "42P01":
		if _, _, unknown := find(ctx, s.readers, d); unknown != nil {
			return unknown
		}
	case Outage(err):
		if _, ok := event.AsUnavailable(err); !ok {
			err = event.Unavailable(0, err)
		}
		return fmt.Errorf("table %s: %w", d.Name, err)
	}
	if e != nil {
		return fmt.Errorf("table %s: %w", d.Name, err)
	}
	return err
}

// Load implements table.Reader. It is one statement and so one snapshot.
func (s *Store) Load(ctx context.Context, d *table.Def, keys []table.Row) ([]table.Row, error) {
	rows, err := reader{s.readers}.load(ctx, d, keys)
	return rows, s.explain(ctx, d, err)
}

// Scan implements table.Reader. It reads from one snapshot and holds one of the readers' connections until it ends.
func (s *Store) Scan(ctx context.Context, d *table.Def, equal map[string]table.Value) iter.Seq2[table.Row, error] {
	return func(yield func(table.Row, error) bool) {
		err := reader{s.readers}.scan(ctx, d, equal, func(r table.Row) bool { return yield(r, nil) })
		if err != nil {
			yield(nil, s.explain(ctx, d, err))
		}
	}
}

// Tx is the tables inside a transaction that somebody else commits: an append's, for projections that are inline. An
// error of the database leaves the transaction to be rolled back to where its owner can.
func (s *Store) Tx(c Conn) table.Tx { return txn{s, c} }

type txn struct {
	s *Store
	c Conn
}

// Load implements table.Reader.
func (t txn) Load(ctx context.Context, d *table.Def, keys []table.Row) ([]table.Row, error) {
	rows, err := reader{t.c}.load(ctx, d, keys)
	return rows, t.s.explain(ctx, d, err)
}

// Scan implements table.Reader. The rows are in memory before the first is handed over: the transaction's connection
// can do one thing at a time.
func (t txn) Scan(ctx context.Context, d *table.Def, equal map[string]table.Value) iter.Seq2[table.Row, error] {
	return func(yield func(table.Row, error) bool) {
		var rows []table.Row
		err := reader{t.c}.scan(ctx, d, equal, func(r table.Row) bool { rows = append(rows, r); return true })
		if err != nil {
			yield(nil, t.s.explain(ctx, d, err))
			return
		}
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Write implements table.Tx.
func (t txn) Write(ctx context.Context, d *table.Def, put, del []table.Row) error {
	sh, err := newShape(d)
	if err != nil {
		return err
	}
	rows, err := sh.encode(put, del)
	if err != nil {
		return err
	}
	return t.s.explain(ctx, d, sh.write(ctx, t.c, rows))
}
