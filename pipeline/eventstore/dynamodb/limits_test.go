package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// TestLimits holds that what DynamoDB would not take is refused in words, and that it never hears of it.
func TestLimits(t *testing.T) {
	t.Parallel()
	server := fake(t, nil)
	s := openStore(t, dynamodb.Config{Client: client(t, server.URL)})
	if _, err := s.Tables().Ensure(t.Context(), counts, "d", "r", "l"); err != nil {
		t.Fatal(err)
	}
	appends := func(streams, events, bytes int) *eventstore.Unit {
		u := &eventstore.Unit{}
		for i := range streams {
			a := eventstore.Append{Stream: event.Stream{Type: "s", ID: fmt.Sprint(i)}}
			for j := range events {
				a.Events = append(a.Events, event.Event{ID: fmt.Sprint(i, "-", j), Type: "T", Data: make([]byte, bytes)})
			}
			u.Appends = append(u.Appends, a)
		}
		return u
	}
	rows := func(n, bytes int) *eventstore.Unit {
		u := appends(1, 1, 10)
		u.Within = func(ctx context.Context, tx table.Tx, _ []event.Recorded) error {
			var put []table.Row
			for i := range n {
				put = append(put, table.Row{fmt.Sprint(i, strings.Repeat("x", bytes)), nil, nil, nil, nil})
			}
			return tx.Write(ctx, counts, put, nil)
		}
		return u
	}
	parks := &eventstore.Unit{}
	for i := range 30 {
		parks.Park = append(parks.Park, poison.Entry{Pipeline: "p", Step: "s", Key: fmt.Sprint(i)})
	}
	for _, tt := range []struct {
		name string
		u    *eventstore.Unit
		want string
	}{
		{"a hundred streams", appends(100, 1, 10), "100 streams, 0 parked events, 0 rows of its own); a transaction of DynamoDB holds 100"},
		{"an event of 400 KB", appends(1, 1, 400<<10), "an item of DynamoDB holds 400 KB"},
		{"5 MB", appends(1, 20, 250<<10), "a transaction of DynamoDB holds 4 MB"},
		{"thirty parked events", parks, "0 streams, 30 parked events"},
		{"thirty rows inline", rows(30, 1), "30 rows in the append's own transaction"},
		{"a row of 400 KB", rows(1, 400<<10), "an item of DynamoDB holds 400 KB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server.Reset()
			err := s.Commit(t.Context(), []*eventstore.Unit{tt.u}, eventstore.CommitOptions{})
			if err != nil || tt.u.Result.Status != eventstore.Refused || !strings.Contains(fmt.Sprint(tt.u.Result.Err), tt.want) {
				t.Errorf("%v, %v", err, tt.u.Result)
			}
			if calls := server.Cost().Calls; calls["TransactWriteItems"]+calls["PutItem"]+calls["BatchWriteItem"] > 0 {
				t.Errorf("DynamoDB has heard of it: %v", calls)
			}
		})
	}
	server.Reset()
	err := s.Tables().Apply(t.Context(), &table.Write{Def: counts, Put: []table.Row{{strings.Repeat("x", 400<<10), nil, nil, nil, nil}}})
	if calls := server.Cost().Calls; !errors.Is(err, table.ErrValue) || calls["TransactWriteItems"]+calls["BatchWriteItem"] > 0 {
		t.Errorf("a row of 400 KB: %v, %v", err, calls)
	}
	// What is refused does no harm to what comes with it.
	bad, good := appends(1, 1, 400<<10), one("good")
	if err := s.Commit(t.Context(), []*eventstore.Unit{bad, good}, eventstore.CommitOptions{}); err != nil || bad.Result.Status != eventstore.Refused || good.Result.Status != eventstore.Done {
		t.Errorf("%v, %v, %v", err, bad.Result, good.Result)
	}
}
