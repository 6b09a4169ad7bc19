package dynamodb

import (
	"context"
	"fmt"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// known is what a draft may ask. What is read here is true as long as nobody else has written: the condition on the log's
// next position finds out.
type known struct {
	w     *writer
	marks map[plan.MarkID]markState
	rows  map[int64]bool
}

type markState struct {
	hash  uint64
	known bool
}

// read gets, in one call for a hundred, the heads, marks and rows that a batch has to know.
func (k *known) read(ctx context.Context, batch []*request, counts []int) error {
	var keys []item
	asked := map[string]bool{}
	ask := func(i item) {
		if at := text(i, pk) + "\x00" + text(i, sk); !asked[at] {
			asked[at] = true
			keys = append(keys, i)
		}
	}
	streams := map[string]event.Stream{}
	marks := map[string]plan.MarkID{}
	for n, r := range batch {
		for _, u := range r.units[r.next : r.next+counts[n]] {
			for i := range u.Appends {
				name := u.Appends[i].Stream
				if k.w.streams[name] == nil && name.Type != "" && name.ID != "" && len(streamPK(name)) <= 2048 {
					i := key(streamPK(name), headSK)
					streams[text(i, pk)] = name
					ask(i)
				}
			}
			if u.Inbox != nil {
				id := plan.MarkID{Pipeline: u.Pipeline, Key: u.Inbox.Key}
				i := key(markPK(id.Pipeline), markSK(id.Key))
				marks[text(i, pk)+"\x00"+text(i, sk)] = id
				k.marks[id] = markState{}
				ask(i)
			}
			for _, id := range u.Outbox {
				ask(key(outboxPK, pad(id)))
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	found, err := k.w.s.gets(ctx, keys)
	for wait := k.w.s.settling(); err == nil && k.w.stale(streams, found); {
		if !wait.again(ctx) {
			return fmt.Errorf("%w: a stream's head does not say what the log says", eventstore.ErrUnavailable)
		}
		found, err = k.w.s.gets(ctx, keys)
	}
	if err != nil {
		return err
	}
	for _, name := range streams {
		k.w.streams[name] = &stream{from: 1, complete: true}
	}
	for _, i := range found {
		switch p := text(i, pk); {
		case p == outboxPK:
			if id, ok := unpad(text(i, sk)); ok {
				k.rows[id] = true
			}
		case streams[p] != (event.Stream{}):
			st, err := streamOf(i)
			if err != nil {
				return err
			}
			k.w.streams[streams[p]] = st
			k.w.places += len(st.tail)
		default:
			k.marks[marks[p+"\x00"+text(i, sk)]] = markState{uint64(number(i, "h")), true}
		}
	}
	return nil
}

// stale reports heads that do not have what the log's items have told: these became visible first. A unit would be
// refused by them that nothing stands against.
func (w *writer) stale(streams map[string]event.Stream, found []item) bool {
	have := map[string]int64{}
	for _, i := range found {
		if text(i, sk) == headSK {
			have[text(i, pk)] = number(i, "r")
		}
	}
	for p, name := range streams {
		if have[p] < w.s.told.of(name) {
			return true
		}
	}
	return false
}

// Open implements plan.Database.
func (k *known) Open(_ context.Context, name event.Stream) (plan.Base, error) {
	if len(streamPK(name)) > 2048 {
		return plan.Base{}, plan.Refuse(fmt.Errorf("%w: the stream's name, as it is stored", eventstore.ErrTooLarge))
	}
	st := k.w.streams[name]
	if st == nil {
		st = &stream{from: 1, complete: true}
	}
	return plan.Base{Revision: st.revision, Position: st.position, Ref: st}, nil
}

// At implements plan.Database.
func (k *known) At(ctx context.Context, s *plan.Stream, revision int64) (plan.Known, error) {
	st := s.Base.Ref.(*stream)
	if revision < st.from {
		if err := k.w.s.chunks(ctx, s.Name, st); err != nil {
			return plan.Known{}, err
		}
	}
	r, err := k.w.s.event(ctx, st.at(revision))
	if err != nil {
		return plan.Known{}, err
	}
	return knownOf(&r), nil
}

// Find implements plan.Database.
func (k *known) Find(ctx context.Context, s *plan.Stream, id string) (plan.Known, bool, error) {
	st := s.Base.Ref.(*stream)
	if !st.complete {
		if err := k.w.s.chunks(ctx, s.Name, st); err != nil {
			return plan.Known{}, false, err
		}
		k.w.places += len(st.older)
	}
	for _, revision := range st.find(id) {
		r, err := k.w.s.event(ctx, st.at(revision))
		if err != nil || r.ID == id {
			return knownOf(&r), err == nil, err
		}
	}
	return plan.Known{}, false, nil
}

func knownOf(r *event.Recorded) plan.Known {
	return plan.Known{Revision: r.Revision, Position: r.Position, ID: r.ID, Type: r.Type, Data: r.Data}
}

// Mark implements plan.Database.
func (k *known) Mark(_ context.Context, pipeline, name string) (uint64, bool, error) {
	m := k.marks[plan.MarkID{Pipeline: pipeline, Key: name}]
	return m.hash, m.known, nil
}

// Row implements plan.Database.
func (k *known) Row(_ context.Context, id int64) (bool, error) { return k.rows[id], nil }

// event reads the event at a place.
func (s *Store) event(ctx context.Context, p place) (event.Recorded, error) {
	events, err := s.eventsAt(ctx, []place{p})
	if err != nil {
		return event.Recorded{}, err
	}
	return events[0], nil
}
