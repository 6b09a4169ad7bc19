package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

var _ eventstore.Replicas = (*Store)(nil)

// Join implements eventstore.Replicas. That a daemon is still there is one statement; anything else takes turns with
// other daemons that register relays.
func (s *Store) Join(ctx context.Context, r eventstore.Replica, ttl time.Duration, specs []eventstore.RelaySpec) (eventstore.Replica, error) {
	err := s.transact(ctx, func(tx pgx.Tx) error {
		now, err := s.clock(ctx, tx)
		if err != nil {
			return err
		}
		// Nothing can change where the definition is the newest and the daemon's row says so already.
		r.Until = now.Add(ttl)
		err = tx.QueryRow(ctx, `UPDATE leat_replicas r SET until = $4 FROM leat_definitions d
WHERE r.pipeline = $1 AND r.owner = $2 AND r.definition = $3 AND r.until > $5 AND d.pipeline = $1 AND d.definition = $3
AND d.generation = (SELECT max(generation) FROM leat_definitions WHERE pipeline = $1) RETURNING d.generation`,
			escape(r.Pipeline), escape(r.Owner), escape(r.Definition), r.Until, now).Scan(&r.Generation)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err := lockRelays(ctx, tx); err != nil {
			return err
		}
		if now, err = s.clock(ctx, tx); err != nil { // it may have taken a while to get the lock
			return err
		}
		r.Until = now.Add(ttl)
		return s.join(ctx, tx, &r, now, specs)
	})
	if err != nil {
		return eventstore.Replica{}, err
	}
	return r, nil
}

func (s *Store) join(ctx context.Context, tx pgx.Tx, r *eventstore.Replica, now time.Time, specs []eventstore.RelaySpec) error {
	known, err := generations(ctx, tx, r.Pipeline)
	if err != nil {
		return err
	}
	present, err := listReplicas(ctx, tx, r.Pipeline, now)
	if err != nil {
		return err
	}
	var register bool
	r.Generation, register = plan.Join(known, present, *r)
	if register {
		if _, err := s.setRelays(ctx, tx, r.Pipeline, specs); err != nil {
			return err
		}
	}
	b := &pgx.Batch{}
	b.Queue("INSERT INTO leat_definitions (pipeline, definition, generation) VALUES ($1, $2, $3) ON CONFLICT (pipeline, definition) DO UPDATE SET generation = excluded.generation",
		escape(r.Pipeline), escape(r.Definition), r.Generation)
	b.Queue("INSERT INTO leat_replicas (pipeline, owner, definition, until) VALUES ($1, $2, $3, $4) ON CONFLICT (pipeline, owner) DO UPDATE SET definition = excluded.definition, until = excluded.until",
		escape(r.Pipeline), escape(r.Owner), escape(r.Definition), r.Until)
	b.Queue("DELETE FROM leat_replicas WHERE until < $1", now.Add(-24*time.Hour)) // the names of daemons are never used again
	return tx.SendBatch(ctx, b).Close()
}

const selectGenerations = "SELECT definition, generation FROM leat_definitions WHERE pipeline = $1"

func generations(ctx context.Context, q querier, pipeline string) (map[string]int64, error) {
	rows, err := q.Query(ctx, selectGenerations, escape(pipeline))
	if err != nil {
		return nil, err
	}
	return collectGenerations(rows)
}

func collectGenerations(rows pgx.Rows) (map[string]int64, error) {
	out := map[string]int64{}
	var definition string
	var generation int64
	_, err := pgx.ForEachRow(rows, []any{&definition, &generation}, func() error { out[unescape(definition)] = generation; return nil })
	return out, err
}

const selectReplicas = `SELECT r.owner, r.definition, d.generation, r.until FROM leat_replicas r
JOIN leat_definitions d ON d.pipeline = r.pipeline AND d.definition = r.definition
WHERE r.pipeline = $1 AND r.until > coalesce($2::timestamptz, clock_timestamp()) ORDER BY r.owner`

func listReplicas(ctx context.Context, q querier, pipeline string, now time.Time) ([]eventstore.Replica, error) {
	rows, err := q.Query(ctx, selectReplicas, escape(pipeline), now)
	if err != nil {
		return nil, err
	}
	return collectReplicas(rows, pipeline)
}

func collectReplicas(rows pgx.Rows, pipeline string) ([]eventstore.Replica, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (eventstore.Replica, error) {
		r := eventstore.Replica{Pipeline: pipeline}
		err := row.Scan(&r.Owner, &r.Definition, &r.Generation, &r.Until)
		r.Owner, r.Definition, r.Until = unescape(r.Owner), unescape(r.Definition), r.Until.UTC()
		return r, err
	})
}

// Leave implements eventstore.Replicas.
func (s *Store) Leave(ctx context.Context, pipeline, owner string) error {
	_, err := s.exec(ctx, "DELETE FROM leat_replicas WHERE pipeline = $1 AND owner = $2", escape(pipeline), escape(owner))
	return err
}

// Roster implements eventstore.Replicas. It is one round trip, as each replica of each pipeline asks every second.
func (s *Store) Roster(ctx context.Context, pipeline string, leases []string) (out eventstore.Roster, err error) {
	names := make([]string, len(leases))
	for i, n := range leases {
		names[i] = escape(n)
	}
	if err := s.ready(ctx); err != nil {
		return out, err
	}
	var now any // null: the database's
	if s.cfg.Now != nil {
		now = s.cfg.Now().UTC().Truncate(time.Microsecond)
	}
	err = s.reading(ctx, s.again(ctx, func() (bool, error) {
		out = eventstore.Roster{}
		b := &pgx.Batch{}
		b.Queue(selectReplicas, escape(pipeline), now).Query(func(rows pgx.Rows) (err error) {
			out.Replicas, err = collectReplicas(rows, pipeline)
			return err
		})
		b.Queue(selectGenerations, escape(pipeline)).Query(func(rows pgx.Rows) (err error) {
			out.Generations, err = collectGenerations(rows)
			return err
		})
		b.Queue("SELECT "+relayColumns+" FROM leat_relays WHERE pipeline = $1 ORDER BY id", escape(pipeline)).Query(func(rows pgx.Rows) (err error) {
			out.Relays, err = pgx.CollectRows(rows, func(pgx.CollectableRow) (eventstore.Relay, error) { return scanRelay(rows) })
			return err
		})
		b.Queue("SELECT name, owner, epoch, until FROM leat_leases WHERE name = ANY($1) AND owner <> '' AND until > coalesce($2::timestamptz, clock_timestamp()) ORDER BY name", names, now).Query(func(rows pgx.Rows) (err error) {
			out.Leases, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l eventstore.Lease, err error) {
				err = row.Scan(&l.Name, &l.Owner, &l.Epoch, &l.Until)
				l.Name, l.Owner, l.Until = unescape(l.Name), unescape(l.Owner), l.Until.UTC()
				return l, err
			})
			return err
		})
		return false, s.pool.SendBatch(ctx, b).Close()
	}))
	return out, err
}
