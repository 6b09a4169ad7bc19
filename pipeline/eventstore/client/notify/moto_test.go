package notify_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/mototest"
	"github.com/leatdev/leat/pipeline/eventstore/client/notify"
)

// TestMoto receives over an emulator that others wrote: notifications by themselves and through a topic, what is no
// notification, and what was not acknowledged a second time.
func TestMoto(t *testing.T) {
	settings := aws.Settings{Endpoint: mototest.Start(t), Region: "eu-west-1"}
	cfg, err := aws.Load(t.Context(), settings, nil, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { aws.Close(cfg) })
	queues, topics := sqs.NewFromConfig(cfg), sns.NewFromConfig(cfg)
	name := "changed"
	if _, err := notify.Open(t.Context(), notify.Config{Queue: name, AWS: settings}); err == nil {
		t.Error("there is no queue, and no error")
	}
	queue, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		t.Fatal(err)
	}
	topic, err := topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: awssdk.String("streams")})
	if err != nil {
		t.Fatal(err)
	}
	arn := "arn:aws:sqs:eu-west-1:123456789012:changed"
	if _, err := topics.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: awssdk.String("sqs"), Endpoint: &arn}); err != nil {
		t.Fatal(err)
	}
	body := func(i int) string {
		return fmt.Sprintf(`{"StreamId":"o-%d","StreamType":"order","StreamRevision":"%d"}`, i, i+1)
	}
	want := map[string]int{"no JSON": 1}
	send := func(text string) {
		t.Helper()
		if _, err := queues.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: &text}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 23 { // more than two batches, of which a third comes through the topic
		text := body(i)
		want[fmt.Sprint("order/o-", i, " ", i+1)] = 1
		if i%3 > 0 {
			send(text)
		} else if _, err := topics.Publish(t.Context(), &sns.PublishInput{TopicArn: topic.TopicArn, Message: &text}); err != nil {
			t.Fatal(err)
		}
	}
	send("no JSON")

	// By its ARN, as the settings of a deployment give it; hidden for longer than a slow machine needs.
	r := receiver(t, notify.Config{Queue: arn, AWS: settings, Wait: time.Second, Visibility: 10 * time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := map[string]int{}
	var batch []notify.Delivery
	for d, err := range r.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint(d.Stream(), " ", d.StreamRevision)
		if d.Err != nil {
			key = d.Body
		}
		if got[key]++; d.Received != 1 {
			t.Errorf("%s was received %d times", key, d.Received)
		}
		if batch = append(batch, d); len(batch) == len(want) {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
	if err := r.Acknowledge(t.Context(), batch...); err != nil {
		t.Fatal(err)
	}
	left, err := queues.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: queue.QueueUrl, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"} {
		if left.Attributes[a] != "0" {
			t.Errorf("%s is %s", a, left.Attributes[a])
		}
	}

	// What is not acknowledged comes again, and says so.
	send(body(99))
	r = receiver(t, notify.Config{Queue: *queue.QueueUrl, AWS: settings, Wait: time.Second, Visibility: time.Second})
	for d, err := range r.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if d.StreamID != "o-99" {
			t.Fatalf("received %+v", d)
		}
		if d.Received > 1 {
			if err := r.Acknowledge(ctx, d); err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Error("it did not come again within a minute")
}

func receiver(t *testing.T, c notify.Config) *notify.Receiver {
	t.Helper()
	r, err := notify.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}
