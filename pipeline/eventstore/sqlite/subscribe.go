package sqlite

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/live"
)

// poll is how often a store that was opened for reading looks for the commits of the process that writes.
const poll = time.Second

// Subscribe implements eventstore.Log. It ends without an error when ctx does, and with ErrClosed when the store is
// closed.
func (s *Store) Subscribe(ctx context.Context, o eventstore.SubscribeOptions) iter.Seq2[eventstore.Page, error] {
	o = live.Pages(o)
	follower := live.Follower{Ready: s.ready, Next: func(ctx context.Context, after, head int64) (eventstore.Page, error) {
		return s.next(ctx, after, head, o)
	}}
	if s.cfg.ReadOnly {
		follower.Poll = poll
	}
	return func(yield func(eventstore.Page, error) bool) {
		defer s.ring.Follow()()
		s.ends.Follow(ctx, o.After, follower)(yield)
	}
}

// next gives the page behind a position: from memory where the last commits are, else from the file.
func (s *Store) next(ctx context.Context, after, head int64, o eventstore.SubscribeOptions) (eventstore.Page, error) {
	p := live.NewPage(after, head, o)
	if s.ring.Fill(p); p.Through > after {
		return p.Page, nil
	}
	err := s.read(ctx, func(c *conn) (err error) {
		p.Events, p.Through, err = s.page(ctx, c, span{
			low: after + 1, high: head, filter: o.Filter, maxEvents: o.MaxEvents, maxBytes: o.MaxBytes,
		})
		return err
	})
	return p.Page, err
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
		s.ends.Publish(e.head, e.committed)
	}
	return nil
}
