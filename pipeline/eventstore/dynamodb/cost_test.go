package dynamodb_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
)

// TestCost holds what appends cost, in calls and capacity units, against serverless-event-store's: one transaction of two
// items for each append, 4 write units and one more for its index of streams.
func TestCost(t *testing.T) {
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
