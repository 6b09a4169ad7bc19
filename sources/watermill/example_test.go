package watermill_test

import (
	"context"
	"fmt"

	watermillio "github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/watermill"
)

// ChannelConfig is the YAML of the example's source: `source: { channel: { topic: orders } }`.
type ChannelConfig struct {
	Topic string `yaml:"topic" doc:"topic to read"`
}

// Any Watermill subscriber becomes a source.
func Example() {
	channel := gochannel.NewGoChannel(gochannel.Config{Persistent: true}, watermillio.NopLogger{})

	watermill.Register("channel", func(_ context.Context, c ChannelConfig, _ sources.Env) (message.Subscriber, string, error) {
		return channel, c.Topic, nil
	})

	// What follows is what the engine does with it.
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	src, err := sources.Open(ctx, config.Plugin{Kind: config.KindSource, Name: "channel", Config: ChannelConfig{Topic: "orders"}}, sources.Env{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = channel.Publish("orders", message.NewMessage("1", []byte(`{"order":1}`)))
	msgs, err := src.Subscribe(ctx, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	batch := event.FromMessage(<-msgs)
	fmt.Printf("%s\n", batch.Events[0].Raw)
	batch.Settle(0, event.Committed, nil) // acks the message
	stop()
	fmt.Println(src.Close())
	// Output:
	// {"order":1}
	// <nil>
}
