package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
)

// basket makes an order with lines.
func basket(id, orderID string, skus ...string) string {
	lines := make([]string, len(skus))
	for i, s := range skus {
		lines[i] = fmt.Sprintf(`{"sku":%q,"n":%d}`, s, i+1)
	}
	return fmt.Sprintf(`{"id":%q,"source":"shop","detail-type":"OrderCreated","detail":{"order_id":%q,"lines":[%s]}}`, id, orderID, strings.Join(lines, ","))
}

// shape drops the ids from a log: stream@revision type.
func shape(log []string) []string {
	out := make([]string, len(log))
	for i, l := range log {
		out[i] = l[:strings.LastIndex(l, " ")]
	}
	return out
}

const splitLines = `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - split: { each: data.lines, data: { order: data.order_id, sku: item.sku, at: index } }
      - filter: data.sku != "none"
      - append: { stream: "line/{{ data.sku }}", type: Line }
      - project: { table: lines, key: { sku: data.sku }, add: { orders: 1 } }
      - forward: { catch: { name: out } }
`

func TestSplitGivesOneUnit(t *testing.T) {
	run(t, splitLines, func(r *rig) {
		f := r.start().feed()
		f.send(basket("e-1", "o-1", "a", "none", "b"), basket("e-2", "o-2"), basket("e-3", "o-3", "b")).is("committed committed committed")
		s := r.finish()
		r.ok()
		// The event keeps its id in its first stream; e-2 has no lines: its first append stands, and no relay sees it.
		same(r, "log", shape(r.logged()), []string{"order/o-1@1 OrderCreated", "line/a@1 Line", "line/b@1 Line", "order/o-2@1 OrderCreated", "order/o-3@1 OrderCreated", "line/b@2 Line"})
		same(r, "rows", r.rows("lines"), []string{"a 1", "b 2"})
		got := r.sink("out").got
		same(r, "data", string(got[1].Data), `{"order":"o-1","sku":"b","at":2}`)
		same(r, "received", s.Received, 3)
		ids := map[string]bool{}
		for _, l := range r.logged() {
			ids[l[strings.LastIndex(l, " "):]] = true
		}
		if len(ids) != 6 {
			t.Errorf("ids %v", ids)
		}
	})
}

// A unit that is run again makes the same ids, so that nothing of it is written twice.
func TestSplitIdsAreTheSameAgain(t *testing.T) {
	run(t, splitLines, func(r *rig) {
		f := r.start().feed()
		lost := false
		r.store.breaks(nil, func(call string) error { // the answer of the first commit is lost
			if call == "commit" && !lost {
				lost = true
				return errRefused
			}
			return nil
		})
		f.send(basket("e-1", "o-1", "a", "b")).is("committed")
		f.send(basket("e-1", "o-1", "a", "b")).is("duplicate")
		r.finish()
		r.ok()
		same(r, "log", shape(r.logged()), []string{"order/o-1@1 OrderCreated", "line/a@1 Line", "line/b@1 Line"})
	})
}

// One failure in what an event gives poisons it whole.
func TestSplitIsAllOrNothing(t *testing.T) {
	run(t, strings.Replace(splitLines, `"line/{{ data.sku }}", type`, `"line/{{ data.sku }}", expect: no_stream, on_conflict: poison, type`, 1), func(r *rig) {
		f := r.start().feed()
		f.send(basket("e-1", "o-1", "a")).is("committed")
		f.send(basket("e-2", "o-2", "b", "a", "c")).is("poisoned")
		f.send(basket("e-3", "o-3", "d", "")).is("poisoned") // a stream without an id
		r.finish()
		r.ok()
		same(r, "log", shape(r.logged()), []string{"order/o-1@1 OrderCreated", "line/a@1 Line"})
		same(r, "parked", r.parked(), []string{"append#2 parked conflict shop|e-2 1", "append#2 parked stream shop|e-3 1"})
	})
}

func TestSplitValues(t *testing.T) {
	for _, tt := range []struct {
		lines, outcome, code string
	}{
		{`null`, "filtered", ""},
		{`[]`, "filtered", ""},
		{`{"a":1}`, "poisoned", "expression"},
		{`"text"`, "poisoned", "expression"},
		{`[` + strings.Repeat("1,", 10000) + `1]`, "poisoned", "too_large"},
		{`[[1],[2]]`, "committed", ""},
	} {
		run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - split: { each: data.lines }
      - append: { stream: "line/x" }
`, func(r *rig) {
			f := r.start().feed()
			f.send(`{"id":"e-1","source":"s","detail-type":"T","detail":{"lines":` + tt.lines + `}}`).is(tt.outcome)
			r.finish()
			r.ok()
			if tt.code != "" {
				same(r, tt.lines[:2], r.entries()[0].Code, tt.code)
			}
		})
	}
}

// Split below append runs in each relay; a failure parks the log's event, whole.
func TestSplitInRelays(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - split: { each: data.lines }
      - project: { table: lines, key: { sku: data.sku }, add: { n: data.n } }
      - when: data.sku != "b"
        forward: { catch: { name: out } }
    retry: { attempts: 2, initial: 10ms }
`, func(r *rig) {
		r.sink("out").fail = func(_ context.Context, batch []event.Recorded) error {
			for i := range batch {
				if strings.Contains(string(batch[i].Data), `"bad"`) {
					return event.Poison(errRefused)
				}
			}
			return nil
		}
		f := r.start().feed()
		f.send(basket("e-1", "o-1", "a", "b", "c"), basket("e-2", "o-2", "a", "bad", "c"), basket("e-3", "o-3", "d")).is("committed committed committed")
		sleepFor(time.Minute)
		r.finish()
		r.ok()
		same(r, "rows", r.rows("lines"), []string{"a 2", "b 2", "bad 2", "c 6", "d 1"})
		same(r, "parked", r.parked(), []string{"forward catch out parked poison 2 1"})
		var skus []string
		for _, e := range r.sink("out").got {
			skus = append(skus, string(e.Data))
		}
		same(r, "forwarded", skus, []string{`{"sku":"a","n":1}`, `{"sku":"c","n":3}`, `{"sku":"a","n":1}`, `{"sku":"d","n":1}`})
		if a, b := r.sink("out").got[0].ID, r.sink("out").got[1].ID; a == b || a == "e-1" {
			t.Errorf("ids %s, %s", a, b)
		}
	})
}

const routes3 = `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - branch:
          - match: { detail-type: [ A ] }
            steps:
              - map: { set: { data.way: '"a"' } }
              - name: in-a
                append: { stream: "a/{{ data.id }}", type: Other }
              - filter: data.n < 5
              - forward: { catch: { name: only-a } }
          - when: type == "B"
            steps:
              - branch:
                  - when: data.n > 5
                    steps: [ { append: { stream: "big/{{ data.id }}" } } ]
                  - else: true
                    steps: [ { append: { stream: "small/{{ data.id }}" } } ]
          - when: type == "C"
            steps: [ { filter: data.n > 100 } ]
      - project: { table: all, key: { id: data.id }, set: { stream: stream } }
      - when: data.n != 3
        forward: { catch: { name: everything } }
`

func typed(id, typ string, n int) string {
	return fmt.Sprintf(`{"id":%q,"source":"s","detail-type":%q,"detail":{"id":%q,"n":%d}}`, id, typ, id, n)
}

func TestBranch(t *testing.T) {
	run(t, routes3, func(r *rig) {
		f := r.start().feed()
		f.send(typed("1", "A", 1), typed("2", "B", 9), typed("3", "B", 3), typed("4", "C", 1), typed("5", "D", 1), typed("6", "A", 7)).
			is("committed committed committed filtered filtered committed")
		s := r.finish()
		r.ok()
		same(r, "log", r.logged(), []string{"a/1@1 Other 1", "big/2@1 B 2", "small/3@1 B 3", "a/6@1 Other 6"})
		// What stands behind an append in its case is for its events alone, whatever they have become.
		same(r, "only-a", r.sink("only-a").ids(), []string{"1"})
		// The filter in the case stands above what follows the branch, for events that came through the case.
		same(r, "everything", r.sink("everything").ids(), []string{"1", "2"})
		same(r, "rows", r.rows("all"), []string{"1 a/1", "2 big/2", "3 small/3"})
		same(r, "unrouted", []int64{s.Unrouted, s.Filtered, s.Committed}, []int64{1, 2, 4})
		same(r, "metric", r.counter("leat_events_unrouted_total", "component", "branch"), 1)
		same(r, "relays", r.relays(), []string{"p/forward catch everything 4", "p/forward catch only-a 4", "p/project all 0"})
	})
}

// Without a log every sink has the branch above it; what fits no case for any is unrouted.
func TestBranchWithoutALog(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: { keyed: true } }
    steps:
      - filter: data.n > 0
      - branch:
          - match: { detail-type: [ A ] }
            steps: [ { forward: { catch: { name: a } } } ]
          - match: { detail-type: [ B ] }
            steps:
              - split: { each: "[1, 2]", data: { id: data.id, n: item } }
              - forward: { catch: { name: b } }
              - when: data.n == 2
                forward: { catch: { name: a } }
`, func(r *rig) {
		f := r.start().feed()
		f.send(typed("1", "A", 1), typed("2", "B", 1), typed("3", "C", 1), typed("4", "A", 0)).is("delivered delivered filtered filtered")
		s := r.finish()
		r.ok()
		same(r, "a", len(r.sink("a").got), 2)
		same(r, "b", len(r.sink("b").got), 2)
		same(r, "unrouted", []int64{s.Unrouted, s.Filtered, s.Delivered}, []int64{1, 2, 2})
	})
}

// Below the last append a branch is a relay's: each takes the way for itself.
func TestBranchInRelays(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - append: { stream: "x/{{ data.id }}" }
      - branch:
          - when: type == "A"
            steps:
              - map: { set: { data.way: '"a"' } }
              - forward: { catch: { name: a } }
          - when: type == "B"
            steps: [ { forward: { catch: { name: b } } }, { filter: data.n > 1 } ]
      - forward: { catch: { name: both } }
`, func(r *rig) {
		f := r.start().feed()
		f.send(typed("1", "A", 1), typed("2", "B", 1), typed("3", "B", 2), typed("4", "C", 2)).is("committed committed committed committed")
		s := r.finish()
		r.ok()
		same(r, "a", r.sink("a").ids(), []string{"1"})
		same(r, "b", r.sink("b").ids(), []string{"2", "3"})
		same(r, "both", r.sink("both").ids(), []string{"1", "3"})
		same(r, "summary", []int64{s.Unrouted, s.Committed, s.Forwarded}, []int64{0, 4, 5})
	})
}

// A relay's definition says what it does: it does not change with steps that are not its own.
func TestBranchDefinitions(t *testing.T) {
	definitions := func(yaml string) map[string]string {
		out := map[string]string{}
		run(t, yaml, func(r *rig) {
			r.start()
			for _, k := range r.pipe().plan.relays {
				out[k.id] = k.definition
			}
			r.finish()
		})
		return out
	}
	before := definitions(routes3)
	after := definitions(strings.Replace(routes3, "filter: data.n < 5", "filter: data.n < 6", 1))
	for id, want := range map[string]bool{"p/forward catch only-a": false, "p/forward catch everything": false, "p/project all": false} {
		if same := before[id] == after[id]; same != want {
			t.Errorf("%s: same %v", id, same)
		}
	}
	other := definitions(strings.Replace(routes3, "set: { stream: stream }", "set: { stream: position }", 1))
	if before["p/forward catch only-a"] != other["p/forward catch only-a"] {
		t.Error("another relay's step changes the definition")
	}
}

const handled = `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - name: own
        handle: { stub: { name: h } }
        retry: { attempts: 3, initial: 1s, max: 1s, timeout: 10s }
      - append: { stream: "order/{{ data.order_id }}" }
      - forward: { catch: { name: out } }
`

func TestHandleEmits(t *testing.T) {
	run(t, handled, func(r *rig) {
		r.handle["h"] = func(_ context.Context, e event.Recorded) ([]handlers.Emitted, error) {
			switch e.ID {
			case "e-1": // as it came
				return handlers.Events(e.Event), nil
			case "e-2":
				return nil, nil
			case "e-3":
				return nil, event.Skip("no")
			case "e-4":
				a, b := e.Event, e.Event
				a.Type, b.Type, b.ID = "First", "Second", ""
				return handlers.Events(a, b, event.Event{ID: "mine", Type: "Third", Data: []byte(`{"order_id":"x"}`)}), nil
			}
			e.Data = []byte(`{"order_id":"changed"}`)
			return handlers.Events(e.Event), nil
		}
		f := r.start().feed()
		bodies := orders(5, 9)
		f.send(bodies...).is("committed filtered filtered committed committed")
		r.finish()
		r.ok()
		same(r, "log", shape(r.logged()), []string{"order/o-0@1 OrderCreated", "order/o-3@1 First", "order/o-3@2 Second", "order/x@1 Third", "order/changed@1 OrderCreated"})
		same(r, "as it came", string(r.sink("out").got[0].Raw), bodies[0])
		log := r.logged()
		if !strings.HasSuffix(log[3], " mine") || !strings.HasSuffix(log[4], " e-5") || strings.HasSuffix(log[1], " e-4") {
			t.Errorf("ids %q", log)
		}
		if slices.Contains(ids(r.sink("out").got), "") {
			t.Error("an event has no id")
		}
	})
}

func TestHandleErrors(t *testing.T) {
	nonsense := func(e handlers.Emitted) func(int) ([]handlers.Emitted, error) {
		return func(int) ([]handlers.Emitted, error) { return []handlers.Emitted{e}, nil }
	}
	for _, tt := range []struct {
		name    string
		handle  func(call int) ([]handlers.Emitted, error)
		outcome string
		parked  string // of the event, without key
		calls   int
		took    time.Duration // at most
	}{
		{"mended by an attempt", func(n int) ([]handlers.Emitted, error) {
			if n < 3 {
				return nil, errRefused
			}
			return handlers.Events(event.Event{Type: "T", Data: []byte(`{"order_id":"x"}`)}), nil
		}, "committed", "", 3, 2 * time.Second},
		{"not mended", func(int) ([]handlers.Emitted, error) { return nil, errRefused }, "poisoned", "own parked handler shop|e-1 3", 3, 2 * time.Second},
		{"poison", func(int) ([]handlers.Emitted, error) { return nil, event.Poison(errRefused) }, "poisoned", "own parked poison shop|e-1 1", 1, 0},
		{"a code", func(int) ([]handlers.Emitted, error) { return nil, event.WithCode("mine", errRefused) }, "poisoned", "own parked mine shop|e-1 3", 3, 2 * time.Second},
		{"asks for time", func(n int) ([]handlers.Emitted, error) {
			if n == 1 {
				return nil, event.RetryAfter(time.Minute, errRefused)
			}
			return nil, nil
		}, "filtered", "", 2, time.Minute},
		{"an outage counts for nothing", func(n int) ([]handlers.Emitted, error) {
			if n < 20 {
				return nil, event.Unavailable(0, errRefused)
			}
			return nil, nil
		}, "filtered", "", 20, 19 * 30 * time.Second},
		{"panic", func(int) ([]handlers.Emitted, error) { panic("boom") }, "poisoned", "own parked panic shop|e-1 1", 1, 0},
		{"no type", nonsense(handlers.Emitted{}), "poisoned", "own parked handler shop|e-1 1", 1, 0},
		{"no JSON", nonsense(handlers.Emitted{Event: event.Event{Type: "T", Data: []byte(`{"a"`)}}), "poisoned", "own parked handler shop|e-1 1", 1, 0},
		{"half a stream", nonsense(handlers.Emitted{Event: event.Event{Type: "T"}, Stream: event.Stream{Type: "a"}}), "poisoned", "own parked handler shop|e-1 1", 1, 0},
		{"a state that it has not named", nonsense(handlers.Emitted{Event: event.Event{Type: "T"}, Stream: event.Stream{Type: "a", ID: "b"}, State: &handlers.State{Table: "t"}}), "poisoned", "own parked handler shop|e-1 1", 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, handled, func(r *rig) {
				calls := 0
				r.handle["h"] = func(_ context.Context, e event.Recorded) ([]handlers.Emitted, error) {
					if e.ID != "e-1" {
						return handlers.Events(e.Event), nil
					}
					calls++
					return tt.handle(calls)
				}
				f := r.start().feed()
				start := time.Now()
				other := f.send(order("e-9", "z", 1))
				bad := f.send(order("e-1", "o", 1))
				behind := f.send(order("e-2", "o", 1))
				r.wait()
				other.is("committed")
				behind.is("committed") // nothing else suffers
				<-bad.b.Done()
				if took := time.Since(start); took > tt.took {
					t.Errorf("took %s, at most %s", took, tt.took)
				}
				bad.is(tt.outcome)
				r.finish()
				r.ok()
				var want []string
				if tt.parked != "" {
					want = []string{tt.parked}
				}
				same(r, "parked", r.parked(), want)
				same(r, "calls", calls, tt.calls)
				if tt.name == "panic" && !strings.Contains(r.entries()[0].Stack, "fan_test.go") {
					t.Errorf("stack %q", r.entries()[0].Stack)
				}
			})
		})
	}
}

// An attempt has its time: a handler that heeds its context is tried again, one that does not is left behind.
func TestHandleTimeout(t *testing.T) {
	for _, heeds := range []bool{true, false} {
		run(t, handled, func(r *rig) {
			release := make(chan struct{})
			calls := 0
			r.handle["h"] = func(ctx context.Context, e event.Recorded) ([]handlers.Emitted, error) {
				if e.ID != "e-1" {
					return handlers.Events(e.Event), nil
				}
				if calls++; heeds {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				<-release
				return handlers.Events(e.Event), nil
			}
			f := r.start().feed()
			hangs := f.send(order("e-1", "o", 1))
			r.wait()
			f.send(order("e-2", "o", 2)).is("committed")
			<-hangs.b.Done()
			hangs.is("poisoned")
			want, attempts := "own parked timeout shop|e-1 3", 3
			if !heeds {
				want, attempts = "own parked timeout shop|e-1 1", 1
			}
			same(r, "parked", r.parked(), []string{want})
			same(r, "calls", calls, attempts)
			close(release)
			r.finish()
			r.ok()
		})
	}
}

// An event that waits for its next attempt blocks its own lane: the whole of an ordered source, one value of order_by.
func TestHandleBlocksItsLane(t *testing.T) {
	for source, free := range map[string]string{"{ feed: { ordered: true } }": "", "{ feed: {}, order_by: data.order_id }": "e-3"} {
		run(t, strings.Replace(handled, "{ feed: {} }", source, 1), func(r *rig) {
			var calls atomic.Int64 // lanes go side by side
			r.handle["h"] = func(_ context.Context, e event.Recorded) ([]handlers.Emitted, error) {
				if n := calls.Add(1); e.ID == "e-1" && n < 4 {
					return nil, event.Unavailable(time.Hour, errRefused)
				}
				return handlers.Events(e.Event), nil
			}
			f := r.start().feed()
			all := f.send(order("e-1", "o", 1), order("e-2", "o", 2), order("e-3", "p", 2))
			r.wait()
			same(r, "meanwhile "+source, strings.Join(r.sink("out").ids(), " "), free)
			if r.daemon.Ready() == nil {
				t.Error("ready while a step waits")
			}
			<-all.b.Done()
			if err := r.daemon.Ready(); err != nil {
				t.Error(err)
			}
			r.finish()
			r.ok()
			got := slices.DeleteFunc(r.sink("out").ids(), func(id string) bool { return id == "e-3" })
			same(r, "order "+source, got, []string{"e-1", "e-2"})
		})
	}
}

// What waits for an attempt at a stop goes back to its source, and nothing is parked.
func TestHandleAtAStop(t *testing.T) {
	for name, err := range map[string]error{"own": errRefused, "outage": event.Unavailable(time.Hour, errRefused)} {
		for _, yaml := range []string{handled, strings.Replace(handled, "- append: {", "- map: { set: { data.x: 1 } }\n      #", 1)} {
			run(t, yaml, func(r *rig) {
				r.handle["h"] = func(context.Context, event.Recorded) ([]handlers.Emitted, error) { return nil, err }
				f := r.start().feed()
				s := f.send(order("e-1", "o", 1))
				r.wait()
				r.drain()
				s.is("released")
				same(r, name, r.parked(), nil)
			})
		}
	}
}

// Without a log the batch waits for the attempts of its events, and keeps its order.
func TestHandleWithoutALog(t *testing.T) {
	run(t, strings.Replace(handled, "- append: {", "- map: { set: { data.x: 1 } }\n      #", 1), func(r *rig) {
		calls := 0
		r.handle["h"] = func(_ context.Context, e event.Recorded) ([]handlers.Emitted, error) {
			switch calls++; {
			case e.ID == "e-2" && calls < 6:
				return nil, errRefused
			case e.ID == "e-3":
				return nil, errRefused
			}
			return handlers.Events(e.Event, e.Event), nil
		}
		f := r.start().feed()
		f.send(orders(4, 9)...).is("delivered delivered poisoned delivered")
		r.finish()
		r.ok()
		same(r, "parked", r.parked(), []string{"own parked handler shop|e-3 3"})
		var data []string
		for _, e := range r.sink("out").got {
			data = append(data, string(e.Data))
		}
		if len(data) != 6 || data[2] != data[3] || !strings.Contains(data[2], `"o-1"`) {
			t.Errorf("order %q", data)
		}
	})
}

// A handle below append has its attempts in each relay; one relay's trouble is not another's.
func TestHandleInRelays(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - forward: { catch: { name: free } }
      - name: own
        handle: { stub: { name: h } }
        retry: { attempts: 3, initial: 1s, max: 1s, timeout: 10s }
      - forward: { catch: { name: out } }
      - project: { table: t, key: { id: id }, set: { type: type } }
`, func(r *rig) {
		var mu sync.Mutex // both relays call it
		calls := map[string]int{}
		down := true
		r.handle["h"] = func(_ context.Context, e event.Recorded) ([]handlers.Emitted, error) {
			mu.Lock()
			defer mu.Unlock()
			calls[e.ID]++
			switch e.ID {
			case "e-2":
				return nil, errRefused
			case "e-3":
				if down {
					return nil, event.Unavailable(0, errRefused)
				}
			}
			e.Type += "2"
			return handlers.Events(e.Event), nil
		}
		r.o.Random = func() float64 { return 0.5 }
		f := r.start().feed()
		f.send(orders(4, 9)...).is("committed committed committed committed")
		r.wait()
		same(r, "free", len(r.sink("free").ids()), 4)
		sleepFor(10 * time.Minute)
		same(r, "while it cannot serve one", r.sink("out").ids(), []string{"e-1", "e-4"})
		if err := r.daemon.Ready(); err != nil {
			t.Errorf("one event's trouble is the relay's: %v", err)
		}
		mu.Lock()
		down = false
		mu.Unlock()
		sleepFor(10 * time.Minute)
		same(r, "out", r.sink("out").ids(), []string{"e-1", "e-4", "e-3"})
		same(r, "rows", r.rows("t"), []string{"e-1 OrderCreated2", "e-3 OrderCreated2", "e-4 OrderCreated2"})
		same(r, "calls", calls["e-2"], 6)
		parked := r.parked()
		slices.Sort(parked)
		same(r, "parked", parked, []string{"forward catch out parked handler 2 3", "project t parked handler 2 3"})
		r.finish()
		r.ok()
	})
}

// limits.parallel lets events of a batch wait at the same time; what they give is committed in their order.
func TestHandleInParallel(t *testing.T) {
	for _, tail := range []string{`append: { stream: "order/{{ data.order_id }}" }`, `map: { set: { data.x: 1 } }`} {
		run(t, `
pipelines:
  p:
    source: { feed: { ordered: true } }
    steps:
      - handle: { stub: { name: h } }
        limits: { parallel: 5 }
      - `+tail+`
      - forward: { catch: { name: out } }
`, func(r *rig) {
			var mu sync.Mutex
			busy, most := 0, 0
			r.handle["h"] = func(_ context.Context, e event.Recorded) ([]handlers.Emitted, error) {
				mu.Lock()
				busy++
				most = max(most, busy)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				busy--
				mu.Unlock()
				if e.ID == "e-4" {
					return nil, nil
				}
				if e.ID == "e-7" {
					return nil, event.Poison(errRefused)
				}
				return handlers.Events(e.Event), nil
			}
			start := time.Now()
			s := r.start().feed().send(orders(10, 3)...)
			<-s.b.Done()
			if took := time.Since(start); took != 2*time.Second {
				t.Errorf("took %s", took)
			}
			r.finish()
			r.ok()
			same(r, "most", most, 5)
			same(r, "order", r.sink("out").ids(), []string{"e-1", "e-2", "e-3", "e-5", "e-6", "e-8", "e-9", "e-10"})
		})
	}
}
