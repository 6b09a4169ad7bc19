package pipelinetest

import (
	"context"
	"errors"
	"sync"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
)

// stub stands in for what a step calls. It is safe for concurrent use.
type stub struct {
	mu    sync.Mutex
	is    config.TestStub
	calls int
}

// set replaces what the stub does; its calls count anew.
func (s *stub) set(is config.TestStub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.is, s.calls = is, 0
}

// call counts a call, and fails where the test says so.
func (s *stub) call(ctx context.Context) error {
	s.mu.Lock()
	f := s.is.Fail
	s.calls++
	n := s.calls
	s.mu.Unlock()
	if f == nil || f.Times > 0 && n > f.Times {
		return nil
	}
	err := errors.New(f.Error)
	switch {
	case f.Panic:
		panic(f.Error)
	case f.Hang:
		<-ctx.Done()
		return ctx.Err()
	case f.Unavailable:
		return event.Unavailable(f.RetryAfter, err)
	case f.Code != "":
		return event.PoisonAs(f.Code, err)
	case f.RetryAfter > 0:
		return event.RetryAfter(f.RetryAfter, err)
	}
	return err
}

// sent is an event that a relay brought to its sink.
type sent struct {
	pipeline, relay string
	event           event.Recorded
}

// recorder is a sink that keeps what it is given.
type recorder struct {
	w               *world
	pipeline, relay string
	stub            *stub
}

var _ sinks.Sink = (*recorder)(nil)

// Write implements sinks.Sink.
func (r *recorder) Write(ctx context.Context, batch []event.Recorded) error {
	if err := r.stub.call(ctx); err != nil {
		return err
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	for i := range batch {
		e := batch[i]
		e.Event = e.Clone()
		r.w.sent = append(r.w.sent, sent{r.pipeline, r.relay, e})
	}
	return nil
}

// Close implements sinks.Sink.
func (r *recorder) Close() error { return nil }
