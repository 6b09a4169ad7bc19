package pipeline

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
)

// TestSoftStopFinishesWhatIsInFlight: the router cancels the context of its messages the moment it is closed, and its
// stock poison queue then poisons them (watermill v1.5.1, craft: healthy messages are poisoned on every deploy). Ours
// finish on a context that the stop does not end.
func TestSoftStopFinishesWhatIsInFlight(t *testing.T) {
	for _, tt := range []struct{ name, yaml, outcome string }{
		{"without a log", noLog, "delivered"},
		{"a relay", forwarding(""), "committed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, tt.yaml, func(r *rig) {
				name := "a"
				if tt.outcome == "committed" {
					name = "out"
				}
				var cancelled error
				r.sink(name).failing(func(ctx context.Context, _ []event.Recorded) error {
					time.Sleep(4 * time.Second) // of work that the stop meets in the middle
					cancelled = ctx.Err()
					return ctx.Err()
				})
				sent := r.start().feed().send(order("e-1", "o", 1))
				r.wait()
				start := time.Now()
				r.drain()
				r.ok()
				sent.is(tt.outcome)
				if cancelled != nil || time.Since(start) != 4*time.Second {
					t.Errorf("the call was cut: %v, after %s", cancelled, time.Since(start))
				}
				same(r, "delivered", r.sink(name).ids(), []string{"e-1"})
				same(r, "parked", r.parked(), nil)
				if tt.outcome == "committed" {
					same(r, "checkpoint", r.relays(), []string{"p/out 1"})
				}
			})
		})
	}
}

// TestSoftStopWaitsForTheCommit: Handler.Stop and Stopped do not wait for messages in hand (watermill v1.5.1), the
// pipeline does.
func TestSoftStopWaitsForTheCommit(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		r.start()
		r.store.slow = 5 * time.Second
		sent := r.feed().send(order("e-1", "o-1", 1))
		r.wait()
		sent.isNow("pending")
		r.drain()
		r.ok()
		sent.is("committed")
		same(r, "log", len(r.logged()), 1)
	})
}

func TestDeadline(t *testing.T) {
	for _, tt := range []struct{ name, yaml, outcome string }{
		{"without a log", noLog, "released"},
		{"a relay", forwarding(""), "committed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, strings.Replace(tt.yaml, "    steps:", "    drain: 3s\n    steps:", 1), func(r *rig) {
				name := "a"
				if tt.outcome == "committed" {
					name = "out"
				}
				r.sink(name).failing(func(ctx context.Context, _ []event.Recorded) error {
					<-ctx.Done() // until it is cancelled
					return ctx.Err()
				})
				sent := r.start().feed().send(order("e-1", "o", 1))
				r.wait()
				start := time.Now()
				r.drain()
				r.ok()
				sent.is(tt.outcome)
				if d := time.Since(start); d < 3*time.Second || d > 4*time.Second {
					t.Errorf("it took %s", d)
				}
				same(r, "nothing is poisoned by a shutdown", r.parked(), nil)
			})
		})
	}
}

func TestHardStop(t *testing.T) {
	run(t, numbered("{ feed: { ordered: true } }", ""), func(r *rig) {
		r.sink("out").failing(func(ctx context.Context, _ []event.Recorded) error { <-ctx.Done(); return ctx.Err() })
		f := r.start().feed()
		first := f.send(order("e-1", "o", 1), order("e-3", "o", 3))
		second := f.send(order("e-4", "o", 4))
		r.wait()
		start := time.Now()
		r.die()
		first.is("committed released")
		second.is("released")
		if d := time.Since(start); d > time.Second {
			t.Errorf("it took %s", d)
		}
		same(r, "parked", r.parked(), nil)
	})
}

// TestHardStopWithASinkThatDoesNotHeed: the daemon ends all the same. No bubble: the router holds a lock while it waits,
// and time would stand still.
func TestHardStopWithASinkThatDoesNotHeed(t *testing.T) {
	was := closeTime
	closeTime = 20 * time.Millisecond
	defer func() { closeTime = was }()
	store := memory.Open(memory.Options{})
	r := newRig(t, forwarding(""), store)
	called, hang := make(chan struct{}), make(chan struct{})
	r.sink("out").failing(func(context.Context, []event.Recorded) error { close(called); <-hang; return nil })
	r.start().feed().send(order("e-1", "o", 1)).is("committed")
	<-called
	r.die()
	same(r, "checkpoint", r.relays(), []string{"p/out 0"})
	close(hang)
}

// TestRouterWithoutPatience has the router find that its handlers have not ended yet, as it does on a machine with much
// else to do: all that was to be done is done, and the run ends well.
func TestRouterWithoutPatience(t *testing.T) {
	was := routerTime
	routerTime = -1
	defer func() { routerTime = was }()
	for range 100 {
		r := newRig(t, forwarding(""), memory.Open(memory.Options{}))
		r.sink("out")
		r.start().feed().send(orders(3, 2)...).is("committed committed committed")
		r.drain()
		r.ok()
	}
}

func TestBackingOffIsReleased(t *testing.T) {
	run(t, strings.Replace(numbered("{ feed: {} }", ""), "initial: 100ms", "initial: 1h, max: 2h", 1), func(r *rig) {
		sent := r.start().feed().send(order("e-3", "o", 3))
		r.wait()
		start := time.Now()
		r.drain()
		r.ok()
		sent.is("released")
		if d := time.Since(start); d > time.Second {
			t.Errorf("the stop waited %s", d)
		}
	})
	run(t, forwarding(""), func(r *rig) {
		r.sink("out").failing(func(context.Context, []event.Recorded) error { return event.RetryAfter(time.Hour, errRefused) })
		r.start().feed().send(orders(2, 2)...).is("committed committed")
		r.wait()
		start := time.Now()
		r.drain()
		r.ok()
		if d := time.Since(start); d > time.Second {
			t.Errorf("the stop waited %s", d)
		}
	})
	run(t, forwarding("retry: { initial: 1h, max: 2h }"), func(r *rig) {
		r.sink("out").refuse(only("e-1", errRefused))
		r.start().feed().send(order("e-1", "o", 1)).is("committed")
		r.wait()
		start := time.Now()
		r.drain()
		r.ok()
		if d := time.Since(start); d > time.Second {
			t.Errorf("the stop waited %s", d)
		}
		same(r, "parked", r.parked(), []string{"out waiting sink 1 1"})
		r.sink("out").failing(nil)
		r.start().finish()
		same(r, "it comes again", r.sink("out").ids(), []string{"e-1"})
	})
}

func TestEndOfInput(t *testing.T) {
	run(t, forwarding("batch: { events: 1 }"), func(r *rig) {
		r.sink("out").failing(func(context.Context, []event.Recorded) error { time.Sleep(20 * time.Second); return nil })
		r.start().feed().send(orders(20, 1)...)
		s := r.finish() // slow, but it moves: there is no deadline
		r.ok()
		same(r, "undelivered", s.Undelivered, 0)
		same(r, "forwarded", len(r.sink("out").ids()), 20)
	})
	run(t, forwarding(""), func(r *rig) {
		r.sink("out").failing(func(context.Context, []event.Recorded) error { return event.Unavailable(0, errRefused) })
		r.start().feed().send(orders(3, 1)...)
		start := time.Now()
		s := r.finish()
		if !errors.Is(r.err, ErrUndelivered) || s.Undelivered != 3 {
			t.Errorf("ended with %v, %+v", r.err, s)
		}
		if d := time.Since(start); d > time.Minute {
			t.Errorf("it took %s", d)
		}
	})
}

func TestEndOfInputWithTheStoreDown(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		r.start()
		r.store.breaks(func(string) error { return eventstore.ErrUnavailable }, nil)
		sent := r.feed().send(order("e-1", "o", 1))
		r.finish()
		sent.is("released")
		if !errors.Is(r.err, ErrUndelivered) {
			t.Errorf("ended with %v", r.err)
		}
	})
}

// TestStopAfterTheEnd: a stop that comes while the relays finish ends that.
func TestStopAfterTheEnd(t *testing.T) {
	for _, yaml := range []string{forwarding(""), noLog} {
		run(t, strings.Replace(yaml, "    steps:", "    drain: 10m\n    steps:", 1), func(r *rig) {
			for _, name := range []string{"out", "a"} {
				r.sink(name).failing(func(context.Context, []event.Recorded) error { return event.Unavailable(0, errRefused) })
			}
			r.start().feed().send(order("e-1", "o", 1))
			r.feed().end()
			r.wait()
			start := time.Now()
			r.drain()
			r.ok()
			if d := time.Since(start); d > time.Second {
				t.Errorf("the stop waited %s", d)
			}
		})
	}
}

func TestSourceThatBreaksOff(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		r.start().feed().send(order("e-1", "o", 1)).is("committed")
		r.feed().fault = errRefused
		r.finish()
		if !errors.Is(r.err, errRefused) {
			t.Errorf("ended with %v", r.err)
		}
		same(r, "log", len(r.logged()), 1)
	})
}

func TestReadiness(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		if err := New(r.cfg, Options{}).Ready(); err == nil {
			t.Error("it is ready before it runs")
		}
		r.start()
		if err := r.daemon.Ready(); err != nil {
			t.Errorf("readiness says %v", err)
		}
		r.drain()
		if err := r.daemon.Ready(); err == nil {
			t.Error("it is ready after its end")
		}
	})
}

// TestStopsUnderLoad stops a busy pipeline again and again; nothing is lost, doubled or poisoned by it.
func TestStopsUnderLoad(t *testing.T) {
	run(t, strings.Replace(keepBig, "{ feed: { ordered: true, cursor: true } }", "{ feed: { ordered: true, cursor: true } }\n    drain: 2s", 1), func(r *rig) {
		slow := func(ctx context.Context, _ []event.Recorded) error { time.Sleep(time.Second); return nil }
		next, total := 0, 400
		for restart := 0; next < total; restart++ {
			r.sink("out").failing(slow)
			f := r.start().feed()
			f.offset = next
			for i := next; i < total; i += 10 {
				var bodies []string
				for j := i; j < i+10; j++ {
					bodies = append(bodies, order("e-"+itoa(j), "o-"+itoa(j%7), 1000))
				}
				f.send(bodies...)
				if i%30 == 0 {
					time.Sleep(time.Duration(restart*100) * time.Millisecond)
				}
				if restart < 20 && i > next+40 {
					break
				}
			}
			s := r.drain()
			r.ok()
			same(r, "poisoned", [2]int64{s.Poisoned, s.RelayPoisoned}, [2]int64{})
			next = 0
			if c := r.cursor(); c != "" {
				next = atoi(c)
			}
		}
		r.sink("out").failing(nil)
		r.start().finish()
		r.ok()
		same(r, "log", len(r.logged()), total)
		same(r, "forwarded", len(r.sink("out").ids()), total)
		same(r, "parked", r.parked(), nil)
	})
}
