package sns_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmsns "github.com/ThreeDotsLabs/watermill-aws/sns"
	wmsqs "github.com/ThreeDotsLabs/watermill-aws/sqs"
	"github.com/ThreeDotsLabs/watermill/message"
	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/mototest"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/sinktest"
	snssink "github.com/leatdev/leat/sinks/sns"
	sqssink "github.com/leatdev/leat/sinks/sqs"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sns"
	"github.com/leatdev/leat/sources/sqs"
)

// A service that publishes and subscribes by watermill-aws exchanges messages with leat, both ways, over SQS and SNS: UUID,
// metadata and payload arrive as they were.
func TestWatermillAWS(t *testing.T) {
	settings := aws.Settings{Endpoint: mototest.Start(t), Region: "eu-west-1"}
	cfg, err := aws.Load(t.Context(), settings, nil, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { aws.Close(cfg) })
	topic := func(t *testing.T, name string) string {
		out, err := awssns.NewFromConfig(cfg).CreateTopic(t.Context(), &awssns.CreateTopicInput{Name: &name})
		if err != nil {
			t.Fatal(err)
		}
		return *out.TopicArn
	}
	quiet := watermill.NopLogger{}
	reading := sqs.Reading{Wait: 2 * time.Second}

	t.Run("their SQS publisher, our source", func(t *testing.T) {
		p, err := wmsqs.NewPublisher(wmsqs.PublisherConfig{AWSConfig: cfg}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		sent := messages(3)
		if err := p.Publish("theirs", sent...); err != nil {
			t.Fatal(err)
		}
		arrived(t, sent, func(env sources.Env) (sources.Source, error) {
			return sqs.Open(t.Context(), sqs.Config{Queue: "theirs", Settings: settings, Reading: reading}, env)
		})
	})
	t.Run("our SQS sink, their subscriber", func(t *testing.T) {
		if _, err := awssqs.NewFromConfig(cfg).CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: awssdk.String("ours")}); err != nil {
			t.Fatal(err)
		}
		s, err := wmsqs.NewSubscriber(wmsqs.SubscriberConfig{AWSConfig: cfg}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		sink, err := sqssink.Open(t.Context(), sqssink.Config{Queue: "ours", Settings: settings, Watermill: true, Attributes: map[string]config.Expr{"kind": {Source: "type"}}}, sinks.Env{})
		if err != nil {
			t.Fatal(err)
		}
		subscribed(t, s, "ours", sink)
	})
	t.Run("their SNS publisher, our source", func(t *testing.T) {
		arn := topic(t, "from-them")
		// Their default is raw delivery: UUID and metadata stay attributes.
		c := sns.Config{Topic: arn, Queue: "from-them", Raw: true, Provision: true, Settings: settings, Reading: reading}
		open := func(env sources.Env) (sources.Source, error) {
			env.Pipeline = "p"
			return sns.Open(t.Context(), c, env)
		}
		p, err := wmsns.NewPublisher(wmsns.PublisherConfig{AWSConfig: cfg, TopicResolver: wmsns.TransparentTopicResolver{}}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		sent := messages(3)
		arrivedAfter(t, sent, open, func() {
			if err := p.Publish(arn, sent...); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("our SNS sink, their subscriber", func(t *testing.T) {
		arn := topic(t, "from-us")
		s, err := wmsns.NewSubscriber(wmsns.SubscriberConfig{
			AWSConfig: cfg, TopicResolver: wmsns.TransparentTopicResolver{}, GenerateSqsQueueName: wmsns.GenerateSqsQueueNameEqualToTopicName,
		}, wmsqs.SubscriberConfig{AWSConfig: cfg}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		sink, err := snssink.Open(t.Context(), snssink.Config{Topic: arn, Settings: settings, Watermill: true, Attributes: map[string]config.Expr{"kind": {Source: "type"}}}, sinks.Env{})
		if err != nil {
			t.Fatal(err)
		}
		subscribed(t, s, arn, sink)
	})
}

func messages(n int) (all []*message.Message) {
	for i := range n {
		m := message.NewMessage(watermill.NewUUID(), []byte(fmt.Sprintf(`{"n":%d}`, i)))
		m.Metadata.Set("tenant", fmt.Sprint("t", i))
		all = append(all, m)
	}
	return all
}

// arrived sees that a source gives the messages: the UUID as their key, their metadata and payload.
func arrived(t *testing.T, sent []*message.Message, open func(sources.Env) (sources.Source, error)) {
	t.Helper()
	arrivedAfter(t, sent, open, func() {})
}

func arrivedAfter(t *testing.T, sent []*message.Message, open func(sources.Env) (sources.Source, error), publish func()) {
	t.Helper()
	s, err := open(sources.Env{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	msgs, err := s.Subscribe(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	publish()
	got := map[string]string{}
	for len(got) < len(sent) {
		select {
		case m := <-msgs:
			b := event.FromMessage(m)
			for i := range b.Events {
				got[b.Key(i)] = string(b.Events[i].Raw) + " " + b.Events[i].Meta("tenant")
				b.Settle(i, event.Committed, nil)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of %d within 20 s", len(got), len(sent))
		}
	}
	stop()
	for m := range msgs {
		b := event.FromMessage(m)
		for i := range b.Events {
			b.Settle(i, event.Released, nil)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	want := map[string]string{}
	for _, m := range sent {
		want[m.UUID] = string(m.Payload) + " " + m.Metadata.Get("tenant")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// subscribed sees that their subscriber gets what our sink sends.
func subscribed(t *testing.T, s message.Subscriber, topic string, sink sinks.Sink) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	msgs, err := s.Subscribe(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	batch := sinktest.Events(0, 3)
	if err := sink.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	type seen struct{ Payload, Kind string }
	want, got := map[string]seen{}, map[string]seen{}
	for i := range batch {
		want[batch[i].ID] = seen{string(batch[i].Raw), batch[i].Type}
	}
	for len(got) < len(batch) {
		select {
		case m := <-msgs:
			if !json.Valid(m.Payload) {
				t.Errorf("%s", m.Payload)
			}
			got[m.UUID] = seen{string(m.Payload), m.Metadata.Get("kind")}
			m.Ack()
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of %d within 20 s", len(got), len(batch))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	stop()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
}
