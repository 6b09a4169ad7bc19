package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/table"
)

// TestSwapOvertaken: another daemon appends each time between the last look and the swap. It is tried again beyond one turn,
// and given up when the store's patience is over, with nothing swapped.
func TestSwapOvertaken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		overtake int
		patience time.Duration
		want     error
	}{
		{"for a while", 40, time.Minute, nil},
		{"for ever", 1 << 30, 50 * time.Millisecond, eventstore.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := client(t, fake(t, nil).URL)
			name := fmt.Sprintf("leat-%d", tables.Add(1))
			s, other := openStore(t, dynamodb.Config{Client: c, Table: name, Patience: tt.patience}), openStore(t, dynamodb.Config{Client: c, Table: name})
			head, err := s.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			def := table.Def{Name: "counts", Version: 1, Key: []string{"stream"}, Columns: []table.Column{{Name: "stream", Type: table.Text}}}
			live, err := s.Tables().Ensure(t.Context(), &def, "d", "inline", head.LogID)
			if err != nil {
				t.Fatal(err)
			}
			built, err := s.Tables().Rebuild(t.Context(), &live.Def, "inline", 1)
			if err != nil {
				t.Fatal(err)
			}
			calls, at := 0, int64(0)
			err = s.SwapAtEnd(t.Context(), &built.Def, func(ctx context.Context, head int64) error {
				if head > at {
					w := &table.Write{Def: &built.Def, Checkpoint: &table.Checkpoint{Relay: "inline", LogID: live.LogID, Epoch: 1, From: at, To: head}}
					if err := s.Tables().Apply(ctx, w); err != nil {
						return err
					}
					at = head
				}
				if calls++; calls > tt.overtake {
					return nil
				}
				u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "t", ID: "s"}, Expect: eventstore.Any, Events: []event.Event{{ID: fmt.Sprint(calls), Type: "T"}}}}}
				return errors.Join(other.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{}), u.Result.Err)
			})
			if !errors.Is(err, tt.want) || (tt.want == nil && (err != nil || calls != tt.overtake+1)) {
				t.Errorf("behind %d tries: %v", calls, err)
			}
			all, err := s.Tables().Tables(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if swapped := len(all) == 1 && all[0].Def.Build == built.Def.Build; swapped != (tt.want == nil) {
				t.Errorf("the tables are %+v", all)
			}
		})
	}
}
