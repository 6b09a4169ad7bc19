package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
)

const replayed = `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - name: out
        when: data.amount > 1
        forward: { catch: { name: out } }
      - project: { table: orders, key: { id: data.order_id }, add: { total: data.amount } }
`

func (r *rig) replay(a control.Replay) control.Work {
	r.Helper()
	a.Pipeline, a.Relay = "p", "out"
	w, err := r.daemon.Replay(context.Background(), a)
	if err != nil {
		r.Fatal(err)
	}
	return w
}

// sent gives what the sink got since the last call.
func (r *rig) sentSince(n *int) []string {
	all := r.sink("out").ids()
	out := all[*n:]
	*n = len(all)
	return out
}

func TestReplay(t *testing.T) {
	run(t, replayed, func(r *rig) {
		f := r.start().feed()
		f.send(order("e-1", "a", 1), order("e-2", "a", 2), order("e-3", "b", 3)).is("committed committed committed")
		sleepFor(time.Hour)
		f.send(order("e-4", "a", 4), strings.Replace(order("e-5", "b", 5), "OrderCreated", "OrderPaid", 1)).is("committed committed")
		r.wait()
		var n int
		same(r, "live", r.sentSince(&n), []string{"e-2", "e-3", "e-4", "e-5"})
		rows, relays := r.rows("orders"), r.relays()
		for _, tt := range []struct {
			name string
			ask  control.Replay
			want string
		}{
			{"all", control.Replay{}, "e-2 e-3 e-4 e-5"},
			{"from start to now", control.Replay{From: "start", To: "now"}, "e-2 e-3 e-4 e-5"},
			{"positions", control.Replay{From: "3", To: "4"}, "e-3 e-4"},
			{"one", control.Replay{From: "3", To: "3"}, "e-3"},
			{"beyond the end", control.Replay{From: "4", To: "99"}, "e-4 e-5"},
			{"turned round", control.Replay{From: "4", To: "2"}, ""},
			{"since a time", control.Replay{From: "2000-01-01T00:30:00Z"}, "e-4 e-5"},
			{"until a time", control.Replay{To: "2000-01-01T00:30:00Z"}, "e-2 e-3"},
			{"type", control.Replay{Types: []string{"OrderPaid"}}, "e-5"},
			{"stream", control.Replay{Streams: []string{"order/a"}}, "e-2 e-4"},
			{"type of stream", control.Replay{Streams: []string{"order"}}, "e-2 e-3 e-4 e-5"},
			{"no such stream", control.Replay{Streams: []string{"other"}}, ""},
			{"by its id", control.Replay{Relay: "p/out"}, "e-2 e-3 e-4 e-5"},
		} {
			want := strings.Fields(tt.want)
			dry := tt.ask
			dry.DryRun = true
			w := r.workEnds(r.replay(dry).ID)
			same(r, tt.name+": dry run", [2]any{w.State, w.Events}, [2]any{control.Done, int64(len(want))})
			same(r, tt.name+": a dry run sends nothing", len(r.sentSince(&n)), 0)
			w = r.workEnds(r.replay(tt.ask).ID)
			same(r, tt.name+": counts", [4]any{w.State, w.Events, w.Done, w.Error}, [4]any{control.Done, int64(len(want)), w.Total, ""})
			same(r, tt.name, strings.Join(r.sentSince(&n), " "), tt.want)
		}
		same(r, "the relays stand where they stood", r.relays(), relays)
		same(r, "no table hears of it", r.rows("orders"), rows)
		f.send(order("e-6", "a", 6)).is("committed")
		r.wait()
		same(r, "the live relay goes on", r.sentSince(&n), []string{"e-6"})
		r.drain()
		r.ok()
		r.start().wait()
		sleepFor(time.Minute)
		same(r, "they are struck off", [2]int{len(r.daemon.Works()), len(r.sentSince(&n))}, [2]int{0, 0})
		r.finish()
		r.ok()
	})
}

func TestReplayRefused(t *testing.T) {
	run(t, replayed, func(r *rig) {
		r.start()
		for _, tt := range []struct {
			ask   control.Replay
			words string
		}{
			{control.Replay{Pipeline: "q", Relay: "out"}, "there is no pipeline"},
			{control.Replay{Pipeline: "p", Relay: "ou"}, `did you mean "out"?`},
			{control.Replay{Pipeline: "p", Relay: "project orders"}, "there is no forward"},
			{control.Replay{Pipeline: "p", Relay: "out", From: "yesterday"}, `from: "yesterday"`},
			{control.Replay{Pipeline: "p", Relay: "out", To: "-3"}, `to: "-3"`},
		} {
			if _, err := r.daemon.Replay(context.Background(), tt.ask); err == nil || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("%+v: %v, want words %q", tt.ask, err, tt.words)
			}
		}
		r.finish()
		r.ok()
	})
}

// TestReplayGoesOnAfterAKill: the checkpoint of a replay is its own, and a start takes it up.
func TestReplayGoesOnAfterAKill(t *testing.T) {
	for how, stop := range map[string]func(r *rig) PipelineSummary{"drain": (*rig).drain, "die": (*rig).die} {
		t.Run(how, func(t *testing.T) {
			run(t, replayed, func(r *rig) {
				f := r.start().feed()
				for i := range 50 {
					f.send(order(fmt.Sprint("e-", i), "a", 2)).is("committed")
				}
				r.wait()
				var n int
				r.sentSince(&n)
				r.replay(control.Replay{Throttle: 10})
				sleepFor(2 * time.Second)
				stop(r)
				before := r.sentSince(&n)
				if len(before) == 0 || len(before) == 50 {
					t.Fatalf("%d sent before the stop", len(before))
				}
				r.start()
				sleepFor(time.Minute)
				after := r.sentSince(&n)
				seen := map[string]bool{}
				for _, id := range append(before, after...) {
					seen[id] = true
				}
				if len(seen) != 50 || len(before)+len(after) > 50+10 {
					t.Errorf("%d of 50 sent, %d in all", len(seen), len(before)+len(after))
				}
				w := r.daemon.Works()
				if len(w) != 1 || w[0].State != control.Done || w[0].Events < 50 {
					t.Errorf("works: %+v", w)
				}
				r.finish()
				r.ok()
			})
		})
	}
}

// TestReplayAndPoison: what the sink refuses is parked for the replay alone, holds its stream in the replay alone, and is
// sent again like any other.
func TestReplayAndPoison(t *testing.T) {
	run(t, strings.Replace(replayed, "catch: { name: out }", "catch: { name: out, in_part: true }", 1), func(r *rig) {
		f := r.start().feed()
		f.send(order("e-1", "a", 2), order("e-2", "a", 3), order("e-3", "b", 4)).is("committed committed committed")
		r.wait()
		var n int
		r.sentSince(&n)
		refused := true
		r.sink("out").refuse(func(id string) error {
			if refused && id == "e-1" {
				return event.Poison(errRefused)
			}
			return nil
		})
		id := r.replay(control.Replay{}).ID
		sleepFor(time.Minute)
		same(r, "sent", r.sentSince(&n), []string{"e-3"})
		w, err := r.daemon.Work(id)
		if err != nil || w.State != control.Waiting || w.Parked != 1 {
			t.Errorf("%+v, %v", w, err)
		}
		same(r, "parked", len(r.parked()), 2)
		f.send(order("e-4", "a", 5)).is("committed")
		r.wait()
		same(r, "the live relay holds nothing", r.sentSince(&n), []string{"e-4"})

		r.drain() // it waits over a restart too
		r.ok()
		r.start()
		sleepFor(time.Minute)
		refused = false
		r.again(poison.Filter{States: []poison.State{poison.Parked}})
		same(r, "sent again, and what was held behind it", r.sentSince(&n), []string{"e-1", "e-2"})
		same(r, "parked", len(r.parked()), 0)
		if all := r.daemon.Works(); len(all) != 1 || all[0].State != control.Done {
			t.Errorf("works %+v", all)
		}
		r.finish()
		r.ok()
	})
}

func TestReplayCancelled(t *testing.T) {
	run(t, replayed, func(r *rig) {
		f := r.start().feed()
		for i := range 50 {
			f.send(order(fmt.Sprint("e-", i), "a", 2)).is("committed")
		}
		r.wait()
		r.sink("out").refuse(func(id string) error {
			if id == "e-0" {
				return event.Poison(errRefused)
			}
			return nil
		})
		id := r.replay(control.Replay{Throttle: 10}).ID
		var busy *control.BusyError
		if _, err := r.daemon.Replay(context.Background(), control.Replay{Pipeline: "p", Relay: "out"}); !errors.As(err, &busy) {
			t.Errorf("a second replay of a forward at a time: %v", err)
		}
		sleepFor(2 * time.Second)
		w, err := r.daemon.CancelWork(context.Background(), id)
		if err != nil || w.State != control.Cancelled {
			t.Errorf("%+v, %v", w, err)
		}
		same(r, "its parked events go with it", len(r.parked()), 0)
		r.drain()
		r.start()
		sleepFor(time.Minute)
		same(r, "it does not come back", len(r.daemon.Works()), 0)
		r.finish()
		r.ok()
	})
}

func TestReplayAtRest(t *testing.T) {
	run(t, replayed, func(r *rig) {
		f := r.start().feed()
		f.send(order("e-1", "a", 2), order("e-2", "a", 3)).is("committed committed")
		r.wait()
		relays := r.relays()
		r.drain()
		var n int
		r.sentSince(&n)
		w, err := ReplayAtRest(context.Background(), r.cfg, r.daemon.o, control.Replay{Pipeline: "p", Relay: "out", From: "2"}, nil)
		if err != nil || w.State != control.Done || w.Events != 1 {
			t.Errorf("%+v, %v", w, err)
		}
		same(r, "sent", r.sentSince(&n), []string{"e-2"})
		same(r, "the relays stand where they stood", r.relays(), relays)

		// What is parked waits for the next run.
		r.sink("out").refuse(func(string) error { return event.Poison(errRefused) })
		w, err = ReplayAtRest(context.Background(), r.cfg, r.daemon.o, control.Replay{Pipeline: "p", Relay: "out"}, nil)
		if !errors.Is(err, ErrParkedReplay) || w.State != control.Waiting {
			t.Errorf("%+v, %v", w, err)
		}
		if _, err = ReplayAtRest(context.Background(), r.cfg, r.daemon.o, control.Replay{Pipeline: "p", Relay: "out", From: "2"}, nil); err == nil || !strings.Contains(err.Error(), "stands at") {
			t.Errorf("another one meanwhile: %v", err)
		}
		r.sink("out").refuse(func(string) error { return nil })
		r.start()
		sleepFor(time.Minute)
		r.again(poison.Filter{States: []poison.State{poison.Parked}})
		same(r, "sent by the next run", r.sentSince(&n), []string{"e-1", "e-2"})
		r.finish()
		r.ok()
	})
}

// TestStatusOfRelays tells what waits, since when, and behind what.
func TestStatusOfRelays(t *testing.T) {
	run(t, replayed, func(r *rig) {
		f := r.start().feed()
		r.sink("out").refuse(func(id string) error {
			if id == "e-1" {
				return event.Poison(errRefused)
			}
			return nil
		})
		f.send(order("e-1", "a", 2), order("e-2", "b", 3)).is("committed committed")
		r.wait()
		s := r.daemon.Status().Pipelines[0].Relays[0]
		same(r, "at the head", [3]any{s.Lag, s.LagSeconds, s.Held}, [3]any{int64(0), 0.0, 1})
		same(r, "metric", r.counter("leat_relay_held_streams", "component", "out"), 1)
		if err := r.daemon.Pause(context.Background(), control.Pause{Pipeline: "p", Relay: "out"}); err != nil {
			t.Fatal(err)
		}
		f.send(order("e-3", "c", 4)).is("committed")
		sleepFor(time.Minute)
		f.send(order("e-4", "c", 5)).is("committed")
		s = r.daemon.Status().Pipelines[0].Relays[0]
		same(r, "behind", [3]any{s.Lag, s.LagSeconds, s.Paused}, [3]any{int64(2), 60.0, true})
		r.drain()
		r.ok()
	})
}
