package dynamodb

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// pageEvents is how many items of the log one call asks for.
const pageEvents = 1000

// way is the direction in which the log is read.
type way int64

const (
	up   way = 1
	down way = -1
)

// scan gives the log's events from a position on to another, both included, or to a hole, which upwards is where the log
// ends for now. Fn says whether it wants more. Next is the position behind the last one that it was given.
func (s *Store) scan(ctx context.Context, from, to int64, w way, fn func(*event.Recorded) (bool, error)) (next int64, err error) {
	next = from
	left := func() int64 { return (to-next)*int64(w) + 1 }
	for left() > 0 {
		began, first, stop := next, true, false
		q := query{pk: logPK(bucket(next)), cond: "sk BETWEEN :from AND :to", values: item{":from": str(pad(next)), ":to": str(pad(to))}, limit: int32(min(pageEvents, left()))}
		if w == down { // an item that begins before the lower bound may hold events above it
			q.cond, q.values, q.backwards = "sk <= :from", item{":from": str(pad(next))}, true
		}
		err := s.pages(ctx, q, func(page []item) (bool, error) {
			if w == up && first && (len(page) == 0 || text(page[0], sk) != pad(next)) {
				// The event may be within the item of those before it.
				within, err := s.before(ctx, next)
				if err != nil {
					return false, err
				}
				if within != nil {
					page = append([]item{within}, page...)
				}
			}
			first = false
			for _, i := range page {
				events, err := eventsOf(i)
				if err != nil {
					return false, err
				}
				if w == down {
					slices.Reverse(events)
				}
				for n := range events {
					r := &events[n]
					if (r.Position-next)*int64(w) < 0 {
						continue
					}
					if r.Position != next || left() <= 0 {
						stop = true
						return false, nil
					}
					next += int64(w)
					if more, err := fn(r); err != nil || !more {
						stop = true
						return false, err
					}
				}
			}
			return true, nil
		})
		if err != nil || stop || next == began || bucket(next) == bucket(began) {
			return next, err
		}
	}
	return next, nil
}

// read is scan over positions that are in the log: one that is not visible yet is waited for, and one that does not come
// is missing.
func (s *Store) read(ctx context.Context, from, to int64, w way, fn func(*event.Recorded) (bool, error)) error {
	wanted := true
	for wait := s.settling(); ; {
		next, err := s.scan(ctx, from, to, w, func(r *event.Recorded) (more bool, err error) {
			wanted, err = fn(r)
			return wanted, err
		})
		if err != nil || !wanted || (to-next)*int64(w) < 0 {
			return err
		}
		if next != from {
			from, wait = next, s.settling()
		}
		if !wait.again(ctx) {
			return missing(ctx, next)
		}
	}
}

// before gives the item that holds the event at a position which no item begins with; nil: there is none.
func (s *Store) before(ctx context.Context, position int64) (found item, err error) {
	if bucket(position) != bucket(max(1, position-1)) || position == 1 {
		return nil, nil
	}
	q := query{pk: logPK(bucket(position)), cond: "sk < :at", values: item{":at": str(pad(position))}, backwards: true, limit: 1}
	err = s.pages(ctx, q, func(page []item) (bool, error) {
		if len(page) > 0 {
			if first, ok := unpad(text(page[0], sk)); ok && first+max(1, number(page[0], "n")) > position {
				found = page[0]
			}
		}
		return false, nil
	})
	return found, err
}

// findEnd looks for the log's end from nothing: the last bucket by doubling and halving, then its last item.
func (s *Store) findEnd(ctx context.Context) (logEnd, error) {
	has := func(b int64) (bool, error) {
		some := false
		err := s.pages(ctx, query{pk: logPK(b), limit: 1}, func(page []item) (bool, error) {
			some = len(page) > 0
			return false, nil
		})
		return some, err
	}
	high := int64(1)
	for {
		some, err := has(high)
		if err != nil {
			return logEnd{}, err
		}
		if !some {
			break
		}
		high *= 2
	}
	var failure error
	low := high / 2
	if low == 1 && high == 1 {
		low = 0
	}
	n := sort.Search(int(high-low), func(i int) bool {
		some, err := has(low + int64(i))
		if err != nil {
			failure = err
		}
		return !some
	})
	if failure != nil {
		return logEnd{}, failure
	}
	last := low + int64(n) - 1
	if last < 0 {
		return logEnd{}, nil
	}
	var e logEnd
	err := s.pages(ctx, query{pk: logPK(last), backwards: true, limit: 1}, func(page []item) (bool, error) {
		if len(page) == 0 {
			return false, nil
		}
		events, err := eventsOf(page[0])
		if err == nil {
			r := events[len(events)-1]
			e.position, e.committed = r.Position, r.Committed
		}
		return false, err
	})
	return e, err
}

// advanceEnd moves an end over what has come behind it.
func (s *Store) advanceEnd(ctx context.Context, e logEnd) (logEnd, error) {
	return s.advance(ctx, e, func(item) {})
}

// advance is advanceEnd, and shows each item that it goes over.
func (s *Store) advance(ctx context.Context, e logEnd, over func(item)) (logEnd, error) {
	for {
		from := e.position + 1
		moved := false
		q := query{pk: logPK(bucket(from)), cond: "sk >= :from", values: item{":from": str(pad(from))}, limit: pageEvents}
		err := s.pages(ctx, q, func(page []item) (bool, error) {
			for _, i := range page {
				if text(i, sk) != pad(e.position+1) {
					return false, nil // a hole: a transaction that is just becoming visible
				}
				e.position += max(1, number(i, "n"))
				e.committed = time.UnixMicro(number(i, "c")).UTC()
				moved = true
				s.told.noteItem(i)
				over(i)
			}
			return true, nil
		})
		if err != nil || !moved || bucket(e.position+1) == bucket(from) {
			return e, err
		}
	}
}

// ReadAll implements eventstore.Log.
func (s *Store) ReadAll(ctx context.Context, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	return func(yield func(*event.Recorded, error) bool) {
		err := s.ready(ctx)
		var end logEnd
		if err == nil {
			end, err = s.advanceEnd(ctx, s.seen())
		}
		var low, high int64
		if err == nil {
			low, high, err = s.bounds(ctx, o, end.position)
		}
		stopped := false
		n := int64(0)
		give := func(r *event.Recorded) (bool, error) {
			if !o.Filter.Selects(r) {
				return true, nil
			}
			n++
			if !yield(r, nil) {
				stopped = true
				return false, nil
			}
			return n != o.Max, nil
		}
		if err == nil && low <= high {
			if o.Backwards {
				err = s.read(ctx, high, low, down, give)
			} else {
				err = s.read(ctx, low, high, up, give)
			}
		}
		if err != nil && !stopped {
			yield(nil, s.reading(ctx, err))
		}
	}
}

// bounds gives the lowest and the highest position that are asked for.
func (s *Store) bounds(ctx context.Context, o eventstore.ReadOptions, end int64) (low, high int64, err error) {
	low, high = o.From, o.To
	if o.Backwards {
		low, high = o.To, o.From
	}
	low = max(low, 1)
	if high == 0 || high > end {
		high = end
	}
	if !o.SinceTime.IsZero() && low <= high {
		var failure error
		low += int64(sort.Search(int(high-low+1), func(i int) bool {
			at, err := s.committed(ctx, low+int64(i))
			if err != nil {
				failure = err
			}
			return !at.Before(o.SinceTime)
		}))
		err = failure
	}
	return low, high, err
}

// committed gives the time of the commit of a position.
func (s *Store) committed(ctx context.Context, position int64) (at time.Time, err error) {
	q := query{pk: logPK(bucket(position)), cond: "sk <= :at", values: item{":at": str(pad(position))}, backwards: true, limit: 1}
	err = s.pages(ctx, q, func(page []item) (bool, error) {
		if len(page) > 0 {
			at = time.UnixMicro(number(page[0], "c")).UTC()
		}
		return false, nil
	})
	return at, err
}

// ReadStream implements eventstore.Log: it reads the places of the stream's events, then the events, a hundred in a call.
func (s *Store) ReadStream(ctx context.Context, name event.Stream, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	return func(yield func(*event.Recorded, error) bool) {
		if err := s.readStream(ctx, name, o, yield); err != nil {
			yield(nil, s.reading(ctx, err))
		}
	}
}

func (s *Store) readStream(ctx context.Context, name event.Stream, o eventstore.ReadOptions, yield func(*event.Recorded, error) bool) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if name.Type == "" || name.ID == "" || len(streamPK(name)) > 2048 {
		return nil
	}
	if err := s.shared.current(ctx, name); err != nil {
		return err
	}
	i, err := s.head(ctx, name)
	if err != nil || i == nil {
		return err
	}
	st, err := streamOf(i)
	if err != nil {
		return err
	}
	low, high := o.From, o.To
	if o.Backwards {
		low, high = o.To, o.From
	}
	low = max(low, 1)
	if high == 0 || high > st.revision {
		high = st.revision
	}
	if low < st.from {
		if err := s.chunks(ctx, name, st); err != nil {
			return err
		}
	}
	n := int64(0)
	for low <= high {
		part := make([]place, 0, 100)
		if o.Backwards {
			for r := high; r >= max(low, high-99); r-- {
				part = append(part, st.at(r))
			}
			high -= 100
		} else {
			for r := low; r <= min(high, low+99); r++ {
				part = append(part, st.at(r))
			}
			low += 100
		}
		events, err := s.eventsAt(ctx, part)
		if err != nil {
			return err
		}
		for j := range events {
			r := &events[j]
			if !o.Filter.Selects(r) || r.Committed.Before(o.SinceTime) {
				continue
			}
			n++
			if !yield(r, nil) || n == o.Max {
				return nil
			}
		}
	}
	return nil
}

// eventsAt reads events by their places, in their order.
func (s *Store) eventsAt(ctx context.Context, places []place) ([]event.Recorded, error) {
	byPosition := map[int64]event.Recorded{}
	for try, wait := 0, s.settling(); ; try++ {
		var keys []item
		asked, first := map[int64]bool{}, int64(0)
		for _, p := range places {
			if _, known := byPosition[p.position]; !known && !asked[p.item] {
				asked[p.item] = true
				keys = append(keys, key(logPK(bucket(p.item)), pad(p.item)))
				first = cmp.Or(first, p.position)
			}
		}
		if len(keys) == 0 {
			break
		}
		if try > 0 && !wait.again(ctx) {
			return nil, missing(ctx, first)
		}
		found, err := s.gets(ctx, keys)
		if err != nil {
			return nil, err
		}
		for _, i := range found {
			events, err := eventsOf(i)
			if err != nil {
				return nil, err
			}
			for _, r := range events {
				byPosition[r.Position] = r
			}
		}
	}
	out := make([]event.Recorded, len(places))
	for i, p := range places {
		out[i] = byPosition[p.position]
	}
	return out, nil
}

// Streams implements eventstore.Log. Names come from an index, which may lag behind by moments; what is said of each
// stream is read from its head.
func (s *Store) Streams(ctx context.Context, o eventstore.StreamsOptions) iter.Seq2[eventstore.StreamInfo, error] {
	return func(yield func(eventstore.StreamInfo, error) bool) {
		if err := s.streams(ctx, o, yield); err != nil {
			yield(eventstore.StreamInfo{}, s.reading(ctx, err))
		}
	}
}

func (s *Store) streams(ctx context.Context, o eventstore.StreamsOptions, yield func(eventstore.StreamInfo, error) bool) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if one := (event.Stream{Type: o.Type, ID: o.Prefix}); s.shared.names(one) {
		return s.oneStream(ctx, one, o, yield) // no other id begins like a whole one
	}
	names := []string{o.Type}
	if o.Type == "" {
		items, err := s.all(ctx, query{pk: "T"})
		if err != nil {
			return err
		}
		names = names[:0]
		for _, i := range items {
			names = append(names, unescape(text(i, sk)[1:]))
		}
		slices.Sort(names)
	}
	n := int64(0)
	for _, name := range names {
		if name < o.After.Type {
			continue
		}
		q := query{pk: indexed(escape(name)), index: true, limit: 100}
		if o.Max > 0 {
			q.limit = int32(min(100, o.Max-n) + 1) // the first may be the one that all others are behind
		}
		prefix, after := indexed(escape(o.Prefix)), ""
		if name == o.After.Type {
			after = indexed(escape(o.After.ID))
		}
		switch {
		case prefix != "" && after <= prefix:
			q.cond, q.values = "begins_with("+indexSK+", :p)", item{":p": str(prefix)}
		case after != "":
			q.cond, q.values = indexSK+" >= :a", item{":a": str(after)}
		}
		done := false
		err := s.pages(ctx, q, func(page []item) (bool, error) {
			var keys []item
			ended := false
			for _, i := range page {
				switch e := text(i, indexSK); {
				case e < after, e == after && text(i, pk) <= streamPK(o.After):
					continue
				case !strings.HasPrefix(e, prefix):
					ended = e > prefix
					continue
				}
				keys = append(keys, item{pk: i[pk], sk: i[sk]})
			}
			if o.Max > 0 {
				keys = keys[:min(int64(len(keys)), o.Max-n)]
			}
			heads, err := s.gets(ctx, keys)
			if err != nil {
				return false, err
			}
			slices.SortFunc(heads, func(a, b item) int {
				return cmp.Or(cmp.Compare(text(a, indexSK), text(b, indexSK)), cmp.Compare(text(a, pk), text(b, pk)))
			})
			for _, i := range heads {
				st, err := streamOf(i)
				if err != nil {
					return false, err
				}
				n++
				info := eventstore.StreamInfo{
					Stream: event.Stream{Type: name, ID: idOf(name, i)}, Revision: st.revision, Created: st.created, Updated: st.updated,
				}
				if !yield(info, nil) || n == o.Max {
					done = true
					return false, nil
				}
			}
			return !ended, nil
		})
		if err != nil || done {
			return err
		}
	}
	return nil
}

// idOf gives the id of a stream whose head, or the key of it, i is: the index has long ones cut off.
func idOf(typ string, i item) string {
	return unescape(strings.TrimPrefix(text(i, pk), streamPK(event.Stream{Type: typ})))
}

// oneStream gives a stream of the shared table by its name, without the index: what was written before is seen.
func (s *Store) oneStream(ctx context.Context, name event.Stream, o eventstore.StreamsOptions, yield func(eventstore.StreamInfo, error) bool) error {
	if o.After.Type > name.Type || o.After.Type == name.Type && o.After.ID >= name.ID {
		return nil
	}
	if err := s.shared.current(ctx, name); err != nil {
		return err
	}
	i, err := s.head(ctx, name)
	if err != nil || i == nil {
		return err
	}
	st, err := streamOf(i)
	if err != nil {
		return err
	}
	yield(eventstore.StreamInfo{Stream: name, Revision: st.revision, Created: st.created, Updated: st.updated}, nil)
	return nil
}
