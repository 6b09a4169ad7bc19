package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/postgres"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
	"github.com/leatdev/leat/pipeline/eventstore/storetest"
)

// several opens stores on one log, as several daemons do.
func several(t testing.TB, n int) []*postgres.Store {
	first := openStore(t, postgres.Config{})
	stores := []*postgres.Store{first}
	for len(stores) < n {
		stores = append(stores, openStore(t, postgres.Config{Schema: postgres.SchemaOf(first)}))
	}
	return stores
}

// order checks what a tailer of the whole log is given: nothing skipped, nothing twice, each stream in its order.
type order struct {
	last      int64
	revisions map[event.Stream]int64
	faults    []string
}

func (o *order) see(position int64, s event.Stream, revision int64) {
	if o.revisions == nil {
		o.revisions = map[event.Stream]int64{}
	}
	if position != o.last+1 {
		o.faults = append(o.faults, fmt.Sprintf("position %d came behind %d", position, o.last))
	}
	if revision != o.revisions[s]+1 {
		o.faults = append(o.faults, fmt.Sprintf("%s@%d came behind %d", s, revision, o.revisions[s]))
	}
	o.last, o.revisions[s] = position, revision
}

// TestSoak has eight writers and four tailers over four stores on one log.
func TestSoak(t *testing.T) {
	stores := several(t, 4)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var end atomic.Int64 // the last position, once it is known
	var tailers sync.WaitGroup
	orders := make([]order, len(stores))
	for i, s := range stores {
		tailers.Go(func() {
			for p, err := range s.Subscribe(ctx, eventstore.SubscribeOptions{MaxEvents: 100 + 300*i}) {
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range p.Events {
					orders[i].see(r.Position, r.Stream, r.Revision)
				}
				if e := end.Load(); e > 0 && p.Through >= e {
					return
				}
			}
		})
	}
	stop := time.Now().Add(3 * time.Second)
	if testing.Short() {
		stop = time.Now().Add(time.Second)
	}
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			s := stores[w%len(stores)]
			for n := 0; time.Now().Before(stop); n++ {
				var units []*eventstore.Unit
				for i := range 1 + (n+w)%7 {
					units = append(units, &eventstore.Unit{Appends: []eventstore.Append{{
						Stream: event.Stream{Type: "s", ID: fmt.Sprint((n*5 + i + w) % 11)},
						Events: []event.Event{{ID: fmt.Sprintf("%d-%d-%d", w, n, i), Type: "T", Data: []byte("1")}},
					}}})
				}
				commit(t, s, units...)
			}
		})
	}
	writers.Wait()
	// The last one wakes those who wait at the end already.
	u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "s", ID: "end"}, Events: []event.Event{{ID: "end", Type: "T"}}}}}
	head, err := stores[0].Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	end.Store(head.Position + 1)
	commit(t, stores[0], u)
	tailers.Wait()
	for i, o := range orders {
		if o.last != end.Load() || len(o.faults) > 0 {
			t.Errorf("tailer %d came to %d of %d, with %d faults: %.5q", i, o.last, end.Load(), len(o.faults), o.faults)
		}
	}
	t.Logf("%d events", end.Load())
	verify(t, stores[1])
}

func verify(t *testing.T, s *postgres.Store) {
	t.Helper()
	v, err := s.Verify(context.Background(), func(f eventstore.Fault) { t.Errorf("verify: %+v", f) })
	if err != nil {
		t.Error(err)
	}
	if h, err := s.Head(context.Background()); err != nil || v.Events != h.Position {
		t.Errorf("verify read %d events, the head is %d, %v", v.Events, h.Position, err)
	}
}

// TestNaive shows that the soak's check finds what it is for: a log that is ordered by a bare sequence loses an event
// where a writer that was given its number first commits last.
func TestNaive(t *testing.T) {
	server := pgtest.Shared(t)
	slow, fast, reader := server.Conn(t, ""), server.Conn(t, ""), server.Conn(t, "")
	schema := pgtest.Schema()
	server.Exec(t, "", "CREATE SCHEMA "+schema+"; CREATE TABLE "+schema+".log (position bigserial PRIMARY KEY, stream text)")
	var o order
	tail := func() {
		rows, err := reader.Query(t.Context(), "SELECT position, stream FROM "+schema+".log WHERE position > $1 ORDER BY position", o.last)
		if err != nil {
			t.Fatal(err)
		}
		var position int64
		var id string
		if _, err := pgx.ForEachRow(rows, []any{&position, &id}, func() error {
			o.see(position, event.Stream{Type: "s", ID: id}, 1)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := slow.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "INSERT INTO "+schema+".log (stream) VALUES ('slow')"); err != nil {
		t.Fatal(err)
	}
	if _, err := fast.Exec(t.Context(), "INSERT INTO "+schema+".log (stream) VALUES ('fast')"); err != nil {
		t.Fatal(err)
	}
	tail()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	tail()
	if len(o.faults) == 0 || o.revisions[event.Stream{Type: "s", ID: "slow"}] != 0 {
		t.Fatalf("the naive log lost nothing: %+v", o)
	}
}

// TestRace has thirty writers of one revision, over three stores: one of them wins.
func TestRace(t *testing.T) {
	stores := several(t, 3)
	for round := range 10 {
		units := make([]*eventstore.Unit, 30)
		var wg sync.WaitGroup
		for i := range units {
			units[i] = &eventstore.Unit{Appends: []eventstore.Append{{
				Stream: event.Stream{Type: "race", ID: "1"}, Expect: eventstore.Revision(int64(round)),
				Events: []event.Event{{ID: fmt.Sprintf("%d-%d", round, i), Type: "T"}},
			}}}
			wg.Go(func() {
				if err := stores[i%3].Commit(t.Context(), units[i:i+1], eventstore.CommitOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		won := 0
		for _, u := range units {
			var c *eventstore.ConflictError
			switch {
			case u.Result.Status == eventstore.Done:
				won++
			case !errors.As(u.Result.Err, &c) || c.Actual != int64(round)+1:
				t.Errorf("round %d: a loser got %+v", round, u.Result)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d writers won", round, won)
		}
	}
	verify(t, stores[0])
}

// TestLeasesOfSeveral lets stores compete for one lease.
func TestLeasesOfSeveral(t *testing.T) {
	stores := several(t, 3)
	var wg sync.WaitGroup
	var held atomic.Int64
	for i, s := range stores {
		for j := range 5 {
			wg.Go(func() {
				_, err := s.Acquire(t.Context(), "l", fmt.Sprint(i, j), time.Minute)
				switch {
				case err == nil:
					held.Add(1)
				case !errors.Is(err, eventstore.ErrHeld):
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if held.Load() != 1 {
		t.Errorf("%d owners", held.Load())
	}
}

// TestForeignTransactions holds open a transaction that has written in another database of the cluster, and one with an
// old snapshot in this one: nobody waits for them.
func TestForeignTransactions(t *testing.T) {
	server := pgtest.Shared(t)
	database := "other_" + pgtest.Schema()
	server.Exec(t, "", "CREATE DATABASE "+database)
	elsewhere, here := server.Conn(t, database), server.Conn(t, "")
	for _, sql := range []string{"CREATE TABLE t (n int)", "BEGIN", "INSERT INTO t VALUES (1)"} {
		if _, err := elsewhere.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	stores := several(t, 2)
	for _, sql := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM pg_class", "CREATE TEMP TABLE t (n int)"} {
		if _, err := here.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var o order
	n := 0
	commit(t, stores[0], benchUnit(n, 1, 3))
	for p, err := range stores[1].Subscribe(ctx, eventstore.SubscribeOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Events {
			o.see(r.Position, r.Stream, r.Revision)
		}
		if n++; n == 50 {
			break
		}
		commit(t, stores[n%2], benchUnit(n, 1, 3))
	}
	if o.last != 50 || len(o.faults) > 0 {
		t.Errorf("the follower came to %d, %q", o.last, o.faults)
	}
	// The head's row is no heap of dead versions either.
	var size int64
	if err := server.Conn(t, "").QueryRow(t.Context(), "SELECT pg_relation_size($1::regclass)", postgres.SchemaOf(stores[0])+".leat_log").Scan(&size); err != nil {
		t.Fatal(err)
	}
	if size > 8192 {
		t.Errorf("leat_log has grown to %d bytes", size)
	}
}

// TestSwaps has three daemons append while the table that their transactions write is built anew by each in turn.
func TestSwaps(t *testing.T) {
	var stores []eventstore.Store
	for _, s := range several(t, 3) {
		stores = append(stores, s)
	}
	storetest.Swaps(t, stores, 50, 9)
}
