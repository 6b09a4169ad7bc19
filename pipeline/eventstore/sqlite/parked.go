package sqlite

import (
	"context"
	"database/sql/driver"
	"iter"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	tables "github.com/leatdev/leat/pipeline/table/sqlite"
)

const parkedColumns = "id, pipeline, step, key, state, code, reason, stack, attempts, first, last, trace_id, relay, stream_type, stream_id, position, event_id, type, source, envelope, edited, metadata, payload"

// park writes entries in the transaction under way.
func (w *writer) park(entries []poison.Entry) error {
	for _, e := range entries {
		var old *poison.Entry
		err := w.c.each(context.Background(), "SELECT id, first FROM leat_parked WHERE pipeline = ? AND step = ? AND key = ?", func(row []driver.Value) (bool, error) {
			id, _ := row[0].(int64)
			old = &poison.Entry{ID: id, First: micros(row[1])}
			return false, nil
		}, e.Pipeline, e.Step, e.Key)
		if err != nil {
			return err
		}
		e = plan.Parked(e, old, w.s.clock())
		var id any
		if old != nil {
			id = old.ID
		}
		_, err = w.c.exec("INSERT OR REPLACE INTO leat_parked ("+parkedColumns+") VALUES (?"+strings.Repeat(", ?", 22)+")",
			id, e.Pipeline, e.Step, e.Key, string(e.State), e.Code, e.Reason, e.Stack, int64(e.Attempts), e.First.UnixMicro(), e.Last.UnixMicro(),
			e.TraceID, e.Relay, e.Stream.Type, e.Stream.ID, e.Position, e.EventID, e.Type, e.Source, int64(e.Envelope), number(e.Edited),
			blob(e.Metadata), blob(e.Payload))
		if err != nil {
			return err
		}
	}
	return nil
}

func blob(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// unpark removes entries in the transaction under way and says how many there were.
func (w *writer) unpark(ids []int64) (int, error) {
	n := 0
	for _, id := range ids {
		gone, err := w.c.exec("DELETE FROM leat_parked WHERE id = ?", id)
		if err != nil {
			return n, err
		}
		n += int(gone)
	}
	return n, nil
}

// parkFor is for tables, in a transaction of theirs: the one that is under way on the writer's connection.
func (s *Store) parkFor(_ context.Context, _ tables.Conn, park []poison.Entry, unpark []int64) error {
	n, err := s.w.unpark(unpark)
	if err != nil {
		return classify(err)
	}
	if n < len(unpark) {
		return table.ErrGone
	}
	return classify(s.w.park(park))
}

// Park implements poison.Store.
func (s *Store) Park(ctx context.Context, entries ...poison.Entry) error {
	return s.do(ctx, func(*conn) error { return s.w.park(entries) })
}

// where gives the condition of a filter, without Max.
func where(f poison.Filter) (string, []any) {
	conds, args := []string{"1"}, []any{}
	is := func(column, value string) {
		if value != "" {
			conds, args = append(conds, column+" = ?"), append(args, value)
		}
	}
	in := func(column string, n int, value func(i int) any) {
		if n == 0 {
			return
		}
		conds = append(conds, column+" IN (?"+strings.Repeat(", ?", n-1)+")")
		for i := range n {
			args = append(args, value(i))
		}
	}
	in("id", len(f.IDs), func(i int) any { return f.IDs[i] })
	is("pipeline", f.Pipeline)
	is("step", f.Step)
	is("relay", f.Relay)
	is("code", f.Code)
	is("stream_type", f.Stream.Type)
	is("stream_id", f.Stream.ID)
	in("state", len(f.States), func(i int) any { return string(f.States[i]) })
	if !f.Since.IsZero() {
		conds, args = append(conds, "last >= ?"), append(args, f.Since.UnixMicro())
	}
	return strings.Join(conds, " AND "), args
}

// ListParked implements poison.Store.
func (s *Store) ListParked(ctx context.Context, f poison.Filter) iter.Seq2[poison.Entry, error] {
	return func(yield func(poison.Entry, error) bool) {
		const page = 100
		cond, args := where(f)
		for after, n := int64(0), 0; ; {
			var entries []poison.Entry
			limit := page
			if f.Max > 0 {
				limit = min(page, f.Max-n)
			}
			err := s.read(ctx, func(c *conn) error {
				return c.each(ctx, "SELECT "+parkedColumns+" FROM leat_parked WHERE "+cond+" AND id > ? ORDER BY id LIMIT ?", func(row []driver.Value) (bool, error) {
					entries = append(entries, parkedEntry(row))
					return true, nil
				}, append(args[:len(args):len(args)], after, int64(limit))...)
			})
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

func parkedEntry(row []driver.Value) (e poison.Entry) {
	var state string
	for i, p := range map[int]*string{
		1: &e.Pipeline, 2: &e.Step, 3: &e.Key, 4: &state, 5: &e.Code, 6: &e.Reason, 7: &e.Stack, 11: &e.TraceID, 12: &e.Relay,
		13: &e.Stream.Type, 14: &e.Stream.ID, 16: &e.EventID, 17: &e.Type, 18: &e.Source,
	} {
		*p, _ = row[i].(string)
	}
	e.State = poison.State(state)
	e.ID, _ = row[0].(int64)
	attempts, _ := row[8].(int64)
	e.Attempts = int(attempts)
	e.First, e.Last = micros(row[9]), micros(row[10])
	e.Position, _ = row[15].(int64)
	envelope, _ := row[19].(int64)
	e.Envelope = event.Envelope(envelope)
	e.Edited = row[20] == int64(1)
	e.Metadata, _ = row[21].([]byte)
	e.Payload, _ = row[22].([]byte)
	return e
}

// CountParked implements poison.Store.
func (s *Store) CountParked(ctx context.Context, f poison.Filter) (n int64, oldest time.Time, err error) {
	cond, args := where(f)
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, "SELECT count(*), min(first) FROM leat_parked WHERE "+cond, args...)
		if err != nil {
			return err
		}
		if n, _ = row[0].(int64); n > 0 {
			oldest = micros(row[1])
		}
		return nil
	})
	return n, oldest, err
}

// EditParked implements poison.Store.
func (s *Store) EditParked(ctx context.Context, id int64, payload []byte) error {
	return s.do(ctx, func(c *conn) error {
		n, err := c.exec("UPDATE leat_parked SET payload = ?, edited = 1 WHERE id = ?", blob(payload), id)
		if err == nil && n == 0 {
			err = poison.ErrNotFound
		}
		return err
	})
}

// SetParked implements poison.Store.
func (s *Store) SetParked(ctx context.Context, f poison.Filter, to poison.State) (int64, error) {
	return s.changeParked(ctx, "UPDATE leat_parked SET state = ?", f, string(to))
}

// DropParked implements poison.Store.
func (s *Store) DropParked(ctx context.Context, f poison.Filter) (int64, error) {
	return s.changeParked(ctx, "DELETE FROM leat_parked", f)
}

func (s *Store) changeParked(ctx context.Context, change string, f poison.Filter, first ...any) (n int64, err error) {
	cond, args := where(f)
	limit := int64(-1)
	if f.Max > 0 {
		limit = int64(f.Max)
	}
	err = s.do(ctx, func(c *conn) (err error) {
		n, err = c.exec(change+" WHERE id IN (SELECT id FROM leat_parked WHERE "+cond+" ORDER BY id LIMIT ?)", append(append(first, args...), limit)...)
		return err
	})
	return n, err
}
