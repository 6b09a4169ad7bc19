package dynamodb_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/eventstore/serverless/lambdatest"
)

// TestCost holds what appends cost, in calls and capacity units, against serverless-event-store's: one transaction of two
// items for each append, 4 write units and two more for its index of streams (whose sort key changes: the old entry goes, a new one comes).
func TestCost(t *testing.T) {
	t.Parallel()
	server := fake(t, nil)
	s := openStore(t, dynamodb.Config{Client: client(t, server.URL)})
	n := 0
	commit := func(units, streams int) {
		t.Helper()
		us := make([]*eventstore.Unit, units)
		for i := range us {
			n++
			us[i] = &eventstore.Unit{Appends: []eventstore.Append{{
				Stream: event.Stream{Type: "order", ID: fmt.Sprint(i % streams)}, Events: []event.Event{{ID: fmt.Sprint(n), Type: "T", Source: "shop", Data: make([]byte, 500)}},
			}}}
		}
		if err := s.Commit(t.Context(), us, eventstore.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	commit(40, 40) // the streams are there, and the daemon knows them
	for _, tt := range []struct {
		units, streams, calls int
		write                 float64
	}{
		{1, 1, 1, 4},
		{10, 10, 1, 40},
		{40, 40, 1, 160},
		{40, 4, 1, 88},
	} {
		server.Reset()
		commit(tt.units, tt.streams)
		c := server.Cost()
		t.Logf("%d appends to %d streams: %d calls, %.0f write units, %.0f read units", tt.units, tt.streams, c.Total(), c.Write, c.Read)
		if c.Total() != tt.calls || c.Write > tt.write || c.Read > 0 {
			t.Errorf("%d appends to %d streams: %d calls (%d wanted), %.0f write units (%.0f), %.0f read units (0)", tt.units, tt.streams, c.Total(), tt.calls, c.Write, tt.write, c.Read)
		}
	}
	// Callers who do not know of each other share calls as well.
	server.Reset()
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "order", ID: fmt.Sprint(i % 40)}, Events: []event.Event{{ID: fmt.Sprint("c", i), Type: "T"}}}}}
			if err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	c := server.Cost()
	t.Logf("200 callers: %d calls, %.0f write units", c.Total(), c.Write)
	if c.Calls["TransactWriteItems"] > 50 {
		t.Errorf("200 callers took %d transactions", c.Calls["TransactWriteItems"])
	}
	// Catching up: a read unit holds 4 KB, whatever the number of events in it.
	for range 20 {
		commit(40, 40)
	}
	server.Reset()
	events := 0
	for _, err := range s.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		events++
	}
	c = server.Cost()
	t.Logf("catching up %d events: %d calls, %.0f read units: %.0f for a million", events, c.Total(), c.Read, c.Read/float64(events)*1e6)
	if c.Read > float64(events)/4 {
		t.Errorf("catching up %d events took %.0f read units", events, c.Read)
	}
}

// TestSharedCost holds what a shared table costs beside: two items for each append in it, and a read of its head.
func TestSharedCost(t *testing.T) {
	t.Parallel()
	server := fake(t, nil)
	c := client(t, server.URL)
	l := &lambdatest.Lambda{Client: c, Table: lambdatest.Table(t, c)}
	s := openStore(t, dynamodb.Config{Client: c, Shared: &dynamodb.SharedTable{Table: l.Table, Poll: time.Hour}})
	var ids []string
	payload := `"` + strings.Repeat("x", 500) + `"`
	for range 40 {
		id, err := l.Create(t.Context(), "order", "T", payload)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	measure := func(what string, calls int, write, read float64, fn func()) {
		t.Helper()
		server.Reset()
		fn()
		c := server.Cost()
		t.Logf("%s: %d calls, %.0f write units, %.1f read units", what, c.Total(), c.Write, c.Read)
		if c.Total() > calls || c.Write > write || c.Read > read {
			t.Errorf("%s: %d calls (%d), %.0f write units (%.0f), %.1f read units (%.1f)", what, c.Total(), calls, c.Write, write, c.Read, read)
		}
	}
	n := 0
	commit := func(units, streams int) func() {
		return func() {
			us := make([]*eventstore.Unit, units)
			for i := range us {
				n++
				us[i] = &eventstore.Unit{Appends: []eventstore.Append{{
					Stream: event.Stream{Type: "order", ID: ids[i%streams]}, Events: []event.Event{{ID: fmt.Sprint(n), Type: "T", Data: []byte(payload)}},
				}}}
			}
			if err := s.Commit(t.Context(), us, eventstore.CommitOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	measure("taking forty streams over", 60, 170, 130, func() {
		if _, err := s.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	commit(20, 20)()
	commit(40, 40)()
	measure("one append", 2, 8, 1, commit(1, 1))
	measure("ten appends to ten streams", 2, 80, 10, commit(10, 10))
	measure("forty appends to forty streams", 4, 320, 62, commit(40, 40))
	measure("the Lambda's own append", 2, 4, 0.5, func() {
		if status, err := l.Append(t.Context(), "order", ids[39], 4, "T", payload); status != 201 {
			t.Error(status, err)
		}
	})
	if err := s.Find(t.Context()); err != nil { // a sweep, after which polls know the types
		t.Fatal(err)
	}
	if status, err := l.Append(t.Context(), "order", ids[39], 5, "T", payload); status != 201 {
		t.Error(status, err)
	}
	measure("a poll that finds one event and takes it in", 5, 4, 6, func() {
		if err := s.Find(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	measure("a poll that finds nothing new", 1, 0, 2, func() {
		if err := s.Find(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
