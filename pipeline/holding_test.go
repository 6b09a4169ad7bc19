package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
)

func holdingAs(hold string) string {
	yaml := strings.Replace(forwarding(""), "name: out }", "name: out, in_part: true }", 1)
	return strings.Replace(yaml, "    steps:", "    poison: { hold: "+hold+" }\n    steps:", 1)
}

// mixed are events of two streams: e-1 a, e-2 b, e-3 a, e-4 b, e-5 a.
func mixed() []string {
	var out []string
	for i, s := range []string{"a", "b", "a", "b", "a"} {
		out = append(out, order("e-"+itoa(i+1), s, i+1))
	}
	return out
}

func TestHold(t *testing.T) {
	for _, tt := range []struct {
		hold          string
		before, after []string
		parked        []string
	}{
		{"stream", []string{"e-1", "e-2", "e-4"}, []string{"e-1", "e-2", "e-4", "e-3", "e-5"}, []string{"out parked poison 3 1", "out held held 5 0"}},
		{"none", []string{"e-1", "e-2", "e-4", "e-5"}, []string{"e-1", "e-2", "e-4", "e-5", "e-3"}, []string{"out parked poison 3 1"}},
		{"pipeline", []string{"e-1", "e-2"}, []string{"e-1", "e-2", "e-3", "e-4", "e-5"}, []string{"out parked poison 3 1"}},
	} {
		t.Run(tt.hold, func(t *testing.T) {
			run(t, holdingAs(tt.hold), func(r *rig) {
				r.sink("out").refuse(only("e-3", event.Poison(errRefused)))
				r.start().feed().send(mixed()...).outcomes()
				r.wait()
				check := func() {
					t.Helper()
					same(r, "delivered", slices.Sorted(slices.Values(r.sink("out").ids())), tt.before)
					same(r, "parked", r.parked(), tt.parked)
				}
				check()
				// A restart changes nothing of it.
				r.drain()
				r.ok()
				r.start()
				r.wait()
				check()
				// Sent again in vain it stays, and has cost another attempt.
				r.again(poison.Filter{States: []poison.State{poison.Parked}})
				same(r, "parked", r.parked()[0], "out parked poison 3 2")
				same(r, "delivered", len(r.sink("out").ids()), len(tt.before))
				// Mended, it goes, and what waited behind it.
				r.sink("out").failing(nil)
				r.again(poison.Filter{States: []poison.State{poison.Parked}})
				same(r, "delivered", r.sink("out").ids(), tt.after)
				same(r, "parked", r.parked(), nil)
				r.feed().send(order("e-6", "a", 6))
				r.finish()
				r.ok()
				same(r, "delivered", r.sink("out").ids(), append(tt.after, "e-6"))
			})
		})
	}
}

func TestDropOfTheFirstReleasesTheRest(t *testing.T) {
	for _, hold := range []string{"stream", "pipeline"} {
		t.Run(hold, func(t *testing.T) {
			run(t, holdingAs(hold), func(r *rig) {
				r.sink("out").refuse(only("e-3", event.Poison(errRefused)))
				r.start().feed().send(mixed()...).outcomes()
				r.wait()
				n, err := r.daemon.DropPoison(context.Background(), "main", poison.Filter{States: []poison.State{poison.Parked}})
				if n != 1 || err != nil {
					t.Fatalf("dropped %d: %v", n, err)
				}
				r.wait()
				r.finish()
				r.ok()
				same(r, "delivered", slices.Sorted(slices.Values(r.sink("out").ids())), []string{"e-1", "e-2", "e-4", "e-5"})
				same(r, "parked", r.parked(), nil)
			})
		})
	}
}

// TestSecondOfAStreamStaysBehindTheFirst: what is behind a parked event is not delivered although it was sent again too.
func TestSecondOfAStreamStaysBehindTheFirst(t *testing.T) {
	run(t, holdingAs("stream"), func(r *rig) {
		r.sink("out").refuse(only("e-1", event.Poison(errRefused)))
		r.start().feed().send(mixed()...).outcomes()
		r.wait()
		r.again(poison.Filter{}) // all of them
		same(r, "delivered", r.sink("out").ids(), []string{"e-2", "e-4"})
		same(r, "parked", r.parked(), []string{"out parked poison 1 2", "out retrying held 3 0", "out retrying held 5 0"})
		r.sink("out").failing(nil)
		r.again(poison.Filter{Code: "poison"})
		same(r, "delivered", r.sink("out").ids(), []string{"e-2", "e-4", "e-1", "e-3", "e-5"})
		r.finish()
		r.ok()
	})
}

// TestStepFailureHoldsWhatIsBehindItOnly: events before the failed one of the same page are delivered.
func TestStepFailureHoldsWhatIsBehindItOnly(t *testing.T) {
	const yaml = `
pipelines:
  p:
    source: { feed: { ordered: true } }
    poison: { hold: HOLD }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - map: { set: { data.half: data.amount / 2 } }
      - project: { table: orders, key: { order_id: data.order_id }, add: { total: data.half } }
      - forward: { catch: { name: out } }
`
	bad := func(id, s string) string {
		return strings.Replace(order(id, s, 0), `"amount":0`, `"amount":"none"`, 1)
	}
	for _, tt := range []struct {
		hold string
		sent []string
		rows []string
	}{
		{"stream", []string{"e-1", "e-2", "e-5"}, []string{"a 1", "b 10"}},
		{"none", []string{"e-1", "e-2", "e-4", "e-5"}, []string{"a 3", "b 10"}},
		{"pipeline", []string{"e-1", "e-2"}, []string{"a 1", "b 4"}},
	} {
		t.Run(tt.hold, func(t *testing.T) {
			run(t, strings.Replace(yaml, "HOLD", tt.hold, 1), func(r *rig) {
				r.start().feed().send(order("e-1", "a", 2), order("e-2", "b", 8), bad("e-3", "a"), order("e-4", "a", 4), order("e-5", "b", 12)).outcomes()
				r.wait()
				same(r, "forwarded", r.sink("out").ids(), tt.sent)
				same(r, "rows", r.rows("orders"), tt.rows)
				for _, e := range r.entries() {
					if e.State != poison.Parked {
						continue
					}
					if err := r.store.EditParked(context.Background(), e.ID, []byte(order("e-3", "a", 100))); err != nil {
						t.Fatal(err)
					}
				}
				r.again(poison.Filter{States: []poison.State{poison.Parked}})
				r.finish()
				r.ok()
				same(r, "parked", r.parked(), nil)
				same(r, "rows", r.rows("orders"), []string{"a 53", "b 10"})
				same(r, "forwarded", len(r.sink("out").ids()), 5)
			})
		})
	}
}

func TestTableRelayParksAndRetries(t *testing.T) {
	for _, hold := range []string{"stream", "none", "pipeline"} {
		t.Run(hold, func(t *testing.T) {
			run(t, `
pipelines:
  p:
    source: { feed: { ordered: true } }
    poison: { hold: `+hold+` }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: orders, key: { order_id: data.order_id }, set: { last: id }, add: { total: data.amount } }
`, func(r *rig) {
				bad := strings.Replace(order("e-2", "a", 0), `"amount":0`, `"amount":"none"`, 1)
				r.start().feed().send(order("e-1", "a", 1), bad, order("e-3", "a", 3), order("e-4", "b", 4)).outcomes()
				r.wait()
				rows := map[string][]string{"stream": {"a e-1 1", "b e-4 4"}, "none": {"a e-3 4", "b e-4 4"}, "pipeline": {"a e-1 1"}}[hold]
				same(r, "rows", r.rows("orders"), rows)
				var e poison.Entry
				for _, e = range r.entries() {
					if e.State == poison.Parked {
						break
					}
				}
				same(r, "what is known of it", []string{e.Step, e.Code, e.EventID, e.Type, e.Source, e.Stream.String(), string(e.Payload)},
					[]string{"project orders", "projection", "e-2", "OrderCreated", "shop", "order/a", bad})
				if err := r.store.EditParked(context.Background(), e.ID, []byte(order("other", "a", 100))); err != nil {
					t.Fatal(err)
				}
				r.again(poison.Filter{IDs: []int64{e.ID}})
				s := r.finish()
				r.ok()
				last := "a e-3 104" // sent again with the id of the log
				if hold == "none" {
					last = "a e-2 104"
				}
				same(r, "rows", r.rows("orders"), []string{last, "b e-4 4"})
				same(r, "parked", r.parked(), nil)
				same(r, "projected", s.Projected, 4)
			})
		})
	}
}

func TestParkedWithTheCheckpoint(t *testing.T) {
	run(t, holdingAs("stream"), func(r *rig) {
		r.sink("out").refuse(only("e-3", event.Poison(errRefused)))
		r.store.breaks(func(call string) error {
			if call == "advance" {
				return eventstore.ErrUnavailable
			}
			return nil
		}, nil)
		r.start().feed().send(mixed()...).outcomes()
		r.wait()
		same(r, "parked before the checkpoint", r.parked(), nil)
		r.drain()
		r.store.breaks(nil, nil)
		r.sink("out").failing(nil)
		r.start().finish()
		r.ok()
		same(r, "parked", r.parked(), nil) // it was never written: the event comes again
		same(r, "the last", r.sink("out").ids()[len(r.sink("out").ids())-5:], []string{"e-1", "e-2", "e-3", "e-4", "e-5"})
	})
}

func TestRetryIsDoneBeforeTheEnd(t *testing.T) {
	for _, hold := range []string{"stream", "none"} {
		t.Run(hold, func(t *testing.T) {
			run(t, holdingAs(hold), func(r *rig) {
				r.sink("out").refuse(only("e-3", event.Poison(errRefused)))
				r.start().feed().send(mixed()...)
				r.finish()
				r.sink("out").failing(nil)
				if _, err := r.store.SetParked(context.Background(), poison.Filter{}, poison.Retrying); err != nil {
					t.Fatal(err)
				}
				r.start().finish() // a run whose input ends at once
				r.ok()
				same(r, "parked", r.parked(), nil)
				same(r, "delivered", len(r.sink("out").ids()), 5)
			})
		})
	}
	run(t, plainAppend, func(r *rig) {
		r.start().feed().send(order("e-1", "", 1)).is("poisoned")
		r.finish()
		e := r.entries()[0]
		if err := r.store.EditParked(context.Background(), e.ID, []byte(order("e-1", "o-1", 1))); err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.SetParked(context.Background(), poison.Filter{}, poison.Retrying); err != nil {
			t.Fatal(err)
		}
		r.start().finish()
		r.ok()
		same(r, "log", r.logged(), []string{"order/o-1@1 OrderCreated e-1"})
		same(r, "forwarded", r.sink("out").ids(), []string{"e-1"})
	})
}

func TestIntakeRetryInVain(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		r.start().feed().send(order("e-1", "", 1)).is("poisoned")
		first := r.entries()[0]
		sleepFor(time.Hour)
		r.again(poison.Filter{})
		same(r, "parked", r.parked(), []string{"append parked stream shop|e-1 2"})
		e := r.entries()[0]
		same(r, "id", e.ID, first.ID)
		if !e.First.Equal(first.First) || e.Last.Sub(e.First) < time.Hour {
			t.Errorf("first %s, last %s", e.First, e.Last)
		}
		r.finish()
		r.ok()
	})
}

// TestRetryThatFailsElsewhere: the entry of the step where it failed first is gone, the new one tells of the other.
func TestRetryThatFailsElsewhere(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		r.start().feed().send(order("e-1", "", 1)).is("poisoned")
		if err := r.store.EditParked(context.Background(), r.entries()[0].ID, []byte("{")); err != nil {
			t.Fatal(err)
		}
		r.again(poison.Filter{})
		same(r, "parked", r.parked(), []string{"source parked malformed shop|e-1 2"})
		same(r, "payload", string(r.entries()[0].Payload), "{")
		r.finish()
	})
}

func TestDroppedWhileSentAgain(t *testing.T) {
	run(t, numbered("{ feed: {} }", ""), func(r *rig) {
		r.start().feed().send(order("e-1", "o-1", 2)).is("poisoned")
		if _, err := r.store.SetParked(context.Background(), poison.Filter{}, poison.Retrying); err != nil {
			t.Fatal(err)
		}
		r.daemon.RetryPoison(context.Background(), "p")
		r.wait() // it is early again, and waits for another attempt
		if _, err := r.store.DropParked(context.Background(), poison.Filter{}); err != nil {
			t.Fatal(err)
		}
		r.append("order/o-1", "1")
		sleepFor(time.Minute)
		same(r, "a dropped event is not appended", r.stream("order/o-1"), []string{"by-hand-0"})
		same(r, "parked", r.parked(), nil)
		r.finish()
		r.ok()
	})
}

func TestPoisonCopy(t *testing.T) {
	yaml := strings.Replace(holdingAs("stream"), "{ hold: stream }", "{ copy: { catch: { name: alarm } } }", 1)
	run(t, yaml, func(r *rig) {
		r.sink("out").refuse(only("e-3", event.Poison(errRefused)))
		f := r.start().feed()
		f.send(mixed()...).outcomes()
		f.send("no json").is("poisoned")
		r.finish()
		r.ok()
		got := r.sink("alarm").got
		if len(got) != 2 { // not of what is held
			t.Fatalf("%d copies", len(got))
		}
		for _, e := range got {
			switch e.ID {
			case "e-3":
				same(r, "code", e.Meta("poison_code")+" "+e.Meta("poison_step")+" "+e.Meta("poison_pipeline"), "poison out p")
				same(r, "body", string(e.Raw), mixed()[2])
			default:
				same(r, "code", e.Meta("poison_code")+" "+e.Meta("poison_step"), "malformed source")
				same(r, "body", string(e.Raw), "no json")
			}
		}
	})
}

func TestPoisonCopyOfMany(t *testing.T) {
	yaml := strings.Replace(holdingAs("stream"), "{ hold: stream }", "{ copy: { catch: { name: alarm } } }", 1)
	run(t, yaml, func(r *rig) {
		r.sink("alarm").failing(func(context.Context, []event.Recorded) error { time.Sleep(time.Millisecond); return nil })
		f := r.start().feed()
		for range 400 { // more than are queued
			f.send("no json")
		}
		r.finish()
		r.ok()
		same(r, "copies", len(r.sink("alarm").got), 400)
	})
}

func TestPoisonCopyThatFails(t *testing.T) {
	yaml := strings.Replace(holdingAs("stream"), "{ hold: stream }", "{ copy: { catch: { name: alarm } } }", 1)
	for _, tt := range []struct {
		name string
		fail func(context.Context, []event.Recorded) error
	}{
		{"an error", func(context.Context, []event.Recorded) error { return errRefused }},
		{"a panic", func(context.Context, []event.Recorded) error { panic("alarm") }},
		{"it hangs", func(ctx context.Context, _ []event.Recorded) error { <-ctx.Done(); return ctx.Err() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, yaml, func(r *rig) {
				r.sink("alarm").failing(tt.fail)
				f := r.start().feed()
				start := time.Now()
				for range 400 { // more than are queued: they do not pile up behind a sink that is down
					f.send("no json")
				}
				f.send(order("e-1", "o", 1)).is("committed")
				if d := time.Since(start); d > 2*copyPatience {
					t.Errorf("the copies held the others up for %s", d)
				}
				r.finish()
				r.ok()
				same(r, "parked all the same", len(r.parked()), 400)
				same(r, "one after another", r.sink("alarm").most, 1)
				if !r.log.has("copy of a poisoned event was not sent") {
					t.Error("nothing in the log")
				}
			})
		})
	}
}

func TestForeignParkedPosition(t *testing.T) {
	run(t, holdingAs("stream"), func(r *rig) {
		r.start().feed().send(mixed()...).outcomes()
		r.wait()
		if err := r.store.Park(context.Background(), poison.Entry{Pipeline: "p", Step: "out", Relay: "p/out", Key: "99", Position: 99, State: poison.Retrying}); err != nil {
			t.Fatal(err)
		}
		r.daemon.RetryPoison(context.Background(), "")
		r.join()
		if !errors.Is(r.err, eventstore.ErrCorrupt) {
			t.Errorf("ended with %v", r.err)
		}
	})
}

// TestMendedByAnotherProcess: nobody tells the daemon; it looks every half minute.
func TestMendedByAnotherProcess(t *testing.T) {
	for _, tt := range []struct {
		hold string
		mend func(r *rig) error
		want []string
	}{
		{"stream", func(r *rig) error {
			_, err := r.store.DropParked(context.Background(), poison.Filter{States: []poison.State{poison.Parked}})
			return err
		}, []string{"e-1", "e-2", "e-4", "e-5"}},
		{"none", func(r *rig) error {
			_, err := r.store.SetParked(context.Background(), poison.Filter{}, poison.Retrying)
			return err
		}, []string{"e-1", "e-2", "e-4", "e-5", "e-3"}},
	} {
		t.Run(tt.hold, func(t *testing.T) {
			run(t, holdingAs(tt.hold), func(r *rig) {
				r.sink("out").refuse(only("e-3", event.Poison(errRefused)))
				r.start().feed().send(mixed()...).outcomes()
				r.wait()
				r.sink("out").failing(nil)
				if err := tt.mend(r); err != nil {
					t.Fatal(err)
				}
				sleepFor(time.Minute)
				got := r.sink("out").ids()
				slices.Sort(got[:3])
				same(r, "delivered", got, tt.want)
				same(r, "parked", r.parked(), nil)
				r.finish()
				r.ok()
			})
		})
	}
}

func TestTraceIDOfParkedEvents(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	run(t, holdingAs("stream"), func(r *rig) {
		r.sink("out").refuse(only("e-1", event.Poison(errRefused)))
		trace := func(b *event.Batch) { b.Events[0].SetMeta("traceparent", parent) }
		f := r.start().feed()
		f.give(trace, order("e-1", "o", 1)).is("committed")
		f.give(trace, "no json").is("poisoned")
		r.finish()
		for _, e := range r.entries() {
			same(r, "trace of "+e.Step, e.TraceID, "0af7651916cd43dd8448eb211c80319c")
		}
	})
}
