package memory

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore/plan"
	"github.com/leatdev/leat/pipeline/poison"
)

// parked keeps the poison table. The store's lock guards it.
type parked struct {
	now  func() time.Time
	last int64
	list []poison.Entry // by id
}

func (p *parked) put(entries []poison.Entry) {
	for _, e := range entries {
		e.Payload, e.Metadata = bytes.Clone(e.Payload), bytes.Clone(e.Metadata)
		i := slices.IndexFunc(p.list, func(o poison.Entry) bool {
			return o.Pipeline == e.Pipeline && o.Step == e.Step && o.Key == e.Key
		})
		if i >= 0 {
			p.list[i] = plan.Parked(e, &p.list[i], p.now())
			continue
		}
		p.last++
		e = plan.Parked(e, nil, p.now())
		e.ID = p.last
		p.list = append(p.list, e)
	}
}

// take removes the entries with these ids; where one is gone and lenient is not set, it removes none.
func (p *parked) take(ids []int64, lenient bool) (taken []poison.Entry, ok bool) {
	if len(ids) == 0 {
		return nil, true
	}
	rest := make([]poison.Entry, 0, len(p.list))
	for _, e := range p.list {
		if slices.Contains(ids, e.ID) {
			taken = append(taken, e)
		} else {
			rest = append(rest, e)
		}
	}
	if len(taken) < len(ids) && !lenient {
		return nil, false
	}
	p.list = rest
	return taken, true
}

func (p *parked) restore(entries []poison.Entry) {
	p.list = append(p.list, entries...)
	slices.SortFunc(p.list, func(a, b poison.Entry) int { return int(a.ID - b.ID) })
}

// each calls fn with the selected entries, at most max of them unless it is 0.
func (p *parked) each(f poison.Filter, max int, fn func(*poison.Entry)) (n int64) {
	for i := range p.list {
		if max > 0 && n == int64(max) {
			break
		}
		if matches(&p.list[i], f) {
			fn(&p.list[i])
			n++
		}
	}
	return n
}

func matches(e *poison.Entry, f poison.Filter) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, e.ID)) &&
		is(f.Pipeline, e.Pipeline) && is(f.Step, e.Step) && is(f.Relay, e.Relay) && is(f.Code, e.Code) &&
		is(f.Stream.Type, e.Stream.Type) && is(f.Stream.ID, e.Stream.ID) &&
		(len(f.States) == 0 || slices.Contains(f.States, e.State)) &&
		(f.Since.IsZero() || !e.Last.Before(f.Since))
}

// ListParked implements poison.Store.
func (s *Store) ListParked(ctx context.Context, f poison.Filter) iter.Seq2[poison.Entry, error] {
	return func(yield func(poison.Entry, error) bool) {
		var out []poison.Entry
		if err := s.read(ctx, func() { s.parked.each(f, f.Max, func(e *poison.Entry) { out = append(out, *e) }) }); err != nil {
			yield(poison.Entry{}, err)
			return
		}
		for _, e := range out {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// CountParked implements poison.Store.
func (s *Store) CountParked(ctx context.Context, f poison.Filter) (n int64, oldest time.Time, err error) {
	err = s.read(ctx, func() {
		n = s.parked.each(f, 0, func(e *poison.Entry) {
			if oldest.IsZero() || e.First.Before(oldest) {
				oldest = e.First
			}
		})
	})
	return n, oldest, err
}

// EditParked implements poison.Store.
func (s *Store) EditParked(ctx context.Context, id int64, payload []byte) error {
	return s.write(ctx, func() error {
		n := s.parked.each(poison.Filter{IDs: []int64{id}}, 1, func(e *poison.Entry) {
			e.Payload, e.Edited = bytes.Clone(payload), true
		})
		if n == 0 {
			return poison.ErrNotFound
		}
		return nil
	})
}

// SetParked implements poison.Store.
func (s *Store) SetParked(ctx context.Context, f poison.Filter, to poison.State) (n int64, err error) {
	err = s.write(ctx, func() error {
		n = s.parked.each(f, f.Max, func(e *poison.Entry) { e.State = to })
		return nil
	})
	return n, err
}

// DropParked implements poison.Store.
func (s *Store) DropParked(ctx context.Context, f poison.Filter) (n int64, err error) {
	err = s.write(ctx, func() error {
		var ids []int64
		n = s.parked.each(f, f.Max, func(e *poison.Entry) { ids = append(ids, e.ID) })
		s.parked.take(ids, true)
		return nil
	})
	return n, err
}
