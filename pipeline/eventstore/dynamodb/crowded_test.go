package dynamodb_test

import (
	"fmt"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
)

// TestReadFromWithin holds that a reader goes on from any position, those within an item of several events too.
func TestReadFromWithin(t *testing.T) {
	t.Parallel()
	s := openStore(t, dynamodb.Config{Client: client(t, fake(t, nil).URL)})
	events := int64(0)
	for _, n := range []int{1, 7, 150, 11, 300, 1} { // some are more than a transaction has items
		u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "s", ID: "1"}}}}
		for range n {
			events++
			u.Appends[0].Events = append(u.Appends[0].Events, event.Event{ID: fmt.Sprint(events), Type: "T"})
		}
		if err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil || u.Result.Status != eventstore.Done {
			t.Fatal(err, u.Result)
		}
	}
	for from := int64(1); from <= events; from++ {
		var got []int64
		for e, err := range s.ReadAll(t.Context(), eventstore.ReadOptions{From: from, Max: 2}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Position)
		}
		if len(got) == 0 || got[0] != from || (from < events && len(got) < 2) {
			t.Fatalf("from %d: %v", from, got)
		}
	}
}
