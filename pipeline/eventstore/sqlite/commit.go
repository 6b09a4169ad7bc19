package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
	"github.com/leatdev/leat/pipeline/table"
)

// database is the store as a draft sees it, on the writer's connection.
type database struct{ w *writer }

// Open implements plan.Database.
func (db database) Open(ctx context.Context, name event.Stream) (plan.Base, error) {
	h, err := db.w.s.index.get(ctx, db.w.c, name)
	if err != nil {
		return plan.Base{}, err
	}
	if h == nil {
		h = &head{name: name}
	}
	return plan.Base{Revision: h.revision, Position: h.position, Ref: h}, nil
}

// At implements plan.Database.
func (db database) At(ctx context.Context, s *plan.Stream, revision int64) (plan.Known, error) {
	h := s.Base.Ref.(*head)
	if revision > h.base {
		return db.known(ctx, h.tail[revision-h.base-1].position)
	}
	first, positions, err := h.stored(ctx, db.w.c, revision)
	if err != nil {
		return plan.Known{}, err
	}
	return db.known(ctx, positions[revision-first])
}

// Find implements plan.Database.
func (db database) Find(ctx context.Context, s *plan.Stream, id string) (plan.Known, bool, error) {
	h := s.Base.Ref.(*head)
	sum := hash(h.name, id)
	if revision := h.find(sum); revision > 0 {
		k, err := db.known(ctx, h.tail[revision-h.base-1].position)
		if err != nil || k.ID == id {
			return k, err == nil, err
		}
		for _, e := range h.tail { // another id of the same hash
			if e.hash != sum {
				continue
			}
			if k, err := db.known(ctx, e.position); err != nil || k.ID == id {
				return k, err == nil, err
			}
		}
	}
	if h.base == 0 {
		return plan.Known{}, false, nil
	}
	positions, err := db.w.s.index.ids.find(ctx, db.w.c, sum, h.first)
	if err != nil {
		return plan.Known{}, false, err
	}
	for _, p := range positions {
		r, err := db.read(ctx, p)
		if err != nil || r.ID == id && r.Stream == h.name {
			return knownOf(r), err == nil, err
		}
	}
	return plan.Known{}, false, nil
}

// known reads an event that is there already.
func (db database) known(ctx context.Context, position int64) (plan.Known, error) {
	r, err := db.read(ctx, position)
	return knownOf(r), err
}

func knownOf(r event.Recorded) plan.Known {
	return plan.Known{Revision: r.Revision, Position: r.Position, ID: r.ID, Type: r.Type, Data: r.Data}
}

func (db database) read(ctx context.Context, position int64) (r event.Recorded, err error) {
	found := false
	err = db.w.c.events(ctx, &db.w.enc, "FROM leat_events e WHERE e.position = ?", func(e *event.Recorded) (bool, error) {
		r, found = *e, true
		return false, nil
	}, position)
	if err == nil && !found {
		err = fmt.Errorf("%w: event %d of the log is missing", eventstore.ErrCorrupt, position)
	}
	return r, err
}

// Mark implements plan.Database.
func (db database) Mark(ctx context.Context, pipeline, key string) (uint64, bool, error) {
	row, err := db.w.c.one(ctx, "SELECT hash FROM leat_inbox WHERE pipeline = ? AND key = ?", pipeline, key)
	if err != nil || row == nil {
		return 0, false, err
	}
	h, _ := row[0].(int64)
	return uint64(h), true, nil
}

// Row implements plan.Database.
func (db database) Row(ctx context.Context, id int64) (bool, error) {
	row, err := db.w.c.one(ctx, "SELECT 1 FROM leat_outbox WHERE id = ?", id)
	return row != nil, err
}

// effects does what a unit does beside its appends, in a savepoint.
func (w *writer) effects(ctx context.Context, u *eventstore.Unit, written []event.Recorded, repeated bool) error {
	if repeated {
		_, err := w.unpark(u.Unpark)
		return err
	}
	failed, lost := w.savepoint(func() error {
		n, err := w.unpark(u.Unpark)
		if err != nil {
			return err
		}
		if n < len(u.Unpark) {
			return plan.Refuse(eventstore.ErrGone)
		}
		if u.Within != nil {
			if err := w.within(ctx, u, written); err != nil {
				if outage(err) {
					return err
				}
				return plan.Refuse(err)
			}
		}
		return w.park(u.Park)
	})
	if lost != nil {
		return lost
	}
	return failed
}

// outage reports that the database failed, and not the unit.
func outage(err error) bool {
	err = classify(err)
	return errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, eventstore.ErrCorrupt)
}

// within runs Unit.Within; a panic in it is the unit's fault, not the store's.
func (w *writer) within(ctx context.Context, u *eventstore.Unit, written []event.Recorded) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = event.PoisonAs(event.CodePanic, fmt.Errorf("sqlite: panic in the unit's own transaction: %v", p))
		}
	}()
	return u.Within(ctx, w.tableTx(), written)
}

func (w *writer) tableTx() table.Tx { return w.s.tables.Tx(steady{w.c.sql}) }

// steady is the writer's connection for tables. It drops cancellation: SQLite rolls the whole transaction back when a
// write in it is interrupted, and others share it.
type steady struct{ c *sql.Conn }

// ExecContext implements tables.Conn.
func (s steady) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return s.c.ExecContext(context.WithoutCancel(ctx), query, args...)
}

// QueryContext implements tables.Conn.
func (s steady) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return s.c.QueryContext(context.WithoutCancel(ctx), query, args...)
}

// PrepareContext implements tables.Conn.
func (s steady) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return s.c.PrepareContext(context.WithoutCancel(ctx), query)
}
