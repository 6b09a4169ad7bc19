package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/admin"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/client"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/eventstore/storetest"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/porttest"
)

// daemon serves a memory store; around may put something between it and its clients.
func daemon(t testing.TB, now func() time.Time, around func(http.Handler) http.Handler) (url string, st *memory.Store) {
	t.Helper()
	st = memory.Open(memory.Options{Now: now})
	s := admin.New(admin.Options{Config: config.Server{MaxBody: 64 << 20}})
	s.Attach(&admin.Daemon{Store: func(name string) (eventstore.Store, bool) { return st, name == "main" }})
	var h http.Handler = s
	if around != nil {
		h = around(s)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(func() { srv.Close(); _ = st.Close() })
	return srv.URL, st
}

func connect(t testing.TB, url string, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.Connect(url, "main", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// The suite of every store, over HTTP. What it does not have is in the doc of client.Store.
func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Features{NoTables: true, NoRelays: true, NoUpdates: true}, func(t *testing.T, now func() time.Time) (eventstore.Store, func() eventstore.Store) {
		url, _ := daemon(t, now, nil)
		return client.Store{Client: connect(t, url)}, nil
	})
}

// flaky lets only so much of every answer through, or answers with a status of its own.
type flaky struct {
	next  http.Handler
	cut   func(n int64, r *http.Request) (status int, bytes int) // of the n-th request; 0, -1: let it through
	count atomic.Int64
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, limit := f.cut(f.count.Add(1), r)
	switch {
	case status > 0:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(status)
	case limit < 0:
		f.next.ServeHTTP(w, r)
	default:
		f.next.ServeHTTP(&cutWriter{ResponseWriter: w, left: limit}, r)
		panic(http.ErrAbortHandler)
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(b []byte) (int, error) {
	if len(b) > c.left {
		n, _ := c.ResponseWriter.Write(b[:c.left])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		c.left = 0
		return n, io.ErrShortWrite
	}
	c.left -= len(b)
	return c.ResponseWriter.Write(b)
}

func (c *cutWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// A commit whose answer is lost is repeated with the same ids: nothing is there twice.
func TestUnknownOutcomesAreRepeated(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		bytes  int
	}{{"the answer is lost", 0, 0}, {"half an answer", 0, 20}, {"a proxy's 502", 502, 0}, {"overload", 503, 0}, {"rate", 429, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			url, st := daemon(t, nil, func(h http.Handler) http.Handler {
				return &flaky{next: h, cut: func(n int64, _ *http.Request) (int, int) {
					if n%3 != 0 {
						return tt.status, tt.bytes
					}
					return 0, -1
				}}
			})
			c := connect(t, url)
			s := event.Stream{Type: "order", ID: "1"}
			one, err := c.Append(t.Context(), s, wire.Append{Expect: "no_stream", Events: []wire.Event{{Type: "A"}, {Type: "B"}}})
			if err != nil || one.First != 1 || one.Last != 2 {
				t.Errorf("append: %+v, %v", one, err)
			}
			all, err := c.AppendAll(t.Context(),
				wire.AppendTo{Stream: "order/1", Expect: "2", Events: []wire.Event{{Type: "C"}}}, wire.AppendTo{Stream: "stock/x", Events: []wire.Event{{Type: "D"}}})
			if err != nil || len(all) != 2 || all[0].Last != 3 || all[1].Stream != "stock/x" {
				t.Errorf("append to all: %+v, %v", all, err)
			}
			u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: s, Expect: eventstore.Revision(3), Events: []event.Event{{ID: "x", Type: "E"}}}}}
			if err := c.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil || u.Result.Err != nil {
				t.Errorf("commit: %v, %+v", err, u.Result)
			}
			h, err := st.Head(t.Context())
			if err != nil || h.Position != 5 {
				t.Errorf("the head is %d, %v", h.Position, err)
			}
		})
	}
}

// A read and a subscription go on behind the last event where the connection breaks.
func TestReadsGoOn(t *testing.T) {
	url, st := daemon(t, nil, func(h http.Handler) http.Handler {
		return &flaky{next: h, cut: func(n int64, _ *http.Request) (int, int) {
			if n%2 == 1 {
				return 0, 70_000
			}
			return 0, -1
		}}
	})
	var events []event.Event
	for i := range 1000 {
		events = append(events, event.Event{ID: fmt.Sprint(i), Type: "T", Data: []byte(`"` + strings.Repeat("x", 100) + `"`)})
	}
	s := event.Stream{Type: "a", ID: "b"}
	u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: s, Events: events}}}
	if err := st.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	c := connect(t, url)
	for name, o := range map[string]eventstore.ReadOptions{
		"all": {}, "backwards": {Backwards: true}, "bounded": {From: 10, To: 900, Max: 800}, "backwards to": {Backwards: true, From: 990, To: 5},
	} {
		var want, got []string
		for r, err := range st.ReadStream(t.Context(), s, o) {
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, r.ID)
		}
		for r, err := range c.ReadStream(t.Context(), s, o) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r.ID)
		}
		if strings.Join(want, " ") != strings.Join(got, " ") {
			t.Errorf("%s: %d events, want %d", name, len(got), len(want))
		}
	}
	next := int64(0)
	for p, err := range c.Subscribe(t.Context(), eventstore.SubscribeOptions{MaxEvents: 50}) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Events {
			if next++; p.Events[i].Position != next {
				t.Fatalf("position %d, want %d", p.Events[i].Position, next)
			}
		}
		if p.Through == 1000 {
			break
		}
	}
}

func TestErrorsAreTheContracts(t *testing.T) {
	url, _ := daemon(t, nil, nil)
	c := connect(t, url)
	s := event.Stream{Type: "order", ID: "a/b ü%"}
	first := wire.Append{Expect: "no_stream", Events: []wire.Event{{ID: "1", Type: "A"}}}
	if _, err := c.Append(t.Context(), s, first); err != nil {
		t.Fatal(err)
	}
	if again, err := c.Append(t.Context(), s, first); err != nil || !again.Repeated || again.First != 1 {
		t.Errorf("a repeat: %+v, %v", again, err)
	}
	_, err := c.Append(t.Context(), s, wire.Append{Expect: "7", Events: []wire.Event{{Type: "B"}}})
	var conflict *client.ConflictError
	if !errors.As(err, &conflict) || *conflict != (client.ConflictError{Stream: s, Expected: eventstore.Revision(7), Actual: 1}) {
		t.Errorf("conflict: %v", err)
	}
	_, err = c.AppendAll(t.Context(), wire.AppendTo{Stream: "x/1", Events: []wire.Event{{Type: "B"}}}, wire.AppendTo{Stream: s.String(), Expect: "no_stream", Events: []wire.Event{{Type: "B"}}})
	if !errors.As(err, &conflict) || conflict.Actual != 1 {
		t.Errorf("conflict in all: %v", err)
	}
	if _, err := c.Append(t.Context(), s, wire.Append{Events: []wire.Event{{ID: "1", Type: "Other"}}}); !errors.Is(err, eventstore.ErrIDReused) {
		t.Errorf("reused: %v", err)
	}
	if h, err := c.Head(t.Context()); err != nil || h.Position != 1 {
		t.Errorf("a refused append wrote: %+v, %v", h, err)
	}
	if _, err := (client.Store{Client: c}).Acquire(t.Context(), "x", "me", time.Second); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a lease: %v", err)
	}
	u := &eventstore.Unit{Outbox: []int64{1}}
	if err := c.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("an outbox row: %v", err)
	}
}

// A commit that is larger than a key may send goes in halves; a unit that is too large by itself is refused alone.
func TestLargeCommits(t *testing.T) {
	st := memory.Open(memory.Options{})
	const key = "0123456789abcdef"
	s := admin.New(admin.Options{Config: config.Server{Auth: config.Auth{Keys: []config.Key{{Name: "small", Key: config.NewSecret(key), Scope: "write", MaxBody: 20_000}}}}})
	s.Attach(&admin.Daemon{Store: func(string) (eventstore.Store, bool) { return st, true }})
	srv := httptest.NewServer(s)
	defer srv.Close()
	c := connect(t, srv.URL, client.WithKey(key))
	var units []*eventstore.Unit
	for i := range 100 {
		size := 1000
		if i == 50 {
			size = 30_000
		}
		units = append(units, &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "a", ID: fmt.Sprint(i)}, Events: []event.Event{{ID: "1", Type: "T", Data: []byte(`"` + strings.Repeat("x", size) + `"`)}}}}})
	}
	if err := c.Commit(t.Context(), units, eventstore.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, u := range units {
		if i == 50 && !errors.Is(u.Result.Err, eventstore.ErrTooLarge) || i != 50 && u.Result.Status != eventstore.Done {
			t.Errorf("unit %d: %+v", i, u.Result)
		}
	}
	for i, u := range units {
		u.Appends[0].Stream.Type = "b"
		u.Appends[0].Events[0].ID = fmt.Sprint("b", i)
	}
	if err := c.Commit(t.Context(), units, eventstore.CommitOptions{Ordered: true}); err != nil {
		t.Fatal(err)
	}
	for i, u := range units {
		if want := map[bool]eventstore.Status{true: eventstore.Done, false: eventstore.Untried}[i < 50]; i != 50 && u.Result.Status != want {
			t.Errorf("ordered: unit %d: %+v", i, u.Result)
		}
	}
}

func TestConnect(t *testing.T) {
	for _, bad := range []string{"ftp://x", "http://", "https://user:pass@x", "http://x?a=b", "://"} {
		if _, err := client.Connect(bad, "main"); err == nil || strings.Contains(err.Error(), "pass@") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	// Nobody listens: that is said at once.
	c := connect(t, porttest.Hold(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := c.Head(ctx); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := c.Append(ctx, event.Stream{Type: "a", ID: "b"}, wire.Append{Events: []wire.Event{{Type: "T"}}}); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
}
