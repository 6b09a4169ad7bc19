package pipeline

import (
	"context"
	"errors"
	"sync"

	"github.com/leatdev/leat/pipeline/event"
)

// sharedCalls brings the writes of several lanes to one sink together, as a store's group commit does: while a call is under
// way others wait for the next, which takes all that are there, within the limits of a batch. No timer: a write that comes
// alone leaves at once. limits.parallel says how many calls go at a time.
type sharedCalls struct {
	r             *relay
	events, bytes int // at most in a call

	mu      sync.Mutex
	free    int // calls that may begin
	waiting []*sharedWrite
}

// sharedWrite is what one lane wants to write.
type sharedWrite struct {
	ctx   context.Context
	batch []event.Recorded
	bytes int
	done  chan error
}

func newSharedCalls(r *relay) *sharedCalls {
	b := &r.plan.frame.Batch
	s := &sharedCalls{r: r, events: b.Events, bytes: int(b.Bytes), free: max(1, r.plan.frame.Limits.Parallel)}
	if r.limiter != nil {
		s.events = min(s.events, r.limiter.Burst())
	}
	return s
}

// write gives what became of a lane's events, as if the sink had been called with them alone.
func (s *sharedCalls) write(ctx context.Context, batch []event.Recorded) error {
	w := &sharedWrite{ctx: ctx, batch: batch, done: make(chan error, 1)}
	for i := range batch {
		w.bytes += len(batch[i].Raw)
	}
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	begin := s.free > 0
	if begin {
		s.free--
	}
	s.mu.Unlock()
	if begin {
		go s.run()
	}
	return <-w.done
}

// run makes calls until nothing waits.
func (s *sharedCalls) run() {
	for {
		s.mu.Lock()
		ws := s.next()
		if ws == nil {
			s.free++
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		s.call(ws)
	}
}

// next takes what goes into the next call, in the order in which it came.
func (s *sharedCalls) next() []*sharedWrite {
	n, events, bytes := 0, 0, 0
	for _, w := range s.waiting {
		if n > 0 && (events+len(w.batch) > s.events || bytes+w.bytes > s.bytes) {
			break
		}
		n, events, bytes = n+1, events+len(w.batch), bytes+w.bytes
	}
	if n == 0 {
		return nil
	}
	ws := s.waiting[:n:n]
	s.waiting = s.waiting[n:]
	return ws
}

func (s *sharedCalls) call(ws []*sharedWrite) {
	sink := s.r.target.(*forwardTarget).sink
	if len(ws) == 1 {
		ws[0].done <- s.r.write(ws[0].ctx, sink, ws[0].batch)
		return
	}
	var all []event.Recorded
	for _, w := range ws {
		all = append(all, w.batch...)
	}
	hard := s.r.pipe.hard
	err := s.r.write(hard, sink, all)
	var partial *event.BatchError
	_, down := event.AsUnavailable(err)
	switch {
	case errors.As(err, &partial):
		at := 0
		for _, w := range ws {
			w.done <- partOf(partial, at, len(w.batch))
			at += len(w.batch)
		}
	case err == nil, down, errors.Is(err, context.DeadlineExceeded), hard.Err() != nil:
		for _, w := range ws {
			w.done <- err
		}
	default:
		// The failure is nobody's yet. Each goes alone, so that it costs only the one an attempt whose it is.
		if after, told := event.AsRetryAfter(err); told {
			s.r.pipe.sleep(after, s.r.stopping(), hard)
		}
		for _, w := range ws {
			w.done <- s.r.write(w.ctx, sink, w.batch)
		}
	}
}

// partOf gives the failures of n events from one on; nil where all of them went through.
func partOf(all *event.BatchError, from, n int) error {
	var part *event.BatchError
	for i := range n {
		if err := all.Failed[from+i]; err != nil {
			part = part.Fail(i, err)
		}
	}
	return part.Err()
}
