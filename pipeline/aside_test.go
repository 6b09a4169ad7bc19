package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
)

// waitingStep is a relay with a handler in front of its target, which the test makes fail.
func waitingStep(hold, target string) string {
	return `
pipelines:
  p:
    source: { feed: { ordered: true } }
    poison: { hold: ` + hold + ` }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - name: own
        handle: { stub: { name: h } }
        retry: { attempts: 4, initial: 1m, max: 1m, timeout: 10s }
      - ` + target + `
`
}

// fails is a handler that fails for some ids, and counts its calls.
type fails struct {
	mu    sync.Mutex
	why   map[string]error
	calls map[string]int
}

func (f *fails) handle(_ context.Context, e event.Recorded) ([]handlers.Emitted, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[e.ID]++
	if err := f.why[e.ID]; err != nil {
		return nil, err
	}
	return handlers.Events(e.Event), nil
}

func (f *fails) set(why map[string]error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.why = why
}

func (f *fails) of(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[id]
}

// Other streams pass one that waits for another attempt, in sinks and tables, with a restart while it waits; a stream's own
// events stay in their order.
func TestOtherStreamsPass(t *testing.T) {
	for _, hold := range []string{"stream", "none"} {
		for _, restart := range []bool{false, true} {
			for _, why := range []error{errRefused, event.Unavailable(0, errRefused)} {
				t.Run(fmt.Sprintf("%s restart=%t %v", hold, restart, why), func(t *testing.T) {
					run(t, waitingStep(hold, "forward: { catch: { name: out } }\n      - project: { table: t, key: { s: data.order_id }, set: { last: id }, add: { n: 1 } }"), func(r *rig) {
						h := &fails{why: map[string]error{"e-1": why}}
						r.handle["h"] = h.handle
						r.start().feed().send(mixed()...).outcomes()
						r.wait()
						same(r, "others pass", r.sink("out").ids(), []string{"e-2", "e-4"})
						same(r, "rows", r.rows("t"), []string{"b e-4 2"})
						if h.of("e-3") > 0 {
							t.Error("an event was tried before the one in front of it")
						}
						if restart {
							r.drain()
							r.ok()
							r.start()
							r.wait()
							same(r, "after the restart", r.sink("out").ids(), []string{"e-2", "e-4"})
						}
						same(r, "readiness", r.daemon.Ready(), nil)
						h.set(nil)
						sleepFor(2 * time.Minute)
						same(r, "in order", r.sink("out").ids(), []string{"e-2", "e-4", "e-1", "e-3", "e-5"})
						same(r, "rows", r.rows("t"), []string{"a e-5 3", "b e-4 2"})
						same(r, "parked", r.parked(), nil)
						r.feed().send(order("e-6", "a", 6))
						s := r.finish()
						r.ok()
						same(r, "behind it", r.sink("out").ids()[5:], []string{"e-6"})
						same(r, "left", [2]int64{s.Undelivered, s.RelayPoisoned}, [2]int64{0, 0})
					})
				})
			}
		}
	}
}

// Attempts count over restarts; the last one parks the event, and then `hold` says what becomes of those behind it.
func TestAttemptsOfWhatWaits(t *testing.T) {
	for _, tt := range []struct {
		hold string
		sent []string
		left []string
	}{
		{"stream", []string{"e-2", "e-4"}, []string{"forward catch out parked handler 1 4", "forward catch out held held 3 0", "forward catch out held held 5 0"}},
		{"none", []string{"e-2", "e-4", "e-3", "e-5"}, []string{"forward catch out parked handler 1 4"}},
	} {
		t.Run(tt.hold, func(t *testing.T) {
			run(t, waitingStep(tt.hold, "forward: { catch: { name: out } }"), func(r *rig) {
				h := &fails{why: map[string]error{"e-1": errRefused}}
				r.handle["h"] = h.handle
				r.start().feed().send(mixed()...).outcomes()
				r.wait()
				same(r, "first", r.parked()[0], "forward catch out waiting handler 1 1")
				r.drain()
				r.start().wait() // tries at once: the time of the next attempt is not kept
				same(r, "second", r.parked()[0], "forward catch out waiting handler 1 2")
				sleepFor(time.Hour)
				same(r, "calls", h.of("e-1"), 4)
				same(r, "parked", r.parked(), tt.left)
				same(r, "sent", r.sink("out").ids(), tt.sent)
				s := r.finish()
				r.ok()
				same(r, "poisoned", s.RelayPoisoned, 1)
			})
		})
	}
}

// With hold: pipeline nothing passes, waiting or parked.
func TestNothingPassesWhereThePipelineHolds(t *testing.T) {
	run(t, waitingStep("pipeline", "forward: { catch: { name: out } }"), func(r *rig) {
		h := &fails{why: map[string]error{"e-1": errRefused}}
		r.handle["h"] = h.handle
		r.start().feed().send(mixed()...).outcomes()
		sleepFor(20 * time.Second)
		same(r, "sent", r.sink("out").ids(), []string{})
		h.set(nil)
		sleepFor(2 * time.Minute)
		r.finish()
		r.ok()
		same(r, "sent", r.sink("out").ids(), []string{"e-1", "e-2", "e-3", "e-4", "e-5"})
	})
}

// What is down for everybody stalls the relay after a few events, and readiness says so: the log is not copied away.
func TestDownForAll(t *testing.T) {
	run(t, waitingStep("stream", "forward: { catch: { name: out } }"), func(r *rig) {
		h := &fails{why: map[string]error{}}
		for i := range 50 {
			h.why["e-"+itoa(i+1)] = event.Unavailable(0, errRefused)
		}
		r.handle["h"] = h.handle
		r.start().feed().send(orders(50, 50)...).outcomes()
		sleepFor(10 * time.Minute)
		if n := len(r.parked()); n > maxDown {
			t.Errorf("%d events are set aside", n)
		}
		if h.of("e-50") > 0 || r.daemon.Ready() == nil {
			t.Errorf("the relay goes on; ready: %v", r.daemon.Ready())
		}
		h.set(nil)
		sleepFor(2 * time.Minute)
		r.finish()
		r.ok()
		got := r.sink("out").ids()
		slices.Sort(got)
		same(r, "all are sent once", len(slices.Compact(got)), 50)
		same(r, "parked", r.parked(), nil)
	})
}

// Where every event fails, the relay stops reading before the log is in the poison table.
func TestBoundOfWhatIsSetAside(t *testing.T) {
	yaml := strings.Replace(waitingStep("stream", "forward: { catch: { name: out } }\n        batch: { events: 20 }"), "initial: 1m, max: 1m", "initial: 10h, max: 10h", 1)
	run(t, yaml, func(r *rig) {
		h := &fails{why: map[string]error{}}
		for i := range 1000 {
			h.why["e-"+itoa(i+1)] = errRefused
		}
		r.handle["h"] = h.handle
		f := r.start().feed()
		for _, bodies := range [][]string{orders(1000, 1000)[:500], orders(1000, 1000)[500:]} {
			f.send(bodies...).outcomes()
		}
		sleepFor(time.Hour)
		if n := len(r.parked()); n < maxAside || n > maxAside+20 {
			t.Errorf("%d events are set aside", n)
		}
		same(r, "held", r.daemon.Status().Pipelines[0].Relays[0].Held, len(r.parked()))
		r.drain()
		h.set(nil)
		s := r.start().finish()
		r.ok()
		same(r, "sent", len(r.sink("out").ids()), 1000)
		same(r, "left", s.Undelivered, 0)
	})
}

// What waits can be given up, or sent again at once.
func TestHandOnWhatWaits(t *testing.T) {
	for _, drop := range []bool{true, false} {
		t.Run(fmt.Sprintf("drop %t", drop), func(t *testing.T) {
			run(t, waitingStep("stream", "forward: { catch: { name: out } }"), func(r *rig) {
				h := &fails{why: map[string]error{"e-1": event.RetryAfter(24*time.Hour, errRefused)}}
				r.handle["h"] = h.handle
				r.start().feed().send(mixed()...).outcomes()
				r.wait()
				f := poison.Filter{States: []poison.State{poison.Waiting}}
				want := []string{"e-2", "e-4", "e-3", "e-5"}
				if drop {
					if n, err := r.daemon.DropPoison(context.Background(), "main", f); n != 1 || err != nil {
						t.Fatalf("dropped %d: %v", n, err)
					}
				} else {
					h.set(nil)
					r.again(f)
					want = []string{"e-2", "e-4", "e-1", "e-3", "e-5"}
				}
				r.wait()
				same(r, "sent", r.sink("out").ids(), want)
				r.finish()
				r.ok()
				same(r, "parked", r.parked(), nil)
			})
		})
	}
}

// The end of the input waits for what was set aside as long as its attempts go on, and says what is left.
func TestEndWaitsForWhatWaits(t *testing.T) {
	run(t, waitingStep("stream", "forward: { catch: { name: out } }"), func(r *rig) {
		h := &fails{why: map[string]error{"e-1": event.RetryAfter(24*time.Hour, errRefused)}}
		r.handle["h"] = h.handle
		r.start().feed().send(mixed()...)
		s := r.finish()
		if !errors.Is(r.err, ErrUndelivered) || s.Undelivered != 3 {
			t.Errorf("ended with %v, %+v", r.err, s)
		}
		h.set(nil)
		s = r.start().finish()
		r.ok()
		same(r, "left", s.Undelivered, 0)
		same(r, "sent", r.sink("out").ids(), []string{"e-2", "e-4", "e-1", "e-3", "e-5"})
	})
}

// An event that gives several to its sink has its attempts in its place: another would send again what went through.
func TestSeveralOfOneEvent(t *testing.T) {
	run(t, strings.Replace(forwarding(""), "      - name: out", "      - split: { each: data.parts }\n      - name: out", 1), func(r *rig) {
		tries := 0
		r.sink("out").failing(func(_ context.Context, b []event.Recorded) error {
			failed := map[int]error{}
			for i := range b {
				if strings.Contains(string(b[i].Data), "bad") {
					if tries++; tries < 3 {
						failed[i] = errRefused
					}
				}
			}
			if len(failed) == 0 {
				return nil
			}
			return &event.BatchError{Failed: failed}
		})
		body := strings.Replace(order("e-1", "a", 1), `"amount":1`, `"parts":[{"n":"1"},{"n":"bad"},{"n":"3"}]`, 1)
		r.start().feed().send(body)
		r.finish()
		r.ok()
		same(r, "parked", r.parked(), nil)
		same(r, "tries", tries, 3)
	})
}

// A pause keeps what is set aside, and a resumed relay goes on with it.
func TestPausedWhileItWaits(t *testing.T) {
	run(t, waitingStep("stream", "forward: { catch: { name: out } }"), func(r *rig) {
		h := &fails{why: map[string]error{"e-1": errRefused}}
		r.handle["h"] = h.handle
		r.start().feed().send(mixed()...).outcomes()
		r.wait()
		rel := r.pipe().relays[0]
		rel.pause(true)
		h.set(nil)
		sleepFor(time.Hour)
		same(r, "paused", r.sink("out").ids(), []string{"e-2", "e-4"})
		rel.pause(false)
		r.wait()
		same(r, "resumed", r.sink("out").ids(), []string{"e-2", "e-4", "e-1", "e-3", "e-5"})
		r.finish()
		r.ok()
	})
}

// A kill at any write leaves each event in the sink, and each effect in the table once.
func TestKilledWhileItWaits(t *testing.T) {
	for at := 1; at < 24; at++ {
		t.Run(itoa(at), func(t *testing.T) {
			run(t, waitingStep("stream", "forward: { catch: { name: out } }\n      - project: { table: t, key: { s: data.order_id }, set: { last: id }, add: { n: 1 } }"), func(r *rig) {
				h := &fails{why: map[string]error{"e-1": errRefused}}
				r.handle["h"] = h.handle
				var mu sync.Mutex
				n := 0
				kill := func(call string) error {
					mu.Lock()
					defer mu.Unlock()
					if call != "advance" && call != "apply" {
						return nil
					}
					if n++; n == at/2 {
						r.kill()
						return context.Canceled
					}
					return nil
				}
				if at%2 == 0 {
					r.store.breaks(kill, nil)
				} else {
					r.store.breaks(nil, kill) // it went through, and nobody knows
				}
				r.start().feed().send(mixed()...)
				sleepFor(90 * time.Second)
				h.set(nil)
				sleepFor(10 * time.Minute)
				r.die()
				r.store.breaks(nil, nil)
				r.start().finish()
				r.ok()
				same(r, "rows", r.rows("t"), []string{"a e-5 3", "b e-4 2"})
				same(r, "parked", r.parked(), nil)
				var first []string
				for _, id := range r.sink("out").ids() {
					if !slices.Contains(first, id) {
						first = append(first, id)
					}
				}
				for _, s := range [][]string{{"e-1", "e-3", "e-5"}, {"e-2", "e-4"}} {
					in := slices.DeleteFunc(slices.Clone(first), func(id string) bool { return !slices.Contains(s, id) })
					same(r, "order", in, s)
				}
			})
		})
	}
}
