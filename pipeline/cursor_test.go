package pipeline

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

func TestCursorMovesWithTheCommit(t *testing.T) {
	run(t, keepBig, func(r *rig) {
		f := r.start().feed()
		f.send(order("e-1", "o-1", 900), order("e-2", "o-1", 1), order("e-3", "o-1", 900), order("e-4", "o-1", 1)).
			is("committed filtered committed filtered")
		same(r, "cursor", r.cursor(), "4") // also over what was filtered at the end
		for _, units := range r.store.commits {
			for _, u := range units {
				if u.Cursor == nil || u.Inbox != nil {
					t.Error("a unit of a source with places has no cursor, or a mark beside it")
				}
			}
		}
		r.finish()
	})
}

func TestCursorMovesOverFilteredEvents(t *testing.T) {
	run(t, keepBig, func(r *rig) {
		f := r.start().feed()
		f.send(order("e-1", "o-1", 1), order("e-2", "o-1", 1)).is("filtered filtered")
		r.wait()
		sleepFor(2 * time.Second)
		f.send(order("e-3", "o-1", 1)).is("filtered")
		r.wait()
		same(r, "saved once a second", r.cursor(), "3")
		f.send(order("e-4", "o-1", 1)).is("filtered")
		r.wait()
		same(r, "not for each batch", r.cursor(), "3")
		r.drain()
		r.ok()
		same(r, "at the stop", r.cursor(), "4")
	})
}

// TestASlowSaveHoldsNobodyUp: while the store cannot write, one batch waits to save its place, and not each one behind it.
func TestASlowSaveHoldsNobodyUp(t *testing.T) {
	yaml := strings.Replace(numbered("{ feed: { ordered: true, cursor: true }, order_by: data.order_id }", ""), "    steps:", "    steps:\n      - filter: data.amount > 0", 1)
	run(t, yaml, func(r *rig) {
		f := r.start().feed()
		r.store.breaks(func(string) error { return eventstore.ErrUnavailable }, nil)
		var last *sent
		for _, lane := range []string{"a", "b", "c", "d"} {
			last = f.send(order(lane+"-1", lane, 0))
			last.is("filtered")
			r.wait()
			sleepFor(2 * time.Second)
		}
		select {
		case <-last.m.Acked():
		default:
			t.Error("the last batch is settled, and its message is not")
		}
		same(r, "cursor", r.cursor(), "")
		r.store.breaks(nil, nil)
		r.drain()
		r.ok()
		same(r, "cursor", r.cursor(), "4")
	})
}

// TestCursorNeverPassesARefusedUnit is for the batch that waits for another attempt when the stop comes: neither those
// behind it, nor filtered ones, may carry the cursor past it.
func TestCursorNeverPassesARefusedUnit(t *testing.T) {
	yaml := strings.Replace(numbered("{ feed: { ordered: true, cursor: true } }", ""), "    steps:", "    steps:\n      - filter: data.amount > 0", 1)
	for _, behind := range []string{order("z-1", "o-7", 1), order("z-1", "o-7", 0)} {
		run(t, yaml, func(r *rig) {
			f := r.start().feed()
			f.send(order("a-1", "o-1", 1)).is("committed")
			early := f.send(order("a-3", "o-1", 3), order("b-1", "o-2", 1))
			last := f.send(behind)
			r.wait()
			early.isNow("pending pending")
			s := r.drain()
			r.ok()
			early.is("released released")
			if o := last.outcomes(); o == "committed" {
				t.Errorf("the event behind is %s: it has overtaken what went back", o)
			}
			same(r, "cursor", r.cursor(), "1")
			same(r, "nothing was poisoned", [2]int{int(s.Poisoned), len(r.parked())}, [2]int{})

			// The next run takes it up where the cursor stands.
			r.append("order/o-1", "2")
			f = r.start().feed()
			f.offset = 1
			f.send(order("a-3", "o-1", 3), order("b-1", "o-2", 1)).is("committed committed")
			f.send(behind)
			r.finish()
			r.ok()
			same(r, "stream", r.stream("order/o-1"), []string{"a-1", "by-hand-0", "a-3"})
			same(r, "cursor", r.cursor(), "4")
		})
	}
}

func TestCursorNeverPassesWhatNoSinkTook(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: { ordered: true, cursor: true } }
    steps:
      - filter: data.amount > 0
      - forward: { catch: { name: out } }
`, func(r *rig) {
		f := r.start().feed()
		f.send(order("e-1", "o-1", 1)).is("delivered")
		r.sink("out").refuseCall("e-2", event.Unavailable(0, errRefused))
		held := f.send(order("e-2", "o-1", 1))
		behind := f.send(order("e-3", "o-1", 1))
		filtered := f.send(order("e-4", "o-1", 0))
		r.wait()
		held.isNow("pending")
		r.drain()
		r.ok()
		held.is("released")
		behind.is("released")
		filtered.outcomes()
		same(r, "cursor", r.cursor(), "1")
	})
}

// TestCursorNeverPassesWhatWasNotParked: what failed is parked, or it comes again.
func TestCursorNeverPassesWhatWasNotParked(t *testing.T) {
	run(t, strings.Replace(noLog, "{ feed: { keyed: true } }", "{ feed: { ordered: true, cursor: true } }", 1), func(r *rig) {
		f := r.start().feed()
		tries := 0
		r.store.breaks(func(string) error {
			if tries++; tries == 1 {
				return eventstore.ErrUnavailable
			}
			return nil
		}, nil)
		sent := f.send("no json", order("e-2", "o", 2))
		r.wait()
		r.drain()
		r.ok()
		sent.is("released delivered")
		same(r, "cursor", r.cursor(), "")
	})
}

func TestSourceResumesAtItsCursor(t *testing.T) {
	run(t, keepBig, func(r *rig) {
		r.start().feed().send(order("e-1", "o-1", 900), order("e-2", "o-1", 901)).is("committed committed")
		r.drain()
		f := r.start().feed()
		f.send(order("e-1", "o-1", 900), order("e-2", "o-1", 901)).is("duplicate duplicate") // a source that forgot its place
		f.send(order("e-3", "o-1", 902)).is("committed")
		r.finish()
		r.ok()
		same(r, "rows", r.rows("orders"), []string{"o-1 2703"})
	})
}

func TestCursorWithoutOrderedTraitKeepsOrder(t *testing.T) {
	run(t, strings.Replace(plainAppend, "{ feed: {} }", "{ feed: { cursor: true } }", 1), func(r *rig) {
		f := r.start().feed()
		for _, b := range orders(50, 1) {
			f.send(b)
		}
		r.finish()
		r.ok()
		same(r, "cursor", r.cursor(), "50")
		same(r, "log", len(r.logged()), 50)
	})
}

// TestFrontier: with order_by batches are settled out of order; each event is marked, and the cursor moves over what is
// settled without a hole.
func TestFrontier(t *testing.T) {
	run(t, numbered("{ feed: { ordered: true, cursor: true }, order_by: data.order_id }", ""), func(r *rig) {
		f := r.start().feed()
		f.send(order("a-1", "a", 1)).is("committed")
		early := f.send(order("a-3", "a", 3))
		f.send(order("b-1", "b", 1)).is("committed")
		f.send(order("b-2", "b", 2)).is("committed")
		r.wait()
		r.drain()
		r.ok()
		early.is("released")
		same(r, "cursor", r.cursor(), "1") // b is settled, and lies behind a-3

		r.append("order/a", "2")
		f = r.start().feed()
		f.offset = 1
		f.send(order("a-3", "a", 3)).is("committed")
		f.send(order("b-1", "b", 1)).is("duplicate")
		f.send(order("b-2", "b", 2)).is("duplicate")
		r.finish()
		r.ok()
		same(r, "cursor", r.cursor(), "4")
		same(r, "stream", r.stream("order/b"), []string{"b-1", "b-2"})
	})
}

func TestStopReleasesAWholeLane(t *testing.T) {
	run(t, numbered("{ feed: { ordered: true }, order_by: data.order_id }", ""), func(r *rig) {
		f := r.start().feed()
		early := f.send(order("a-2", "a", 2), order("a-1", "a", 1), order("b-1", "b", 1))
		behind := f.send(order("a-3", "a", 3))
		r.wait()
		r.drain()
		r.ok()
		early.is("released released committed") // a-1 would have fit, and would have overtaken a-2
		behind.is("released")
		same(r, "parked", r.parked(), nil)
	})
}

// TestLaneStaysClosed: also for a batch that comes when nothing of the lane waits any more.
func TestLaneStaysClosed(t *testing.T) {
	run(t, numbered("{ feed: { ordered: true }, order_by: data.order_id }", ""), func(r *rig) {
		f := r.start().feed()
		early := f.send(order("a-2", "a", 2))
		r.wait()
		late := f.afterStop(r, order("a-1", "a", 1), order("b-1", "b", 1))
		r.join()
		r.ok()
		early.is("released")
		late.is("released committed")
	})
}

func TestUnknownOutcomeIsRepeated(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after error
		want          string
	}{
		{"answer lost", nil, errors.New("connection lost"), "committed committed"},
		{"nothing written", eventstore.ErrUnavailable, nil, "committed committed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, plainAppend, func(r *rig) {
				r.start()
				once := func(err error) func(string) error {
					return func(call string) error {
						if e := err; call == "commit" && e != nil {
							err = nil
							return e
						}
						return nil
					}
				}
				r.store.breaks(once(tt.before), once(tt.after))
				r.feed().send(order("e-1", "o-1", 1), order("e-2", "o-1", 2)).is(tt.want)
				r.finish()
				r.ok()
				same(r, "log", r.logged(), []string{"order/o-1@1 OrderCreated e-1", "order/o-1@2 OrderCreated e-2"})
			})
		})
	}
}

func TestStoreDown(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		f := r.start().feed()
		r.store.breaks(func(call string) error { return eventstore.ErrUnavailable }, nil)
		sent := f.send(order("e-1", "o-1", 1))
		sleepFor(10 * time.Minute) // longer than any count of attempts
		sent.isNow("pending")
		if err := r.daemon.Ready(); err == nil || !strings.Contains(err.Error(), "store") {
			t.Errorf("readiness says %v", err)
		}
		r.store.breaks(nil, nil)
		sent.is("committed")
		r.wait()
		if err := r.daemon.Ready(); err != nil {
			t.Errorf("the store is back, readiness says %v", err)
		}
		r.store.breaks(func(call string) error { return eventstore.ErrUnavailable }, nil)
		sent = f.send(order("e-2", "o-1", 2))
		r.wait()
		r.drain()
		r.ok()
		sent.is("released")
		r.store.breaks(nil, nil)
		same(r, "parked", r.parked(), nil)
	})
}

func TestStoreLostForGoodStopsThePipeline(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		f := r.start().feed()
		r.store.breaks(func(call string) error { return eventstore.ErrCorrupt }, nil)
		sent := f.send(order("e-1", "o-1", 1))
		r.join()
		sent.is("released")
		if !errors.Is(r.err, eventstore.ErrCorrupt) {
			t.Errorf("the daemon ended with %v", r.err)
		}
	})
}
