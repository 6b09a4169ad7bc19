package memory

import (
	"context"
	"iter"
	"slices"
	"sort"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/live"
)

// ReadStream implements eventstore.Log.
func (s *Store) ReadStream(ctx context.Context, name event.Stream, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	return s.scan(ctx, o, func() []*event.Recorded {
		if st := s.streams[name]; st != nil {
			return st.events
		}
		return nil
	})
}

// ReadAll implements eventstore.Log.
func (s *Store) ReadAll(ctx context.Context, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	return s.scan(ctx, o, func() []*event.Recorded { return s.log })
}

// scan reads what is there when it starts. Events are never changed once they are in, so only the start is locked.
func (s *Store) scan(ctx context.Context, o eventstore.ReadOptions, of func() []*event.Recorded) iter.Seq2[*event.Recorded, error] {
	return func(yield func(*event.Recorded, error) bool) {
		var events []*event.Recorded
		if err := s.read(ctx, func() { events = of() }); err != nil {
			yield(nil, err)
			return
		}
		n := int64(0)
		for r := range bounded(events, o) {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if !o.Filter.Selects(r) {
				continue
			}
			c := *r
			if !yield(&c, nil) {
				return
			}
			if n++; n == o.Max {
				return
			}
		}
	}
}

// bounded cuts events, numbered from 1, to the options' bounds, in their direction.
func bounded(events []*event.Recorded, o eventstore.ReadOptions) iter.Seq[*event.Recorded] {
	low, high := o.From, o.To
	if o.Backwards {
		low, high = o.To, o.From
	}
	low = max(low, 1, since(events, o.SinceTime))
	if end := int64(len(events)); high == 0 || high > end {
		high = end
	}
	if low > high {
		return func(func(*event.Recorded) bool) {}
	}
	part := events[low-1 : high]
	if !o.Backwards {
		return slices.Values(part)
	}
	return func(yield func(*event.Recorded) bool) {
		for _, r := range slices.Backward(part) {
			if !yield(r) {
				return
			}
		}
	}
}

// since gives the number of the first event that was not committed before t.
func since(events []*event.Recorded, t time.Time) int64 {
	if t.IsZero() {
		return 1
	}
	return int64(sort.Search(len(events), func(i int) bool { return !events[i].Committed.Before(t) })) + 1
}

// Subscribe implements eventstore.Log. It ends without an error when ctx does, and with ErrClosed when the store is
// closed.
func (s *Store) Subscribe(ctx context.Context, o eventstore.SubscribeOptions) iter.Seq2[eventstore.Page, error] {
	o = live.Pages(o)
	return func(yield func(eventstore.Page, error) bool) {
		after := o.After
		for ctx.Err() == nil {
			var log []*event.Recorded
			var wake chan struct{}
			if err := s.read(ctx, func() { log, wake = s.log, s.wake }); err != nil {
				if ctx.Err() == nil {
					yield(eventstore.Page{}, err)
				}
				return
			}
			if after >= int64(len(log)) {
				select {
				case <-ctx.Done():
				case <-wake:
				}
				continue
			}
			p := page(log, after, o)
			after = p.Through
			if !yield(p, nil) {
				return
			}
		}
	}
}

func page(log []*event.Recorded, after int64, o eventstore.SubscribeOptions) eventstore.Page {
	p := live.NewPage(after, int64(len(log)), o)
	for i := after; i < p.Head && !p.Full; i++ {
		p.Take(log[i])
	}
	return p.Page
}
