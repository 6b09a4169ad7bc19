package dynamodb

import (
	"context"
	"iter"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/live"
)

// watch asks for commits of other processes while anybody follows the log.
func (s *Store) watch() {
	tick := time.NewTicker(s.cfg.Poll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		if s.follow.Load() == 0 {
			continue
		}
		e, err := s.advanceEnd(s.ctx, s.seen())
		if err != nil {
			if s.ctx.Err() == nil {
				s.log.Warn("the event store cannot see the commits of others", "err", err)
			}
			continue
		}
		s.ends.Publish(e.position, e.committed)
	}
}

// Subscribe implements eventstore.Log. It ends without an error when ctx does, and with ErrClosed when the store is
// closed.
func (s *Store) Subscribe(ctx context.Context, o eventstore.SubscribeOptions) iter.Seq2[eventstore.Page, error] {
	o = live.Pages(o)
	return func(yield func(eventstore.Page, error) bool) {
		s.follow.Add(1)
		defer s.follow.Add(-1)
		s.ends.Follow(ctx, o.After, live.Follower{Ready: s.ready, Next: func(ctx context.Context, after, head int64) (eventstore.Page, error) {
			for wait := s.settling(); ; {
				p, err := s.page(ctx, after, head, o)
				if err != nil || p.Through > after {
					return p, s.reading(ctx, err)
				}
				if !wait.again(ctx) { // a hole where the end was seen: it is a moment old, or for ever
					return p, missing(ctx, after+1)
				}
				if err := s.ready(ctx); err != nil {
					return p, err
				}
			}
		}})(yield)
	}
}

// page reads the next piece of the log. One that a filter leaves empty ends after ten thousand positions, so that the
// reader's place moves.
func (s *Store) page(ctx context.Context, after, head int64, o eventstore.SubscribeOptions) (eventstore.Page, error) {
	p := live.NewPage(after, head, o)
	_, err := s.scan(ctx, after+1, min(head, after+perBucket), up, func(r *event.Recorded) (bool, error) {
		p.Take(r)
		return !p.Full, nil
	})
	return p.Page, err
}
