package memory

import (
	"context"
	"fmt"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// Commit implements eventstore.Log.
func (s *Store) Commit(ctx context.Context, units []*eventstore.Unit, o eventstore.CommitOptions) error {
	for _, u := range units {
		u.Result = eventstore.Result{}
	}
	s.still.RLock()
	defer s.still.RUnlock()
	return s.write(ctx, func() error {
		if o.Fence != nil {
			if err := plan.CheckFence(s.leases[o.Fence.Name], o.Fence); err != nil {
				return err
			}
		}
		committed := plan.Clock(s.now(), s.head().Committed)
		d := plan.New(database{s}, int64(len(s.log)), committed)
		for _, u := range units {
			if err := d.Add(ctx, u, s.effects); err != nil {
				return err // no error comes from maps
			}
			if u.Result.Status == eventstore.Refused && o.Ordered {
				break
			}
		}
		s.apply(d)
		return nil
	})
}

func (s *Store) apply(d *plan.Draft) {
	now := d.Committed()
	for _, w := range d.Writes {
		r := w.Recorded(now)
		r.Event = r.Event.Clone()
		st := s.streams[r.Stream]
		if st == nil {
			st = &stream{ids: map[string]int{}, created: now}
			s.streams[r.Stream] = st
		}
		st.ids[r.ID] = len(st.events)
		st.events = append(st.events, &r)
		st.updated = now
		s.log = append(s.log, &r)
	}
	for id, hash := range d.Marks {
		if _, known := s.marks[id]; !known {
			s.marks[id] = mark{hash, now}
		}
	}
	for id, v := range d.Cursors {
		s.cursors[id] = v
	}
	s.dropRows(d.Rows)
	if len(d.Writes) > 0 {
		close(s.wake)
		s.wake = make(chan struct{})
	}
}

// effects parks, unparks and runs Within for one unit, and takes it back when Within refuses.
func (s *Store) effects(ctx context.Context, u *eventstore.Unit, written []event.Recorded, repeated bool) error {
	if repeated {
		s.parked.take(u.Unpark, true)
		return nil
	}
	taken, ok := s.parked.take(u.Unpark, false)
	if !ok {
		return plan.Refuse(eventstore.ErrGone)
	}
	if u.Within != nil {
		tx := s.tables.Begin()
		if err := within(ctx, u, tx, written); err != nil {
			s.parked.restore(taken)
			return plan.Refuse(err)
		}
		tx.Commit()
	}
	s.parked.put(u.Park)
	return nil
}

// within runs Unit.Within; a panic in it is the unit's fault, not the store's.
func within(ctx context.Context, u *eventstore.Unit, tx table.Tx, written []event.Recorded) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = event.PoisonAs(event.CodePanic, fmt.Errorf("eventstore: panic in the unit's own transaction: %v", p))
		}
	}()
	return u.Within(ctx, tx, written)
}

// database is the store as a draft sees it; the lock is held.
type database struct{ s *Store }

// Open implements plan.Database.
func (db database) Open(_ context.Context, name event.Stream) (plan.Base, error) {
	st := db.s.streams[name]
	if st == nil {
		return plan.Base{}, nil
	}
	n := len(st.events)
	return plan.Base{Revision: int64(n), Position: st.events[n-1].Position, Ref: st}, nil
}

// At implements plan.Database.
func (db database) At(_ context.Context, s *plan.Stream, revision int64) (plan.Known, error) {
	return known(s.Base.Ref.(*stream).events[revision-1]), nil
}

// Find implements plan.Database.
func (db database) Find(_ context.Context, s *plan.Stream, id string) (plan.Known, bool, error) {
	st := s.Base.Ref.(*stream)
	i, ok := st.ids[id]
	if !ok {
		return plan.Known{}, false, nil
	}
	return known(st.events[i]), true, nil
}

func known(r *event.Recorded) plan.Known {
	return plan.Known{Revision: r.Revision, Position: r.Position, ID: r.ID, Type: r.Type, Data: r.Data}
}

// Mark implements plan.Database.
func (db database) Mark(_ context.Context, pipeline, key string) (uint64, bool, error) {
	m, ok := db.s.marks[plan.MarkID{Pipeline: pipeline, Key: key}]
	return m.hash, ok, nil
}

// Row implements plan.Database.
func (db database) Row(_ context.Context, id int64) (bool, error) {
	_, there := db.s.row(id)
	return there, nil
}

// AdvanceRelay implements eventstore.Relays.
func (s *Store) AdvanceRelay(ctx context.Context, a eventstore.Advance) error {
	return s.write(ctx, func() error {
		r, ok := s.relays[a.Relay]
		if err := plan.CheckAdvance(r, ok, a, int64(len(s.log))); err != nil {
			return err
		}
		if _, ok := s.parked.take(a.Unpark, false); !ok {
			return eventstore.ErrGone
		}
		s.parked.put(a.Park)
		r.Position, r.Updated = a.To, s.now().UTC()
		s.relays[a.Relay] = r
		return nil
	})
}

// Park implements poison.Store.
func (s *Store) Park(ctx context.Context, entries ...poison.Entry) error {
	return s.write(ctx, func() error { s.parked.put(entries); return nil })
}
