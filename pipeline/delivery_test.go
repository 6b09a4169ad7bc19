package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
)

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// forwarding is a pipeline with one relay to the sink "out"; frame stands beside its forward.
func forwarding(frame string) string {
	return `
pipelines:
  p:
    source: { feed: { ordered: true } }
    retry: { attempts: 3, initial: 100ms, max: 1s, timeout: 5s }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - name: out
        ` + frame + `
        forward: { catch: { name: out } }
`
}

func only(id string, err error) func(string) error {
	return func(got string) error {
		if got == id {
			return err
		}
		return nil
	}
}

func TestPartialFailure(t *testing.T) {
	run(t, forwarding(""), func(r *rig) {
		tries := 0
		r.sink("out").refuse(func(id string) error {
			if id == "e-2" {
				if tries++; tries < 3 {
					return errRefused
				}
			}
			return nil
		})
		r.start().feed().send(orders(4, 4)...)
		s := r.finish()
		r.ok()
		same(r, "only what failed comes again", r.sink("out").said(), []string{"e-1 !e-2 e-3 e-4", "!e-2", "e-2"})
		same(r, "forwarded", s.Forwarded, 4)
	})
}

// TestPartialFailureKeepsOrder: what is behind a failed event of its stream is not sent together with it again, and not
// at all once that is parked.
func TestPartialFailureKeepsOrder(t *testing.T) {
	for _, tt := range []struct {
		name, yaml string
		heals      int // the attempt of e-1 that goes through
		calls      []string
		parked     []string
	}{
		{"a sink that says so", "in_part: true", 3, []string{"!e-1 e-2", "e-4", "!e-1", "e-1", "e-3", "e-5"}, nil},
		{"a sink that says so, poisoned", "in_part: true", 9, []string{"!e-1 e-2", "e-4", "!e-1", "!e-1"},
			[]string{"out parked sink 1 3", "out held held 3 0", "out held held 5 0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, strings.Replace(forwarding(""), "name: out }", "name: out, "+tt.yaml+" }", 1), func(r *rig) {
				tries := 0
				r.sink("out").refuse(func(id string) error {
					if id == "e-1" {
						if tries++; tries < tt.heals {
							return errRefused
						}
					}
					return nil
				})
				r.start().feed().send(order("e-1", "a", 1), order("e-2", "b", 1), order("e-3", "a", 1), order("e-4", "b", 1), order("e-5", "a", 1))
				r.finish()
				r.ok()
				same(r, "calls", r.sink("out").said(), tt.calls)
				same(r, "parked", r.parked(), tt.parked)
			})
		})
	}
}

func TestWholeCallFailureFindsTheCulprit(t *testing.T) {
	run(t, forwarding(""), func(r *rig) {
		r.sink("out").refuseCall("e-2", errRefused)
		r.start().feed().send(orders(4, 2)...) // e-2 and e-4 share a stream
		s := r.finish()
		r.ok()
		same(r, "calls", r.sink("out").said(), []string{"!e-1 !e-2 !e-3 !e-4", "e-1", "!e-2", "e-3", "!e-2", "!e-2"})
		same(r, "parked", r.parked(), []string{"out parked sink 2 3", "out held held 4 0"})
		same(r, "counted", [2]int64{s.Forwarded, s.RelayPoisoned}, [2]int64{2, 1})
	})
}

func TestPoisonIsNotRetried(t *testing.T) {
	run(t, forwarding(""), func(r *rig) {
		r.sink("out").refuse(only("e-2", event.PoisonAs("http_422", errRefused)))
		r.start().feed().send(orders(3, 3)...)
		r.finish()
		same(r, "calls", r.sink("out").said(), []string{"e-1 !e-2 e-3"})
		same(r, "parked", r.parked(), []string{"out parked http_422 2 1"})
	})
}

func TestSkipIsFiltered(t *testing.T) {
	run(t, forwarding(""), func(r *rig) {
		r.sink("out").refuse(only("e-2", event.Skip("not ours")))
		r.start().feed().send(orders(3, 3)...)
		s := r.finish()
		same(r, "forwarded", s.Forwarded, 2)
		same(r, "parked", r.parked(), nil)
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for _, whole := range []bool{false, true} {
		t.Run(fmt.Sprintf("whole call %t", whole), func(t *testing.T) {
			run(t, forwarding(""), func(r *rig) {
				tries := 0
				start := time.Now()
				fail := func(id string) error {
					if id != "" && id != "e-1" {
						return nil
					}
					if tries++; tries == 1 {
						return event.RetryAfter(time.Minute, errRefused)
					}
					if time.Since(start) < time.Minute {
						t.Error("it came again too early")
					}
					return nil
				}
				r.start()
				if whole {
					r.sink("out").failing(func(_ context.Context, b []event.Recorded) error { return fail("") })
				} else {
					r.sink("out").refuse(fail)
				}
				r.feed().send(orders(2, 2)...)
				sleepFor(2 * time.Minute)
				r.finish()
				r.ok()
				same(r, "forwarded", len(r.sink("out").ids()), 2)
			})
		})
	}
}

func TestOutage(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
	}{
		{"down", event.Unavailable(0, errRefused)},
		{"throttled", event.Unavailable(time.Minute, errRefused)},
		{"out of time", context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, forwarding(""), func(r *rig) {
				r.sink("out").failing(func(context.Context, []event.Recorded) error { return tt.err })
				f := r.start().feed()
				f.send(orders(3, 1)...).is("committed committed committed")
				sleepFor(time.Hour)
				if err := r.daemon.Ready(); err == nil || !strings.Contains(err.Error(), "relay out") {
					t.Errorf("readiness says %v", err)
				}
				if st := r.daemon.Status().Pipelines[0].Relays[0]; st.Outage == "" || st.Lag != 3 {
					t.Errorf("status %+v", st)
				}
				f.send(order("e-9", "o-9", 1)).is("committed") // the intake goes on
				same(r, "parked", r.parked(), nil)
				r.sink("out").failing(nil)
				sleepFor(time.Hour)
				if err := r.daemon.Ready(); err != nil {
					t.Errorf("readiness says %v", err)
				}
				r.finish()
				r.ok()
				same(r, "forwarded", r.sink("out").ids(), []string{"e-1", "e-2", "e-3", "e-9"})
			})
		})
	}
}

func TestThrottledEntriesCountNoAttempts(t *testing.T) {
	run(t, forwarding(""), func(r *rig) {
		tries := 0
		r.sink("out").refuse(func(id string) error {
			if id == "e-2" {
				if tries++; tries < 20 {
					return event.Unavailable(0, errRefused)
				}
			}
			return nil
		})
		r.start().feed().send(orders(3, 3)...)
		sleepFor(time.Hour)
		r.finish()
		r.ok()
		same(r, "forwarded", r.sink("out").ids(), []string{"e-1", "e-3", "e-2"})
		same(r, "parked", r.parked(), nil)
	})
}

func TestOutagePoison(t *testing.T) {
	run(t, forwarding("retry: { outage: poison }"), func(r *rig) {
		r.sink("out").failing(func(context.Context, []event.Recorded) error { return event.Unavailable(0, errRefused) })
		r.start().feed().send(orders(2, 2)...)
		r.finish()
		r.ok()
		same(r, "parked", r.parked(), []string{"out parked sink 1 3", "out parked sink 2 3"})
	})
}

func TestTimeout(t *testing.T) {
	run(t, forwarding("retry: { outage: poison, timeout: 2s }"), func(r *rig) {
		r.sink("out").failing(func(ctx context.Context, _ []event.Recorded) error {
			<-ctx.Done()
			return ctx.Err()
		})
		r.start().feed().send(order("e-1", "o", 1))
		r.finish()
		same(r, "parked", r.parked(), []string{"out parked timeout 1 3"})
	})
}

func TestPanicInASink(t *testing.T) {
	run(t, forwarding(""), func(r *rig) {
		r.sink("out").failing(func(_ context.Context, b []event.Recorded) error {
			if slices.Contains(ids(b), "e-2") {
				panic("no such index")
			}
			return nil
		})
		r.start().feed().send(orders(3, 3)...)
		r.finish()
		r.ok()
		same(r, "parked", r.parked(), []string{"out parked panic 2 3"})
		if e := r.entries()[0]; !strings.Contains(e.Stack, "delivery_test.go") || !strings.Contains(e.Reason, "no such index") {
			t.Errorf("reason %q, stack %q", e.Reason, e.Stack)
		}
	})
}

func TestRelaysDoNotWaitForEachOther(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: orders, key: { order_id: data.order_id }, add: { total: data.amount } }
      - forward: { catch: { name: down } }
      - forward: { catch: { name: up } }
`, func(r *rig) {
		r.sink("down").failing(func(context.Context, []event.Recorded) error { return event.Unavailable(0, errRefused) })
		r.start().feed().send(orders(3, 1)...).is("committed committed committed")
		sleepFor(time.Hour)
		same(r, "up", r.sink("up").ids(), []string{"e-1", "e-2", "e-3"})
		same(r, "rows", r.rows("orders"), []string{"o-0 6"})
		s := r.finish()
		if !errors.Is(r.err, ErrUndelivered) || s.Undelivered != 3 {
			t.Errorf("ended with %v, %+v", r.err, s)
		}
		r.sink("down").failing(nil)
		r.start().finish()
		r.ok()
		same(r, "down", r.sink("down").ids(), []string{"e-1", "e-2", "e-3"})
		same(r, "up", r.sink("up").ids(), []string{"e-1", "e-2", "e-3"})
	})
}

func TestBatchLimits(t *testing.T) {
	run(t, forwarding("batch: { events: 2 }"), func(r *rig) {
		r.start().feed().send(orders(5, 5)...)
		r.finish()
		same(r, "calls", r.sink("out").said(), []string{"e-1 e-2", "e-3 e-4", "e-5"})
	})
	run(t, forwarding("batch: { bytes: 1KiB }"), func(r *rig) {
		big := strings.Replace(order("e-2", "o", 1), `"shop"`, `"`+strings.Repeat("x", 2000)+`"`, 1)
		r.start().feed().send(order("e-1", "o", 1), big, order("e-3", "o", 1))
		r.finish()
		same(r, "calls", r.sink("out").said(), []string{"e-1", "e-2", "e-3"})
	})
}

func TestBatchWait(t *testing.T) {
	run(t, forwarding("batch: { events: 4, wait: 10s }"), func(r *rig) {
		f := r.start().feed()
		f.send(order("e-1", "o", 1))
		sleepFor(9 * time.Second)
		f.send(order("e-2", "o", 1))
		r.wait()
		same(r, "it waits", r.sink("out").said(), nil)
		sleepFor(2 * time.Second)
		same(r, "until the first has waited long enough", r.sink("out").said(), []string{"e-1 e-2"})
		f.send(orders(4, 4)...)
		r.wait()
		same(r, "or the batch is full", len(r.sink("out").said()), 1)
		f.send(order("e-9", "o", 1))
		start := time.Now()
		r.finish()
		r.ok()
		if time.Since(start) > time.Second {
			t.Errorf("the end of the input waited %s for more", time.Since(start))
		}
		if got := r.sink("out").ids(); got[len(got)-1] != "e-9" {
			t.Errorf("got %q", got)
		}
	})
}

func TestRate(t *testing.T) {
	run(t, forwarding("limits: { rate: 10 }"), func(r *rig) {
		start := time.Now()
		r.start().feed().send(orders(50, 50)...)
		r.finish()
		r.ok()
		if d := time.Since(start); d < 3900*time.Millisecond || d > 5*time.Second {
			t.Errorf("50 events at 10 a second took %s", d)
		}
		same(r, "calls are no larger than a second's worth", r.sink("out").said()[0], "e-1 e-2 e-3 e-4 e-5 e-6 e-7 e-8 e-9 e-10")
	})
	run(t, forwarding("limits: { rate: 0.001 }"), func(r *rig) {
		r.start().feed().send(orders(5, 5)...).outcomes()
		r.wait()
		start := time.Now()
		r.drain() // does not wait for its turn
		r.ok()
		if time.Since(start) > time.Second {
			t.Errorf("the stop waited %s", time.Since(start))
		}
	})
}

func TestParallel(t *testing.T) {
	run(t, forwarding("limits: { parallel: 4 }\n        batch: { events: 2 }"), func(r *rig) {
		r.sink("out").failing(func(context.Context, []event.Recorded) error { time.Sleep(time.Second); return nil })
		bodies := orders(200, 20)
		r.start().feed().send(bodies...)
		r.finish()
		r.ok()
		if most := r.sink("out").most; most < 2 || most > 4 {
			t.Errorf("%d calls at a time", most)
		}
		seen := map[event.Stream]int64{}
		for _, e := range r.sink("out").got {
			if e.Revision != seen[e.Stream]+1 {
				t.Fatalf("%s: %d came behind %d", e.Stream, e.Revision, seen[e.Stream])
			}
			seen[e.Stream]++
		}
		same(r, "forwarded", len(r.sink("out").got), 200)
	})
}

func TestParallelHolds(t *testing.T) {
	run(t, forwarding("limits: { parallel: 4 }\n        batch: { events: 3 }"), func(r *rig) {
		r.sink("out").refuseCall("e-3", event.Poison(errRefused))
		r.start().feed().send(orders(12, 4)...)
		r.finish()
		r.ok()
		same(r, "parked", r.parked(), []string{"out parked poison 3 1", "out held held 7 0", "out held held 11 0"})
		same(r, "forwarded", len(r.sink("out").got), 9)
	})
}

func TestSinksAreClosedOnce(t *testing.T) {
	run(t, forwarding(""), func(r *rig) {
		r.start().finish()
		same(r, "closed", r.sink("out").closed, 1)
		same(r, "source closed", r.feed().closed, true)
	})
}
