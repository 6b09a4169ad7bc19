package eventlog_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/eventlog"
	"github.com/leatdev/leat/sources/sourcetest"
)

// log is a store with a log, for the suite.
type log struct {
	store *memory.Store
	cfg   eventlog.Config
}

func newLog(t testing.TB, c eventlog.Config) *log {
	l := &log{store: memory.Open(memory.Options{}), cfg: c}
	t.Cleanup(func() { _ = l.store.Close() })
	return l
}

func (l *log) Publish(t testing.TB, bodies []string) {
	t.Helper()
	u := &eventstore.Unit{}
	for _, b := range bodies {
		e := event.Event{Raw: []byte(b)}
		if err := codec.Decode(&e, event.Auto, 0); err != nil {
			t.Fatal(err)
		}
		u.Appends = append(u.Appends, eventstore.Append{Stream: event.Stream{Type: "test", ID: "1"}, Origin: "other", Events: []event.Event{e}})
	}
	if err := l.store.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (l *log) Open(t testing.TB, env sources.Env) sources.Source {
	t.Helper()
	env.ReadLog = func(string) (eventstore.Reader, error) { return l.store, nil }
	s, err := eventlog.Open(t.Context(), l.cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	for name, tt := range map[string]struct {
		f sourcetest.Features
		c eventlog.Config
	}{
		"follow": {sourcetest.Features{Places: true, Redelivers: true, Endless: true}, eventlog.Config{Follow: true}},
		"ends":   {sourcetest.Features{Places: true, Redelivers: true}, eventlog.Config{}},
	} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, tt.f, func(t *testing.T) sourcetest.Origin { return newLog(t, tt.c) })
		})
	}
}

// places keeps places, and notes those that were kept without an event.
type places struct {
	mu   sync.Mutex
	at   map[string]string
	kept []string
}

func (p *places) env() sources.Env {
	env := (&sourcetest.Memory{}).Env()
	env.Cursor = func(_ context.Context, key string) (string, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.at[key], nil
	}
	env.Keep = func(_ context.Context, c event.Cursor) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.at == nil {
			p.at = map[string]string{}
		}
		p.at[c.Key] = c.Value
		p.kept = append(p.kept, c.Value)
		return nil
	}
	return env
}

// TestIdlePlace: what was read past without an event is kept now and then, but not while events are in flight.
func TestIdlePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := newLog(t, eventlog.Config{Follow: true, Types: []string{"Wanted"}}), &places{}
		src := l.Open(t, p.env())
		ctx, stop := context.WithCancel(context.Background())
		msgs, err := src.Subscribe(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		unwanted := sourcetest.Bodies(0, 1)
		wanted := strings.Replace(unwanted[0], "Tested", "Wanted", 1)
		time.Sleep(11 * time.Second)
		l.Publish(t, []string{strings.Replace(unwanted[0], "e-", "x-", 1)})
		synctest.Wait()
		l.Publish(t, []string{wanted})
		b := event.FromMessage(<-msgs)
		time.Sleep(11 * time.Second)
		l.Publish(t, []string{strings.Replace(unwanted[0], "e-", "y-", 1)})
		synctest.Wait()
		if diff := cmp.Diff([]string{"1"}, p.kept); diff != "" {
			t.Errorf("kept while an event is in flight (-want +got):\n%s", diff)
		}
		b.Settle(0, event.Committed, nil)
		time.Sleep(11 * time.Second)
		l.Publish(t, []string{strings.Replace(unwanted[0], "e-", "z-", 1)})
		synctest.Wait()
		if diff := cmp.Diff([]string{"1", "4"}, p.kept); diff != "" {
			t.Errorf("kept (-want +got):\n%s", diff)
		}
		stop()
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestForeignLog: a place behind the end of the log is a fault, and a place in another log counts for nothing.
func TestForeignLog(t *testing.T) {
	l, p := newLog(t, eventlog.Config{Follow: true}), &places{}
	l.Publish(t, sourcetest.Bodies(0, 2))
	h, err := l.store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for place, words := range map[string]string{"3": "shorter", "x": "no position", "-1": "no position"} {
		p.at = map[string]string{"log " + h.LogID: place}
		src := l.Open(t, p.env())
		msgs, err := src.Subscribe(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if m := <-msgs; m != nil {
			t.Fatal("an event")
		}
		if err := src.(sources.Failing).Err(); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want words %q", place, err, words)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
	p.at = map[string]string{"log other": "2"}
	src := l.Open(t, p.env())
	msgs, err := src.Subscribe(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	b := event.FromMessage(<-msgs)
	if len(b.Events) != 2 || b.Recorded[1].Position != 2 {
		t.Errorf("%+v", b.Recorded)
	}
	for i := range b.Events {
		b.Settle(i, event.Released, nil)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		c     eventlog.Config
		words string
	}{
		{eventlog.Config{From: "start", Until: "now"}, ""},
		{eventlog.Config{From: "17", Until: "2026-01-31T08:00:00Z"}, ""},
		{eventlog.Config{From: "yesterday"}, `from: "yesterday" is not start`},
		{eventlog.Config{From: "-1"}, "from:"},
		{eventlog.Config{Until: "start"}, "until: at the start"},
		{eventlog.Config{From: "yesterday", Until: "x"}, `until: "x" is not`}, // beside the one in from
		{eventlog.Config{Streams: []string{"order/o-1"}}, `streams: "order/o-1" is one stream`},
	} {
		err := tt.c.Validate()
		if (err == nil) != (tt.words == "") || (err != nil && !strings.Contains(err.Error(), tt.words)) {
			t.Errorf("%+v: %v, want %q", tt.c, err, tt.words)
		}
	}
	if _, err := eventlog.Open(t.Context(), eventlog.Config{}, sources.Env{}); err == nil {
		t.Error("a log without a store")
	}
}
