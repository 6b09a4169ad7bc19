package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
)

// In these tests the lane of an event is its order_id, by the source's own word, by order_by, or by an order_by of a source
// that has lanes of its own.
var laneSources = []string{
	"{ feed: { lanes: true } }",
	"{ feed: {}, order_by: data.order_id }",
	"{ feed: { lanes: true }, order_by: 'data.order_id' }",
}

// inLanes is a pipeline with a step that waits for others, with a log and without.
func inLanes(source, limits string, log bool) string {
	tail := `append: { stream: "order/{{ data.order_id }}" }`
	if !log {
		tail = "forward: { catch: { name: out } }"
	}
	return `
pipelines:
  p:
    source: ` + source + `
    retry: { attempts: 4, initial: 1s, max: 1s }
    steps:
      - handle: { stub: { name: h } }
        ` + limits + `
      - ` + tail + "\n"
}

// eachLaned runs a test over the sources with lanes, with a log and without. Taken gives the ids of what came out.
func eachLaned(t *testing.T, limits string, test func(r *rig, done string, taken func() []string)) {
	t.Helper()
	for _, source := range laneSources {
		for _, log := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s log %t", source, log), func(t *testing.T) {
				run(t, inLanes(source, limits, log), func(r *rig) {
					if log {
						test(r, "committed", func() (out []string) {
							for _, line := range r.logged() {
								out = append(out, line[strings.LastIndex(line, " ")+1:])
							}
							return out
						})
						return
					}
					test(r, "delivered", func() []string { return r.sink("out").ids() })
				})
			})
		}
	}
}

// calls notes what a handler was asked, and answers by behave.
type calls struct {
	mu  sync.Mutex
	ids []string
}

func (c *calls) handle(behave func(ctx context.Context, id string) error) handlers.Func {
	return func(ctx context.Context, e event.Recorded) ([]handlers.Emitted, error) {
		c.mu.Lock()
		c.ids = append(c.ids, e.ID)
		c.mu.Unlock()
		if err := behave(ctx, e.ID); err != nil {
			return nil, err
		}
		return handlers.Events(e.Event), nil
	}
}

// of gives the calls for one lane's events.
func (c *calls) of(lane string) (out []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.ids {
		if strings.HasPrefix(id, lane) {
			out = append(out, id)
		}
	}
	return out
}

func (r *rig) sameOf(what string, all []string, lane string, want ...string) {
	r.Helper()
	var got []string
	for _, id := range all {
		if strings.HasPrefix(id, lane) {
			got = append(got, id)
		}
	}
	same(r, what, got, want)
}

// A lane whose handler is slow holds up itself alone, in its batch and in those behind; its next event is not begun before.
func TestASlowLaneHoldsUpItselfAlone(t *testing.T) {
	eachLaned(t, "", func(r *rig, done string, taken func() []string) {
		var c calls
		free := make(chan struct{})
		r.handle["h"] = c.handle(func(_ context.Context, id string) error {
			if id == "a1" {
				<-free
			}
			return nil
		})
		f := r.start().feed()
		first := f.send(order("a1", "a", 1), order("b1", "b", 1), order("a2", "a", 2))
		second := f.send(order("a3", "a", 3), order("b2", "b", 2), order("c1", "c", 1))
		r.wait()
		first.isNow("pending " + done + " pending")
		second.isNow("pending " + done + " " + done)
		same(r, "calls for a", c.of("a"), []string{"a1"})
		close(free)
		first.is(strings.Join([]string{done, done, done}, " "))
		second.is(strings.Join([]string{done, done, done}, " "))
		r.finish()
		r.ok()
		r.sameOf("lane a", taken(), "a", "a1", "a2", "a3")
		r.sameOf("lane b", taken(), "b", "b1", "b2")
	})
}

// An event that waits for another attempt holds up its lane alone; what is before it in its lane does not wait for it, and
// what is behind it is not tried before.
func TestALaneWaitsForItsRetry(t *testing.T) {
	eachLaned(t, "", func(r *rig, done string, taken func() []string) {
		var c calls
		failures := 2
		r.handle["h"] = c.handle(func(_ context.Context, id string) error {
			if id == "a2" && failures > 0 {
				failures--
				return errRefused
			}
			return nil
		})
		f := r.start().feed()
		first := f.send(order("a1", "a", 1), order("a2", "a", 2), order("a3", "a", 3), order("b1", "b", 1))
		second := f.send(order("b2", "b", 2), order("a4", "a", 4))
		r.wait()
		first.isNow(done + " pending pending " + done)
		second.isNow(done + " pending")
		same(r, "calls for a", c.of("a"), []string{"a1", "a2"})
		first.is(strings.Join([]string{done, done, done, done}, " "))
		second.is(done + " " + done)
		same(r, "calls for a", c.of("a"), []string{"a1", "a2", "a2", "a2", "a3", "a4"})
		r.finish()
		r.ok()
		r.sameOf("lane a", taken(), "a", "a1", "a2", "a3", "a4")
		same(r, "parked", r.parked(), nil)
	})
}

// What is parked lets its lane go on, not before.
func TestALanePassesWhatIsParked(t *testing.T) {
	eachLaned(t, "", func(r *rig, done string, taken func() []string) {
		var c calls
		r.handle["h"] = c.handle(func(_ context.Context, id string) error {
			switch id {
			case "a1":
				return errRefused
			case "b1":
				return event.Poison(errRefused)
			}
			return nil
		})
		sent := r.start().feed().send(order("a1", "a", 1), "no json", order("a2", "a", 2), order("b1", "b", 1), order("b2", "b", 2))
		r.wait()
		sent.isNow("pending poisoned pending poisoned " + done)
		sent.is("poisoned poisoned " + done + " poisoned " + done)
		same(r, "calls for a", c.of("a"), []string{"a1", "a1", "a1", "a1", "a2"})
		r.finish()
		r.ok()
		r.sameOf("lane a", taken(), "a", "a2")
		r.sameOf("lane b", taken(), "b", "b2")
		same(r, "parked", len(r.parked()), 3)
		r.handle["h"] = c.handle(func(context.Context, string) error { return nil })
		r.start()
		r.again(poison.Filter{})
		r.drain()
		r.ok()
		r.sameOf("lane a, mended", taken(), "a", "a2", "a1")
		same(r, "parked", len(r.parked()), 1)
	})
}

// At a stop a lane that waits goes back whole and in its order, and nothing of it overtakes; the others are done.
func TestALaneGoesBackWhole(t *testing.T) {
	eachLaned(t, "", func(r *rig, done string, taken func() []string) {
		var c calls
		var mu sync.Mutex
		var back []string
		r.handle["h"] = c.handle(func(_ context.Context, id string) error {
			if id == "a2" {
				return event.Unavailable(0, errRefused)
			}
			return nil
		})
		f := r.start().feed()
		give := func(bodies ...string) *sent {
			return f.give(func(b *event.Batch) {
				b.OnSettle = func(i int, o event.Outcome, _ error) {
					if o == event.Released {
						mu.Lock()
						defer mu.Unlock()
						back = append(back, string(b.Events[i].Raw[7:9])) // the id: it need not have been decoded
					}
				}
			}, bodies...)
		}
		first := give(order("a1", "a", 1), order("a2", "a", 2), order("a3", "a", 3), order("b1", "b", 1))
		second := give(order("a4", "a", 4), order("b2", "b", 2))
		r.wait()
		late := f.afterStop(r, order("a5", "a", 5), order("b3", "b", 3))
		r.join()
		r.ok()
		first.is(done + " released released " + done)
		second.is("released " + done)
		late.is("released " + done)
		same(r, "calls for a", slices.Compact(c.of("a")), []string{"a1", "a2"})
		same(r, "given back", back, []string{"a2", "a3", "a4"})
		r.sameOf("lane a", taken(), "a", "a1")
		r.sameOf("lane b", taken(), "b", "b1", "b2", "b3")
		same(r, "parked", r.parked(), nil)
	})
}

// Without a log a sink that does not take an event of one lane holds up that lane alone.
func TestASinkHoldsUpALaneAlone(t *testing.T) {
	for _, inPart := range []string{"", ", in_part: true"} {
		for _, source := range laneSources {
			run(t, `
pipelines:
  p:
    source: `+source+`
    retry: { attempts: 4, initial: 1s, max: 1s }
    steps:
      - forward: { catch: { name: out`+inPart+` } }
      - forward: { catch: { name: other } }
`, func(r *rig) {
				failures := 2
				refuse := func(id string) error {
					switch {
					case id == "a2" && failures > 0:
						failures--
						return errRefused
					case id == "c1":
						return event.Poison(errRefused)
					}
					return nil
				}
				r.sink("out").refuse(refuse)
				f := r.start().feed()
				first := f.send(order("a1", "a", 1), order("b1", "b", 1), order("a2", "a", 2), order("c1", "c", 1), order("c2", "c", 2))
				second := f.send(order("a3", "a", 3), order("b2", "b", 2))
				r.wait()
				first.isNow("pending delivered pending poisoned delivered") // a1 went with a2
				second.isNow("pending delivered")
				r.sameOf("other sink, meanwhile", r.sink("other").ids(), "b", "b1", "b2")
				first.is("delivered delivered delivered poisoned delivered")
				second.is("delivered delivered")
				r.finish()
				r.ok()
				for _, sink := range []string{"out", "other"} {
					r.sameOf("lane a in "+sink, r.sink(sink).ids(), "a", "a1", "a2", "a3")
					r.sameOf("lane b in "+sink, r.sink(sink).ids(), "b", "b1", "b2")
				}
				same(r, "parked", r.parked(), []string{"forward catch out parked poison shop|c1 1"})
			})
		}
	}
}

// spread gives n events of as many lanes.
func spread(n int) (out []string) {
	for i := range n {
		out = append(out, order(fmt.Sprintf("e-%d", i), fmt.Sprintf("l%d", i), i))
	}
	return out
}

// At a stop a lane whose sink does not take an event goes back whole.
func TestALaneGoesBackFromItsSink(t *testing.T) {
	for _, err := range []error{errRefused, event.Unavailable(0, errRefused)} {
		for _, stop := range []func(*rig) PipelineSummary{(*rig).drain, (*rig).die} {
			run(t, strings.Replace(lanesToSink, "    steps:", "    retry: { attempts: 100 }\n    steps:", 1), func(r *rig) {
				r.sink("out").refuse(func(id string) error {
					if id == "a2" {
						return err
					}
					return nil
				})
				f := r.start().feed()
				first := f.send(order("a1", "a", 1), order("b1", "b", 1), order("a2", "a", 2), order("a3", "a", 3))
				second := f.send(order("a4", "a", 4), order("b2", "b", 2))
				r.wait()
				stop(r)
				r.ok()
				first.is("released delivered released released") // a1 went with a2, and comes again
				second.is("released delivered")
				same(r, "parked", r.parked(), nil)
			})
		}
	}
}

const lanesToSink = `
pipelines:
  p:
    source: { feed: { lanes: true } }
    steps:
      - forward: { catch: { name: out } }
        batch: { events: 40 }
        limits: { parallel: 1 }
`

// Lanes share calls of a sink: what comes while one is under way goes together with the next, within the limits of a batch.
func TestLanesShareCalls(t *testing.T) {
	run(t, lanesToSink, func(r *rig) {
		r.sink("out").failing(func(context.Context, []event.Recorded) error { time.Sleep(time.Second); return nil })
		f := r.start().feed()
		began := time.Now()
		f.send(order("x", "x", 1))
		r.wait()
		sent := f.send(spread(100)...)
		sent.outcomes()
		same(r, "time", time.Since(began), 4*time.Second)
		var sizes []int
		for _, call := range r.sink("out").said() {
			sizes = append(sizes, len(strings.Fields(call)))
		}
		same(r, "events by call", sizes, []int{1, 40, 40, 20})
		same(r, "calls at a time", r.sink("out").most, 1)
		r.finish()
		r.ok()
	})
	run(t, strings.Replace(lanesToSink, "parallel: 1", "parallel: 5", 1), func(r *rig) {
		r.sink("out").failing(func(context.Context, []event.Recorded) error { time.Sleep(time.Second); return nil })
		r.start().feed().send(spread(300)...).outcomes() // eight calls at least
		same(r, "calls at a time", r.sink("out").most, 5)
		same(r, "delivered", len(r.sink("out").ids()), 300)
		r.finish()
		r.ok()
	})
}

// A call that fails as a whole costs only that lane an attempt whose event is at fault; an outage costs none.
func TestAFailedCallOfManyLanes(t *testing.T) {
	run(t, lanesToSink, func(r *rig) {
		busy := make(chan struct{})
		down := 2
		r.sink("out").failing(func(_ context.Context, batch []event.Recorded) error {
			<-busy
			if down > 0 && len(batch) > 1 {
				down--
				return event.Unavailable(0, errors.New("no route"))
			}
			if slices.Contains(ids(batch), "e-7") {
				return errRefused
			}
			return nil
		})
		sent := r.start().feed().send(spread(20)...)
		r.wait()
		close(busy)
		got := sent.outcomes()
		same(r, "outcomes", strings.Count(got, "delivered")*100+strings.Count(got, "poisoned"), 1901)
		r.finish()
		r.ok()
		same(r, "parked", r.parked(), []string{"forward catch out parked sink shop|e-7 5"})
		same(r, "each once", len(r.sink("out").ids()), 19)
		if failed := r.counter("leat_relay_retries_total", "pipeline", "p"); failed != 4 {
			t.Errorf("%d attempts counted beyond the first, want 4: those of e-7", failed)
		}
	})
}

// Where a sink says of single events that it cannot take them at present, their lanes wait, and no others.
func TestPartOfACallIsDown(t *testing.T) {
	run(t, lanesToSink, func(r *rig) {
		var down atomic.Bool
		down.Store(true)
		r.sink("out").failing(func(_ context.Context, batch []event.Recorded) error {
			time.Sleep(time.Second) // the next call is one of many lanes
			var failed *event.BatchError
			for i := range batch {
				if down.Load() && batch[i].ID == "a1" {
					failed = failed.Fail(i, event.Unavailable(0, errRefused))
				}
			}
			return failed.Err()
		})
		f := r.start().feed()
		f.send(order("x1", "x", 1))
		r.wait()
		first := f.send(order("b1", "b", 1), order("a1", "a", 1), order("c1", "c", 1))
		second := f.send(order("b2", "b", 2), order("a2", "a", 2))
		sleepFor(time.Hour)
		same(r, "shared", slices.ContainsFunc(r.sink("out").said(), func(call string) bool { return len(strings.Fields(call)) >= 3 }), true)
		first.isNow("delivered pending delivered")
		second.isNow("delivered pending")
		down.Store(false)
		first.is("delivered delivered delivered")
		second.is("delivered delivered")
		r.finish()
		r.ok()
		r.sameOf("lane a", r.sink("out").ids(), "a", "a1", "a2")
	})
}

// Events that wait keep the room of themselves, not that of their batches.
func TestLanesThatWaitLeaveRoom(t *testing.T) {
	eachLaned(t, "", func(r *rig, done string, _ func() []string) {
		r.cfg.Pipelines[0].Limits.Events = 12
		free := make(chan struct{})
		r.handle["h"] = (&calls{}).handle(func(_ context.Context, id string) error {
			if strings.HasPrefix(id, "a") {
				<-free
			}
			return nil
		})
		f := r.start().feed()
		var all []*sent
		for n := range 5 { // 50 events; one of ten waits
			var bodies []string
			for i := range 10 {
				bodies = append(bodies, order(fmt.Sprintf("%c%d", 'a'+i, n), string(rune('a'+i)), n))
			}
			all = append(all, f.send(bodies...))
		}
		r.wait()
		flown := 0
		for _, s := range all {
			flown += strings.Count(s.now(), done)
		}
		same(r, "done while a waits", flown, 27) // the fourth batch finds room for 9 of 12 only
		close(free)
		for _, s := range all {
			s.outcomes()
		}
		r.finish()
		r.ok()
		p := r.pipe()
		same(r, "room at the end", [2]int{p.room.events, p.room.bytes}, [2]int{})
	})
}

// The same where events enter their lanes behind the steps: most of a batch is settled before its handler lets go of it.
func TestAConflictLeavesRoom(t *testing.T) {
	run(t, numbered("{ feed: { lanes: true } }", ""), func(r *rig) {
		r.cfg.Pipelines[0].Limits.Events = 12
		f := r.start().feed()
		var all []*sent
		for n := range 3 {
			bodies := []string{order(fmt.Sprint("a-", n), "a", n+2)} // early
			for i := range 9 {
				bodies = append(bodies, order(fmt.Sprintf("e-%d-%d", n, i), fmt.Sprintf("l%d", i), n+1))
			}
			all = append(all, f.send(bodies...))
		}
		r.wait()
		for _, s := range all {
			s.isNow("pending" + strings.Repeat(" committed", 9))
		}
		r.append("order/a", "1")
		for _, s := range all {
			s.outcomes()
		}
		r.finish()
		r.ok()
		same(r, "lane a", r.stream("order/a"), []string{"by-hand-0", "a-0", "a-1", "a-2"})
		same(r, "room at the end", [2]int{r.pipe().room.events, r.pipe().room.bytes}, [2]int{})
	})
}

// Handlers are asked for a bounded number of lanes at a time.
func TestLanesAtATime(t *testing.T) {
	for limits, want := range map[string]int{"": lanesAtATime, "limits: { parallel: 3 }": 3} {
		eachLaned(t, limits, func(r *rig, _ string, taken func() []string) {
			var mu sync.Mutex
			busy, most := 0, 0
			r.handle["h"] = (&calls{}).handle(func(context.Context, string) error {
				mu.Lock()
				busy++
				most = max(most, busy)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				busy--
				mu.Unlock()
				return nil
			})
			f := r.start().feed()
			for n := range 2 {
				var bodies []string
				for i := range 120 {
					bodies = append(bodies, order(fmt.Sprintf("e%d-%d", i, n), fmt.Sprintf("l%d", i), n))
				}
				f.send(bodies...)
			}
			r.finish()
			r.ok()
			same(r, "at a time", most, want)
			same(r, "taken", len(taken()), 240)
		})
	}
}

// A run of one lane shares commits, with steps that wait for others too; a run whose steps are slow does not wait for its end.
func TestARunSharesItsCommit(t *testing.T) {
	plain := strings.Replace(plainAppend, "{ feed: {} }", "{ feed: { lanes: true } }", 1)
	for name, tt := range map[string]struct {
		yaml  string
		takes time.Duration
		want  int
	}{
		"no step waits":  {plain, 0, 1},
		"quick handlers": {inLanes("{ feed: { lanes: true } }", "", true), 0, 1},
		"slow handlers":  {inLanes("{ feed: { lanes: true } }", "", true), time.Second, 50},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, tt.yaml, func(r *rig) {
				r.handle["h"] = (&calls{}).handle(func(context.Context, string) error { time.Sleep(tt.takes); return nil })
				r.start()
				before := len(r.store.commits)
				var bodies []string
				for i := range 50 {
					bodies = append(bodies, order(fmt.Sprint("a", i), "a", i))
				}
				r.feed().send(bodies...).outcomes()
				same(r, "commits", len(r.store.commits)-before, tt.want)
				r.finish()
				r.ok()
			})
		})
	}
}

// An order_by takes the place of the source's lanes, whether it is finer or coarser.
func TestOrderByWinsOverTheSource(t *testing.T) {
	for by, want := range map[string]string{
		"data.order_id": "pending committed committed", // finer: g-1 and g-2 are of one group
		"source":        "pending pending pending",     // coarser: one lane for all
	} {
		run(t, inLanes("{ feed: { lanes: true }, order_by: "+by+" }", "", true), func(r *rig) {
			free := make(chan struct{})
			r.handle["h"] = (&calls{}).handle(func(_ context.Context, id string) error {
				if id == "e1" {
					<-free
				}
				return nil
			})
			sent := r.start().feed().send(order("e1", "g-1", 1), order("e2", "g-2", 1), order("e3", "h-1", 1))
			r.wait()
			sent.isNow(want)
			close(free)
			sent.is("committed committed committed")
			r.finish()
			r.ok()
		})
	}
}

// A conflict blocks its lane, and the events of other lanes in the same commit go through.
func TestAConflictBlocksItsLane(t *testing.T) {
	run(t, numbered("{ feed: { lanes: true } }", ""), func(r *rig) {
		f := r.start().feed()
		first := f.send(order("a-2", "a", 2), order("b-1", "b", 1), order("c-1", "c", 1), order("c-2", "c", 2)) // a-2 is early
		second := f.send(order("a-3", "a", 3), order("b-2", "b", 2))
		r.wait()
		first.isNow("pending committed committed committed")
		second.isNow("pending committed")
		r.append("order/a", "1")
		first.is("committed committed committed committed")
		second.is("committed committed")
		r.finish()
		r.ok()
		same(r, "lane a", r.stream("order/a"), []string{"by-hand-0", "a-2", "a-3"})
	})
}

// Lanes are in order while the store fails in every way.
func TestLanesThroughStoreFaults(t *testing.T) {
	for _, yaml := range []string{strings.Replace(plainAppend, "{ feed: {} }", "{ feed: { lanes: true } }", 1), inLanes("{ feed: { lanes: true } }", "", true)} {
		run(t, yaml, func(r *rig) {
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
			r.handle["h"] = (&calls{}).handle(func(context.Context, string) error {
				return every(7, errRefused)("")
			})
			r.start()
			r.store.breaks(every(3, eventstore.ErrUnavailable), every(4, errors.New("connection lost")))
			f := r.feed()
			var want [4][]string
			for i := 0; i < 120; i += 6 {
				var bodies []string
				for k := range 6 {
					lane, id := (i+k)%4, fmt.Sprintf("e-%d", i+k)
					bodies = append(bodies, order(id, fmt.Sprint("l", lane), i))
					want[lane] = append(want[lane], id)
				}
				f.send(bodies...)
			}
			s := r.finish()
			r.ok()
			same(r, "each is counted once, as what it was at first", [2]int64{s.Received, s.Committed}, [2]int64{120, 120})
			for lane := range 4 {
				same(r, "lane", r.stream(fmt.Sprint("order/l", lane)), want[lane])
			}
		})
	}
}
