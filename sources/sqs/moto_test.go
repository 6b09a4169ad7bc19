package sqs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/mototest"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
	ebsink "github.com/leatdev/leat/sinks/eventbridge"
	"github.com/leatdev/leat/sinks/sinktest"
	sqssink "github.com/leatdev/leat/sinks/sqs"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sourcetest"
	"github.com/leatdev/leat/sources/sqs"
)

// Sinks and source together, over an emulator that others wrote.
func TestMoto(t *testing.T) {
	settings := aws.Settings{Endpoint: mototest.Start(t), Region: "eu-west-1"}
	cfg, err := aws.Load(t.Context(), settings, nil, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { aws.Close(cfg) })
	queues, buses := awssqs.NewFromConfig(cfg), eventbridge.NewFromConfig(cfg)
	create := func(t *testing.T, name string, attributes map[string]string) string {
		t.Helper()
		out, err := queues.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		if err != nil {
			t.Fatal(err)
		}
		return *out.QueueUrl
	}

	t.Run("standard", func(t *testing.T) {
		create(t, "orders", map[string]string{"VisibilityTimeout": "4"})
		batch := sinktest.Events(0, 60)
		write(t, open(t, sinks.Env{}, sqssink.Config{Queue: "orders", Settings: settings}, sqssink.Open), batch)
		got := read(t, sqs.Config{Queue: "orders", Settings: settings, Reading: sqs.Reading{Wait: 2 * time.Second}}, len(batch), func(e *event.Event) string { return string(e.Raw) })
		compare(t, raws(batch), got)
	})
	t.Run("fifo", func(t *testing.T) {
		create(t, "orders.fifo", map[string]string{"FifoQueue": "true", "VisibilityTimeout": "60"})
		batch := sinktest.Events(0, 45)
		for i := range batch {
			batch[i].Stream.ID = fmt.Sprint(i % 3)
		}
		sink := open(t, sinks.Env{}, sqssink.Config{Queue: "orders.fifo", Settings: settings}, sqssink.Open)
		write(t, sink, batch)
		write(t, sink, batch) // the same ids: SQS takes them once
		order := map[string][]string{}
		// One receiver: moto does not keep a group to one of several receives that are under way at a time, as the service and
		// our fake do; and a long visibility, as it may be slow.
		one := sqs.Receivers{Min: 1, Max: 1}
		got := read(t, sqs.Config{Queue: "orders.fifo", Settings: settings, Reading: sqs.Reading{Wait: 2 * time.Second, Receivers: one}}, len(batch), func(e *event.Event) string {
			order[e.Meta("MessageGroupId")] = append(order[e.Meta("MessageGroupId")], string(e.Raw))
			return string(e.Raw)
		})
		compare(t, raws(batch), got)
		for group, bodies := range order {
			if !slices.IsSorted(bodies) {
				t.Errorf("group %s came out of order: %v", group, bodies)
			}
		}
	})
	t.Run("bus", func(t *testing.T) {
		bus, rule := "orders", "all"
		url := create(t, "from-bus", nil)
		if _, err := buses.CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: &bus}); err != nil {
			t.Fatal(err)
		}
		if _, err := buses.PutRule(t.Context(), &eventbridge.PutRuleInput{Name: &rule, EventBusName: &bus, EventPattern: awssdk.String(`{"source":["sinktest"]}`)}); err != nil {
			t.Fatal(err)
		}
		attributes, err := queues.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{"QueueArn"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := buses.PutTargets(t.Context(), &eventbridge.PutTargetsInput{Rule: &rule, EventBusName: &bus,
			Targets: []ebtypes.Target{{Id: awssdk.String("q"), Arn: awssdk.String(attributes.Attributes["QueueArn"])}}}); err != nil {
			t.Fatal(err)
		}
		batch := sinktest.Events(0, 15)
		write(t, open(t, sinks.Env{}, ebsink.Config{Bus: bus, Settings: settings}, ebsink.Open), batch)
		var want []string
		for i := range batch {
			want = append(want, batch[i].ID)
		}
		got := read(t, sqs.Config{Queue: url, Settings: settings, Reading: sqs.Reading{Wait: 2 * time.Second}}, len(batch), func(e *event.Event) string {
			if err := codec.Decode(e, event.Auto, 0); err != nil {
				t.Error(err)
			}
			if e.Type != "Tested" || e.Source != "sinktest" {
				t.Errorf("type %q, source %q", e.Type, e.Source)
			}
			var data struct{ Metadata struct{ ID string } }
			if err := json.Unmarshal(e.Data, &data); err != nil {
				t.Error(err)
			}
			return data.Metadata.ID
		})
		compare(t, want, got)
	})
	t.Run("missing", func(t *testing.T) {
		s, err := sqs.Open(t.Context(), sqs.Config{Queue: "nope", Settings: settings}, sources.Env{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Subscribe(t.Context(), ""); aws.KindOf(err) != aws.Missing {
			t.Errorf("source: %v", err)
		}
		for name, sink := range map[string]sinks.Sink{
			"sqs":         open(t, sinks.Env{}, sqssink.Config{Queue: "nope", Settings: settings}, sqssink.Open),
			"eventbridge": open(t, sinks.Env{}, ebsink.Config{Bus: "nope", Settings: settings}, ebsink.Open),
		} {
			if err := sink.Write(t.Context(), sinktest.Events(0, 1)); aws.KindOf(err) != aws.Missing {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Nobody listens: a sink says that the other side is down, a source that it cannot start.
func TestNobodyListens(t *testing.T) {
	settings := aws.Settings{Endpoint: "http://127.0.0.1:1", Region: "eu-west-1"}
	s, err := sqs.Open(t.Context(), sqs.Config{Queue: "q", Settings: settings}, sources.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Subscribe(t.Context(), ""); err == nil || aws.KindOf(err) != aws.Unreachable {
		t.Errorf("source: %v", err)
	}
	sink := open(t, sinks.Env{}, sqssink.Config{Queue: "q", Settings: settings}, sqssink.Open)
	if _, down := event.AsUnavailable(sink.Write(t.Context(), sinktest.Events(0, 1))); !down {
		t.Error("the sink does not say that the other side is down")
	}
}

func open[C any](t *testing.T, env sinks.Env, c C, open func(context.Context, C, sinks.Env) (sinks.Sink, error)) sinks.Sink {
	t.Helper()
	s, err := open(t.Context(), c, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func write(t *testing.T, s sinks.Sink, batch []event.Recorded) {
	t.Helper()
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

// read commits n events of a queue.
func read(t *testing.T, c sqs.Config, n int, show func(*event.Event) string) []string {
	t.Helper()
	s, err := sqs.Open(t.Context(), c, sources.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return sourcetest.Read(t, s, n, show)
}

func raws(batch []event.Recorded) (out []string) {
	for i := range batch {
		out = append(out, string(batch[i].Raw))
	}
	return out
}

func compare(t *testing.T, want, got []string) {
	t.Helper()
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("arrived (-want +got):\n%.2000s", diff)
	}
}
