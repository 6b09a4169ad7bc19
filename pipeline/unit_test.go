package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
)

const twoAppends = `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - append: { stream: "audit/{{ source }}", type: Seen }
      - name: main
        when: data.amount > 10
        append: { stream: "order/{{ data.order_id }}", expect: no_stream, on_conflict: { behind: poison, ahead: poison } }
      - forward: { catch: { name: out } }
`

func TestUnitIsAllOrNothing(t *testing.T) {
	run(t, twoAppends, func(r *rig) {
		f := r.start().feed()
		f.send(order("e-1", "o-1", 50)).is("committed")
		f.send(order("e-2", "o-1", 60)).is("poisoned") // its second append conflicts: the first one is not there either
		r.finish()
		r.ok()
		log := r.logged()
		if len(log) != 2 || log[0] != "audit/shop@1 Seen e-1" || !strings.HasPrefix(log[1], "order/o-1@1 OrderCreated ") {
			t.Errorf("log %q", log)
		}
		same(r, "parked", r.parked(), []string{"main parked conflict shop|e-2 1"})
	})
}

func TestRelaysReadTheLastAppendOnly(t *testing.T) {
	run(t, twoAppends, func(r *rig) {
		f := r.start().feed()
		f.send(order("e-1", "o-1", 50), order("e-2", "o-2", 5)).is("committed committed")
		s := r.finish()
		r.ok()
		// The unit of e-2 has its first append alone: it is committed, and no relay sees anything of it.
		same(r, "forwarded", len(r.sink("out").ids()), 1)
		if log := r.logged(); len(log) != 3 || !slices.Contains(log, "audit/shop@2 Seen e-2") {
			t.Errorf("log %q", log)
		}
		same(r, "summary", [2]int64{s.Committed, s.Forwarded}, [2]int64{2, 1})
	})
}

func TestNothingAppendedIsFiltered(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - when: data.amount > 10
        append: { stream: "order/{{ data.order_id }}" }
      - forward: { catch: { name: out } }
`, func(r *rig) {
		r.start().feed().send(order("e-1", "o-1", 5)).is("filtered")
		r.finish()
		r.ok()
		same(r, "log", r.logged(), nil)
	})
}

func TestDerivedIDsAreTheSameOnRepeat(t *testing.T) {
	body := order("e-1", "o-1", 50)
	once := func() (log []string) {
		run(t, twoAppends, func(r *rig) {
			r.start().feed().send(body).is("committed")
			r.finish()
			log = r.logged()
		})
		return log
	}
	first := once()
	if second := once(); !slices.Equal(first, second) {
		t.Errorf("other ids for the same event:\n%q\n%q", first, second)
	}
}

func TestEventWithoutID(t *testing.T) {
	body := `{"source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-1","amount":50}}`
	for _, tt := range []struct{ name, source, second string }{
		{"with the transport's id it is known again", "{ feed: { keyed: true } }", "duplicate"},
		{"with a place in the source it is another event", "{ feed: { ordered: true, cursor: true } }", "committed"},
		{"without either it is another event", "{ feed: {} }", "committed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, `
pipelines:
  p:
    source: `+tt.source+`
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - forward: { catch: { name: out } }
`, func(r *rig) {
				f := r.start().feed()
				f.send(body).is("committed")
				if f.cfg.Keyed {
					f.offset = 0
				}
				f.send(body).is(tt.second)
				r.finish()
				r.ok()
				for _, b := range r.sink("out").bodies() {
					same(r, "it leaves as it came", b, body)
				}
			})
		})
	}
}

const plainAppend = `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - forward: { catch: { name: out } }
`

func TestInbox(t *testing.T) {
	first := order("e-1", "o-1", 1)
	for _, tt := range []struct {
		name, body, outcome string
		parked              []string
	}{
		{"the same again", first, "duplicate", nil},
		{"the same id from another source", strings.Replace(first, `"shop"`, `"web"`, 1), "committed", nil},
		{"the same id with other content", order("e-1", "o-2", 2), "poisoned", []string{"append parked id_reused shop|e-1 1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, strings.Replace(plainAppend, "order/{{ data.order_id }}", "order/{{ source }}-{{ data.order_id }}", 1), func(r *rig) {
				r.start().feed().send(first).is("committed")
				r.drain()
				r.start().feed().send(tt.body).is(tt.outcome) // after a restart
				r.finish()
				r.ok()
				same(r, "parked", r.parked(), tt.parked)
			})
		})
	}
}

func TestInboxInOneBatch(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		r.start().feed().send(order("e-1", "o-1", 1), order("e-1", "o-1", 1), order("e-1", "o-9", 9), order("e-2", "o-1", 2)).
			is("committed duplicate poisoned committed")
		r.finish()
		same(r, "log", r.logged(), []string{"order/o-1@1 OrderCreated e-1", "order/o-1@2 OrderCreated e-2"})
	})
}

func TestPoisonedEventIsMarked(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - append: { stream: "order/{{ data.nothing }}" }
`, func(r *rig) {
		f := r.start().feed()
		f.send(order("e-1", "o-1", 1)).is("poisoned")
		f.send(order("e-1", "o-1", 1)).is("duplicate") // parked once, however often it is delivered
		r.finish()
		same(r, "parked", r.parked(), []string{"append parked stream shop|e-1 1"})
	})
}

func TestMarksArePrunedByAge(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		var ahead atomic.Int64 // of the daemon's clock
		r.o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		f := r.start().feed()
		f.send(order("e-1", "o-1", 1)).is("committed")
		marks := func() (n int) {
			for range r.store.Marks(context.Background(), "p", "") {
				n++
			}
			return n
		}
		ahead.Store(int64(inboxAge - 2*inboxPrune))
		sleepFor(inboxPrune)
		same(r, "before its age", marks(), 1)
		ahead.Store(int64(inboxAge))
		sleepFor(inboxPrune)
		same(r, "behind its age", marks(), 0)
		r.finish()
	})
}

func TestInlineProjection(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - name: sums
        project: { table: orders, inline: true, key: { order_id: data.order_id }, add: { total: data.amount } }
`, func(r *rig) {
		f := r.start().feed()
		f.send(order("e-1", "o-1", 3), order("e-2", "o-1", 4)).is("committed committed")
		same(r, "rows with the commit", r.rows("orders"), []string{"o-1 7"})
		f.send(`{"id":"e-3","source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-1","amount":"many"}}`).is("poisoned")
		r.finish()
		r.ok()
		same(r, "log", len(r.logged()), 2)
		same(r, "rows", r.rows("orders"), []string{"o-1 7"})
		same(r, "parked", r.parked(), []string{"sums parked projection shop|e-3 1"})
	})
}

func TestTwoPipelinesOnOneStore(t *testing.T) {
	run(t, `
pipelines:
  a:
    source: { feed: {} }
    steps:
      - append: { stream: "a/{{ data.order_id }}" }
      - forward: { catch: { name: a } }
  b:
    source: { feed: {} }
    steps:
      - append: { stream: "b/{{ data.order_id }}" }
      - forward: { catch: { name: b } }
`, func(r *rig) {
		r.start()
		// The same event is another one for each pipeline; no relay sees the other's.
		r.feeds["a"].send(order("e-1", "o-1", 1)).is("committed")
		r.feeds["a"].end()
		r.wait()
		r.feeds["b"].send(order("e-1", "o-1", 1), order("e-2", "o-1", 2)).is("committed committed")
		r.finish()
		r.ok() // what b appended after a had ended is nothing that a has left undelivered
		same(r, "a", r.sink("a").ids(), []string{"e-1"})
		same(r, "b", r.sink("b").ids(), []string{"e-1", "e-2"})
	})
}

func TestMarkIsCommittedWithTheUnit(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		r.start().feed().send(order("e-1", "o-1", 1), order("e-2", "o-1", 1)).is("committed committed")
		r.finish()
		for _, units := range r.store.commits {
			for _, u := range units {
				if len(u.Appends) > 0 && (u.Inbox == nil || u.Inbox.Hash == 0) {
					t.Errorf("a unit of %d appends has no mark", len(u.Appends))
				}
			}
		}
	})
}

// TestExpectations walks append's expectations through streams that meet them or not.
func TestExpectations(t *testing.T) {
	for _, tt := range []struct{ expect, outcomes string }{
		{"any", "committed committed committed"},
		{"no_stream", "committed poisoned poisoned"},
		{"stream_exists", "poisoned poisoned poisoned"},
		{"{{ data.amount - 1 }}", "committed committed committed"},
		{"{{ data.amount }}", "poisoned poisoned poisoned"},
	} {
		t.Run(tt.expect, func(t *testing.T) {
			run(t, fmt.Sprintf(`
pipelines:
  p:
    source: { feed: { ordered: true } }
    steps:
      - append: { stream: "order/{{ data.order_id }}", expect: %q, on_conflict: poison }
`, tt.expect), func(r *rig) {
				r.start().feed().send(order("e-1", "o-1", 1), order("e-2", "o-1", 2), order("e-3", "o-1", 3)).is(tt.outcomes)
				r.finish()
				r.ok()
			})
		})
	}
}

func TestEmptyStreamPoisons(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		r.start().feed().send(order("e-1", "", 1), `{"id":"e-2","source":"s","detail-type":"T","detail":{"order_id":"a/b"}}`).
			is("poisoned committed")
		r.finish()
		same(r, "parked", r.parked(), []string{"append parked stream shop|e-1 1"})
		// A slash in a value does not move the border between type and id.
		for s, err := range r.store.Streams(context.Background(), eventstore.StreamsOptions{}) {
			if err != nil || s.Stream != (event.Stream{Type: "order", ID: "a/b"}) {
				t.Errorf("stream %+v, %v", s.Stream, err)
			}
		}
	})
}

func TestPoisonRetryIsOneTransaction(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		f := r.start().feed()
		f.send(order("e-1", "", 1)).is("poisoned")
		e := r.entries()[0]
		if err := r.store.EditParked(context.Background(), e.ID, []byte(order("e-1", "o-1", 1))); err != nil {
			t.Fatal(err)
		}
		r.again(poison.Filter{IDs: []int64{e.ID}})
		same(r, "parked", r.parked(), nil)
		same(r, "log", r.logged(), []string{"order/o-1@1 OrderCreated e-1"})
		for _, units := range r.store.commits {
			for _, u := range units {
				if len(u.Unpark) > 0 && len(u.Appends) == 0 {
					t.Error("the entry went without what the event gives")
				}
			}
		}
		r.finish()
		r.ok()
		same(r, "forwarded", r.sink("out").ids(), []string{"e-1"})
	})
}
