package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/sources"
)

// Source gives the rows of one outbox.
type Source struct {
	env  sources.Env
	own  bool // the outbox of the pipeline's store: a unit takes its row with it
	open func(ctx context.Context) (box, error)

	box  box
	drop context.CancelFunc // ends the goroutine that drops
	work sync.WaitGroup

	mu      sync.Mutex
	held    map[int64]struct{} // rows that are in flight, or are still to be dropped
	settled []int64            // to be dropped
	wake    chan struct{}      // there are some
}

var (
	_ sources.Source    = (*Source)(nil)
	_ sources.Described = (*Source)(nil)
)

// Traits implements sources.Described.
func (s *Source) Traits() sources.Traits { return sources.Traits{Ordered: true} }

// Subscribe opens the outbox.
func (s *Source) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	var err error
	if s.box, err = s.open(ctx); err != nil {
		return nil, err
	}
	s.held, s.wake = map[int64]struct{}{}, make(chan struct{}, 1)
	dropping, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.drop = stop
	s.work.Go(func() { s.dropSettled(dropping) })
	out := make(chan *message.Message)
	s.work.Go(func() {
		defer close(out)
		s.run(ctx, out)
	})
	return out, nil
}

// The pauses after a failure of the database.
const (
	shortPause = 100 * time.Millisecond
	longPause  = 10 * time.Second
)

// run gives rows until ctx is done.
func (s *Source) run(ctx context.Context, out chan<- *message.Message) {
	for pause := shortPause; ctx.Err() == nil; {
		err := s.next(ctx, out)
		if ctx.Err() != nil || errors.Is(err, eventstore.ErrClosed) {
			return
		}
		if err == nil {
			if pause > shortPause {
				s.trouble(nil)
			}
			pause = shortPause
			continue
		}
		s.trouble(err)
		s.env.Log.Error("the outbox cannot be read; trying again", "error", err, "after", pause)
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, longPause)
	}
}

func (s *Source) trouble(err error) {
	if s.env.Trouble != nil {
		s.env.Trouble(err)
	}
}

// next gives one batch, or waits where there is none.
func (s *Source) next(ctx context.Context, out chan<- *message.Message) error {
	found, err := s.box.ReadOutbox(ctx, s.inHand(), s.env.MaxEvents, s.env.MaxBytes)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return s.box.WaitOutbox(ctx)
	}
	b := s.batch(found)
	select {
	case out <- b.Message(context.WithoutCancel(ctx)):
	case <-ctx.Done():
	}
	return nil
}

// inHand gives the rows that are not to be read again.
func (s *Source) inHand() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]int64, 0, len(s.held))
	for id := range s.held {
		ids = append(ids, id)
	}
	return ids
}

func (s *Source) batch(found []eventstore.OutboxRow) *event.Batch {
	b := &event.Batch{Events: make([]event.Event, len(found))}
	s.mu.Lock()
	for i := range found {
		b.Events[i].Raw = found[i].Body
		s.held[found[i].ID] = struct{}{}
	}
	s.mu.Unlock()
	b.Key = func(i int) string { return "row " + strconv.FormatInt(found[i].ID, 10) }
	if s.own {
		b.Row = func(i int) int64 { return found[i].ID }
	}
	b.OnSettle = func(i int, o event.Outcome, _ error) { s.settle(found[i].ID, o) }
	return b
}

func (s *Source) settle(id int64, o event.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o == event.Released || (s.own && o == event.Committed) {
		delete(s.held, id)
		return
	}
	s.settled = append(s.settled, id)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// dropSettled deletes the rows of events that are done with, until ctx ends.
func (s *Source) dropSettled(ctx context.Context) {
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		for pause := shortPause; ; pause = min(2*pause, longPause) {
			err := s.dropAll(ctx)
			if err == nil {
				break
			}
			s.env.Log.Error("rows of the outbox cannot be deleted; trying again", "error", err, "after", pause)
			if !sleep(ctx, pause) {
				return
			}
		}
	}
}

// atOnce is how many rows one statement deletes.
const atOnce = 5000

func (s *Source) dropAll(ctx context.Context) error {
	for {
		s.mu.Lock()
		ids := slices.Clone(s.settled[:min(len(s.settled), atOnce)])
		s.mu.Unlock()
		if len(ids) == 0 {
			return nil
		}
		if err := s.box.DropOutbox(ctx, ids); err != nil {
			return err
		}
		s.mu.Lock()
		s.settled = slices.Delete(s.settled, 0, len(ids))
		for _, id := range ids {
			delete(s.held, id)
		}
		s.mu.Unlock()
	}
}

// closing bounds the last deletion: what is left behind is read again by the next start, as duplicates.
const closing = 5 * time.Second

// Close deletes what is still to be deleted and lets go of the database.
func (s *Source) Close() error {
	if s.drop == nil {
		return nil
	}
	s.drop()
	s.work.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	err := s.dropAll(ctx)
	s.box.close()
	if err != nil && !errors.Is(err, eventstore.ErrClosed) {
		return fmt.Errorf("outbox: %d rows are left, though their events are done: the next start finds duplicates: %w", len(s.settled), err)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
