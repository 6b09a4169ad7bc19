package watermill_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sourcetest"
	source "github.com/leatdev/leat/sources/watermill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// channel is a gochannel as an origin: it hands out one message after another, each when the one before is acked, and a
// message that is nacked at once again.
type channel struct{ *gochannel.GoChannel }

func (c channel) Publish(t testing.TB, bodies []string) {
	t.Helper()
	for _, b := range bodies {
		if err := c.GoChannel.Publish("orders", message.NewMessage(watermill.NewUUID(), []byte(b))); err != nil {
			t.Error(err)
		}
	}
}

func (c channel) Open(_ testing.TB, env sources.Env) sources.Source {
	return source.New(source.Shared(c.GoChannel), "orders", env)
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Features{Live: true, Endless: true, Unordered: true}, func(t *testing.T) sourcetest.Origin {
		c := gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 1000}, watermill.NopLogger{})
		t.Cleanup(func() { _ = c.Close() })
		return channel{c}
	})
}

// fake is a subscriber that sends what it is told, without waiting for acks.
type fake struct {
	out    chan *message.Message
	ctx    context.Context
	topic  string
	closed int
	err    error
}

func (f *fake) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	f.ctx, f.topic = ctx, topic
	return f.out, f.err
}

func (f *fake) Close() error {
	f.closed++
	if f.closed == 1 && f.out != nil {
		close(f.out)
	}
	return nil
}

// Traits shows that a subscriber's own traits are the source's.
func (f *fake) Traits() sources.Traits { return sources.Traits{Ordered: true} }

func msg(uuid, body string) *message.Message {
	m := message.NewMessage(uuid, []byte(body))
	m.Metadata.Set("tenant", uuid)
	m.Metadata.Set("empty", "")
	return m
}

func TestMessagesThatAreThereTravelTogether(t *testing.T) {
	f := &fake{out: make(chan *message.Message, 10)}
	s := source.New(f, "orders", sources.Env{MaxEvents: 3, MaxBytes: 100, MaxEventSize: 40})
	all := []*message.Message{msg("1", "a"), msg("2", "b"), msg("3", "c"), msg("4", string(make([]byte, 50)))}
	for _, m := range all {
		f.out <- m
	}
	msgs, err := s.Subscribe(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	b := event.FromMessage(<-msgs)
	if len(b.Events) != 3 || b.Key(1) != "2" || string(b.Events[1].Raw) != "b" || string(b.Events[1].Metadata) != `{"tenant":"2"}` || b.Bytes != 3 {
		t.Errorf("%d events of %d bytes, the second %q %s with key %s", len(b.Events), b.Bytes, b.Events[1].Raw, b.Events[1].Metadata, b.Key(1))
	}
	for i, o := range []event.Outcome{event.Committed, event.Released, event.Poisoned} {
		b.Settle(i, o, nil)
		acked, nacked := isClosed(all[i].Acked()), isClosed(all[i].Nacked())
		if acked != (o != event.Released) || nacked == acked {
			t.Errorf("%s: acked %t, nacked %t", o, acked, nacked)
		}
	}
	if b = event.FromMessage(<-msgs); len(b.Events) != 1 || len(b.Events[0].Raw) != 41 {
		t.Errorf("%d events, the first of %d bytes; want one, cut to one more than the limit", len(b.Events), len(b.Events[0].Raw))
	}
	b.Settle(0, event.Committed, nil)
	if !s.Traits().Ordered || f.topic != "orders" {
		t.Errorf("traits %+v, topic %q", s.Traits(), f.topic)
	}
	close(f.out)
	if _, open := <-msgs; open {
		t.Error("the subscriber ended, the source did not")
	}
	f.out = nil
	if err := s.Close(); err != nil || f.closed != 1 {
		t.Errorf("%v, closed %d times", err, f.closed)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestAStopKeepsTheSubscription holds that a message in flight can be acked after the stop: many subscribers forget it
// when their context ends.
func TestAStopKeepsTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{out: make(chan *message.Message)}
		s := source.New(f, "orders", sources.Env{MaxEvents: 10, MaxBytes: 100})
		ctx, cancel := context.WithCancel(t.Context())
		msgs, err := s.Subscribe(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		held, late := msg("1", "a"), msg("2", "b")
		f.out <- held
		b := event.FromMessage(<-msgs)
		cancel()
		if _, open := <-msgs; open {
			t.Error("a batch after the stop")
		}
		if f.ctx.Err() != nil {
			t.Error("the stop cancelled the subscription")
		}
		b.Settle(0, event.Committed, nil)
		if !isClosed(held.Acked()) {
			t.Error("the message in flight was not acked")
		}
		go func() { f.out <- late }() // a subscriber that cannot close while nobody reads
		synctest.Wait()
		done := make(chan error)
		go func() { done <- s.Close() }()
		if err := <-done; err != nil || f.ctx.Err() == nil {
			t.Errorf("Close: %v, subscription %v", err, f.ctx.Err())
		}
	})
}

func TestAFailedSubscription(t *testing.T) {
	broken := errors.New("no broker")
	f := &fake{err: broken}
	s := source.New(f, "orders", sources.Env{})
	if _, err := s.Subscribe(t.Context(), ""); !errors.Is(err, broken) || err.Error() != "subscribe to orders: no broker" {
		t.Errorf("error %v", err)
	}
	if err := s.Close(); err != nil || f.closed != 1 || f.ctx.Err() == nil {
		t.Errorf("%v, closed %d times, subscription %v", err, f.closed, f.ctx.Err())
	}
	if diff := cmp.Diff(nil, s.Close()); diff != "" || f.closed != 1 {
		t.Error("closed twice")
	}
}
