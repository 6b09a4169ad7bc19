package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// Reads take pages, each a query of its own, so that a slow reader neither holds a connection nor a snapshot.
const (
	pageBytes = 1 << 20
	maxPage   = 4096
	// window bounds the positions that one query of a filtered read looks at.
	window = 1 << 15
)

// pager sizes pages by the events that it has seen.
type pager struct {
	rows int
	rare bool // the filter left little of the last page
}

func newPager(maximum int64) pager {
	if maximum > 0 {
		return pager{rows: int(min(maximum, 256))}
	}
	return pager{rows: 256}
}

func (p *pager) saw(rows, bytes int) {
	if rows > 0 {
		p.rows = min(max(rows*pageBytes/max(bytes, 1), 8), maxPage)
	}
}

// rows reads rows of columns. Their memory is their own, in pieces that several of them share.
func (s *Store) rows(ctx context.Context, sql string, args []any, each func(r *row) error) error {
	var slab []byte
	var own [columnCount][]byte
	var r row
	args = append([]any{pgx.QueryResultFormats{pgx.BinaryFormatCode}}, args...)
	return s.query(ctx, sql, args, func(rows pgx.Rows) error {
		raw := rows.RawValues()
		if len(raw) != columnCount {
			return fmt.Errorf("postgres: a row of the log has %d columns", len(raw))
		}
		size := 0
		for _, v := range raw {
			size += len(v)
		}
		if cap(slab)-len(slab) < size {
			slab = make([]byte, 0, max(size, 64<<10))
		}
		for i, v := range raw {
			if v == nil {
				own[i] = nil
				continue
			}
			at := len(slab)
			slab = append(slab, v...)
			own[i] = slab[at:len(slab):len(slab)]
		}
		if err := r.scan(own[:]); err != nil {
			var bad *rowError
			if !errors.As(err, &bad) {
				return err
			}
			r.damaged = bad
		}
		return each(&r)
	})
}

// span is a piece of the log to read.
type span struct {
	low, high int64 // positions, inclusive
	backwards bool
	filter    eventstore.Filter
	max       int
}

func filtered(f eventstore.Filter) bool { return len(f.StreamTypes)+len(f.Types)+len(f.Origins) > 0 }

// page reads a piece of the log: its events, and the position up to which (down to which) it is complete.
func (s *Store) page(ctx context.Context, p span) (events []event.Recorded, through int64, bytes int, err error) {
	wide := int64(p.max)
	some := filtered(p.filter)
	if some {
		wide = window
	}
	if p.backwards {
		p.low = max(p.low, p.high-wide+1)
	} else {
		p.high = min(p.high, p.low+wide-1)
	}
	query, args := selectLog(p)
	events = make([]event.Recorded, 0, min(int64(p.max), p.high-p.low+1))
	next, step := p.low, int64(1)
	if through = p.high; p.backwards {
		next, step, through = p.high, -1, p.low
	}
	err = s.rows(ctx, query, args, func(r *row) error {
		if r.damaged != nil {
			return r.damaged
		}
		if !some && r.position != next {
			return missing(next)
		}
		next += step
		bytes += r.size()
		if events = append(events, r.event()); len(events) == p.max {
			through = r.position
		}
		return nil
	})
	if err == nil && !some && len(events) == 0 && p.low <= p.high {
		err = missing(next)
	}
	return events, through, bytes, err
}

func missing(position int64) error {
	return fmt.Errorf("%w: event %d of the log is missing", eventstore.ErrCorrupt, position)
}

func selectLog(p span) (string, []any) {
	var q strings.Builder
	q.WriteString("SELECT " + columns + " FROM leat_events WHERE position BETWEEN $1 AND $2")
	args := []any{p.low, p.high}
	for _, f := range []struct {
		column string
		values []string
	}{{"stream_type", p.filter.StreamTypes}, {"type", p.filter.Types}, {"origin", p.filter.Origins}} {
		if len(f.values) == 0 {
			continue
		}
		stored := make([]string, len(f.values))
		for i, v := range f.values {
			stored[i] = escape(v)
		}
		args = append(args, stored)
		fmt.Fprintf(&q, " AND %s = ANY ($%d)", f.column, len(args))
	}
	q.WriteString(" ORDER BY position")
	if p.backwards {
		q.WriteString(" DESC")
	}
	if filtered(p.filter) {
		args = append(args, p.max)
		fmt.Fprintf(&q, " LIMIT $%d", len(args))
	}
	return q.String(), args
}

// ReadAll implements eventstore.Log. It reads the log as it is when the read starts.
func (s *Store) ReadAll(ctx context.Context, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	return func(yield func(*event.Recorded, error) bool) {
		end, err := s.head(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		p := span{low: max(o.From, 1), high: o.To, backwards: o.Backwards, filter: o.Filter}
		if o.Backwards {
			p.low, p.high = max(o.To, 1), o.From
		}
		if p.high == 0 || p.high > end.Position {
			p.high = end.Position
		}
		if !o.SinceTime.IsZero() && p.low <= p.high {
			since, err := s.since(ctx, o.SinceTime, p.low, p.high)
			if err != nil {
				yield(nil, err)
				return
			}
			p.low = max(p.low, since)
		}
		pages := newPager(o.Max)
		for left := o.Max; p.low <= p.high; {
			if p.max = pages.rows; o.Max > 0 {
				p.max = int(min(left, int64(p.max)))
			}
			events, through, bytes, err := s.page(ctx, p)
			pages.saw(len(events), bytes)
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
	for high++; low < high; {
		mid := low + (high-low)/2
		var at time.Time
		there := false
		err := s.query(ctx, "SELECT committed FROM leat_events WHERE position = $1", []any{mid}, func(rows pgx.Rows) error {
			there = true
			return rows.Scan(&at)
		})
		if err == nil && !there {
			err = missing(mid)
		}
		if err != nil {
			return low, err
		}
		if at.Before(t) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, nil
}

// find gives a stream's key and revision, zeros where there is none.
func (s *Store) find(ctx context.Context, name event.Stream) (st stream, err error) {
	err = s.query(ctx, selectStreams, []any{[]string{escape(name.Type)}, []string{escape(name.ID)}}, func(rows pgx.Rows) error {
		var n int64
		return rows.Scan(&n, &st.key, &st.revision, &st.position)
	})
	return st, err
}

// ReadStream implements eventstore.Log. It reads the stream as it is when the read starts.
func (s *Store) ReadStream(ctx context.Context, name event.Stream, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	return func(yield func(*event.Recorded, error) bool) {
		st, err := s.find(ctx, name)
		if err != nil {
			yield(nil, err)
			return
		}
		low, high := max(o.From, 1), o.To
		if o.Backwards {
			low, high = max(o.To, 1), o.From
		}
		if high == 0 || high > st.revision {
			high = st.revision
		}
		pages, n := newPager(o.Max), int64(0)
		for low <= high {
			from, to := low, min(high, low+int64(pages.rows)-1)
			if o.Backwards {
				from, to = max(low, high-int64(pages.rows)+1), high
			}
			events, bytes, err := s.revisions(ctx, name, st.key, from, to, o.Backwards)
			pages.saw(len(events), bytes)
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
				high = from - 1
			} else {
				low = to + 1
			}
		}
	}
}

// revisions reads events of a stream, in the order asked for.
func (s *Store) revisions(ctx context.Context, name event.Stream, key, from, to int64, backwards bool) (events []event.Recorded, bytes int, err error) {
	query := "SELECT " + columns + " FROM leat_events WHERE stream = $1 AND revision BETWEEN $2 AND $3 ORDER BY stream, revision"
	want, step := from, int64(1)
	if backwards {
		query = strings.Replace(query, "ORDER BY stream, revision", "ORDER BY stream DESC, revision DESC", 1)
		want, step = to, -1
	}
	events = make([]event.Recorded, 0, to-from+1)
	err = s.rows(ctx, query, []any{key, from, to}, func(r *row) error {
		if r.damaged != nil {
			return r.damaged
		}
		e := r.event()
		if e.Revision != want || e.Stream != name {
			return fmt.Errorf("%w: event %d stands for revision %d of %s", eventstore.ErrCorrupt, e.Position, want, name)
		}
		want += step
		bytes += r.size()
		events = append(events, e)
		return nil
	})
	if err == nil && int64(len(events)) != to-from+1 {
		err = fmt.Errorf("%w: revision %d of %s is missing", eventstore.ErrCorrupt, want, name)
	}
	return events, bytes, err
}

// selectInfos takes where to begin, where to end (” and ”: nowhere), a type (”: all), a prefix and how many. Ids that
// start alike are neighbours in the index, so that a prefix within a type is a range of it.
const selectInfos = `SELECT s.type, s.id, f.committed, l.revision, l.committed FROM leat_streams s
CROSS JOIN LATERAL (SELECT committed FROM leat_events e WHERE e.position = s.key OFFSET 0) f
CROSS JOIN LATERAL (SELECT revision, committed FROM leat_events e WHERE e.stream = s.key ORDER BY revision DESC LIMIT 1) l
WHERE (s.type, s.id) > ($1, $2) AND ($3 = '' OR s.type = $3) AND starts_with(s.id, $4) %s ORDER BY s.type, s.id LIMIT $5`

var (
	selectAnyInfos  = fmt.Sprintf(selectInfos, "")
	selectNearInfos = fmt.Sprintf(selectInfos, "AND s.type = $3 AND s.id >= $4 AND ($6 = '' OR s.id < $6)")
)

// behindPrefix gives the first text behind all that start with a prefix, "" where there is none.
func behindPrefix(prefix string) string {
	r := []rune(prefix)
	for i := len(r) - 1; i >= 0; i-- {
		switch r[i] {
		case utf8.MaxRune:
			continue // what follows those of this rune follows those of the one before it
		case 0xd7ff:
			r[i] = 0xe000
		default:
			r[i]++
		}
		return string(r[:i+1])
	}
	return ""
}

// Streams implements eventstore.Log.
func (s *Store) Streams(ctx context.Context, o eventstore.StreamsOptions) iter.Seq2[eventstore.StreamInfo, error] {
	return func(yield func(eventstore.StreamInfo, error) bool) {
		const page = 1000
		typ, id, prefix := escape(o.After.Type), escape(o.After.ID), escape(o.Prefix)
		if from := escape(o.Type); from > typ {
			typ, id = from, ""
		}
		for n := int64(0); ; {
			limit := int64(page)
			if o.Max > 0 {
				limit = min(limit, o.Max-n)
			}
			var infos []eventstore.StreamInfo
			query, args := selectAnyInfos, []any{typ, id, escape(o.Type), prefix, limit}
			if o.Type != "" && prefix != "" {
				query, args = selectNearInfos, append(args, behindPrefix(prefix))
			}
			err := s.query(ctx, query, args, func(rows pgx.Rows) error {
				var i eventstore.StreamInfo
				if err := rows.Scan(&typ, &id, &i.Created, &i.Revision, &i.Updated); err != nil {
					return err
				}
				i.Stream = event.Stream{Type: unescape(typ), ID: unescape(id)}
				i.Created, i.Updated = i.Created.UTC(), i.Updated.UTC()
				infos = append(infos, i)
				return nil
			})
			if err != nil {
				yield(eventstore.StreamInfo{}, err)
				return
			}
			for _, i := range infos {
				if !yield(i, nil) {
					return
				}
			}
			if n += int64(len(infos)); int64(len(infos)) < limit || n == o.Max {
				return
			}
		}
	}
}
