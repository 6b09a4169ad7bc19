// Package sqlite keeps tables in a SQLite database, the event store's own or any other.
//
// People read a table with any SQLite tool under its plain name, which is a view; the rows of version 1 of orders lie
// in leat_orders_v1, so that the next version is built beside it and takes its place in one transaction. The catalog
// leat_tables keeps each table's definition, relay and checkpoint.
//
// A value reads back just as it was written. Numbers are INTEGER where they fit 64 bits, REAL where its shortest
// decimal form is the number again, else TEXT; times are TEXT in UTC with nine digits of a second, so that they sort;
// booleans are 0 and 1. The column leat_types, which the view leaves out, names the type of what does not tell it by
// itself in a column of any type. Numbers that only TEXT can hold sort behind the others where they are part of a key
// or in a column of any type.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/table"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// Store keeps tables in a SQLite database. It is safe for concurrent use. How durable a commit is, the database's own
// settings say. An error by which the database cannot read or write at present (busy, disk full) is
// event.Unavailable.
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

// SetClock sets the clock behind Info.Updated; it is for the time before the store is used.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

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
	return s.tx(ctx, w.Def, func(ctx context.Context, c Conn) error {
		if err := s.admit(ctx, c, w); err != nil {
			return err
		}
		if err := sh.write(ctx, c, rows); err != nil {
			return err
		}
		if len(w.Park)+len(w.Unpark) > 0 {
			return s.park(ctx, c, w.Park, w.Unpark)
		}
		return nil
	})
}

// admit moves the checkpoint; a write without one goes to any version that is still there.
func (s *Store) admit(ctx context.Context, c Conn, w *table.Write) error {
	if w.Checkpoint == nil {
		_, _, err := find(ctx, c, w.Def)
		return err
	}
	return s.advance(ctx, c, w.Def, w.Checkpoint)
}

// tx runs fn in a transaction. Within it nothing listens to ctx: database/sql would start a goroutine for each
// statement; the write is short, and whoever gave up before it began is told so.
func (s *Store) tx(ctx context.Context, d *table.Def, fn func(ctx context.Context, c Conn) error) error {
	err := s.write(ctx, func(c Conn) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		inner := context.WithoutCancel(ctx)
		err := fn(inner, c)
		return diagnose(inner, c, d, err)
	})
	return wrap(d, err)
}

// diagnose turns the database's word that a table is not there into ours.
func diagnose(ctx context.Context, q Querier, d *table.Def, err error) error {
	if !isCode(err, lib.SQLITE_ERROR) {
		return err
	}
	if _, _, unknown := find(ctx, q, d); unknown != nil {
		return unknown
	}
	return err
}

func isCode(err error, codes ...int) bool {
	var e *driver.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code()&0xff == c {
			return true
		}
	}
	return false
}

// wrap names the table, and tells an outage from other errors.
func wrap(d *table.Def, err error) error {
	if err == nil {
		return nil
	}
	if isCode(err, lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_CANTOPEN, lib.SQLITE_NOMEM) {
		if _, ok := event.AsUnavailable(err); !ok {
			err = event.Unavailable(0, err)
		}
	}
	var e *driver.Error
	if errors.As(err, &e) || errors.Is(err, sql.ErrConnDone) {
		return fmt.Errorf("table %s: %w", d.Name, err)
	}
	return err
}

// Load implements table.Reader. Each 250 keys are one statement and so one snapshot; a relay that loads more while
// another owner writes has lost its checkpoint and cannot commit what it made of them.
func (s *Store) Load(ctx context.Context, d *table.Def, keys []table.Row) ([]table.Row, error) {
	return reader{s.readers}.Load(ctx, d, keys)
}

// Scan implements table.Reader. It reads from one snapshot and holds one of the readers' connections until it ends.
func (s *Store) Scan(ctx context.Context, d *table.Def, equal map[string]table.Value) iter.Seq2[table.Row, error] {
	return reader{s.readers}.Scan(ctx, d, equal)
}

// Tx is the tables inside a transaction that somebody else commits: an append's, for projections that are inline.
func (s *Store) Tx(c Conn) table.Tx { return txn{reader{c}, c} }

type txn struct {
	reader
	c Conn
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
	ctx = context.WithoutCancel(ctx)
	return wrap(d, diagnose(ctx, t.c, d, sh.write(ctx, t.c, rows)))
}
