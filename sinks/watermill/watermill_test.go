package watermill_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	watermillio "github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/sinktest"
	"github.com/leatdev/leat/sinks/watermill"
)

// broker is a publisher that keeps what it gets, and can be down.
type broker struct {
	mu     sync.Mutex
	msgs   []*message.Message
	topics map[string]bool
	down   error
	closed int
}

func (b *broker) Publish(topic string, msgs ...*message.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down != nil {
		return b.down
	}
	b.topics = map[string]bool{topic: true}
	b.msgs = append(b.msgs, msgs...)
	return nil
}

func (b *broker) Close() error { b.closed++; return nil }

func (b *broker) Bodies(testing.TB) (out []string) {
	for _, m := range b.msgs {
		out = append(out, string(m.Payload))
	}
	return out
}
func (b *broker) Break(testing.TB) { b.down = errors.New("no broker") }
func (b *broker) Mend(testing.TB)  { b.down = nil }

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Features{}, func(*testing.T) (sinks.Sink, sinktest.Observer) {
		b := &broker{}
		return watermill.New(b, "orders"), b
	})
}

func TestMessages(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600))
	for _, tt := range []struct {
		name string
		e    event.Recorded
		want message.Metadata
	}{
		{"little", event.Recorded{Event: event.Event{ID: "1", Type: "T"}}, message.Metadata{"type": "T"}},
		{"all", event.Recorded{
			Event: event.Event{
				ID: "1", Source: "s", Type: "T", Subject: "x", Time: at,
				Metadata: []byte(`{"tenant":"t\n1","n":1,"list":["a"],"type":"other","none":null}`),
			},
			Stream: event.Stream{Type: "order", ID: "1"}, Revision: 2, Position: 30,
		}, message.Metadata{
			"type": "T", "source": "s", "subject": "x", "time": "2026-01-02T02:04:05.000000678Z", "tenant": "t\n1",
			"stream": "order/1", "revision": "2", "position": "30",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &broker{}
			tt.e.Raw = []byte("{}")
			if err := watermill.New(b, "orders").Write(t.Context(), []event.Recorded{tt.e}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, b.msgs[0].Metadata); diff != "" || b.msgs[0].UUID != "1" || !b.topics["orders"] {
				t.Errorf("UUID %s to %v (-want +got):\n%s", b.msgs[0].UUID, b.topics, diff)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	plain := errors.New("no broker")
	for _, tt := range []struct {
		name                string
		err                 error
		down, poison, waits bool
	}{
		{"of no known kind", plain, true, false, false},
		{"an outage", event.Unavailable(time.Second, plain), true, false, false},
		{"poison", event.Poison(plain), false, true, false},
		{"to come again", event.RetryAfter(time.Second, plain), false, false, true},
	} {
		b := &broker{down: tt.err}
		err := watermill.New(b, "orders").Write(t.Context(), sinktest.Events(0, 3))
		_, down := event.AsUnavailable(err)
		_, waits := event.AsRetryAfter(err)
		if down != tt.down || event.IsPoison(err) != tt.poison || waits != tt.waits || !errors.Is(err, plain) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestASharedPublisherStaysOpen(t *testing.T) {
	b := &broker{}
	for _, sink := range []sinks.Sink{watermill.New(watermill.Shared(b), "a"), watermill.New(watermill.Shared(b), "b")} {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := watermill.New(b, "c").Close(); err != nil || b.closed != 1 {
		t.Errorf("%v, closed %d times, want once", err, b.closed)
	}
}

// ChannelConfig is the YAML of the example's sink: `forward: { channel: { topic: orders } }`.
type ChannelConfig struct {
	Topic string `yaml:"topic" doc:"topic to publish to"`
}

// Target implements sinks.Target.
func (c ChannelConfig) Target() string { return c.Topic }

// Any Watermill publisher becomes a sink.
func Example() {
	channel := gochannel.NewGoChannel(gochannel.Config{Persistent: true}, watermillio.NopLogger{})

	watermill.Register("channel", func(_ context.Context, c ChannelConfig, _ sinks.Env) (message.Publisher, string, error) {
		return watermill.Shared(channel), c.Topic, nil
	})

	// What follows is what the engine does with it.
	ctx := context.Background()
	plugin := config.Plugin{Kind: config.KindSink, Name: "channel", Config: ChannelConfig{Topic: "orders"}}
	sink, err := sinks.Open(ctx, plugin, sinks.Env{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sinks.TargetOf(plugin))
	fmt.Println(sink.Write(ctx, []event.Recorded{{Event: event.Event{ID: "e-1", Type: "OrderCreated", Raw: []byte(`{"order":1}`)}}}))
	fmt.Println(sink.Close())

	msgs, err := channel.Subscribe(ctx, "orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	m := <-msgs
	m.Ack()
	fmt.Printf("%s %s %s\n", m.UUID, m.Metadata.Get("type"), m.Payload)
	_ = channel.Close()
	// Output:
	// channel orders
	// <nil>
	// <nil>
	// e-1 OrderCreated {"order":1}
}
