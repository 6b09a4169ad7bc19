package pipeline

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// relief stands before a source that one replica alone may read. While this process has the intake's lease it gives what
// the source gives; when the lease goes to another, all that is in hand is settled and the source closed; and when it
// comes back, a new source goes on from the committed place. What is committed meanwhile is committed under the lease.
type relief struct {
	p    *pipe
	seat *seat
}

// Subscribe implements message.Subscriber. Where the lease is here already, what is wrong with the source is an error at
// once.
func (s *relief) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	s.p.metrics.Owner(false)
	var in <-chan *message.Message
	var t *tenure
	select {
	case t = <-s.seat.given:
		var err error
		if in, err = s.open(t); err != nil {
			if t.stop.Err() == nil {
				return nil, err
			}
			// Another replica has claimed the seat meanwhile: nothing is wrong with the source.
			if s.p.source != nil {
				_ = s.p.source.Close()
				s.p.source = nil
			}
		}
	default:
	}
	go func() {
		defer close(out)
		for {
			if t == nil {
				if t = s.seat.await(ctx); t == nil {
					return
				}
				in = s.resume(t)
			}
			ended := in != nil && s.serve(t, in, out)
			if ended {
				s.p.seats.retire(s.seat)
			}
			s.p.fence.Store(nil)
			s.p.metrics.Owner(false)
			s.p.seats.give(s.seat, t)
			if ended {
				return
			}
			t = nil
		}
	}()
	return out, nil
}

// Close implements message.Subscriber; the pipeline closes its source.
func (s *relief) Close() error { return nil }

// open subscribes to a source for one tenure.
func (s *relief) open(t *tenure) (<-chan *message.Message, error) {
	if s.p.source == nil {
		src, err := s.p.env.sourceOf(s.p)
		if err != nil {
			return nil, err
		}
		s.p.source = src
	}
	l := t.now()
	s.p.fence.Store(&l)
	s.p.metrics.Owner(true)
	return s.p.source.Subscribe(t.stop, "")
}

// resume is open for a tenure that begins while the pipeline runs: it goes on until that succeeds, as what is missing
// may come. It gives nil when the tenure is over.
func (s *relief) resume(t *tenure) <-chan *message.Message {
	p := s.p
	for attempt := 1; ; attempt++ {
		in, err := s.open(t)
		if err == nil {
			p.trouble.clear("intake")
			return in
		}
		if p.source != nil {
			_ = p.source.Close() // it has given nothing
			p.source = nil
		}
		if t.stop.Err() == nil {
			p.trouble.set("intake", err)
			p.limited("intake").Error("the source cannot be read; trying again", "error", err, "attempt", attempt)
		}
		if !p.sleep(p.backoff(&p.outageRetry, min(attempt+1, 16)), t.stop, t.hard) {
			p.trouble.clear("intake")
			return nil
		}
	}
}

// serve hands on what the source gives, until its end (true) or that of the tenure.
func (s *relief) serve(t *tenure, in <-chan *message.Message, out chan<- *message.Message) bool {
	p := s.p
	var hand sync.WaitGroup
	for m := range in {
		hand.Go(func() {
			select {
			case <-m.Acked():
			case <-m.Nacked():
			}
		})
		out <- m
	}
	ended := p.soft.Err() != nil || (t.stop.Err() == nil && t.hard.Err() == nil)
	hand.Wait() // the lease stands until the last of it is committed
	if t.hard.Err() == nil {
		p.flushPlaces()
	}
	if ended {
		return true
	}
	p.places.take(p.now())
	if p.lanes {
		p.frontier.reset()
		p.laneState.reopen()
	}
	p.cut.Store(false)
	if err := p.source.Close(); err != nil {
		p.log.Warn("the source was not closed cleanly", "error", err)
	}
	p.source = nil
	return false
}

// fenceOf gives the lease under which units are committed: that of the intake where they move a source's place.
func (p *pipe) fenceOf(units []*eventstore.Unit) *eventstore.Lease {
	fence := p.fence.Load()
	if fence == nil {
		return nil
	}
	for _, u := range units {
		if u.Cursor != nil {
			return fence
		}
	}
	return nil
}

// fenced ends the intake's tenure: another replica reads the source by now.
func (p *pipe) fenced(err error) {
	if p.intake == nil {
		return
	}
	p.seats.lose(p.intake, err)
}

// reset forgets all batches.
func (f *frontier) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.ended)
	f.open = map[string][]*event.Batch{}
}
