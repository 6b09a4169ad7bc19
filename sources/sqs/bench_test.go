package sqs

import (
	"context"
	"strconv"
	"strings"
	"testing"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

func filled(n int) *awsfake.Cloud {
	cloud := awsfake.New(nil)
	cloud.CreateQueue(awsfake.Queue{Name: "q"})
	body := `{"n":"` + strings.Repeat("x", 504) + `"}`
	for range n {
		cloud.Send("q", awsfake.Message{Body: body})
	}
	return cloud
}

// The source: receive, pass on, delete. The fake's own work is in it, as in BenchmarkPlainLoop.
func BenchmarkSource(b *testing.B) {
	cloud := filled(b.N)
	s := open(Config{Queue: "q", Reading: Reading{Receivers: Receivers{Max: 4}}}, sources.Env{}, cloud.Transport())
	b.ReportAllocs()
	b.ResetTimer()
	ctx, stop := context.WithCancel(b.Context())
	msgs, err := s.Subscribe(ctx, "")
	if err != nil {
		b.Fatal(err)
	}
	for n := 0; n < b.N; {
		batch := event.FromMessage(<-msgs)
		n += len(batch.Events)
		settle(batch, event.Committed)
	}
	stop()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// What the AWS SDK alone costs: ten received, ten deleted.
func BenchmarkPlainLoop(b *testing.B) {
	cloud := filled(b.N)
	cfg, err := aws.Load(b.Context(), aws.Settings{}, cloud.Transport(), 1)
	if err != nil {
		b.Fatal(err)
	}
	client, url := awssqs.NewFromConfig(cfg), "https://sqs.eu-west-1.amazonaws.com/123456789012/q"
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		out, err := client.ReceiveMessage(b.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: most,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll}})
		if err != nil {
			b.Fatal(err)
		}
		entries := make([]types.DeleteMessageBatchRequestEntry, len(out.Messages))
		for i := range entries {
			id := strconv.Itoa(i)
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: out.Messages[i].ReceiptHandle}
		}
		if _, err := client.DeleteMessageBatch(b.Context(), &awssqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: entries}); err != nil {
			b.Fatal(err)
		}
		n += len(entries)
	}
}
