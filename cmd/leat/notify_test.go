package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/aws/mototest"
)

// TestNotify sends a notification of each append to a queue, with attributes for filters.
func TestNotify(t *testing.T) {
	endpoint := mototest.Start(t)
	client := sqs.NewFromConfig(awsconfig.Config{Region: "eu-west-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	name := "streams.fifo"
	out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"FifoQueue": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var in strings.Builder
	var want []string
	for i := range 12 {
		fmt.Fprintln(&in, order(fmt.Sprint("e", i), "600", ""))
	}
	write(t, dir, "in.ndjson", in.String())
	write(t, dir, "pipeline.yaml", `
pipelines:
  p:
    source: { file: { path: in.ndjson } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - { from: start, forward: { sqs: { queue: streams.fifo, endpoint: "`+endpoint+`", region: eu-west-1 }, notify: {} } }
`)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	leat(t, dir, nil, "run", "pipeline.yaml", "--listen", "off").want(t, 0, "forwarded 12")
	stream := ""
	for _, e := range objects[struct{ Stream string }](t, leat(t, dir, nil, "store", "read", "--all").want(t, 0).out) {
		stream = strings.TrimPrefix(e.Stream, "order/")
	}
	for i := range 12 {
		want = append(want, fmt.Sprintf(`{"StreamId":%q,"StreamType":"order","StreamRevision":"%d"} %s order %d`, stream, i+1, stream, i+1))
	}
	var got []string
	for begun := time.Now(); len(got) < len(want) && time.Since(begun) < time.Minute; {
		m, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: out.QueueUrl, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range m.Messages {
			a := func(name string) string { return *x.MessageAttributes[name].StringValue }
			got = append(got, fmt.Sprintf("%s %s %s %s", *x.Body, a("StreamId"), a("StreamType"), a("StreamRevision")))
			if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: out.QueueUrl, ReceiptHandle: x.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("notifications (-want +got):\n%s", d)
	}
}
