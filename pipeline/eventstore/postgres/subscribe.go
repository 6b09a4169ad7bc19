package postgres

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/live"
)

// channel is what commits notify on; the message is the log's id, its head and the time of the commit.
const channel = "leat_log"

// poll is how often the head is read where no message has come: the net below LISTEN.
const poll = time.Second

// listen keeps up with the commits of other processes while anybody follows the log, until the store is closed. Each
// message costs the server and this process about as much as half a small commit, also for commits of this process
// itself: so nobody listens for nobody.
func (s *Store) listen() {
	for down := false; s.ctx.Err() == nil; {
		if !s.ring.Followed() {
			select {
			case <-s.wanted:
			case <-s.ctx.Done():
				return
			}
		}
		err := s.follow(&down)
		if s.ctx.Err() != nil {
			return
		}
		if err == nil {
			continue
		}
		if !down {
			s.log.Warn("the event store cannot listen for the commits of others", "err", err)
			down = true
		}
		select {
		case <-time.After(poll):
		case <-s.ctx.Done():
		}
	}
}

// want wakes listen for a new follower.
func (s *Store) want() {
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// follow listens on a connection of its own, until nobody follows any more.
func (s *Store) follow(down *bool) error {
	c, err := s.connect(s.ctx)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx)
	}()
	// A standby takes no LISTEN: there the poll alone is left.
	standby := false
	if err := c.QueryRow(s.ctx, "SELECT pg_is_in_recovery()").Scan(&standby); err != nil {
		return err
	}
	if !standby {
		if _, err := c.Exec(s.ctx, "LISTEN "+channel); err != nil {
			return err
		}
	}
	for read := true; ; {
		if !s.ring.Followed() && !read {
			return nil
		}
		if read {
			h, err := readHead(s.ctx, c)
			if err != nil {
				return err
			}
			s.ends.Publish(h.Position, h.Committed)
			if *down {
				s.log.Info("the event store listens again", "head", h.Position)
				*down = false
			}
		}
		wait, cancel := context.WithTimeout(s.ctx, poll)
		n, err := c.WaitForNotification(wait)
		late := wait.Err() != nil
		cancel()
		switch {
		case err == nil:
			var id string
			var position, us int64
			if _, err := fmt.Sscan(n.Payload, &id, &position, &us); err == nil && id == s.logID {
				s.ends.Publish(position, time.UnixMicro(us).UTC())
			}
			read = false
		case late && !c.IsClosed():
			read = s.ring.Followed()
		default:
			return err
		}
	}
}

// Subscribe implements eventstore.Log. It ends without an error when ctx does, and with ErrClosed when the store is
// closed.
func (s *Store) Subscribe(ctx context.Context, o eventstore.SubscribeOptions) iter.Seq2[eventstore.Page, error] {
	o = live.Pages(o)
	return func(yield func(eventstore.Page, error) bool) {
		defer s.ring.Follow()()
		s.want()
		pages := newPager(int64(o.MaxEvents))
		s.ends.Follow(ctx, o.After, live.Follower{Ready: s.ready, Next: func(ctx context.Context, after, head int64) (eventstore.Page, error) {
			return s.next(ctx, after, head, o, &pages)
		}})(yield)
	}
}

// next gives the page behind a position: from memory where the last commits are or what others have read, else from the
// database.
func (s *Store) next(ctx context.Context, after, head int64, o eventstore.SubscribeOptions, pages *pager) (eventstore.Page, error) {
	p := live.NewPage(after, head, o)
	s.ring.Fill(p)
	for !p.Full && s.shares(p.Through, head, o, pages) {
		first := p.Through / blockEvents * blockEvents // the position before the block
		events, err := s.blocks.get(ctx, first/blockEvents, func() ([]event.Recorded, int, error) {
			events, _, bytes, err := s.page(ctx, span{low: first + 1, high: first + blockEvents, max: blockEvents})
			return events, bytes, err
		})
		if err != nil {
			return p.Page, err
		}
		taken := len(p.Events)
		p.Add(events[p.Through-first:])
		pages.rare = 8*(len(p.Events)-taken) < blockEvents
		if p.Through-after >= int64(o.MaxEvents) {
			return p.Page, nil
		}
	}
	if p.Through > after {
		return p.Page, nil
	}
	events, through, read, err := s.page(ctx, span{low: after + 1, high: head, filter: o.Filter, max: min(pages.rows, o.MaxEvents)})
	if err != nil {
		return p.Page, err
	}
	pages.saw(len(events), read)
	pages.rare = 8*int64(len(events)) < through-after
	if p.Add(events); !p.Full {
		p.Through = through
	}
	return p.Page, nil
}

// shares reports whether the next piece is read as a block that others may want too: not where events are large, and
// not where a filter leaves little of it, unless it is there already.
func (s *Store) shares(through, head int64, o eventstore.SubscribeOptions, pages *pager) bool {
	number := through / blockEvents
	if (number+1)*blockEvents > head || pages.rows < blockEvents {
		return false
	}
	return !filtered(o.Filter) || !pages.rare || s.blocks.has(number)
}
