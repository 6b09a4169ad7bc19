package dynamodb_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/eventstore/serverless/lambdatest"
)

// fill appends n events to each of many streams of a type, in rounds.
func fill(t *testing.T, s *dynamodb.Store, typ string, streams, n int) {
	t.Helper()
	for range n {
		var units []*eventstore.Unit
		for i := range streams {
			units = append(units, &eventstore.Unit{Appends: []eventstore.Append{{
				Stream: event.Stream{Type: typ, ID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)).String()},
				Events: []event.Event{{ID: uuid.NewString(), Type: "T", Data: make([]byte, 300)}},
			}}})
		}
		if err := s.Commit(t.Context(), units, eventstore.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUpdatedCost holds what pages of streams cost: by the order of their updates, what the page takes and not what the
// type has; by name, behind a place, what is behind it.
func TestUpdatedCost(t *testing.T) {
	t.Parallel()
	server := fake(t, nil)
	c := client(t, server.URL)
	s := openStore(t, dynamodb.Config{Client: c})
	const many, page = 1200, 300
	fill(t, s, "many", many, 1)
	fill(t, s, "other", 10, 50)
	measure := func(what string, want int, calls int, read float64, fn func() int) {
		t.Helper()
		server.Reset()
		n := fn()
		cost := server.Cost()
		t.Logf("%s: %d streams, %d calls, %.1f read units", what, n, cost.Total(), cost.Read)
		if n != want || cost.Total() > calls || cost.Read > read || cost.Write > 0 {
			t.Errorf("%s: %d streams of %d, %d calls of %d, %.1f read units of %.0f, %.0f write units", what, n, want, cost.Total(), calls, cost.Read, read, cost.Write)
		}
	}
	updated := func(s *dynamodb.Store, since time.Time, most int64) func() int {
		return func() (n int) {
			for _, err := range s.Updated(t.Context(), "many", since, most) {
				if errors.Is(err, eventstore.ErrFar) {
					return -n
				}
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == page {
					break
				}
			}
			return n
		}
	}
	listed := func(o eventstore.StreamsOptions) func() int {
		return func() (n int) {
			for _, err := range s.Streams(t.Context(), o) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			return n
		}
	}
	var ids []string
	for i := range many {
		ids = append(ids, uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)).String())
	}
	slices.Sort(ids)
	measure("a page in the order of updates", page, 6, 420, updated(s, time.Time{}, 20_000))
	measure("all that was updated since now", 0, 20, 30, updated(s, time.Now().Add(time.Second), 20_000))
	measure("where the log is longer than is looked at", 0, 5, 40, func() int {
		n := 0
		for _, err := range s.Updated(t.Context(), "nothing", time.Time{}, 100) {
			if !errors.Is(err, eventstore.ErrFar) {
				t.Error(err)
			}
		}
		return n
	})
	measure("a page by name, behind a place", 100, 3, 110, listed(eventstore.StreamsOptions{Type: "many", After: event.Stream{Type: "many", ID: ids[900]}, Max: 100}))
	measure("one stream by its name", 1, 2, 2, listed(eventstore.StreamsOptions{Type: "many", Prefix: ids[900], Max: 1}))
	measure("all of the type", many, 30, 1250, listed(eventstore.StreamsOptions{Type: "many"}))

	// Where the table is shared, its own index has that order.
	l := &lambdatest.Lambda{Client: c, Table: lambdatest.Table(t, c)}
	s = openStore(t, dynamodb.Config{Client: c, Shared: &dynamodb.SharedTable{Table: l.Table, Poll: time.Hour}})
	fill(t, s, "many", 400, 1)
	measure("a page of a shared table", page, 1, 40, updated(s, time.Time{}, 20_000))
}

// TestSharedUpdated: the streams of a shared table come in the order of their times, though the index has these as text,
// and before leat has taken them in.
func TestSharedUpdated(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := &lambdatest.Lambda{Client: c, Table: lambdatest.Table(t, c), Now: func() time.Time { return at }}
	s := openStore(t, dynamodb.Config{Client: c, Shared: &dynamodb.SharedTable{Table: l.Table, Poll: time.Hour}})
	var want []string
	for _, d := range []time.Duration{0, 500, 510, 511, 520, 1000, 1001, 1100, 3000} {
		at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(d * time.Millisecond)
		id, err := l.Create(t.Context(), "a", "T", "1")
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, id)
	}
	for from, since := range map[int]time.Duration{0: 0, 2: 510, 5: 1000, 6: 1001, 9: 9000} {
		var got []string
		for i, err := range s.Updated(t.Context(), "a", time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(since*time.Millisecond), 1) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, i.Stream.ID)
		}
		if !slices.Equal(got, want[from:]) {
			t.Errorf("since %d ms: %v, want %v", since, got, want[from:])
		}
	}
}
