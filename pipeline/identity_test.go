package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// pipelineOf puts steps below an append.
func pipelineOf(steps ...string) string {
	return `
pipelines:
  p:
    source: { feed: { ordered: true } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - ` + strings.Join(steps, "\n      - ") + "\n"
}

const (
	toA      = "forward: { catch: { name: a } }"
	toB      = "forward: { catch: { name: b } }"
	toOrders = "project: { table: orders, key: { order_id: data.order_id }, add: { total: data.amount } }"
)

func TestRelayIdentity(t *testing.T) {
	for _, tt := range []struct{ steps, ids string }{
		{toA, "p/forward catch a"},
		{"{ name: out, " + toA + " }", "p/out"},
		{toOrders, "p/project orders"},
		{"{ name: sums, " + toOrders + " }", "p/sums"},
	} {
		run(t, pipelineOf(tt.steps), func(r *rig) {
			r.start().finish()
			same(r, "relays", r.relays(), []string{tt.ids + " 0"})
		})
	}
}

func TestReorderedStepsKeepTheirPlaces(t *testing.T) {
	run(t, pipelineOf(toA, toB, toOrders), func(r *rig) {
		r.start().feed().send(order("e-1", "o", 1))
		r.finish()
		r.load(pipelineOf(toOrders, toB, "filter: data.amount > 0", toA)).start().feed().send(order("e-2", "o", 2))
		r.finish()
		r.ok()
		same(r, "a", r.sink("a").ids(), []string{"e-1", "e-2"})
		same(r, "b", r.sink("b").ids(), []string{"e-1", "e-2"})
		same(r, "rows", r.rows("orders"), []string{"o 3"})
	})
}

func TestFrom(t *testing.T) {
	for _, tt := range []struct {
		name, steps string
		want        []string // what the sink or the table has
	}{
		{"a new forward starts at the head", toA, []string{"e-4"}},
		{"or at the start", "{ from: start, " + toA + " }", []string{"e-1", "e-2", "e-3", "e-4"}},
		{"or behind a position", `{ from: "2", ` + toA + " }", []string{"e-3", "e-4"}},
		{"or at a time", `{ from: "TIME", ` + toA + " }", []string{"e-3", "e-4"}},
		{"a new projection starts at the start", toOrders, []string{"o 10"}},
		{"or at the head", "{ from: now, " + toOrders + " }", []string{"o 4"}},
		{"or behind a position", `{ from: "2", ` + toOrders + " }", []string{"o 7"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, pipelineOf(toB), func(r *rig) {
				f := r.start().feed()
				f.send(order("e-1", "o", 1), order("e-2", "o", 2)).outcomes()
				sleepFor(time.Hour)
				at := time.Now().UTC().Format(time.RFC3339)
				sleepFor(time.Second)
				f.send(order("e-3", "o", 3)).outcomes()
				r.finish()
				r.ok()
				yaml := pipelineOf(toB, strings.Replace(tt.steps, "TIME", at, 1))
				r.load(yaml).start().finish() // registered before the intake starts
				r.ok()
				r.load(yaml).start().feed().send(order("e-4", "o", 4)) // and not anew at a restart
				r.finish()
				r.ok()
				got := r.sink("a").ids()
				if strings.Contains(tt.steps, "project") {
					got = r.rows("orders")
				}
				same(r, "got", got, tt.want)
				same(r, "the other relay", r.sink("b").ids(), []string{"e-1", "e-2", "e-3", "e-4"})
			})
		})
	}
}

func TestWasRenames(t *testing.T) {
	run(t, pipelineOf("{ name: one, forward: { catch: { name: a, in_part: true } } }", "{ name: sums, "+toOrders+" }"), func(r *rig) {
		r.sink("a").refuse(only("e-1", event.Poison(errRefused)))
		r.start().feed().send(order("e-1", "o", 1), order("e-2", "o", 2), order("e-3", "q", 3))
		r.finish()
		r.ok()
		same(r, "parked", r.parked(), []string{"one parked poison 1 1", "one held held 2 0"})
		renamed := pipelineOf("{ name: two, was: one, forward: { catch: { name: a, in_part: true } } }", "{ name: totals, was: sums, "+toOrders+" }")
		for range 2 { // `was` may stay where it is
			r.load(renamed).start().finish()
			r.ok()
			same(r, "relays", r.relays(), []string{"p/totals 0", "p/two 3"})
			same(r, "parked", r.parked(), []string{"two parked poison 1 1", "two held held 2 0"})
		}
		f := r.start().feed()
		f.send(order("e-4", "o", 4)).outcomes() // its stream is held still
		r.wait()
		same(r, "forwarded", r.sink("a").ids(), []string{"e-3"})
		r.sink("a").failing(nil)
		r.again(poison.Filter{States: []poison.State{poison.Parked}})
		r.finish()
		r.ok()
		same(r, "forwarded", r.sink("a").ids(), []string{"e-3", "e-1", "e-2", "e-4"})
		same(r, "rows", r.rows("orders"), []string{"o 7", "q 3"})
		// And without it, once it has been renamed.
		r.load(strings.NewReplacer("was: one, ", "", "was: sums, ", "").Replace(renamed)).start().finish()
		r.ok()
		same(r, "rows", r.rows("orders"), []string{"o 7", "q 3"})
	})
}

func TestProjectionRenamedWithoutWas(t *testing.T) {
	run(t, pipelineOf("{ name: sums, "+toOrders+" }"), func(r *rig) {
		r.start().feed().send(order("e-1", "o", 1))
		r.finish()
		err := r.load(pipelineOf("{ name: totals, " + toOrders + " }")).try()
		if err == nil || !strings.Contains(err.Error(), `was: "sums"`) {
			t.Errorf("the start says %v", err)
		}
		r.load(pipelineOf("{ name: totals, was: sums, " + toOrders + " }")).start().feed().send(order("e-2", "o", 2))
		r.finish()
		r.ok()
		same(r, "rows", r.rows("orders"), []string{"o 3"})
	})
}

func TestRemovedRelayIsKept(t *testing.T) {
	run(t, pipelineOf(toA, toB), func(r *rig) {
		r.start().feed().send(order("e-1", "o", 1))
		r.finish()
		r.load(pipelineOf(toB)).start().feed().send(order("e-2", "o", 2))
		r.finish()
		same(r, "relays", r.relays(), []string{"p/forward catch a 1 removed", "p/forward catch b 2"})
		r.load(pipelineOf(toA, toB)).start().finish() // it comes back and goes on where it was
		same(r, "a", r.sink("a").ids(), []string{"e-1", "e-2"})
		same(r, "relays", r.relays(), []string{"p/forward catch a 2", "p/forward catch b 2"})
	})
	run(t, pipelineOf(toA), func(r *rig) {
		r.start().finish()
		r.load("\npipelines:\n  p:\n    source: { feed: {} }\n    steps:\n      - append: { stream: \"o/{{ id }}\" }\n").start().finish()
		same(r, "the last one too", r.relays(), []string{"p/forward catch a 0 removed"})
	})
}

func TestCheckpointsNeverGoBack(t *testing.T) {
	run(t, pipelineOf(toA, toOrders), func(r *rig) {
		var last, lastTable int64
		calls := 0
		check := func() {
			all, err := r.store.ListRelays(context.Background(), "p")
			if err != nil {
				t.Fatal(err)
			}
			infos, err := r.store.Store.Tables().Tables(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if all[0].Position < last || infos[0].Position < lastTable {
				t.Errorf("back from %d to %d, table from %d to %d", last, all[0].Position, lastTable, infos[0].Position)
			}
			last, lastTable = all[0].Position, infos[0].Position
		}
		for i := range 5 {
			r.start()
			r.store.breaks(nil, func(call string) error { // answers are lost again and again
				if calls++; call != "commit" && calls%3 == 0 {
					return eventstore.ErrUnavailable
				}
				return nil
			})
			for j := range 4 {
				r.feed().send(order(fmt.Sprintf("e-%d-%d", i, j), "o", 1)).outcomes()
				sleepFor(time.Minute)
				check()
			}
			r.drain()
			check()
		}
		same(r, "rows", r.rows("orders"), []string{"o 20"})
		same(r, "checkpoints", [2]int64{last, lastTable}, [2]int64{20, 20})
	})
}

func TestLostAnswerOfACheckpoint(t *testing.T) {
	run(t, pipelineOf(toA, toOrders), func(r *rig) {
		r.start()
		lost := map[string]int{}
		r.store.breaks(nil, func(call string) error {
			if lost[call]++; lost[call] == 1 && call != "commit" {
				return errors.New("connection lost")
			}
			return nil
		})
		r.feed().send(order("e-1", "o", 1)).is("committed")
		sleepFor(time.Minute)
		r.feed().send(order("e-2", "o", 2)).is("committed")
		r.finish()
		r.ok()
		same(r, "a", r.sink("a").ids(), []string{"e-1", "e-2"})
		same(r, "rows", r.rows("orders"), []string{"o 3"})
	})
}

func TestChangedProjection(t *testing.T) {
	changed := strings.Replace(toOrders, "data.amount", "data.amount * 2", 1)
	run(t, pipelineOf(toOrders), func(r *rig) {
		r.start().feed().send(order("e-1", "o", 1), order("e-2", "q", 2))
		r.finish()

		err := r.load(pipelineOf(changed)).try()
		var c *table.ChangedError
		if !errors.As(err, &c) {
			t.Fatalf("the start says %v", err)
		}
		err = r.load(pipelineOf("filter: data.amount > 1", toOrders)).try()
		if !errors.As(err, &c) {
			t.Fatalf("with another filter above it the start says %v", err)
		}
		same(r, "rows", r.rows("orders"), []string{"o 1", "q 2"})

		// Written otherwise it is the same.
		otherwise := `project:
          # the sum of each order
          add: { total: "data.amount" }
          key:
            order_id: data.order_id
          table: orders`
		r.load(pipelineOf(otherwise)).start().finish()
		r.ok()

		// A raised version is built beside the old table and takes its place.
		r.load(pipelineOf(changed) + "tables: { orders: { version: 2 } }\n").start().feed().send(order("e-3", "o", 3))
		r.finish()
		r.ok()
		if got := strings.Join(r.rows("orders"), ","); got != "o 8,q 4" {
			t.Errorf("rows %s", got)
		}
		infos, err := r.store.Store.Tables().Tables(context.Background())
		if err != nil || len(infos) != 1 || infos[0].Def.Version != 2 || infos[0].Building != 0 {
			t.Errorf("tables %+v, %v", infos, err)
		}
		if err := r.load(pipelineOf(toOrders)).try(); !errors.As(err, &c) {
			t.Errorf("with the old version the start says %v", err)
		}
	})
}

// TestBuiltBesideIsSeenWhole: people go on reading the old table until the new one has all that the log has.
func TestBuiltBesideIsSeenWhole(t *testing.T) {
	steps := "{ batch: { events: 1 }, " + toOrders + " }" // three pages
	doubled := strings.Replace(steps, "data.amount", "data.amount * 2", 1)
	run(t, pipelineOf(steps), func(r *rig) {
		r.start().feed().send(order("e-1", "o", 1), order("e-2", "q", 2), order("e-3", "r", 3))
		r.finish()
		var seen []string
		r.store.breaks(nil, func(call string) error {
			if call == "apply" {
				seen = append(seen, strings.Join(r.rows("orders"), ","))
			}
			return nil
		})
		r.load(pipelineOf(doubled) + "tables: { orders: { version: 2 } }\n").start().finish()
		r.ok()
		same(r, "while it is built", seen, []string{"o 1,q 2,r 3", "o 1,q 2,r 3", "o 1,q 2,r 3"})
		same(r, "rows", r.rows("orders"), []string{"o 2", "q 4", "r 6"})
	})
}

// TestBuiltBesideAForeignTail: the table is in place although the log ends with events of another pipeline.
func TestBuiltBesideAForeignTail(t *testing.T) {
	for _, tail := range []int{1, 3000} {
		steps := "{ batch: { events: 1 }, " + toOrders + " }" // the last page has nothing for the relay
		run(t, pipelineOf(steps), func(r *rig) {
			r.start().feed().send(order("e-1", "o", 1))
			r.finish()
			r.append("foreign/x", make([]string, tail)...)
			r.load(pipelineOf(steps) + "tables: { orders: { version: 2 } }\n").start().finish()
			r.ok()
			infos, err := r.store.Store.Tables().Tables(context.Background())
			if err != nil || len(infos) != 1 || infos[0].Def.Version != 2 {
				t.Errorf("tables %+v, %v", infos, err)
			}
		})
	}
}

func TestForeignLog(t *testing.T) {
	run(t, pipelineOf(toOrders), func(r *rig) {
		r.start().feed().send(order("e-1", "o", 1))
		r.finish()
		r.store.breaks(nil, nil)
		r.store.logID = "another"
		if err := r.try(); !errors.Is(err, table.ErrForeignLog) {
			t.Errorf("the start says %v", err)
		}
	})
	run(t, pipelineOf(toOrders), func(r *rig) { // a shorter log of the same name: restored from an old copy
		r.start().feed().send(order("e-1", "o", 1), order("e-2", "o", 1))
		r.finish()
		r.store.cut = 1
		if err := r.try(); !errors.Is(err, table.ErrForeignLog) {
			t.Errorf("the start says %v", err)
		}
	})
}

func TestFencedOwnerStops(t *testing.T) {
	for _, steps := range []string{toA, toOrders} {
		t.Run(steps, func(t *testing.T) {
			run(t, pipelineOf(steps), func(r *rig) {
				f := r.start().feed()
				f.send(order("e-1", "o", 1)).is("committed")
				r.wait()
				id := r.pipe().relays[0].plan.id
				// Paused for longer than its lease, so that another has taken over.
				l := r.pipe().relays[0].term.Load().now()
				if err := r.store.Release(context.Background(), l); err != nil {
					t.Fatal(err)
				}
				other, err := r.store.Acquire(context.Background(), id, "another", time.Minute)
				if err != nil || other.Epoch <= l.Epoch {
					t.Fatalf("%+v %v", other, err)
				}
				if steps == toOrders {
					if _, err := r.store.Tables().Take(context.Background(), r.pipe().relays[0].target.(*tableTarget).def, id, other.Epoch); err != nil {
						t.Fatal(err)
					}
				}
				f.send(order("e-2", "o", 2)).is("committed")
				r.join()
				if !errors.Is(r.err, eventstore.ErrFenced) && !errors.Is(r.err, table.ErrFenced) {
					t.Errorf("ended with %v", r.err)
				}
				if steps == toOrders {
					same(r, "it wrote nothing more", r.rows("orders"), []string{"o 1"})
				}
			})
		})
	}
}

func TestLostLeaseStops(t *testing.T) {
	run(t, pipelineOf(toA), func(r *rig) {
		r.start()
		l := r.pipe().relays[0].term.Load().now()
		if err := r.store.Release(context.Background(), l); err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.Acquire(context.Background(), l.Name, "another", time.Minute); err != nil {
			t.Fatal(err)
		}
		sleepFor(r.pipe().cfg.Lease) // without an event: the renewal tells
		r.join()
		if !errors.Is(r.err, eventstore.ErrFenced) {
			t.Errorf("ended with %v", r.err)
		}
	})
}

func TestSecondDaemonIsRefused(t *testing.T) {
	run(t, pipelineOf(toA), func(r *rig) {
		r.o.Instance = "one"
		r.start()
		sleepFor(time.Hour) // the lease is renewed
		second := &rig{T: t, cfg: r.cfg, store: r.store, feeds: map[string]*feed{}, sinks: map[string]*catch{}, log: r.log, o: Options{Instance: "two"}}
		if err := second.try(); !errors.Is(err, eventstore.ErrHeld) {
			t.Errorf("the second says %v", err)
		}
		r.finish()
		r.ok()
		second.start().finish() // at once: the first has let go
		second.ok()
	})
}

func TestStepsAboveATarget(t *testing.T) {
	run(t, pipelineOf(toA, "filter: data.amount > 1", "{ when: data.amount > 2, "+toB+" }", "map: { set: { data.amount: data.amount * 10 } }", toOrders), func(r *rig) {
		r.start().feed().send(order("e-1", "o", 1), order("e-2", "o", 2), order("e-3", "o", 3))
		r.finish()
		r.ok()
		same(r, "a", r.sink("a").ids(), []string{"e-1", "e-2", "e-3"})
		same(r, "b", r.sink("b").bodies(), []string{order("e-3", "o", 3)})
		same(r, "rows", r.rows("orders"), []string{"o 50"})
	})
}

func TestForwardsToOneTargetAreOneRelay(t *testing.T) {
	run(t, pipelineOf(toA, "forward: { catch: { name: a }, type: Second, id: \"{{ id }}-2\" }"), func(r *rig) {
		r.start().feed().send(order("e-1", "o", 1), order("e-2", "o", 2))
		r.finish()
		r.ok()
		same(r, "relays", r.relays(), []string{"p/forward catch a 2"})
		same(r, "in file order, event by event", r.sink("a").ids(), []string{"e-1", "e-1-2", "e-2", "e-2-2"})
	})
}
