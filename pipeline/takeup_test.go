package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/table"
)

const shared = `
pipelines:
  p:
    source: { feed: { ordered: true } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: orders, key: { id: data.order_id }, add: { total: data.amount } }
      - { name: out, forward: { catch: { name: out } } }
`

// pair starts two replicas with fifty events in the log, all delivered, and gives the one that has a seat first.
func pair(c *crew, seat string) (owner, other *rig) {
	c.Helper()
	both := c.start("a", "b")
	owner, other = both[0], both[1]
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprint("e-", i))
		owner.feed().send(order(want[i], fmt.Sprint("o-", i%5), 1)).is("committed")
	}
	sleepFor(2 * time.Second)
	same(owner, "live", c.sinks["out"].ids(), want)
	if !strings.Contains(c.owners(owner), seat+"=a") {
		owner, other = other, owner
	}
	if !strings.Contains(c.owners(owner), seat+"="+owner.o.Instance) {
		c.Fatalf("nobody has %s: %s", seat, c.owners(owner))
	}
	return owner, other
}

// kept gives the works that the store has still to do.
func kept(r *rig) (keys []string) {
	r.Helper()
	all, err := r.store.Cursors(context.Background(), "p")
	if err != nil {
		r.Fatal(err)
	}
	for key, value := range all {
		if (strings.HasPrefix(key, rebuildKey) || strings.HasPrefix(key, replayKey)) && value != none {
			keys = append(keys, key)
		}
	}
	return keys
}

// TestRebuildGoesOnElsewhere: the owner of a table that is being built anew reaches the store no more. Who takes the
// table over builds it; when the first is back, at any moment, it neither swaps nor drops what is another's.
func TestRebuildGoesOnElsewhere(t *testing.T) {
	for _, away := range []time.Duration{13 * time.Second, 16 * time.Second, 20 * time.Second, time.Minute} {
		t.Run(away.String(), func(t *testing.T) {
			together(t, shared, func(c *crew) {
				owner, other := pair(c, "orders")
				want := owner.rows("orders")
				owner.spoil("orders", table.Row{"o-1", nil})
				var busy *control.BusyError
				if _, err := other.daemon.Rebuild(context.Background(), control.Rebuild{Table: "orders"}); !errors.As(err, &busy) || !strings.Contains(err.Error(), owner.o.Instance) {
					t.Errorf("who stands by was asked: %v", err)
				}
				owner.rebuild(control.Rebuild{Table: "orders", Throttle: 4})
				sleepFor(3 * time.Second)
				severed(owner)
				sleepFor(away)
				owner.store.breaks(nil, nil)
				sleepFor(time.Minute)
				same(other, "rows", other.rows("orders"), want)
				works := append(owner.daemon.Works(), other.daemon.Works()...)
				done := slices.IndexFunc(works, func(w control.Work) bool { return w.State == control.Done })
				if len(kept(other)) != 0 || done < 0 {
					t.Errorf("left to do: %q; works: %+v", kept(other), works)
				}
				for _, w := range works {
					if w.State != control.Done && w.State != control.Interrupted {
						t.Errorf("a work ended as %s: %s", w.State, w.Error)
					}
				}
				infos, err := other.store.Tables().Tables(context.Background())
				if err != nil || len(infos) != 1 || infos[0].Building != 0 || infos[0].Def.Build == 0 {
					t.Errorf("tables: %+v, %v", infos, err)
				}
				other.feed().send(order("e-50", "o-0", 1)).is("committed")
				sleepFor(2 * time.Second)
				same(other, "the table goes on", other.rows("orders")[0], "o-0 11")
				for _, r := range []*rig{owner, other} {
					r.drain()
					r.ok()
				}
			})
		})
	}
}

// TestReplayGoesOnElsewhere: who sends a part of the log again dies, or reaches the store no more. Another goes on from
// where it stood, and only the page in hand is sent a second time.
func TestReplayGoesOnElsewhere(t *testing.T) {
	for _, how := range []string{"dies", "is cut off", "is cut off and comes back"} {
		t.Run(how, func(t *testing.T) {
			together(t, shared, func(c *crew) {
				owner, other := pair(c, "p/out")
				owner.replay(control.Replay{Throttle: 4})
				sleepFor(3 * time.Second)
				if how == "dies" {
					owner.die()
				} else {
					severed(owner)
				}
				sleepFor(17 * time.Second)
				if how == "is cut off and comes back" {
					owner.store.breaks(nil, nil)
				}
				sleepFor(time.Minute)
				again := map[string]int{}
				for _, id := range c.sinks["out"].ids()[50:] {
					again[id]++
				}
				twice := 0
				for i := range 50 {
					switch n := again[fmt.Sprint("e-", i)]; {
					case n == 0:
						t.Errorf("e-%d was not sent again", i)
					case n > 1:
						twice += n - 1
					}
				}
				if twice > 4 {
					t.Errorf("%d were sent twice, a page has four", twice)
				}
				if len(kept(other)) != 0 {
					t.Errorf("left to do: %q", kept(other))
				}
				works := other.daemon.Works()
				if len(works) != 1 || works[0].State != control.Done || works[0].Events != 50 {
					t.Errorf("works: %+v", works)
				}
				if how != "dies" {
					owner.store.breaks(nil, nil)
					sleepFor(10 * time.Second)
					if w := owner.daemon.Works(); len(w) != 1 || w[0].State != control.Interrupted {
						t.Errorf("of the first: %+v", w)
					}
					owner.drain()
				}
				other.drain()
				other.ok()
			})
		})
	}
}

// TestReplayOfAStoppedOwner: an owner that stood still finds at its next page that another has gone on, and its place
// stays the other's.
func TestReplayUnderALostLease(t *testing.T) {
	together(t, shared, func(c *crew) {
		owner, other := pair(c, "p/out")
		hang := make(chan struct{})
		w := owner.replay(control.Replay{Throttle: 10})
		sleepFor(2 * time.Second)
		c.sinks["out"].failing(func(context.Context, []event.Recorded) error { <-hang; return nil }) // heeds nothing
		sleepFor(time.Second)
		severed(owner)
		c.sinks["out"].failing(nil)
		sleepFor(time.Minute)
		if len(kept(other)) != 0 {
			t.Errorf("left to do: %q", kept(other))
		}
		owner.store.breaks(nil, nil)
		close(hang)
		sleepFor(time.Minute)
		if len(kept(other)) != 0 {
			t.Errorf("who was overtaken has written its place: %q", kept(other))
		}
		if now, err := owner.daemon.Work(w.ID); err != nil || now.State != control.Interrupted {
			t.Errorf("%+v, %v", now, err)
		}
		owner.drain()
		other.drain()
		other.ok()
	})
}
