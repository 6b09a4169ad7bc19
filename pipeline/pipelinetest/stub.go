package pipelinetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/pipeline/steps"
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

// answer gives what the test says that it answers; false where it says nothing.
func (s *stub) answer() (config.JSON, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is.Answer, !s.is.Answer.IsZero()
}

// lookup puts a stub in front of a lookup.
func (w *world) lookup(name, step string, c *config.Lookup) steps.Lookup {
	s := w.stub(name, step)
	return func(ctx context.Context, key map[string]string) ([]byte, error) {
		if err := s.call(ctx); err != nil {
			return nil, err
		}
		if answer, given := s.answer(); given && answer.Kind == config.JSONNull {
			return nil, nil
		} else if given {
			return answer.Append(nil), nil
		}
		store := c.Store
		for _, p := range w.under {
			if p.Name == name && store == "" {
				store = p.Store
			}
		}
		w.mu.Lock()
		st := w.stores[store]
		w.mu.Unlock()
		return steps.Rows(st.Tables(), c)(ctx, key)
	}
}

// handler is a handler with a stub in front of it.
type handler struct {
	handlers.Handler
	stub *stub
}

// stubbed puts a stub in front of a handler. One that keeps states still does.
func stubbed(h handlers.Handler, s *stub) handlers.Handler {
	if st, ok := h.(handlers.Stateful); ok {
		return &stateful{handler{h, s}, st}
	}
	return &handler{h, s}
}

type stateful struct {
	handler
	handlers.Stateful
}

// Handle implements handlers.Handler.
func (h *handler) Handle(ctx context.Context, e event.Recorded) ([]handlers.Emitted, error) {
	if err := h.stub.call(ctx); err != nil {
		return nil, err
	}
	answer, given := h.stub.answer()
	asking, asks := h.Handler.(handlers.Asking)
	switch {
	case given && asks:
		return asking.Answered(e, answer.Append(nil))
	case asks:
		return nil, event.Poison(errors.New("in a test the handler asks nobody: write what is answered, `stubs: { STEP: { answer: … } }`"))
	case !given:
		return h.Handler.Handle(ctx, e)
	case answer.Kind == config.JSONList:
		out := make([]handlers.Emitted, len(answer.Items))
		for i := range answer.Items {
			var err error
			if out[i], err = emitted(e.Event, &answer.Items[i]); err != nil {
				return nil, event.Poison(fmt.Errorf("the stub's event %d: %w", i, err))
			}
		}
		return out, nil
	case answer.Kind == config.JSONObject:
		data := e.Data
		if rawjson.KindOf(data) != rawjson.KindObject {
			data = []byte("{}")
		}
		for i := range answer.Fields {
			var err error
			if data, err = rawjson.Set(data, []string{answer.Fields[i].Name}, answer.Fields[i].Value.Append(nil)); err != nil {
				return nil, event.Poison(err)
			}
		}
		e.Data = data
		return handlers.Events(e.Event), nil
	}
	e.Data = answer.Append(nil)
	return handlers.Events(e.Event), nil
}

// emitted makes an event of what a stub says of it; the rest is as in the event that came.
func emitted(e event.Event, j *config.JSON) (handlers.Emitted, error) {
	out := handlers.Emitted{Event: e}
	var err error
	for i := range j.Fields {
		v := &j.Fields[i].Value
		switch j.Fields[i].Name {
		case "id":
			out.ID = v.Text
		case "type":
			out.Type = v.Text
		case "source":
			out.Source = v.Text
		case "subject":
			out.Subject = v.Text
		case "time":
			out.Time, err = time.Parse(time.RFC3339, v.Text)
		case "stream":
			out.Stream, err = event.ParseStream(v.Text)
		case "data":
			out.Data = v.Append(nil)
		case "metadata":
			out.Metadata = v.Append(nil)
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
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
