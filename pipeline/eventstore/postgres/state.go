package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
	tables "github.com/leatdev/leat/pipeline/table/postgres"
)

// query runs a query on a connection of the pool and hands its rows over.
func (s *Store) query(ctx context.Context, sql string, args []any, each func(rows pgx.Rows) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.reading(ctx, s.again(ctx, func() (given bool, err error) {
		rows, err := s.pool.Query(ctx, sql, args...)
		if err != nil {
			return false, err
		}
		defer rows.Close()
		for rows.Next() {
			given = true
			if err := each(rows); err != nil {
				return true, err
			}
		}
		return given, rows.Err()
	}))
}

// again calls fn once more where a connection of the pool turned out to be dead before anything came of it: after the
// server was started again, the pool's other connections may be so too, and are let go.
func (s *Store) again(ctx context.Context, fn func() (given bool, err error)) error {
	given, err := fn()
	var refused *pgconn.ConnectError
	if err == nil || given || ctx.Err() != nil || s.queue.Closed() || !tables.Outage(err) || errors.As(err, &refused) {
		return err
	}
	s.pool.Reset()
	_, err = fn()
	return err
}

// transact runs fn in a transaction of the pool. It neither takes nor waits for the lock on the log.
func (s *Store) transact(ctx context.Context, fn func(tx pgx.Tx) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if s.cfg.ReadOnly {
		return eventstore.ErrReadOnly
	}
	return s.reading(ctx, s.again(ctx, func() (begun bool, err error) {
		return begun, pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			begun = true
			return fn(tx)
		})
	}))
}

// writeTables is the tables' way to write.
func (s *Store) writeTables(ctx context.Context, fn func(tables.Conn) error) error {
	return s.transact(ctx, func(tx pgx.Tx) error { return fn(tx) })
}

// exec runs one statement and gives the number of its rows.
func (s *Store) exec(ctx context.Context, sql string, args ...any) (n int64, err error) {
	err = s.transact(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, args...)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

// Cursor implements eventstore.Store.
func (s *Store) Cursor(ctx context.Context, pipeline, key string) (value string, err error) {
	err = s.query(ctx, "SELECT value FROM leat_cursors WHERE pipeline = $1 AND key = $2", []any{escape(pipeline), escape(key)}, func(rows pgx.Rows) error {
		return rows.Scan(&value)
	})
	return unescape(value), err
}

// Cursors implements eventstore.Store.
func (s *Store) Cursors(ctx context.Context, pipeline string) (map[string]string, error) {
	out := map[string]string{}
	err := s.query(ctx, "SELECT key, value FROM leat_cursors WHERE pipeline = $1", []any{escape(pipeline)}, func(rows pgx.Rows) error {
		var key, value string
		err := rows.Scan(&key, &value)
		out[unescape(key)] = unescape(value)
		return err
	})
	return out, err
}

// Marks implements eventstore.Store. Keys come in their order.
func (s *Store) Marks(ctx context.Context, pipeline, prefix string) iter.Seq2[eventstore.Mark, error] {
	return func(yield func(eventstore.Mark, error) bool) {
		const page = 1000
		stored := escape(prefix)
		for after, op := stored, ">="; ; op = ">" {
			var marks []eventstore.Mark
			var last string
			err := s.query(ctx, fmt.Sprintf("SELECT key, hash FROM leat_inbox WHERE pipeline = $1 AND key %s $2 ORDER BY key LIMIT %d", op, page),
				[]any{escape(pipeline), after}, func(rows pgx.Rows) error {
					var hash int64
					err := rows.Scan(&last, &hash)
					marks = append(marks, eventstore.Mark{Key: unescape(last), Hash: uint64(hash)})
					return err
				})
			if err != nil {
				yield(eventstore.Mark{}, err)
				return
			}
			for _, m := range marks {
				if !strings.HasPrefix(m.Key, prefix) || !yield(m, nil) {
					return
				}
			}
			if len(marks) < page {
				return
			}
			after = last
		}
	}
}

// PruneMarks implements eventstore.Store.
func (s *Store) PruneMarks(ctx context.Context, pipeline, prefix string, before time.Time) (n int64, err error) {
	query, args := "DELETE FROM leat_inbox WHERE pipeline = $1 AND key >= $2 AND starts_with(key, $2)", []any{escape(pipeline), escape(prefix)}
	if !before.IsZero() {
		query, args = query+" AND at < $3", append(args, before)
	}
	return s.exec(ctx, query, args...)
}

const relayColumns = "id, pipeline, kind, target, definition, from_position, was, position, epoch, created, updated, removed, paused"

func scanRelay(rows pgx.Rows) (r eventstore.Relay, err error) {
	err = rows.Scan(&r.ID, &r.Pipeline, &r.Kind, &r.Target, &r.Definition, &r.From, &r.Was, &r.Position, &r.Epoch, &r.Created, &r.Updated, &r.Removed, &r.Paused)
	for _, p := range []*string{&r.ID, &r.Pipeline, &r.Kind, &r.Target, &r.Definition, &r.Was} {
		*p = unescape(*p)
	}
	r.Created, r.Updated = r.Created.UTC(), r.Updated.UTC()
	return r, err
}

func listRelays(ctx context.Context, q querier, where string, args ...any) ([]eventstore.Relay, error) {
	rows, err := q.Query(ctx, "SELECT "+relayColumns+" FROM leat_relays WHERE "+where, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (eventstore.Relay, error) { return scanRelay(rows) })
}

// clock gives the time for what is no event, in whole microseconds: the database's, unless the store has one of its own.
func (s *Store) clock(ctx context.Context, q querier) (now time.Time, err error) {
	if s.cfg.Now != nil {
		return s.cfg.Now().UTC().Truncate(time.Microsecond), nil
	}
	err = q.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	return now.UTC(), err
}

// SetRelays implements eventstore.Relays.
func (s *Store) SetRelays(ctx context.Context, pipeline string, specs []eventstore.RelaySpec) (out []eventstore.Relay, err error) {
	err = s.transact(ctx, func(tx pgx.Tx) error {
		if err := lockRelays(ctx, tx); err != nil {
			return err
		}
		out, err = s.setRelays(ctx, tx, pipeline, specs)
		return err
	})
	return out, err
}

// lockRelays makes two daemons that start together register one behind the other; nobody takes a lease meanwhile. It is
// the first lock of a transaction. (Locks on the tables are none to have here: a lease is taken by way of both, and two
// that wait for each other are parted by the server only after a second, which is how long callers wait.)
func lockRelays(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(1818583414, hashtext(current_schema()))")
	return err
}

// shareRelays is for those who take leases: side by side, but not while somebody registers.
func shareRelays(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock_shared(1818583414, hashtext(current_schema()))")
	return err
}

func (s *Store) setRelays(ctx context.Context, tx pgx.Tx, pipeline string, specs []eventstore.RelaySpec) (out []eventstore.Relay, err error) {
	known, err := listRelays(ctx, tx, "true ORDER BY id FOR UPDATE") // none of them moves on
	if err != nil {
		return nil, err
	}
	epochs, err := leaseEpochs(ctx, tx)
	if err != nil {
		return nil, err
	}
	head, err := readHead(ctx, tx)
	if err != nil {
		return nil, err
	}
	now, err := s.clock(ctx, tx)
	if err != nil {
		return nil, err
	}
	changes, err := plan.SetRelays(known, pipeline, specs, head.Position, now, func(name string) int64 { return epochs[name] })
	if err != nil {
		return nil, err
	}
	b := &pgx.Batch{}
	for _, ch := range changes {
		if ch.Was != "" && ch.Was != ch.Relay.ID {
			b.Queue("DELETE FROM leat_relays WHERE id = $1", escape(ch.Was))
		}
	}
	for i, ch := range changes {
		r := ch.Relay
		b.Queue("INSERT INTO leat_relays ("+relayColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (id) DO UPDATE SET pipeline = excluded.pipeline, kind = excluded.kind, target = excluded.target, definition = excluded.definition,
from_position = excluded.from_position, was = excluded.was, position = excluded.position, epoch = excluded.epoch, created = excluded.created,
updated = excluded.updated, removed = excluded.removed, paused = excluded.paused`,
			escape(r.ID), escape(r.Pipeline), escape(r.Kind), escape(r.Target), escape(r.Definition), r.From, escape(r.Was), r.Position, r.Epoch,
			r.Created, r.Updated, r.Removed, r.Paused)
		if i < len(specs) {
			out = append(out, r)
		}
	}
	return out, tx.SendBatch(ctx, b).Close()
}

func leaseEpochs(ctx context.Context, q querier) (map[string]int64, error) {
	rows, err := q.Query(ctx, "SELECT name, epoch FROM leat_leases")
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	var name string
	var epoch int64
	_, err = pgx.ForEachRow(rows, []any{&name, &epoch}, func() error { out[unescape(name)] = epoch; return nil })
	return out, err
}

// ListRelays implements eventstore.Relays.
func (s *Store) ListRelays(ctx context.Context, pipeline string) (out []eventstore.Relay, err error) {
	err = s.query(ctx, "SELECT "+relayColumns+" FROM leat_relays WHERE $1 = '' OR pipeline = $1 ORDER BY id", []any{escape(pipeline)}, func(rows pgx.Rows) error {
		r, err := scanRelay(rows)
		out = append(out, r)
		return err
	})
	return out, err
}

func relayForUpdate(ctx context.Context, q querier, id string) (eventstore.Relay, bool, error) {
	rs, err := listRelays(ctx, q, "id = $1 FOR UPDATE", escape(id))
	if err != nil || len(rs) == 0 {
		return eventstore.Relay{}, false, err
	}
	return rs[0], true, nil
}

// AdvanceRelay implements eventstore.Relays. The plain move is one statement.
func (s *Store) AdvanceRelay(ctx context.Context, a eventstore.Advance) error {
	return s.transact(ctx, func(tx pgx.Tx) error {
		var now any // null: the database's
		if s.cfg.Now != nil {
			now = s.cfg.Now().UTC().Truncate(time.Microsecond)
		}
		tag, err := tx.Exec(ctx, `UPDATE leat_relays SET position = $4, updated = coalesce($5, clock_timestamp())
WHERE id = $1 AND epoch = $2 AND position = $3 AND $4 >= $3 AND ($4 = $3 OR $4 <= (SELECT max(position) FROM leat_events))`, escape(a.Relay), a.Epoch, a.From, a.To, now)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return s.refuseAdvance(ctx, tx, a)
		}
		n, err := unpark(ctx, tx, a.Unpark)
		if err != nil {
			return err
		}
		if n < len(a.Unpark) {
			return eventstore.ErrGone
		}
		return park(ctx, tx, a.Park, s.now())
	})
}

// refuseAdvance says why a relay did not move.
func (s *Store) refuseAdvance(ctx context.Context, tx pgx.Tx, a eventstore.Advance) error {
	r, known, err := relayForUpdate(ctx, tx, a.Relay)
	if err != nil {
		return err
	}
	head, err := readHead(ctx, tx)
	if err != nil {
		return err
	}
	if err := plan.CheckAdvance(r, known, a, head.Position); err != nil {
		return err
	}
	return fmt.Errorf("%w: relay %q was being changed", eventstore.ErrFenced, a.Relay)
}

// PauseRelay implements eventstore.Relays.
func (s *Store) PauseRelay(ctx context.Context, id string, paused bool) error {
	n, err := s.exec(ctx, "UPDATE leat_relays SET paused = $2 WHERE id = $1", escape(id), paused)
	if err == nil && n == 0 {
		err = fmt.Errorf("postgres: no relay is called %q", id)
	}
	return err
}

// noLease is the until of a lease that nobody has.
var noLease = time.Unix(0, 0).UTC()

func leaseForUpdate(ctx context.Context, q querier, name string) (l eventstore.Lease, err error) {
	err = q.QueryRow(ctx, "SELECT owner, epoch, until FROM leat_leases WHERE name = $1 FOR UPDATE", escape(name)).Scan(&l.Owner, &l.Epoch, &l.Until)
	if errors.Is(err, pgx.ErrNoRows) {
		return l, nil
	}
	l.Name, l.Owner, l.Until = name, unescape(l.Owner), l.Until.UTC()
	return l, err
}

// Acquire implements eventstore.Leases.
func (s *Store) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (l eventstore.Lease, err error) {
	err = s.transact(ctx, func(tx pgx.Tx) error {
		if err := shareRelays(ctx, tx); err != nil {
			return err
		}
		// In the order of SetRelays: the relay first, so that two never wait for each other.
		r, isRelay, err := relayForUpdate(ctx, tx, name)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO leat_leases (name, owner, epoch, until) VALUES ($1, '', 0, $2) ON CONFLICT DO NOTHING", escape(name), noLease); err != nil {
			return err
		}
		present, err := leaseForUpdate(ctx, tx, name)
		if err != nil {
			return err
		}
		now, err := s.clock(ctx, tx) // behind the locks: it may have taken a while to get them
		if err != nil {
			return err
		}
		if l, err = plan.Acquire(present, r.Epoch, name, owner, now, ttl); err != nil {
			return err
		}
		b := &pgx.Batch{}
		b.Queue("UPDATE leat_leases SET owner = $2, epoch = $3, until = $4 WHERE name = $1", escape(name), escape(l.Owner), l.Epoch, l.Until)
		if isRelay {
			b.Queue("UPDATE leat_relays SET epoch = $2 WHERE id = $1", escape(name), l.Epoch)
		}
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return eventstore.Lease{}, err
	}
	return l, nil
}

// Renew implements eventstore.Leases.
func (s *Store) Renew(ctx context.Context, l eventstore.Lease, ttl time.Duration) (out eventstore.Lease, err error) {
	err = s.transact(ctx, func(tx pgx.Tx) error {
		present, err := leaseForUpdate(ctx, tx, l.Name)
		if err != nil {
			return err
		}
		now, err := s.clock(ctx, tx)
		if err != nil {
			return err
		}
		if out, err = plan.Renew(present, l, now, ttl); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE leat_leases SET until = $2 WHERE name = $1", escape(l.Name), out.Until)
		return err
	})
	if err != nil {
		return eventstore.Lease{}, err
	}
	return out, nil
}

// Release implements eventstore.Leases.
func (s *Store) Release(ctx context.Context, l eventstore.Lease) error {
	_, err := s.exec(ctx, "UPDATE leat_leases SET owner = '', until = $4 WHERE name = $1 AND owner = $2 AND epoch = $3", escape(l.Name), escape(l.Owner), l.Epoch, noLease)
	return err
}
