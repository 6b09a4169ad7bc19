package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
	"github.com/leatdev/leat/pipeline/eventstore/queue"
)

// copyRows is how many events go by COPY, a round trip of its own that costs the server less than arrays do; fewer are
// part of the second round trip.
var copyRows = 6

const insertEvents = "INSERT INTO leat_events (" + columns + `) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::timestamptz[],
$7::int[], $8::int[], $9::int[], $10::int[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::bytea[], $19::bytea[])`

// write puts down what the draft has collected: in b, and what is many rows at once.
func (w *writer) write(ctx context.Context, b *pgx.Batch, d *plan.Draft) error {
	var keys []int64
	var types, ids []string
	for _, e := range d.Writes {
		if e.Revision == 1 {
			e.Stream.Base.Ref.(*stream).key = e.Position
			keys, types, ids = append(keys, e.Position), append(types, escape(e.Stream.Name.Type)), append(ids, escape(e.Stream.Name.ID))
		}
	}
	if len(d.Writes) >= copyRows {
		if err := w.copy(ctx, d); err != nil {
			return err
		}
	} else if len(d.Writes) > 0 {
		b.Queue(insertEvents, arrays(d)...)
	}
	if len(keys) > 0 {
		b.Queue("INSERT INTO leat_streams (key, type, id) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])", keys, types, ids)
	}
	if len(d.Marks) > 0 {
		var pipelines, names []string
		var hashes []int64
		for id, hash := range d.Marks {
			pipelines, names, hashes = append(pipelines, escape(id.Pipeline)), append(names, markKey(id.Key)), append(hashes, int64(hash))
		}
		b.Queue("INSERT INTO leat_inbox (pipeline, key, hash, at) SELECT *, $4::timestamptz FROM unnest($1::text[], $2::text[], $3::bigint[]) ON CONFLICT DO NOTHING",
			pipelines, names, hashes, d.Committed())
	}
	if len(d.Rows) > 0 {
		b.Queue("DELETE FROM leat_outbox WHERE id = ANY ($1)", slices.Collect(maps.Keys(d.Rows)))
	}
	if len(d.Cursors) > 0 {
		var pipelines, names, values []string
		for id, value := range d.Cursors {
			pipelines, names, values = append(pipelines, escape(id.Pipeline)), append(names, escape(id.Key)), append(values, escape(value))
		}
		b.Queue("INSERT INTO leat_cursors (pipeline, key, value) SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT (pipeline, key) DO UPDATE SET value = excluded.value",
			pipelines, names, values)
	}
	return nil
}

// copy writes the events by COPY.
func (w *writer) copy(ctx context.Context, d *plan.Draft) error {
	b := append(w.copies[:0], copyHeader...)
	var r row
	for _, e := range d.Writes {
		r.set(e, d.Committed(), e.Stream.Base.Ref.(*stream).key)
		b = r.appendCopy(b)
	}
	b = binary.BigEndian.AppendUint16(b, 0xffff)
	if w.copies = b; cap(b) > 4*queue.MaxBytes {
		w.copies = nil
	}
	_, err := w.c.PgConn().CopyFrom(ctx, bytes.NewReader(b), "COPY leat_events ("+columns+") FROM STDIN (FORMAT binary)")
	return err
}

// arrays gives the arguments of insertEvents.
func arrays(d *plan.Draft) []any {
	n := len(d.Writes)
	var (
		big    [4][]int64
		times  [2][]time.Time
		small  [4][]int32
		texts  [7][]string
		blobs  [2][][]byte
		r      row
		result []any
	)
	for i := range big {
		big[i] = make([]int64, n)
	}
	for i := range times {
		times[i] = make([]time.Time, n)
	}
	for i := range small {
		small[i] = make([]int32, n)
	}
	for i := range texts {
		texts[i] = make([]string, n)
	}
	for i := range blobs {
		blobs[i] = make([][]byte, n)
	}
	for i, e := range d.Writes {
		r.set(e, d.Committed(), e.Stream.Base.Ref.(*stream).key)
		for j, v := range [...]int64{r.position, r.stream, r.revision, r.idHash} {
			big[j][i] = v
		}
		times[0][i], times[1][i] = when(r.committed), when(r.time)
		for j, v := range [...]int32{r.crc, r.shape, r.dataAt, r.dataLen} {
			small[j][i] = v
		}
		for j, v := range [...]string{r.streamType, r.streamID, r.typ, r.origin, r.id, r.source, r.subject} {
			texts[j][i] = v
		}
		blobs[0][i], blobs[1][i] = r.metadata, r.body
	}
	for _, v := range big {
		result = append(result, v)
	}
	for _, v := range times {
		result = append(result, v)
	}
	for _, v := range small {
		result = append(result, v)
	}
	for _, v := range texts {
		result = append(result, v)
	}
	return append(result, blobs[0], blobs[1])
}

// effects does what a unit does beside its appends, in a savepoint.
func (w *writer) effects(ctx context.Context, wrote *bool) plan.Effects {
	return func(unit context.Context, u *eventstore.Unit, written []event.Recorded, repeated bool) error {
		*wrote = true
		if repeated {
			_, err := unpark(ctx, w.c, u.Unpark)
			return err
		}
		failed, lost := w.savepoint(ctx, func() error {
			n, err := unpark(ctx, w.c, u.Unpark)
			if err != nil {
				return err
			}
			if n < len(u.Unpark) {
				return plan.Refuse(eventstore.ErrGone)
			}
			if u.Within != nil {
				if err := w.within(unit, u, written); err != nil {
					if errors.Is(classify(err), eventstore.ErrUnavailable) {
						return err
					}
					return plan.Refuse(err)
				}
			}
			return park(ctx, w.c, u.Park, w.s.now())
		})
		if lost != nil {
			return lost
		}
		return failed
	}
}

// within runs Unit.Within; a panic in it is the unit's fault, not the store's.
func (w *writer) within(ctx context.Context, u *eventstore.Unit, written []event.Recorded) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = event.PoisonAs(event.CodePanic, fmt.Errorf("postgres: panic in the unit's own transaction: %v", p))
		}
	}()
	return u.Within(ctx, w.s.tables.Tx(steady{w.c}), written)
}

// savepoint runs fn so that its error takes back what it did. Where even that fails, the transaction is lost.
func (w *writer) savepoint(ctx context.Context, fn func() error) (err, lost error) {
	if _, err := w.c.Exec(ctx, "SAVEPOINT leat"); err != nil {
		return nil, err
	}
	if err = fn(); err != nil {
		if _, lost = w.c.Exec(ctx, "ROLLBACK TO leat"); lost != nil {
			return err, fmt.Errorf("postgres: the transaction is lost: %w", errors.Join(err, lost))
		}
	}
	_, lost = w.c.Exec(ctx, "RELEASE leat")
	return err, lost
}

// steady is the committer's connection for tables. It drops cancellation: pgx closes a connection whose query is given
// up, and others share the transaction. The connection's own deadline holds.
type steady struct{ c *pgx.Conn }

// Exec implements tables.Conn.
func (s steady) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return s.c.Exec(context.WithoutCancel(ctx), sql, args...)
}

// Query implements tables.Conn.
func (s steady) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return s.c.Query(context.WithoutCancel(ctx), sql, args...)
}

// SendBatch implements tables.Conn.
func (s steady) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	return s.c.SendBatch(context.WithoutCancel(ctx), b)
}
