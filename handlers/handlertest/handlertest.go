// Package handlertest tests handlers without a daemon: given what has happened, when an event comes, then these events
// follow, or this error.
//
//	h := handlertest.New(t, account.Open, account.Config{…})
//	h.Given("account/a", handlertest.Event("Opened", `{"limit": 100}`)).
//		When(handlertest.Event("Withdraw", `{"account": "a", "amount": 30}`)).
//		Then(handlertest.Event("Withdrawn", `{"amount": 30}`))
//
// Events are compared by type and data (as JSON: spelling and order of members mean nothing), and by those of their other
// fields that the expected event sets.
package handlertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/table"
)

// Event makes an event of a type and its payload, JSON text.
func Event(typ, data string) event.Event {
	return event.Event{Type: typ, Data: []byte(data)}
}

// H is a handler under test. Methods that fail a test do so at once.
type H struct {
	t       testing.TB
	handler handlers.Handler
	store   *store
	now     time.Time
	out     []handlers.Emitted
	err     error
	n       int
	called  bool
}

// New opens a handler as the daemon would, on a store in memory. The handler is closed with the test.
func New[C any](t testing.TB, open func(context.Context, C, handlers.Env) (handlers.Handler, error), c C) *H {
	t.Helper()
	h := &H{t: t, now: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return h.now }
	mem := memory.Open(memory.Options{Now: now})
	t.Cleanup(func() { _ = mem.Close() })
	h.store = &store{Store: mem, states: map[string]handlers.Kept{}}
	shared := map[string]any{}
	var err error
	h.handler, err = open(t.Context(), c, handlers.Env{
		Pipeline: "test", Step: "handle", Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: now, Store: h.store,
		Shared: func(key string, make func() any) any {
			if shared[key] == nil {
				shared[key] = make()
			}
			return shared[key]
		},
	})
	if err != nil {
		t.Fatalf("handlertest: open: %v", err)
	}
	t.Cleanup(func() {
		if err := h.handler.Close(); err != nil {
			t.Errorf("handlertest: close: %v", err)
		}
	})
	return h
}

// Given appends events to a stream, type/id.
func (h *H) Given(stream string, events ...event.Event) *H {
	h.t.Helper()
	s, err := event.ParseStream(stream)
	if err != nil {
		h.t.Fatalf("handlertest: given: %v", err)
	}
	h.append(s, eventstore.Any, events)
	return h
}

// At sets the time that the handler sees; it starts at 2026-01-31T12:00:00Z.
func (h *H) At(now time.Time) *H {
	h.now = now
	return h
}

func (h *H) append(s event.Stream, expect eventstore.Expect, events []event.Event) {
	h.t.Helper()
	events = slices.Clone(events)
	for i := range events {
		h.n++
		if events[i].ID == "" {
			events[i].ID = fmt.Sprintf("given-%d", h.n)
		}
		if events[i].Time.IsZero() {
			events[i].Time = h.now
		}
	}
	u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: s, Expect: expect, Events: events}}}
	if err := h.store.Commit(h.t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
		h.t.Fatalf("handlertest: %v", err)
	}
	if u.Result.Status == eventstore.Refused {
		h.t.Fatalf("handlertest: append to %s: %v", s, u.Result.Err)
	}
}

// When hands the handler an event. One without an id, source or time gets some.
func (h *H) When(e event.Event) *H {
	h.t.Helper()
	h.n++
	if e.ID == "" {
		e.ID = fmt.Sprintf("when-%d", h.n)
	}
	if e.Source == "" {
		e.Source = "test"
	}
	if e.Time.IsZero() {
		e.Time = h.now
	}
	h.out, h.err, h.called = nil, nil, true
	func() {
		defer func() {
			if v := recover(); v != nil {
				h.t.Fatalf("handlertest: the handler panics at %s %s: %v", e.Type, e.Data, v)
			}
		}()
		h.out, h.err = h.handler.Handle(h.t.Context(), event.Recorded{Event: e.Clone()})
	}()
	for i := range h.out {
		h.check(i)
	}
	return h
}

// check refuses what the daemon would.
func (h *H) check(i int) {
	h.t.Helper()
	e := &h.out[i]
	switch {
	case e.Type == "":
		h.t.Errorf("event %d has no type: the daemon would park the event", i)
	case e.Data != nil && !json.Valid(e.Data):
		h.t.Errorf("event %d is no JSON, and the daemon would park the event: %s", i, e.Data)
	case e.Metadata != nil && !json.Valid(e.Metadata):
		h.t.Errorf("the metadata of event %d is no JSON, and the daemon would park the event: %s", i, e.Metadata)
	}
}

func (h *H) asked() {
	h.t.Helper()
	if !h.called {
		h.t.Fatal("handlertest: Then without When")
	}
}

// Then checks what the handler gave. What it gave to streams is appended to them, so that another When goes on from there.
func (h *H) Then(want ...event.Event) *H {
	h.t.Helper()
	h.asked()
	if h.err != nil {
		h.t.Fatalf("the handler failed: %v\nwant %s", h.err, list(want))
	}
	got := make([]event.Event, len(h.out))
	for i := range h.out {
		got[i] = h.out[i].Event
	}
	if d := Diff(want, got); d != "" {
		h.t.Errorf("events (-want +got):\n%s", d)
	}
	h.commit()
	return h
}

// commit appends what was emitted, as an `append: {}` below the handler would.
func (h *H) commit() {
	h.t.Helper()
	written := map[event.Stream]int64{}
	for i := range h.out {
		e := &h.out[i]
		if e.Stream.IsZero() {
			continue
		}
		expect := e.Expect
		if n, exact := expect.Exact(); exact {
			expect = eventstore.Revision(n + written[e.Stream])
		}
		h.append(e.Stream, expect, []event.Event{e.Event})
		written[e.Stream]++
		if e.State != nil {
			h.store.keep(h.t.Context(), e)
		}
	}
	h.out = nil
}

// ThenTo checks, before Then, to which stream everything goes that the handler gave.
func (h *H) ThenTo(stream string) *H {
	h.t.Helper()
	h.asked()
	for i := range h.out {
		if got := h.out[i].Stream.String(); got != stream {
			h.t.Errorf("event %d goes to %s, want %s", i, got, stream)
		}
	}
	return h
}

// ThenNothing checks that the handler filtered the event: it gave nothing, or said Skip.
func (h *H) ThenNothing() *H {
	h.t.Helper()
	h.asked()
	if _, skipped := event.AsSkip(h.err); skipped {
		return h
	}
	if h.err != nil {
		h.t.Fatalf("the handler failed: %v\nwant nothing", h.err)
	}
	return h.Then()
}

// ThenError checks that the handler failed with words that hold part.
func (h *H) ThenError(part string) *H {
	h.t.Helper()
	h.asked()
	switch {
	case h.err == nil:
		h.t.Errorf("the handler gave %s, want an error with %q", emitted(h.out), part)
	case !strings.Contains(h.err.Error(), part):
		h.t.Errorf("the handler failed with %q, want %q", h.err, part)
	}
	return h
}

// ThenPoison checks that the handler parked the event, with a code where one is given.
func (h *H) ThenPoison(code string) *H {
	h.t.Helper()
	h.asked()
	switch got := event.Code(h.err); {
	case !event.IsPoison(h.err):
		h.t.Errorf("the handler did not park the event: events %s, error %v", emitted(h.out), h.err)
	case code != "" && got != code:
		h.t.Errorf("parked with the code %q, want %q: %v", got, code, h.err)
	}
	return h
}

// Err gives the error of the last When, for checks of one's own; Out what it gave, until Then.
func (h *H) Err() error { return h.err }

// Out gives what the last When gave.
func (h *H) Out() []handlers.Emitted { return h.out }

// Diff compares events as Then does; "" where they are the same.
func Diff(want, got []event.Event) string {
	w, g := make([]shown, len(want)), make([]shown, len(got))
	for i := range want {
		w[i] = show(&want[i], &want[i])
	}
	for i := range got {
		like := &got[i]
		if i < len(want) {
			like = &want[i]
		}
		g[i] = show(&got[i], like)
	}
	return cmp.Diff(w, g)
}

// shown is an event for people: payloads as values, other fields where the expected one has them.
type shown struct {
	Type                string
	Data                any
	ID, Source, Subject string
	Time                string
	Metadata            any
}

func show(e, like *event.Event) shown {
	s := shown{Type: e.Type, Data: value(e.Data)}
	if like.ID != "" {
		s.ID = e.ID
	}
	if like.Source != "" {
		s.Source = e.Source
	}
	if like.Subject != "" {
		s.Subject = e.Subject
	}
	if !like.Time.IsZero() {
		s.Time = e.Time.UTC().Format(time.RFC3339Nano)
	}
	if like.Metadata != nil {
		s.Metadata = value(e.Metadata)
	}
	return s
}

func value(data []byte) any {
	if len(data) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return string(data)
	}
	return v
}

func list(events []event.Event) string {
	var out []string
	for i := range events {
		out = append(out, events[i].Type+" "+string(events[i].Data))
	}
	if out == nil {
		return "nothing"
	}
	return strings.Join(out, ", ")
}

func emitted(out []handlers.Emitted) string {
	events := make([]event.Event, len(out))
	for i := range out {
		events[i] = out[i].Event
	}
	return list(events)
}

// store is what handlers under test read.
type store struct {
	eventstore.Store
	states map[string]handlers.Kept
}

var _ handlers.Store = (*store)(nil)

func (s *store) ReadStream(ctx context.Context, stream event.Stream, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	return s.Store.ReadStream(ctx, stream, o)
}

func (s *store) keep(ctx context.Context, e *handlers.Emitted) {
	var at int64
	for last, err := range s.Store.ReadStream(ctx, e.Stream, eventstore.ReadOptions{Backwards: true, Max: 1}) {
		if err == nil {
			at = last.Revision
		}
	}
	s.states[e.State.Table+" "+e.Stream.String()] = handlers.Kept{State: *e.State, Revision: at}
}

// State implements handlers.Store.
func (s *store) State(_ context.Context, name string, stream event.Stream) (handlers.Kept, error) {
	return s.states[name+" "+stream.String()], nil
}

// Query implements handlers.Store.
func (s *store) Query(ctx context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	return s.Tables().Query(ctx, q)
}
