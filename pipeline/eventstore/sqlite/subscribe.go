package sqlite

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// poll is how often a store that was opened for reading looks for the commits of the process that writes.
const poll = time.Second

// Subscribe implements eventstore.Log. It ends without an error when ctx does, and with ErrClosed when the store is
// closed.
func (s *Store) Subscribe(ctx context.Context, o eventstore.SubscribeOptions) iter.Seq2[eventstore.Page, error] {
	if o.MaxEvents <= 0 {
		o.MaxEvents = 1000
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 4 << 20
	}
	return func(yield func(eventstore.Page, error) bool) {
		s.ring.followers.Add(1)
		defer s.ring.followers.Add(-1)
		for after := o.After; ctx.Err() == nil; {
			if err := s.ready(ctx); err != nil {
				if ctx.Err() == nil {
					yield(eventstore.Page{}, err)
				}
				return
			}
			end := s.head.Load()
			if after >= end.position {
				s.wait(ctx, end)
				continue
			}
			p, err := s.next(ctx, after, end.position, o)
			if err != nil {
				if ctx.Err() == nil {
					yield(eventstore.Page{}, err)
				}
				return
			}
			after = p.Through
			if !yield(p, nil) {
				return
			}
		}
	}
}

// wait returns when there may be a newer end, or none any more.
func (s *Store) wait(ctx context.Context, end *logEnd) {
	var again <-chan time.Time
	if s.cfg.ReadOnly {
		t := time.NewTimer(poll)
		defer t.Stop()
		again = t.C
	}
	select {
	case <-ctx.Done():
	case <-end.wake:
	case <-again:
	}
}

// next gives the page behind a position: from memory where the last commits are, else from the file.
func (s *Store) next(ctx context.Context, after, head int64, o eventstore.SubscribeOptions) (eventstore.Page, error) {
	p := eventstore.Page{Through: after, Head: head}
	for bytes := 0; p.Through < head; {
		recent := s.ring.behind(p.Through)
		if recent == nil {
			break
		}
		for i := range recent {
			r := &recent[i]
			if r.Position > head {
				return p, nil
			}
			if selected(r, o.Filter) {
				bytes += len(r.Raw) + len(r.Data) + len(r.Metadata)
				if len(p.Events) > 0 && bytes > o.MaxBytes {
					return p, nil
				}
				if p.Events == nil {
					p.Events = make([]event.Recorded, 0, min(len(recent)-i, o.MaxEvents))
				}
				p.Events = append(p.Events, *r)
			}
			if p.Through = r.Position; len(p.Events) == o.MaxEvents {
				return p, nil
			}
		}
	}
	if p.Through > after {
		return p, nil
	}
	err := s.read(ctx, func(c *conn) (err error) {
		p.Events, p.Through, err = s.page(ctx, c, span{
			low: after + 1, high: head, filter: o.Filter, maxEvents: o.MaxEvents, maxBytes: o.MaxBytes,
		})
		return err
	})
	return p, err
}

// refresher keeps a store that was opened for reading up with the process that writes.
type refresher struct {
	mu            sync.Mutex
	head, indexed int64
	known         bool
}

// refresh looks for commits of the other process.
func (s *Store) refresh(ctx context.Context) error {
	s.follow.mu.Lock()
	defer s.follow.mu.Unlock()
	c, err := s.reader(ctx)
	if err != nil {
		return err
	}
	defer s.release(c)
	// One transaction, so that the end and the index belong together.
	if _, err := c.exec("BEGIN"); err != nil {
		return classify(err)
	}
	defer func() { _, _ = c.exec("ROLLBACK") }()
	e, err := readEnd(ctx, c)
	if err != nil {
		return err
	}
	if s.follow.known && e.head == s.follow.head && e.indexed == s.follow.indexed {
		return nil
	}
	x := newIndex()
	if err := x.recover(ctx, c, e.indexed, e.head); err != nil {
		return classify(err)
	}
	s.index.replace(x)
	if s.logID == "" { // it never changes, and others read it
		s.logID = e.logID
	}
	moved := !s.follow.known || e.head != s.follow.head
	s.follow.head, s.follow.indexed, s.follow.known = e.head, e.indexed, true
	if moved {
		s.publish(e.head, e.committed)
	}
	return nil
}
