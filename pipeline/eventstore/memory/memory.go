// Package memory is an event store that lives in the process and forgets everything when it is closed: for `leat
// test`, and for tests of what stands on a store. It keeps every rule of the contract but durability.
package memory

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
	"github.com/leatdev/leat/pipeline/table"
	tables "github.com/leatdev/leat/pipeline/table/memory"
)

// Options are what Open takes.
type Options struct {
	// Now is the committer's clock; nil: time.Now.
	Now func() time.Time
}

// Store is an event store in memory. It is safe for concurrent use.
type Store struct {
	now   func() time.Time
	logID string

	tables *tables.Store
	parked parked

	// still is held for reading by who appends, for writing by who lets nobody append; it comes before mu.
	still sync.RWMutex

	mu      sync.RWMutex
	closed  bool
	wake    chan struct{} // closed by the next commit
	log     []*event.Recorded
	streams map[event.Stream]*stream
	marks   map[plan.MarkID]mark
	cursors map[plan.CursorID]string
	relays  map[string]eventstore.Relay
	leases  map[string]eventstore.Lease

	definitions map[string]map[string]int64 // pipeline → definition → generation
	replicas    map[[2]string]eventstore.Replica
	outbox      []eventstore.OutboxRow // by id
	lastRow     int64
	readTo      int64         // lastRow at the last read
	rowCame     chan struct{} // closed by the next row
}

type stream struct {
	events           []*event.Recorded
	ids              map[string]int // index in events
	created, updated time.Time
}

type mark struct {
	hash uint64
	at   time.Time
}

var (
	_ eventstore.Store    = (*Store)(nil)
	_ eventstore.Replicas = (*Store)(nil)
	_ eventstore.Swapper  = (*Store)(nil)
)

// Open makes an empty store.
func Open(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{
		now: o.Now, logID: uuid.NewString(), wake: make(chan struct{}), rowCame: make(chan struct{}),
		streams: map[event.Stream]*stream{}, marks: map[plan.MarkID]mark{}, cursors: map[plan.CursorID]string{},
		relays: map[string]eventstore.Relay{}, leases: map[string]eventstore.Lease{},
		definitions: map[string]map[string]int64{}, replicas: map[[2]string]eventstore.Replica{},
	}
	s.readTo = -1 // nobody has read yet
	s.parked.now = o.Now
	s.tables = openTables(s)
	return s
}

// Close implements eventstore.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.wake)
		close(s.rowCame)
	}
	return nil
}

// read runs fn under the lock for reading.
func (s *Store) read(ctx context.Context, fn func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return eventstore.ErrClosed
	}
	fn()
	return nil
}

// write runs fn under the lock.
func (s *Store) write(ctx context.Context, fn func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return eventstore.ErrClosed
	}
	return fn()
}

// Head implements eventstore.Log.
func (s *Store) Head(ctx context.Context) (h eventstore.Head, err error) {
	err = s.read(ctx, func() { h = s.head() })
	return h, err
}

func (s *Store) head() eventstore.Head {
	h := eventstore.Head{LogID: s.logID, Position: int64(len(s.log))}
	if n := len(s.log); n > 0 {
		h.Committed = s.log[n-1].Committed
	}
	return h
}

// Cursor implements eventstore.Store.
func (s *Store) Cursor(ctx context.Context, pipeline, key string) (v string, err error) {
	err = s.read(ctx, func() { v = s.cursors[plan.CursorID{Pipeline: pipeline, Key: key}] })
	return v, err
}

// Cursors implements eventstore.Store.
func (s *Store) Cursors(ctx context.Context, pipeline string) (map[string]string, error) {
	out := map[string]string{}
	err := s.read(ctx, func() {
		for id, v := range s.cursors {
			if id.Pipeline == pipeline {
				out[id.Key] = v
			}
		}
	})
	return out, err
}

// Marks implements eventstore.Store. Keys come in their order.
func (s *Store) Marks(ctx context.Context, pipeline, prefix string) iter.Seq2[eventstore.Mark, error] {
	return func(yield func(eventstore.Mark, error) bool) {
		var out []eventstore.Mark
		err := s.read(ctx, func() {
			for id, m := range s.marks {
				if id.Pipeline == pipeline && strings.HasPrefix(id.Key, prefix) {
					out = append(out, eventstore.Mark{Key: id.Key, Hash: m.hash})
				}
			}
		})
		if err != nil {
			yield(eventstore.Mark{}, err)
			return
		}
		sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
		for _, m := range out {
			if !yield(m, nil) {
				return
			}
		}
	}
}

// PruneMarks implements eventstore.Store.
func (s *Store) PruneMarks(ctx context.Context, pipeline, prefix string, before time.Time) (n int64, err error) {
	err = s.write(ctx, func() error {
		maps.DeleteFunc(s.marks, func(id plan.MarkID, m mark) bool {
			gone := id.Pipeline == pipeline && strings.HasPrefix(id.Key, prefix) && (before.IsZero() || m.at.Before(before))
			if gone {
				n++
			}
			return gone
		})
		return nil
	})
	return n, err
}

// Tables implements eventstore.Store.
func (s *Store) Tables() table.Store { return s.tables }

// Streams implements eventstore.Log.
func (s *Store) Streams(ctx context.Context, o eventstore.StreamsOptions) iter.Seq2[eventstore.StreamInfo, error] {
	return func(yield func(eventstore.StreamInfo, error) bool) {
		var out []eventstore.StreamInfo
		err := s.read(ctx, func() {
			for name, st := range s.streams {
				if (o.Type == "" || name.Type == o.Type) && strings.HasPrefix(name.ID, o.Prefix) && less(o.After, name) {
					out = append(out, eventstore.StreamInfo{
						Stream: name, Revision: int64(len(st.events)), Created: st.created, Updated: st.updated,
					})
				}
			}
		})
		if err != nil {
			yield(eventstore.StreamInfo{}, err)
			return
		}
		slices.SortFunc(out, func(a, b eventstore.StreamInfo) int {
			if less(a.Stream, b.Stream) {
				return -1
			}
			return 1
		})
		if o.Max > 0 && int64(len(out)) > o.Max {
			out = out[:o.Max]
		}
		for _, i := range out {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// Updated implements eventstore.Updates.
func (s *Store) Updated(ctx context.Context, typ string, since time.Time, most int64) iter.Seq2[eventstore.StreamInfo, error] {
	return eventstore.Walk(ctx, s, typ, since, most)
}

func less(a, b event.Stream) bool { return a.Type < b.Type || a.Type == b.Type && a.ID < b.ID }

// Verify implements eventstore.Store.
func (s *Store) Verify(ctx context.Context, report func(eventstore.Fault)) (v eventstore.Verified, err error) {
	fault := func(f eventstore.Fault) { v.Faults++; report(f) }
	err = s.read(ctx, func() {
		next := map[event.Stream]int64{}
		var last time.Time
		for i, r := range s.log {
			v.Events++
			next[r.Stream]++
			switch {
			case r.Position != int64(i)+1:
				fault(eventstore.Fault{Stream: r.Stream, Position: r.Position, What: "the position is not the next one"})
			case r.Revision != next[r.Stream]:
				fault(eventstore.Fault{Stream: r.Stream, Position: r.Position, What: "the revision is not the next one"})
			case r.Committed.Before(last):
				fault(eventstore.Fault{Stream: r.Stream, Position: r.Position, What: "the time of commit goes back"})
			}
			last = r.Committed
		}
		for name, st := range s.streams {
			v.Streams++
			if n := int64(len(st.events)); n != next[name] {
				fault(eventstore.Fault{Stream: name, What: "the head is not the last revision"})
			}
		}
	})
	return v, err
}
