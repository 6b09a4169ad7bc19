package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// numbered appends each event at the revision that it says itself, so that one that comes early conflicts.
func numbered(source, frame string) string {
	return `
pipelines:
  p:
    source: ` + source + `
    retry: { attempts: 4, initial: 100ms }
    steps:
      - append: { stream: "order/{{ data.order_id }}", expect: "{{ data.amount - 1 }}" ` + frame + ` }
      - forward: { catch: { name: out } }
`
}

// append writes an event past the pipeline.
func (r *rig) append(stream string, bodies ...string) {
	r.Helper()
	s, err := event.ParseStream(stream)
	if err != nil {
		r.Fatal(err)
	}
	u := &eventstore.Unit{Pipeline: "test"}
	for i, b := range bodies {
		if b == "" {
			b = "null"
		}
		u.Appends = append(u.Appends, eventstore.Append{Stream: s, Events: []event.Event{{ID: fmt.Sprint("by-hand-", i), Type: "T", Source: "test", Data: []byte(b)}}})
	}
	if err := r.store.Store.Commit(context.Background(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil || u.Result.Err != nil {
		r.Fatalf("append by hand: %v %v", err, u.Result.Err)
	}
}

func TestConflicts(t *testing.T) {
	for _, tt := range []struct{ name, conflict, body, mended, outcome, parked string }{
		{"early, retried until it fits", "", order("e-1", "o-1", 2), "order/o-1", "committed", ""},
		{"early, retried in vain", "", order("e-1", "o-1", 2), "", "poisoned", "append parked conflict shop|e-1 4"},
		{"early, dropped", ", on_conflict: { ahead: drop, behind: poison }", order("e-1", "o-1", 2), "", "dropped", ""},
		{"early, poisoned", ", on_conflict: { ahead: poison, behind: drop }", order("e-1", "o-1", 2), "", "poisoned", "append parked conflict shop|e-1 1"},
		{"a repeat, dropped", ", on_conflict: { ahead: poison, behind: drop }", order("e-1", "o-2", 1), "", "dropped", ""},
		{"a repeat, poisoned", ", on_conflict: { ahead: drop, behind: poison }", order("e-1", "o-2", 1), "", "poisoned", "append parked conflict shop|e-1 1"},
		{"either, dropped", ", on_conflict: drop", order("e-1", "o-2", 1), "", "dropped", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, numbered("{ feed: {} }", tt.conflict), func(r *rig) {
				r.append("order/o-2", "1") // a repeat of revision 1 finds this
				sent := r.start().feed().send(tt.body)
				r.wait()
				if tt.mended != "" {
					sent.isNow("pending")
					r.append(tt.mended, "1")
				}
				sent.is(tt.outcome)
				r.finish()
				r.ok()
				same(r, "parked", strings.Join(r.parked(), ","), tt.parked)
				if tt.outcome == "dropped" && !r.log.has("event dropped", "expected") {
					t.Error("a dropped event has no line in the log")
				}
			})
		})
	}
}

func TestStepsOwnRetryCountsAttempts(t *testing.T) {
	yaml := strings.Replace(numbered("{ feed: {} }", ""), "      - append:", "      - retry: { attempts: 2 }\n        append:", 1)
	run(t, yaml, func(r *rig) {
		r.start().feed().send(order("e-1", "o-1", 2)).is("poisoned")
		r.finish()
		same(r, "parked", r.parked(), []string{"append parked conflict shop|e-1 2"})
	})
}

func TestOrderedSourceWaitsForARetry(t *testing.T) {
	run(t, numbered("{ feed: { ordered: true } }", ""), func(r *rig) {
		f := r.start().feed()
		first := f.send(order("e-1", "o-1", 1), order("e-3", "o-1", 3), order("x-1", "o-9", 1))
		second := f.send(order("y-1", "o-8", 1))
		r.wait()
		first.isNow("committed pending pending") // e-3 is early and blocks whatever comes behind it
		second.isNow("pending")
		r.append("order/o-1", "2")
		first.is("committed committed committed")
		second.is("committed")
		r.finish()
		same(r, "log", r.logged(), []string{"order/o-1@1 OrderCreated e-1", "order/o-1@2 T by-hand-0", "order/o-1@3 OrderCreated e-3",
			"order/o-9@1 OrderCreated x-1", "order/o-8@1 OrderCreated y-1"})
	})
}

func TestFreeEventsDoNotWait(t *testing.T) {
	run(t, numbered("{ feed: {} }", ""), func(r *rig) {
		f := r.start().feed()
		first := f.send(order("e-3", "o-1", 2), order("x-1", "o-9", 1))
		second := f.send(order("y-1", "o-8", 1))
		r.wait()
		first.isNow("pending committed")
		second.isNow("committed")
		r.append("order/o-1", "1")
		first.is("committed committed")
		r.finish()
		r.ok()
	})
}

func TestLanesOutliveBatches(t *testing.T) {
	run(t, numbered("{ feed: { ordered: true }, order_by: data.order_id }", ""), func(r *rig) {
		f := r.start().feed()
		first := f.send(order("a-2", "a", 2), order("b-1", "b", 1)) // a-2 is early
		second := f.send(order("a-3", "a", 3), order("b-2", "b", 2), order("c-1", "c", 1), order("b-3", "b", 3))
		r.wait()
		first.isNow("pending committed")
		second.isNow("pending committed committed committed") // only its own lane waits
		r.append("order/a", "1")
		first.is("committed committed")
		second.is("committed committed committed committed")
		r.finish()
		r.ok()
		same(r, "lane a", r.stream("order/a"), []string{"by-hand-0", "a-2", "a-3"})
		same(r, "lane b", r.stream("order/b"), []string{"b-1", "b-2", "b-3"})
	})
}

func (r *rig) stream(name string) []string {
	r.Helper()
	s, err := event.ParseStream(name)
	if err != nil {
		r.Fatal(err)
	}
	var out []string
	for e, err := range r.store.ReadStream(context.Background(), s, eventstore.ReadOptions{}) {
		if err != nil {
			r.Fatal(err)
		}
		out = append(out, e.ID)
	}
	return out
}

// TestOrderIsKept sends many batches through goroutines of their own: the router starts one for each message, in no
// order (watermill v1.5.1, message/router.go:670).
func TestOrderIsKept(t *testing.T) {
	for _, source := range []string{"{ feed: { ordered: true } }", "{ feed: { ordered: true, cursor: true } }", "{ feed: { ordered: true }, order_by: data.order_id }"} {
		t.Run(source, func(t *testing.T) {
			run(t, strings.Replace(plainAppend, "{ feed: {} }", source, 1), func(r *rig) {
				f := r.start().feed()
				bodies := orders(600, 3)
				for i := 0; i < len(bodies); i += 4 {
					f.send(bodies[i : i+4]...)
				}
				r.finish()
				r.ok()
				for s := range 3 {
					var want []string
					for i := s; i < len(bodies); i += 3 {
						want = append(want, fmt.Sprintf("e-%d", i+1))
					}
					same(r, "stream", r.stream(fmt.Sprintf("order/o-%d", s)), want)
				}
			})
		})
	}
}

func TestOrderIsKeptThroughStoreFaults(t *testing.T) {
	for _, source := range []string{"{ feed: { ordered: true, cursor: true } }", "{ feed: { ordered: true }, order_by: data.order_id }"} {
		t.Run(source, func(t *testing.T) {
			run(t, strings.Replace(plainAppend, "{ feed: {} }", source, 1), func(r *rig) {
				var mu sync.Mutex
				n := 0
				every := func(k int, err error) func(string) error {
					return func(string) error {
						mu.Lock()
						defer mu.Unlock()
						if n++; n%k == 0 {
							return err
						}
						return nil
					}
				}
				r.start()
				r.store.breaks(every(3, eventstore.ErrUnavailable), every(4, errors.New("connection lost")))
				bodies := orders(120, 2)
				f := r.feed()
				for i := 0; i < len(bodies); i += 3 {
					f.send(bodies[i : i+3]...)
				}
				s := r.finish()
				r.ok()
				same(r, "each is counted once, as what it was at first", [2]int64{s.Received, s.Committed}, [2]int64{120, 120})
				same(r, "log", len(r.logged()), 120)
				for s := range 2 {
					var want []string
					for i := s; i < len(bodies); i += 2 {
						want = append(want, fmt.Sprintf("e-%d", i+1))
					}
					same(r, "stream", r.stream(fmt.Sprintf("order/o-%d", s)), want)
				}
			})
		})
	}
}

func TestOrderByNil(t *testing.T) {
	run(t, strings.Replace(plainAppend, "{ feed: {} }", "{ feed: { ordered: true }, order_by: data.absent }", 1), func(r *rig) {
		r.start().feed().send(orders(3, 1)...).is("committed committed committed") // one lane for what has no value
		r.finish()
		r.ok()
	})
}
