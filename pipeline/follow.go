package pipeline

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/sources"
)

// Pipelines whose source is event_log and that append nothing are relays alone: each target reads the log from its own
// checkpoint, behind the steps above it. So a table has each event's effect exactly once, a forward has its own retries
// and holds, and both can be rebuilt and replayed.

// openLog finds the log that the relays read, and its end.
func (p *pipe) openLog(ctx context.Context) error {
	if p.plan.follows {
		var err error
		if p.reader, err = p.env.logOf(p.plan.reads.Store); err != nil {
			return err
		}
	}
	var err error
	if p.head, err = p.reader.Head(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	p.lastOwn.Store(p.head.Position)
	if !p.plan.follows {
		return nil
	}
	until, follow := p.plan.reads.Until, p.plan.reads.Follow
	p.until.Store(forever)
	switch {
	case until == "" && follow:
		return nil
	case until == "":
		p.until.Store(p.head.Position)
	default:
		place, err := eventstore.ParsePlace(until)
		if err != nil {
			return fmt.Errorf("until: %w", err)
		}
		if follow && place.Time.After(p.now()) {
			p.untilTime = place.Time // logEnd waits for it
			return nil
		}
		at, err := place.Through(ctx, p.reader)
		if err != nil {
			return fmt.Errorf("until: %w", err)
		}
		if !follow {
			at = min(at, p.head.Position)
		}
		p.until.Store(at)
	}
	p.lastOwn.Store(p.until.Load())
	return nil
}

// forever is behind the last position of any log.
const forever = int64(1<<63 - 1)

// selects is what the relay reads of the log.
func (r *relay) selects() eventstore.Filter {
	if s := r.pipe.plan.reads; r.pipe.plan.follows {
		return eventstore.Filter{StreamTypes: s.StreamTypes, Types: s.Types, Origins: s.Origins}
	}
	return eventstore.Filter{Origins: r.plan.origins}
}

// bounded reports whether the relays of a pipeline without an intake come to an end.
func (p *pipe) bounded() bool {
	return p.plan.follows && (!p.plan.reads.Follow || p.plan.reads.Until != "")
}

// bound cuts a page at the end of what is to be read, and reports whether that is reached.
func (p *pipe) bound(page *eventstore.Page) bool {
	if !p.bounded() {
		return false
	}
	until := p.until.Load()
	if !p.untilTime.IsZero() {
		for i := range page.Events {
			if page.Events[i].Committed.After(p.untilTime) {
				until = min(until, page.Events[i].Position-1)
				break
			}
		}
	}
	if page.Through < until {
		return false
	}
	for n := len(page.Events); n > 0 && page.Events[n-1].Position > until; n-- {
		page.Events = page.Events[:n-1]
	}
	page.Through, page.Head = until, min(page.Head, until)
	return true
}

// logEnd is the source of a pipeline without an intake: it gives nothing, and ends when the log has come to where a
// bounded one is to end.
type logEnd struct {
	pipe *pipe
	done chan struct{}
	stop context.CancelFunc
	err  error
}

var (
	_ sources.Source    = (*logEnd)(nil)
	_ sources.Described = (*logEnd)(nil)
	_ sources.Failing   = (*logEnd)(nil)
)

// Traits implements sources.Described.
func (s *logEnd) Traits() sources.Traits {
	return sources.Traits{Ordered: true, Ends: s.pipe.bounded()}
}

// Err implements sources.Failing.
func (s *logEnd) Err() error { return s.err }

// Subscribe implements message.Subscriber.
func (s *logEnd) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	ctx, s.stop = context.WithCancel(ctx)
	s.done = make(chan struct{})
	out := make(chan *message.Message)
	go func() {
		defer close(s.done)
		defer close(out)
		if !s.pipe.bounded() {
			<-ctx.Done()
			return
		}
		if err := s.wait(ctx); err != nil && ctx.Err() == nil {
			s.err = err
		}
	}()
	return out, nil
}

// Close implements message.Subscriber.
func (s *logEnd) Close() error {
	if s.stop != nil {
		s.stop()
		<-s.done
	}
	return nil
}

// wait returns when the log holds all that is to be read.
func (s *logEnd) wait(ctx context.Context) error {
	p := s.pipe
	if !p.untilTime.IsZero() {
		if !p.sleep(p.untilTime.Sub(p.now()), ctx) {
			return nil
		}
		until, err := eventstore.Place{Time: p.untilTime}.Through(ctx, p.reader)
		if err != nil {
			return err
		}
		p.until.Store(until)
		p.lastOwn.Store(until)
		return nil
	}
	if p.head.Position >= p.until.Load() {
		return nil
	}
	// Only how far the log has come is of interest; no event has a type without a name.
	o := eventstore.SubscribeOptions{After: p.head.Position, Filter: eventstore.Filter{Types: []string{""}}}
	for page, err := range p.reader.Subscribe(ctx, o) {
		if err != nil || page.Through >= p.until.Load() {
			return err
		}
	}
	return nil
}
