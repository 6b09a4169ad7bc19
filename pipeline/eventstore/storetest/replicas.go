package storetest

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// testFence: a call under a lease that another has taken by now writes nothing.
func testFence(f *fixture) {
	mine, err := f.s.Acquire(f.ctx, "p#intake", "me", time.Minute)
	f.ok(err)
	under := func(l eventstore.Lease, id string) (*eventstore.Unit, error) {
		u := unit(appendTo("a/1", eventstore.Any, id))
		u.Cursor = &event.Cursor{Key: "k", Value: id}
		return u, f.s.Commit(f.ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{Fence: &l})
	}
	u, err := under(mine, "1")
	f.ok(err)
	f.status(u.Result, eventstore.Done)
	f.pass(2 * time.Minute) // run out, and nobody else's yet
	_, err = under(mine, "2")
	f.ok(err)
	other, err := f.s.Acquire(f.ctx, "p#intake", "you", time.Minute)
	f.ok(err)
	u, err = under(mine, "3")
	f.is(err, eventstore.ErrFenced)
	f.status(u.Result, eventstore.Untried)
	f.cursor("2")
	_, err = under(other, "4")
	f.ok(err)
	f.cursor("4")
	_, err = under(eventstore.Lease{Name: "nobody's", Owner: "me", Epoch: 1}, "5")
	f.is(err, eventstore.ErrFenced)

	// Beside calls of others it is refused alone, whichever transaction they share.
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			u := unit(appendTo("b/1", eventstore.Any, fmt.Sprint("b", i)))
			if err := f.s.Commit(f.ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil || u.Result.Status != eventstore.Done {
				f.Errorf("a neighbour: %v %+v", err, u.Result)
			}
		})
		wg.Go(func() {
			if _, err := under(mine, fmt.Sprint("c", i)); err == nil {
				f.Error("written under a lost lease")
			}
		})
	}
	wg.Wait()
	f.cursor("4")
}

func testReplicas(f *fixture) {
	s, ok := f.s.(eventstore.Replicas)
	if !ok {
		f.Fatal("the store is one process's own: Features.NoReplicas says so")
	}
	const ttl = 10 * time.Second
	join := func(owner, definition string, relays ...string) eventstore.Replica {
		f.Helper()
		var specs []eventstore.RelaySpec
		for _, id := range relays {
			specs = append(specs, eventstore.RelaySpec{ID: id, Pipeline: "p", Kind: "forward", Definition: definition})
		}
		r, err := s.Join(f.ctx, eventstore.Replica{Pipeline: "p", Owner: owner, Definition: definition}, ttl, specs)
		f.ok(err)
		return r
	}
	state := func(leases ...string) string {
		f.Helper()
		r, err := s.Roster(f.ctx, "p", leases)
		f.ok(err)
		var out []string
		for _, x := range r.Replicas {
			out = append(out, fmt.Sprintf("%s:%s%d", x.Owner, x.Definition, x.Generation))
		}
		for _, x := range r.Leases {
			out = append(out, fmt.Sprintf("%s=%s@%d", x.Name, x.Owner, x.Epoch))
		}
		for _, x := range r.Relays {
			removed := ""
			if x.Removed {
				removed = "-"
			}
			out = append(out, removed+x.ID+"/"+x.Definition)
		}
		return strings.Join(out, " ")
	}
	f.same(state("r"), "")
	a := join("a", "v", "r", "gone")
	f.same(a.Generation, int64(1))
	f.same(a.Until.Equal(f.now().Add(ttl)), true)
	f.same(join("b", "v", "r", "gone").Generation, int64(1))
	_, err := f.s.Acquire(f.ctx, "r", "a", ttl)
	f.ok(err)
	f.same(state("r", "x"), "a:v1 b:v1 r=a@1 gone/v r/v")

	// A new definition is the newest at once; the daemons of the old one stay behind it, and change nothing.
	f.same(join("c", "w", "r", "new").Generation, int64(2))
	f.same(join("a", "v", "r", "gone").Generation, int64(1))
	f.same(join("b2", "v", "r", "gone").Generation, int64(1)) // also one that was started again
	f.same(state(), "a:v1 b:v1 b2:v1 c:w2 -gone/v new/w r/w")

	// Silence is absence, of leases too.
	f.pass(ttl / 2)
	join("a", "v", "r", "gone")
	f.same(join("c", "w", "r", "new").Generation, int64(2))
	f.pass(ttl/2 + time.Millisecond)
	f.same(state("r"), "a:v1 c:w2 -gone/v new/w r/w")

	// When the newest is gone the old one is the newest again, and the other way round.
	f.ok(s.Leave(f.ctx, "p", "c"))
	f.ok(s.Leave(f.ctx, "p", "nobody"))
	f.same(join("a", "v", "r", "gone").Generation, int64(3))
	f.same(state(), "a:v3 gone/v -new/w r/v")
	f.same(join("c", "w", "r", "new").Generation, int64(2))
	f.same(state(), "a:v3 c:w2 gone/v -new/w r/v")
	f.same(join("a", "w", "r", "new").Generation, int64(4)) // the daemon itself has taken other files
	f.same(state(), "a:w4 c:w4 -gone/v new/w r/w")

	// Other pipelines have their own.
	q, err := s.Join(f.ctx, eventstore.Replica{Pipeline: "q", Owner: "a", Definition: "v"}, ttl, nil)
	f.ok(err)
	f.same(q.Generation, int64(1))
	f.same(state(), "a:w4 c:w4 -gone/v new/w r/w")

	all, err := s.Roster(f.ctx, "p", nil)
	f.ok(err)
	f.same(all.Generations, map[string]int64{"v": 3, "w": 4})

	// What cannot be registered leaves nothing behind.
	_, err = s.Join(f.ctx, eventstore.Replica{Pipeline: "p", Owner: "d", Definition: "z"}, ttl, []eventstore.RelaySpec{{ID: "r"}, {ID: "r"}})
	if err == nil {
		f.Error("two relays of one name: no error")
	}
	f.same(state(), "a:w4 c:w4 -gone/v new/w r/w")

	// Many at once take turns.
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			d := fmt.Sprint("d", i%2)
			if _, err := s.Join(f.ctx, eventstore.Replica{Pipeline: "m", Owner: fmt.Sprint(i), Definition: d}, ttl, []eventstore.RelaySpec{{ID: "m/" + d, Pipeline: "m"}}); err != nil {
				f.Error(err)
			}
		})
	}
	wg.Wait()
	r, err := s.Roster(f.ctx, "m", nil)
	f.ok(err)
	f.same(len(r.Replicas), 8)
	f.same(r.Newest(), int64(2))
}
