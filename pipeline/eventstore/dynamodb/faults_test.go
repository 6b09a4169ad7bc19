package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/aws/dynamofake"
	"github.com/leatdev/leat/pipeline/aws/mototest"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/poison"
)

// TestSeeds has two daemons write through all that can go wrong, by a seed each: what was answered is there once, in a
// dense log, and nothing else is but what was never answered.
func TestSeeds(t *testing.T) {
	t.Parallel()
	seeds := 8
	if n, err := strconv.Atoi(os.Getenv("LEAT_TEST_SEEDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			plan := &dynamofake.Plan{Seed: uint64(seed), Throttle: 0.05, Fail: 0.05, Lose: 0.05, Break: 0.05, Conflict: 0.02, Part: 0.3, Skip: 0.1}
			underFaults(t, fake(t, plan).URL, plan)
		})
	}
}

const (
	faultWriters = 4
	faultUnits   = 12
)

func underFaults(t *testing.T, url string, plan *dynamofake.Plan) {
	c := client(t, url)
	name := fmt.Sprintf("leat-%d", tables.Add(1))
	var stores []*dynamodb.Store
	for range 2 {
		stores = append(stores, openStore(t, dynamodb.Config{Client: c, Table: name, Patience: 30 * time.Second}))
	}
	var mu sync.Mutex
	answered, parked := map[string]bool{}, map[string]bool{}
	var all sync.WaitGroup
	for w := range faultWriters {
		all.Go(func() {
			s := stores[w%2]
			for n := range faultUnits {
				id := fmt.Sprintf("w%d-%d", w, n)
				u := &eventstore.Unit{Pipeline: "p", Inbox: &eventstore.Mark{Key: id, Hash: 1}, Cursor: &event.Cursor{Key: fmt.Sprint(w), Value: fmt.Sprint(n)}}
				if n%5 == 4 {
					u.Park = []poison.Entry{{Pipeline: "p", Step: "s", Key: id, Payload: []byte("x")}}
				} else {
					for i, stream := range []string{"mine-" + fmt.Sprint(w), "shared"} {
						u.Appends = append(u.Appends, eventstore.Append{Stream: event.Stream{Type: "s", ID: stream}, Events: []event.Event{{ID: fmt.Sprint(id, "-", i), Type: "T"}}})
					}
				}
				for { // an outcome that is unknown is asked for by the same unit
					err := s.Commit(context.Background(), []*eventstore.Unit{u}, eventstore.CommitOptions{})
					if err == nil {
						break
					}
					if errors.Is(err, eventstore.ErrClosed) {
						t.Error(err)
						return
					}
				}
				if u.Result.Status == eventstore.Refused {
					t.Errorf("%s: %v", id, u.Result.Err)
				}
				mu.Lock()
				if len(u.Park) > 0 {
					parked[id] = true
				} else {
					answered[id+"-0"], answered[id+"-1"] = true, true
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if plan != nil {
		plan.Stop()
	}
	s := openStore(t, dynamodb.Config{Client: c, Table: name, ReadOnly: true})
	for e, err := range s.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if !answered[e.ID] {
			t.Errorf("%s is there twice, or was never sent", e.ID)
		}
		delete(answered, e.ID)
	}
	if len(answered) > 0 {
		t.Errorf("lost: %v", answered)
	}
	for e, err := range s.ListParked(t.Context(), poison.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if !parked[e.Key] {
			t.Errorf("%s is parked twice, or was never sent", e.Key)
		}
		delete(parked, e.Key)
	}
	if len(parked) > 0 {
		t.Errorf("not parked: %v", parked)
	}
	v, err := s.Verify(t.Context(), func(f eventstore.Fault) { t.Errorf("%+v", f) })
	if err != nil || v.Streams != faultWriters+1 {
		t.Errorf("%+v, %v", v, err)
	}
	places, err := s.Cursors(t.Context(), "p")
	for w := range faultWriters {
		if places[fmt.Sprint(w)] != fmt.Sprint(faultUnits-1) {
			t.Errorf("the places are %v, %v", places, err)
		}
	}
}

// TestRace has thirty writers of one revision: one of them wins, and the others are told so.
func TestRace(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	name := fmt.Sprintf("leat-%d", tables.Add(1))
	stores := []*dynamodb.Store{openStore(t, dynamodb.Config{Client: c, Table: name}), openStore(t, dynamodb.Config{Client: c, Table: name}), openStore(t, dynamodb.Config{Client: c, Table: name})}
	race(t, stores, 20)
}

func race(t *testing.T, stores []*dynamodb.Store, rounds int) {
	for round := range rounds {
		const writers = 30
		results := make([]eventstore.Result, writers)
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				u := &eventstore.Unit{Appends: []eventstore.Append{{
					Stream: event.Stream{Type: "race", ID: "1"}, Expect: eventstore.Revision(int64(round)), Events: []event.Event{{ID: fmt.Sprint(round, "-", w), Type: "T"}},
				}}}
				if err := stores[w%len(stores)].Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
					t.Error(err)
				}
				results[w] = u.Result
			})
		}
		all.Wait()
		won := 0
		for _, r := range results {
			var conflict *eventstore.ConflictError
			switch {
			case r.Status == eventstore.Done:
				won++
			case !errors.As(r.Err, &conflict) || conflict.Actual != int64(round)+1:
				t.Errorf("a loser is told %v", r.Err)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d winners", round, won)
		}
	}
}

// TestMoto is the same against moto, which has transactions, conditions and cancellation reasons of its own making. Its
// transactions are not kept apart: they come one at a time.
func TestMoto(t *testing.T) {
	t.Parallel()
	url := mototest.OneAtATime(t, mototest.Start(t))
	t.Run("writers", func(t *testing.T) { underFaults(t, url, nil) })
	t.Run("race", func(t *testing.T) {
		c := client(t, url)
		name := fmt.Sprintf("leat-%d", tables.Add(1))
		race(t, []*dynamodb.Store{openStore(t, dynamodb.Config{Client: c, Table: name}), openStore(t, dynamodb.Config{Client: c, Table: name})}, 2)
	})
}
