package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// Cursor implements eventstore.Store.
func (s *Store) Cursor(ctx context.Context, pipeline, key string) (value string, err error) {
	err = s.read(ctx, func(c *conn) error {
		row, err := c.one(ctx, "SELECT value FROM leat_cursors WHERE pipeline = ? AND key = ?", pipeline, key)
		if row != nil {
			value, _ = row[0].(string)
		}
		return err
	})
	return value, err
}

// Cursors implements eventstore.Store.
func (s *Store) Cursors(ctx context.Context, pipeline string) (map[string]string, error) {
	out := map[string]string{}
	err := s.read(ctx, func(c *conn) error {
		return c.each(ctx, "SELECT key, value FROM leat_cursors WHERE pipeline = ?", func(row []driver.Value) (bool, error) {
			key, _ := row[0].(string)
			out[key], _ = row[1].(string)
			return true, nil
		}, pipeline)
	})
	return out, err
}

// Marks implements eventstore.Store. Keys come in their order.
func (s *Store) Marks(ctx context.Context, pipeline, prefix string) iter.Seq2[eventstore.Mark, error] {
	return func(yield func(eventstore.Mark, error) bool) {
		const page = 1000
		after, first := prefix, true
		for {
			var marks []eventstore.Mark
			err := s.read(ctx, func(c *conn) error {
				query := "SELECT key, hash FROM leat_inbox WHERE pipeline = ? AND key > ? ORDER BY key LIMIT ?"
				if first {
					query = strings.Replace(query, "key > ?", "key >= ?", 1)
				}
				return c.each(ctx, query, func(row []driver.Value) (bool, error) {
					key, _ := row[0].(string)
					hash, _ := row[1].(int64)
					marks = append(marks, eventstore.Mark{Key: key, Hash: uint64(hash)})
					return true, nil
				}, pipeline, after, int64(page))
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
			after, first = marks[len(marks)-1].Key, false
		}
	}
}

// PruneMarks implements eventstore.Store.
func (s *Store) PruneMarks(ctx context.Context, pipeline, prefix string, before time.Time) (n int64, err error) {
	err = s.do(ctx, func(c *conn) (err error) {
		query, args := "DELETE FROM leat_inbox WHERE pipeline = ? AND key >= ? AND substr(CAST(key AS BLOB), 1, ?) = CAST(? AS BLOB)",
			[]any{pipeline, prefix, int64(len(prefix)), prefix}
		if !before.IsZero() {
			query, args = query+" AND at < ?", append(args, before.UnixMicro())
		}
		n, err = c.exec(query, args...)
		return err
	})
	return n, err
}

const relayColumns = "id, pipeline, kind, target, definition, from_position, was, position, epoch, created, updated, removed, paused"

func listRelays(ctx context.Context, c *conn, where string, args ...any) (out []eventstore.Relay, err error) {
	err = c.each(ctx, "SELECT "+relayColumns+" FROM leat_relays WHERE "+where+" ORDER BY id", func(row []driver.Value) (bool, error) {
		var r eventstore.Relay
		for i, p := range []*string{&r.ID, &r.Pipeline, &r.Kind, &r.Target, &r.Definition} {
			*p, _ = row[i].(string)
		}
		r.From, _ = row[5].(int64)
		r.Was, _ = row[6].(string)
		r.Position, _ = row[7].(int64)
		r.Epoch, _ = row[8].(int64)
		r.Created, r.Updated = micros(row[9]), micros(row[10])
		r.Removed, r.Paused = row[11] == int64(1), row[12] == int64(1)
		out = append(out, r)
		return true, nil
	}, args...)
	return out, err
}

func micros(v driver.Value) time.Time {
	us, _ := v.(int64)
	return time.UnixMicro(us).UTC()
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func putRelay(c *conn, r eventstore.Relay) error {
	_, err := c.exec("INSERT OR REPLACE INTO leat_relays ("+relayColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.ID, r.Pipeline, r.Kind, r.Target, r.Definition, r.From, r.Was, r.Position, r.Epoch,
		r.Created.UnixMicro(), r.Updated.UnixMicro(), number(r.Removed), number(r.Paused))
	return err
}

// clock is the time for what is no event.
func (s *Store) clock() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// SetRelays implements eventstore.Relays.
func (s *Store) SetRelays(ctx context.Context, pipeline string, specs []eventstore.RelaySpec) (out []eventstore.Relay, err error) {
	err = s.do(ctx, func(c *conn) error {
		out = nil
		known, err := listRelays(context.Background(), c, "1")
		if err != nil {
			return err
		}
		epochs := map[string]int64{}
		if err := c.each(context.Background(), "SELECT name, epoch FROM leat_leases", func(row []driver.Value) (bool, error) {
			name, _ := row[0].(string)
			epochs[name], _ = row[1].(int64)
			return true, nil
		}); err != nil {
			return err
		}
		head, err := c.one(context.Background(), "SELECT head FROM leat_log")
		if err != nil {
			return err
		}
		end, _ := head[0].(int64)
		changes, err := plan.SetRelays(known, pipeline, specs, end, s.clock(), func(name string) int64 { return epochs[name] })
		if err != nil {
			return err
		}
		for i, ch := range changes {
			if ch.Was != "" && ch.Was != ch.Relay.ID {
				if _, err := c.exec("DELETE FROM leat_relays WHERE id = ?", ch.Was); err != nil {
					return err
				}
			}
			if err := putRelay(c, ch.Relay); err != nil {
				return err
			}
			if i < len(specs) {
				out = append(out, ch.Relay)
			}
		}
		return nil
	})
	return out, err
}

// ListRelays implements eventstore.Relays.
func (s *Store) ListRelays(ctx context.Context, pipeline string) (out []eventstore.Relay, err error) {
	err = s.read(ctx, func(c *conn) (err error) {
		if pipeline == "" {
			out, err = listRelays(ctx, c, "1")
		} else {
			out, err = listRelays(ctx, c, "pipeline = ?", pipeline)
		}
		return err
	})
	return out, err
}

func relay(c *conn, id string) (eventstore.Relay, bool, error) {
	rs, err := listRelays(context.Background(), c, "id = ?", id)
	if err != nil || len(rs) == 0 {
		return eventstore.Relay{}, false, err
	}
	return rs[0], true, nil
}

// AdvanceRelay implements eventstore.Relays.
func (s *Store) AdvanceRelay(ctx context.Context, a eventstore.Advance) error {
	return s.do(ctx, func(c *conn) error {
		r, known, err := relay(c, a.Relay)
		if err != nil {
			return err
		}
		// Commits of the same transaction count already: their relays read them only when it is done.
		if err := plan.CheckAdvance(r, known, a, s.w.head); err != nil {
			return err
		}
		n, err := s.w.unpark(a.Unpark)
		if err != nil {
			return err
		}
		if n < len(a.Unpark) {
			return eventstore.ErrGone
		}
		if err := s.w.park(a.Park); err != nil {
			return err
		}
		_, err = c.exec("UPDATE leat_relays SET position = ?, updated = ? WHERE id = ?", a.To, s.clock().UnixMicro(), a.Relay)
		return err
	})
}

// PauseRelay implements eventstore.Relays.
func (s *Store) PauseRelay(ctx context.Context, id string, paused bool) error {
	return s.do(ctx, func(c *conn) error {
		n, err := c.exec("UPDATE leat_relays SET paused = ? WHERE id = ?", number(paused), id)
		if err == nil && n == 0 {
			err = fmt.Errorf("sqlite: no relay is called %q", id)
		}
		return err
	})
}

func lease(c *conn, name string) (l eventstore.Lease, err error) {
	row, err := c.one(context.Background(), "SELECT owner, epoch, until FROM leat_leases WHERE name = ?", name)
	if err != nil || row == nil {
		return l, err
	}
	l.Name = name
	l.Owner, _ = row[0].(string)
	l.Epoch, _ = row[1].(int64)
	l.Until = micros(row[2])
	return l, nil
}

func putLease(c *conn, l eventstore.Lease) error {
	until := int64(0)
	if !l.Until.IsZero() {
		until = l.Until.UnixMicro()
	}
	_, err := c.exec("INSERT OR REPLACE INTO leat_leases VALUES (?, ?, ?, ?)", l.Name, l.Owner, l.Epoch, until)
	return err
}

// Acquire implements eventstore.Leases.
func (s *Store) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (l eventstore.Lease, err error) {
	err = s.do(ctx, func(c *conn) error {
		r, isRelay, err := relay(c, name)
		if err != nil {
			return err
		}
		present, err := lease(c, name)
		if err != nil {
			return err
		}
		if l, err = plan.Acquire(present, r.Epoch, name, owner, s.clock(), ttl); err != nil {
			return err
		}
		if err := putLease(c, l); err != nil || !isRelay {
			return err
		}
		_, err = c.exec("UPDATE leat_relays SET epoch = ? WHERE id = ?", l.Epoch, name)
		return err
	})
	if err != nil {
		return eventstore.Lease{}, err
	}
	return l, nil
}

// Renew implements eventstore.Leases.
func (s *Store) Renew(ctx context.Context, l eventstore.Lease, ttl time.Duration) (out eventstore.Lease, err error) {
	err = s.do(ctx, func(c *conn) error {
		present, err := lease(c, l.Name)
		if err != nil {
			return err
		}
		if out, err = plan.Renew(present, l, s.clock(), ttl); err != nil {
			return err
		}
		return putLease(c, out)
	})
	if err != nil {
		return eventstore.Lease{}, err
	}
	return out, nil
}

// Release implements eventstore.Leases.
func (s *Store) Release(ctx context.Context, l eventstore.Lease) error {
	return s.do(ctx, func(c *conn) error {
		_, err := c.exec("UPDATE leat_leases SET owner = '', until = 0 WHERE name = ? AND owner = ? AND epoch = ?", l.Name, l.Owner, l.Epoch)
		return err
	})
}
