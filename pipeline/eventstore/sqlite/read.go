package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// Reads take pages of their own short read transactions, so that a slow reader neither holds a connection nor keeps the
// WAL from being taken over.
const (
	pageEvents = 512
	pageBytes  = 1 << 20
	// window bounds the positions that one query of a filtered read looks at.
	window = 1 << 15
)

// span is a piece of the log to read.
type span struct {
	low, high int64 // positions, inclusive
	backwards bool
	filter    eventstore.Filter
	maxEvents int
	maxBytes  int
}

// page reads a piece of the log: its events, and the position up to which (down to which) it is complete.
func (s *Store) page(ctx context.Context, c *conn, p span) (events []event.Recorded, through int64, err error) {
	filtered := len(p.filter.StreamTypes)+len(p.filter.Types)+len(p.filter.Origins) > 0
	if filtered {
		if p.backwards {
			p.low = max(p.low, p.high-window+1)
		} else {
			p.high = min(p.high, p.low+window-1)
		}
	}
	from, args := fromLog(p)
	events = make([]event.Recorded, 0, min(int64(p.maxEvents), p.high-p.low+1))
	next, step := p.low, int64(1)
	if through = p.high; p.backwards {
		next, step, through = p.high, -1, p.low
	}
	var enc encoder
	bytes := 0
	err = c.events(ctx, &enc, from, func(r *event.Recorded) (bool, error) {
		if !filtered && r.Position != next {
			return false, fmt.Errorf("%w: event %d of the log is missing", eventstore.ErrCorrupt, next)
		}
		next += step
		bytes += len(r.Raw) + len(r.Data) + len(r.Metadata)
		if len(events) > 0 && bytes > p.maxBytes {
			through = r.Position - step
			return false, nil
		}
		events = append(events, *r)
		if len(events) == p.maxEvents {
			through = r.Position
			return false, nil
		}
		return true, nil
	}, args...)
	if err == nil && !filtered && len(events) == 0 && p.low <= p.high {
		err = fmt.Errorf("%w: event %d of the log is missing", eventstore.ErrCorrupt, next)
	}
	return events, through, classify(err)
}

func fromLog(p span) (string, []any) {
	var q strings.Builder
	q.WriteString("FROM leat_events e WHERE e.position BETWEEN ? AND ?")
	args := []any{p.low, p.high}
	for _, f := range []struct {
		column string
		values []string
	}{{"e.stream_type", p.filter.StreamTypes}, {"e.type", p.filter.Types}, {"e.origin", p.filter.Origins}} {
		if len(f.values) == 0 {
			continue
		}
		q.WriteString(" AND " + f.column + " IN (?" + strings.Repeat(", ?", len(f.values)-1) + ")")
		for _, v := range f.values {
			args = append(args, v)
		}
	}
	q.WriteString(" ORDER BY e.position")
	if p.backwards {
		q.WriteString(" DESC")
	}
	return q.String(), args
}

// ReadAll implements eventstore.Log. It reads the log as it is when the read starts.
func (s *Store) ReadAll(ctx context.Context, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	return func(yield func(*event.Recorded, error) bool) {
		if err := s.ready(ctx); err != nil {
			yield(nil, err)
			return
		}
		p := span{low: max(o.From, 1), high: o.To, backwards: o.Backwards, filter: o.Filter, maxBytes: pageBytes}
		if o.Backwards {
			p.low, p.high = max(o.To, 1), o.From
		}
		if end := s.ends.Newest().Position; p.high == 0 || p.high > end {
			p.high = end
		}
		if !o.SinceTime.IsZero() {
			since, err := s.since(ctx, o.SinceTime, p.low, p.high)
			if err != nil {
				yield(nil, err)
				return
			}
			p.low = max(p.low, since)
		}
		for left := o.Max; p.low <= p.high; {
			if p.maxEvents = pageEvents; o.Max > 0 {
				p.maxEvents = int(min(left, pageEvents))
			}
			var events []event.Recorded
			var through int64
			err := s.read(ctx, func(c *conn) (err error) { events, through, err = s.page(ctx, c, p); return err })
			for i := range events {
				if !yield(&events[i], nil) {
					return
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if left -= int64(len(events)); o.Max > 0 && left <= 0 {
				return
			}
			if p.backwards {
				p.high = through - 1
			} else {
				p.low = through + 1
			}
		}
	}
}

// since gives the first position from low to high whose event was not committed before t. Times never go back along
// the log, so it is a binary search.
func (s *Store) since(ctx context.Context, t time.Time, low, high int64) (int64, error) {
	err := s.read(ctx, func(c *conn) error {
		for high++; low < high; {
			mid := low + (high-low)/2
			row, err := c.one(context.Background(), "SELECT committed FROM leat_events WHERE position = ?", mid)
			if err != nil {
				return err
			}
			if row == nil {
				return fmt.Errorf("%w: event %d of the log is missing", eventstore.ErrCorrupt, mid)
			}
			if us, _ := row[0].(int64); time.UnixMicro(us).Before(t) {
				low = mid + 1
			} else {
				high = mid
			}
		}
		return nil
	})
	return low, err
}

// ReadStream implements eventstore.Log. It reads the stream as it is when the read starts.
func (s *Store) ReadStream(ctx context.Context, name event.Stream, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	return func(yield func(*event.Recorded, error) bool) {
		h, err := s.find(ctx, name)
		if err != nil {
			yield(nil, err)
			return
		}
		if h == nil {
			return
		}
		low, high := max(o.From, 1), o.To
		if o.Backwards {
			low, high = max(o.To, 1), o.From
		}
		if high == 0 || high > h.revision {
			high = h.revision
		}
		n := int64(0)
		for low <= high {
			from, to := low, min(high, low+pageEvents-1)
			if o.Backwards {
				from, to = max(low, high-pageEvents+1), high
			}
			events, err := s.revisions(ctx, h, from, to, o.Backwards)
			for i := range events {
				r := &events[i]
				if r.Committed.Before(o.SinceTime) {
					if o.Backwards {
						return
					}
					continue
				}
				if !o.Filter.Selects(r) {
					continue
				}
				if !yield(r, nil) {
					return
				}
				if n++; n == o.Max {
					return
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if o.Backwards {
				high = events[len(events)-1].Revision - 1
			} else {
				low = events[len(events)-1].Revision + 1
			}
		}
	}
}

// find gives a stream's head for a reader, nil where there is no such stream.
func (s *Store) find(ctx context.Context, name event.Stream) (h *head, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if h := s.index.snapshot(name); h != nil {
		return h, nil
	}
	err = s.read(ctx, func(c *conn) (err error) { h, err = load(ctx, c, name); return err })
	return h, err
}

// revisions reads events of a stream, in the order asked for, until their bytes fill a page.
func (s *Store) revisions(ctx context.Context, h *head, from, to int64, backwards bool) (events []event.Recorded, err error) {
	var enc encoder
	bytes := 0
	add := func(r *event.Recorded) (bool, error) {
		want := from + int64(len(events))
		if backwards {
			want = to - int64(len(events))
		}
		if r.Revision != want || r.Stream != h.name {
			return false, fmt.Errorf("%w: the index gives event %d for revision %d of %s", eventstore.ErrCorrupt, r.Position, want, h.name)
		}
		events = append(events, *r)
		bytes += len(r.Raw) + len(r.Data)
		return bytes < pageBytes, nil
	}
	err = s.read(ctx, func(c *conn) error {
		positions, err := h.positions(c, from, to, backwards)
		if err != nil {
			return err
		}
		if err := c.events(ctx, &enc, fromPositions, add, positions); err != nil {
			return err
		}
		if bytes < pageBytes && int64(len(events)) <= to-from {
			return fmt.Errorf("%w: an event of %s is missing behind revision %d", eventstore.ErrCorrupt, h.name, from+int64(len(events))-1)
		}
		return nil
	})
	return events, err
}

// fromPositions gives events in the order of a JSON array of positions.
const fromPositions = "FROM json_each(?) j CROSS JOIN leat_events e ON e.position = j.value"

// positions gives those of revisions as a JSON array, in the order asked for.
func (h *head) positions(c *conn, from, to int64, backwards bool) (string, error) {
	out := []byte{'['}
	var first int64
	var run []int64 // the positions of the revisions from first on, as the tables have them
	for n := int64(0); n <= to-from; n++ {
		revision := from + n
		if backwards {
			revision = to - n
		}
		var position int64
		if revision > h.base {
			position = h.tail[revision-h.base-1].position
		} else {
			if i := revision - first; run == nil || i < 0 || i >= int64(len(run)) {
				var err error
				if first, run, err = h.stored(context.Background(), c, revision); err != nil {
					return "", err
				}
			}
			position = run[revision-first]
		}
		if n > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, position, 10)
	}
	return string(append(out, ']')), nil
}

// Streams implements eventstore.Log.
func (s *Store) Streams(ctx context.Context, o eventstore.StreamsOptions) iter.Seq2[eventstore.StreamInfo, error] {
	return func(yield func(eventstore.StreamInfo, error) bool) {
		if err := s.ready(ctx); err != nil {
			yield(eventstore.StreamInfo{}, err)
			return
		}
		// What the tables do not have yet is merged in from memory, which was looked at first.
		memory := s.index.recent()
		var fresh []*head
		for name, h := range memory {
			if h.base == 0 && chosen(name, o) {
				fresh = append(fresh, &h)
			}
		}
		slices.SortFunc(fresh, func(a, b *head) int { return compare(a.name, b.name) })
		n := int64(0)
		give := func(h *head) bool {
			n++
			return yield(eventstore.StreamInfo{
				Stream: h.name, Revision: h.revision, Created: time.UnixMicro(h.created).UTC(), Updated: time.UnixMicro(h.updated).UTC(),
			}, nil) && n != o.Max
		}
		for after := o.After; ; {
			stored, err := s.storedStreams(ctx, o.Type, o.Prefix, after)
			for i := range stored {
				h := &stored[i]
				for len(fresh) > 0 && compare(fresh[0].name, h.name) <= 0 {
					f := fresh[0]
					if fresh = fresh[1:]; f.name == h.name {
						continue // it came into the tables meanwhile
					}
					if !give(f) {
						return
					}
				}
				if !chosen(h.name, o) {
					continue
				}
				if m, ok := memory[h.name]; ok {
					h = &m
				}
				if !give(h) {
					return
				}
			}
			if err != nil {
				yield(eventstore.StreamInfo{}, err)
				return
			}
			if len(stored) == 0 {
				break
			}
			after = stored[len(stored)-1].name
		}
		for _, h := range fresh {
			if !give(h) {
				return
			}
		}
	}
}

// Updated implements eventstore.Updates.
func (s *Store) Updated(ctx context.Context, typ string, since time.Time, most int64) iter.Seq2[eventstore.StreamInfo, error] {
	return eventstore.Walk(ctx, s, typ, since, most)
}

func chosen(name event.Stream, o eventstore.StreamsOptions) bool {
	return (o.Type == "" || name.Type == o.Type) && strings.HasPrefix(name.ID, o.Prefix) && compare(o.After, name) < 0
}

func compare(a, b event.Stream) int {
	if c := strings.Compare(a.Type, b.Type); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

func (s *Store) storedStreams(ctx context.Context, typ, prefix string, after event.Stream) (out []head, err error) {
	query, args := "SELECT type, id, revision, created, updated FROM leat_streams WHERE (type, id) > (?, ?)", []any{after.Type, after.ID}
	if typ != "" {
		query, args = query+" AND type = ?", append(args, typ)
	}
	if typ != "" && prefix != "" {
		// Ids that start so are neighbours. SQLite compares the bytes of text; 0xff is in no UTF-8.
		query, args = query+" AND id >= ? AND id < ?", append(args, prefix, prefix+"\xff")
	}
	err = s.read(ctx, func(c *conn) error {
		return c.each(ctx, query+" ORDER BY type, id LIMIT 1000", func(row []driver.Value) (bool, error) {
			var h head
			h.name.Type, _ = row[0].(string)
			h.name.ID, _ = row[1].(string)
			h.revision, _ = row[2].(int64)
			h.created, _ = row[3].(int64)
			h.updated, _ = row[4].(int64)
			out = append(out, h)
			return true, nil
		}, args...)
	})
	return out, err
}
