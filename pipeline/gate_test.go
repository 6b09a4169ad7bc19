package pipeline

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/sources"
)

const narrow = `
pipelines:
  p:
    source: { feed: {} }
    limits: { events: 10, bytes: 1KiB }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
`

func TestBackPressureByEvents(t *testing.T) {
	run(t, narrow, func(r *rig) {
		r.start()
		r.store.slow = time.Second
		for _, b := range orders(100, 100) {
			r.feed().send(b)
		}
		for range 50 {
			sleepFor(100 * time.Millisecond)
			st := r.daemon.Status().Pipelines[0]
			if st.Flight > 10 || st.Received > st.Committed+11 {
				t.Fatalf("%d in flight of %d", st.Flight, st.Received)
			}
		}
		r.finish()
		r.ok()
		same(r, "log", len(r.logged()), 100)
	})
}

func TestBackPressureByBytes(t *testing.T) {
	run(t, narrow, func(r *rig) {
		r.start()
		r.store.slow = time.Second
		big := strings.Replace(order("e-big", "o", 1), `"shop"`, `"`+strings.Repeat("x", 3000)+`"`, 1)
		f := r.feed()
		first := f.send(orders(4, 4)...) // about 400 bytes
		alone := f.send(big)             // larger than the whole room
		last := f.send(order("e-9", "o", 1))
		r.wait()
		same(r, "in flight", r.daemon.Status().Pipelines[0].Flight, 4)
		sleepFor(time.Second)
		first.is("committed committed committed committed")
		same(r, "it passes alone", r.daemon.Status().Pipelines[0].Flight, 1)
		last.isNow("pending")
		alone.is("committed")
		last.is("committed")
		r.finish()
		r.ok()
	})
}

func TestNoRoomBeforeTheStop(t *testing.T) {
	run(t, narrow, func(r *rig) {
		r.start()
		r.store.slow = time.Second
		f := r.feed()
		first := f.send(orders(10, 10)...)
		refused := f.send(order("e-20", "o", 1), order("e-21", "o", 1))
		f.send(order("e-22", "o", 1))
		r.wait()
		s := r.drain()
		r.ok()
		first.is("committed" + strings.Repeat(" committed", 9))
		refused.is("released released")
		select {
		case <-refused.m.Nacked():
		default:
			t.Error("it was not given back")
		}
		same(r, "released", s.Released >= 2, true)
	})
}

// TestNothingPassesTheClosedGate: a small batch would fit where a larger one was refused, and would overtake it.
func TestNothingPassesTheClosedGate(t *testing.T) {
	for _, source := range []string{"{ feed: {} }", "{ feed: { ordered: true, cursor: true } }"} {
		run(t, strings.Replace(narrow, "{ feed: {} }", source, 1), func(r *rig) {
			r.start()
			r.store.slow = time.Second
			f := r.feed()
			first := f.send(orders(8, 8)...)
			refused := f.send(orders(5, 5)...)
			r.wait()
			small := f.afterStop(r, order("e-99", "o", 1))
			r.join()
			r.ok()
			first.is("committed" + strings.Repeat(" committed", 7))
			refused.is("released" + strings.Repeat(" released", 4))
			small.is("released")
		})
	}
}

// TestGateBoundsGoroutines shows the router's fault first (watermill v1.5.1, message/router.go:670: a goroutine for
// every message, as many as the subscriber lets out), then the gate's bound.
func TestGateBoundsGoroutines(t *testing.T) {
	for _, tt := range []struct {
		name       string
		gated      bool
		busy, more int64
	}{
		{"the router alone", false, 500, 0},
		{"behind the gate", true, 5, 495},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
				if err != nil {
					t.Fatal(err)
				}
				f := newFeed(t, feedConfig{})
				var source message.Subscriber = f
				room := newRoom(5, 1<<20, func(int, int) {})
				if tt.gated {
					source = &gate{src: f, pull: t.Context(), hard: t.Context(), room: room, flight: &flight{}, ended: make(chan struct{}),
						taken: func(*event.Batch) {}, refused: func(*event.Batch) {}}
				}
				var busy atomic.Int64
				release := make(chan struct{})
				router.AddConsumerHandler("h", "", source, func(m *message.Message) error {
					busy.Add(1)
					<-release
					if tt.gated {
						p := passageOf(m)
						p.pass()
						room.give(len(p.batch.Events), p.batch.Size())
					}
					return nil
				})
				for range 500 {
					f.send("{}")
				}
				f.end()
				go router.Run(context.Background())
				synctest.Wait()
				if n := busy.Load(); n != tt.busy {
					t.Errorf("%d goroutines at work, want %d", n, tt.busy)
				}
				close(release)
				synctest.Wait()
				if n := busy.Load(); n != tt.busy+tt.more {
					t.Errorf("%d messages handled", n)
				}
			})
		})
	}
}

// TestStockMiddlewares shows what we guard against: at a close the router cancels the messages in hand, and the stock
// poison queue takes that for the message's fault (watermill v1.5.1, router.go:392 and middleware/poison.go:75). The
// engine uses neither: see TestSoftStopFinishesWhatIsInFlight.
func TestStockMiddlewares(t *testing.T) {
	poisoned := &publisher{}
	queue, err := middleware.PoisonQueue(poisoned, "poison")
	if err != nil {
		t.Fatal(err)
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	router.AddMiddleware(queue)
	in := make(chan struct{})
	router.AddConsumerHandler("h", "", contextual{}, func(m *message.Message) error {
		close(in)
		<-m.Context().Done()
		return m.Context().Err()
	})
	go router.Run(context.Background())
	<-in
	if err := router.Close(); err != nil {
		t.Fatal(err)
	}
	if len(poisoned.got) != 1 || poisoned.closed != 0 {
		t.Errorf("%d healthy messages poisoned: the fault is gone upstream", len(poisoned.got))
	}
}

// contextual is a subscriber as Watermill's own are: its messages end with the subscription.
type contextual struct{}

func (contextual) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		m := message.NewMessage("1", nil)
		m.SetContext(ctx)
		out <- m
		<-ctx.Done()
	}()
	return out, nil
}

func (contextual) Close() error { return nil }

type publisher struct {
	got    []*message.Message
	closed int
}

func (p *publisher) Publish(_ string, m ...*message.Message) error {
	p.got = append(p.got, m...)
	return nil
}
func (p *publisher) Close() error { p.closed++; return nil }

// TestPlainSubscriber: a message of any Watermill subscriber is a batch of one; nil metadata panics in Watermill's own
// middlewares (v1.5.1, message.go), not here; it is acked when it is settled and nacked when it is released.
func TestPlainSubscriber(t *testing.T) {
	run(t, numbered("{ feed: { keyed: true } }", ""), func(r *rig) {
		sub := make(plain)
		r.o.OpenSource = func(context.Context, config.Plugin, sources.Env) (sources.Source, error) { return sub, nil }
		r.start()
		send := func(m *message.Message) *message.Message { sub <- m; return m }
		first := send(&message.Message{UUID: "u-1", Payload: []byte(`{"source":"s","detail-type":"T","detail":{"order_id":"o","amount":1}}`)}) // no metadata, no channels
		r.wait()
		second := send(message.NewMessage("u-2", []byte(order("e-2", "o", 2))))
		r.wait()
		again := send(message.NewMessage("u-1", first.Payload))
		bad := send(message.NewMessage("u-3", []byte("no json")))
		early := send(message.NewMessage("u-4", []byte(order("e-4", "o", 4))))
		r.wait()
		for what, m := range map[string]*message.Message{"committed": second, "duplicate": again, "poisoned": bad} {
			select {
			case <-m.Acked():
			default:
				t.Errorf("a message that is %s is not acked", what)
			}
		}
		s := r.drain()
		r.ok()
		select {
		case <-early.Nacked():
		default:
			t.Error("a released message is not nacked")
		}
		same(r, "counted", []int64{s.Received, s.Committed, s.Duplicate, s.Poisoned, s.Released}, []int64{5, 2, 1, 1, 1})
		same(r, "key", r.entries()[0].Key, "u-3")
		same(r, "stream", len(r.stream("order/o")), 2)
	})
}

type plain chan *message.Message

func (p plain) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for {
			select {
			case m := <-p:
				select {
				case out <- m:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (p plain) Close() error { return nil }

func TestChunks(t *testing.T) {
	for _, tt := range []struct {
		sizes         []int
		events, bytes int
		want          string
	}{
		{nil, 2, 10, "[]"},
		{[]int{1, 1, 1}, 2, 10, "[2 1]"},
		{[]int{4, 4, 4}, 9, 10, "[2 1]"},
		{[]int{40, 4, 4}, 9, 10, "[1 2]"},
		{[]int{4, 40, 4}, 9, 10, "[1 1 1]"},
	} {
		items := make([]steps.Item, len(tt.sizes))
		for i, n := range tt.sizes {
			items[i].Event.Raw = make([]byte, n)
		}
		var got []int
		for _, c := range chunks(items, tt.events, tt.bytes) {
			got = append(got, len(c))
		}
		if s := fmt.Sprint(got); s != tt.want {
			t.Errorf("%v by %d and %d: %s, want %s", tt.sizes, tt.events, tt.bytes, s, tt.want)
		}
	}
}
