package postgres

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	tables "github.com/leatdev/leat/pipeline/table/postgres"
)

const parkedColumns = "pipeline, step, key, state, code, reason, stack, attempts, first, last, trace_id, relay, stream_type, stream_id, position, event_id, type, source, envelope, edited, metadata, payload"

// upsertParked keeps an entry's id and its first time.
const upsertParked = "INSERT INTO leat_parked (" + parkedColumns + `)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
ON CONFLICT (pipeline, step, key) DO UPDATE SET state = excluded.state, code = excluded.code, reason = excluded.reason, stack = excluded.stack,
attempts = excluded.attempts, last = excluded.last, trace_id = excluded.trace_id, relay = excluded.relay, stream_type = excluded.stream_type,
stream_id = excluded.stream_id, position = excluded.position, event_id = excluded.event_id, type = excluded.type, source = excluded.source,
envelope = excluded.envelope, edited = excluded.edited, metadata = excluded.metadata, payload = excluded.payload`

// executor is a connection or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// park writes entries in the transaction under way, in one round trip.
func park(ctx context.Context, tx executor, entries []poison.Entry, now time.Time) error {
	if len(entries) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	for _, e := range entries {
		e = plan.Parked(e, nil, now.UTC().Truncate(time.Microsecond))
		b.Queue(upsertParked, escape(e.Pipeline), escape(e.Step), markKey(e.Key), string(e.State), escape(e.Code), escape(e.Reason), escape(e.Stack),
			int64(e.Attempts), e.First, e.Last, escape(e.TraceID), escape(e.Relay), escape(e.Stream.Type), escape(e.Stream.ID), e.Position,
			escape(e.EventID), escape(e.Type), escape(e.Source), int16(e.Envelope), e.Edited, e.Metadata, e.Payload)
	}
	return tx.SendBatch(ctx, b).Close()
}

// unpark removes entries in the transaction under way and says how many there were.
func unpark(ctx context.Context, tx executor, ids []int64) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	tag, err := tx.Exec(ctx, "DELETE FROM leat_parked WHERE id = ANY ($1)", ids)
	return int(tag.RowsAffected()), err
}

// parkFor is for tables, in a transaction of theirs.
func (s *Store) parkFor(ctx context.Context, c tables.Conn, entries []poison.Entry, ids []int64) error {
	n, err := unpark(ctx, c, ids)
	if err != nil {
		return classify(err)
	}
	if n < len(ids) {
		return table.ErrGone
	}
	return classify(park(ctx, c, entries, s.now()))
}

// Park implements poison.Store.
func (s *Store) Park(ctx context.Context, entries ...poison.Entry) error {
	return s.transact(ctx, func(tx pgx.Tx) error { return park(ctx, tx, entries, s.now()) })
}

// where gives the condition of a filter, without Max.
func where(f poison.Filter) (string, []any) {
	conds, args := []string{"true"}, []any{}
	add := func(cond string, arg any) {
		args = append(args, arg)
		conds = append(conds, fmt.Sprintf(cond, len(args)))
	}
	is := func(column, value string) {
		if value != "" {
			add(column+" = $%d", escape(value))
		}
	}
	if len(f.IDs) > 0 {
		add("id = ANY ($%d)", f.IDs)
	}
	is("pipeline", f.Pipeline)
	is("step", f.Step)
	is("relay", f.Relay)
	is("code", f.Code)
	is("stream_type", f.Stream.Type)
	is("stream_id", f.Stream.ID)
	if len(f.States) > 0 {
		var states []string
		for _, s := range f.States {
			states = append(states, string(s))
		}
		add("state = ANY ($%d)", states)
	}
	if !f.Since.IsZero() {
		add("last >= $%d", f.Since)
	}
	return strings.Join(conds, " AND "), args
}

// ListParked implements poison.Store.
func (s *Store) ListParked(ctx context.Context, f poison.Filter) iter.Seq2[poison.Entry, error] {
	return func(yield func(poison.Entry, error) bool) {
		const page = 100
		cond, args := where(f)
		for after, n := int64(0), 0; ; {
			limit := page
			if f.Max > 0 {
				limit = min(page, f.Max-n)
			}
			entries, err := s.parkedPage(ctx, cond, args, after, limit)
			if err != nil {
				yield(poison.Entry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if n += len(entries); len(entries) < limit || n == f.Max {
				return
			}
			after = entries[len(entries)-1].ID
		}
	}
}

func (s *Store) parkedPage(ctx context.Context, cond string, args []any, after int64, limit int) (entries []poison.Entry, err error) {
	query := fmt.Sprintf("SELECT id, "+parkedColumns+" FROM leat_parked WHERE %s AND id > $%d ORDER BY id LIMIT %d", cond, len(args)+1, limit)
	err = s.query(ctx, query, append(args[:len(args):len(args)], after), func(rows pgx.Rows) error {
		var e poison.Entry
		var state string
		var attempts int64
		var envelope int16
		if err := rows.Scan(&e.ID, &e.Pipeline, &e.Step, &e.Key, &state, &e.Code, &e.Reason, &e.Stack, &attempts, &e.First, &e.Last, &e.TraceID, &e.Relay,
			&e.Stream.Type, &e.Stream.ID, &e.Position, &e.EventID, &e.Type, &e.Source, &envelope, &e.Edited, &e.Metadata, &e.Payload); err != nil {
			return err
		}
		for _, p := range []*string{&e.Pipeline, &e.Step, &e.Key, &e.Code, &e.Reason, &e.Stack, &e.TraceID, &e.Relay, &e.Stream.Type, &e.Stream.ID, &e.EventID, &e.Type, &e.Source} {
			*p = unescape(*p)
		}
		e.State, e.Attempts, e.Envelope = poison.State(state), int(attempts), event.Envelope(envelope)
		e.First, e.Last = e.First.UTC(), e.Last.UTC()
		entries = append(entries, e)
		return nil
	})
	return entries, err
}

// CountParked implements poison.Store.
func (s *Store) CountParked(ctx context.Context, f poison.Filter) (n int64, oldest time.Time, err error) {
	cond, args := where(f)
	err = s.query(ctx, "SELECT count(*), coalesce(min(first), 'epoch') FROM leat_parked WHERE "+cond, args, func(rows pgx.Rows) error {
		return rows.Scan(&n, &oldest)
	})
	if n == 0 {
		return 0, time.Time{}, err
	}
	return n, oldest.UTC(), err
}

// EditParked implements poison.Store.
func (s *Store) EditParked(ctx context.Context, id int64, payload []byte) error {
	if len(payload) == 0 {
		payload = nil
	}
	n, err := s.exec(ctx, "UPDATE leat_parked SET payload = $1, edited = true WHERE id = $2", payload, id)
	if err == nil && n == 0 {
		err = poison.ErrNotFound
	}
	return err
}

// SetParked implements poison.Store.
func (s *Store) SetParked(ctx context.Context, f poison.Filter, to poison.State) (int64, error) {
	cond, args := where(f)
	return s.exec(ctx, fmt.Sprintf("UPDATE leat_parked SET state = $%d WHERE id IN (SELECT id FROM leat_parked WHERE %s ORDER BY id %s)", len(args)+1, cond, limit(f.Max)),
		append(args, string(to))...)
}

// DropParked implements poison.Store.
func (s *Store) DropParked(ctx context.Context, f poison.Filter) (int64, error) {
	cond, args := where(f)
	return s.exec(ctx, fmt.Sprintf("DELETE FROM leat_parked WHERE id IN (SELECT id FROM leat_parked WHERE %s ORDER BY id %s)", cond, limit(f.Max)), args...)
}

func limit(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf("LIMIT %d", n)
}
