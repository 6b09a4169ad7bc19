package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/fauxqstest"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// queueOf fills a queue of fauxqs with n messages of 512 bytes.
func queueOf(b testing.TB, endpoint, name string, n int) (client *awssqs.Client, url string) {
	b.Helper()
	cfg, err := aws.Load(b.Context(), aws.Settings{Endpoint: endpoint, Region: "us-east-1"}, nil, 32)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { aws.Close(cfg) })
	client = awssqs.NewFromConfig(cfg)
	out, err := client.CreateQueue(b.Context(), &awssqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		b.Fatal(err)
	}
	pad := strings.Repeat("x", 512-len(`{"n":"0000000","g":"000","pad":""}`))
	var sending sync.WaitGroup
	for w := range 8 {
		sending.Go(func() {
			for at := w * 10; at < n; at += 80 {
				var entries []types.SendMessageBatchRequestEntry
				for i := at; i < min(at+10, n); i++ {
					id, body := strconv.Itoa(i), fmt.Sprintf(`{"n":"%07d","g":"%03d","pad":%q}`, i, i%1000, pad)
					entries = append(entries, types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body})
				}
				if _, err := client.SendMessageBatch(b.Context(), &awssqs.SendMessageBatchInput{QueueUrl: out.QueueUrl, Entries: entries}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	sending.Wait()
	return client, *out.QueueUrl
}

// queued is how many messages each run reads.
const queued = 40_000

// BenchmarkQueueToSQLite reads full queues of fauxqs (another process, on the same cores) into the log: leat's pipeline
// into SQLite and into memory, and beside it a plain loop of the AWS SDK that receives ten with their attributes and deletes
// ten, with eight goroutines, and does nothing else.
func BenchmarkQueueToSQLite(b *testing.B) {
	endpoint := fauxqstest.Start(b)
	b.Setenv("AWS_ACCESS_KEY_ID", "test")
	b.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	b.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	run := 0
	leat := func(b *testing.B, store func() string) {
		var used, took time.Duration
		for range b.N {
			b.StopTimer()
			run++
			name := fmt.Sprint("leat", run)
			queueOf(b, endpoint, name, queued)
			cfg, diags := config.LoadBytes("p.yaml", []byte(`
aws: { endpoint: "`+endpoint+`", region: us-east-1 }
pipelines:
  p:
    source: { sqs: { queue: `+name+` } }
    steps: [ append: { stream: "g/{{ data.g }}" } ]
stores: { main: `+store()+` }
`), config.Options{})
			if diags.HasErrors() {
				b.Fatal(diags)
			}
			d := pipeline.New(cfg, pipeline.Options{})
			ctx, stop := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			before, began := cpu(b), time.Now()
			b.StartTimer()
			go func() {
				_, err := d.Run(ctx, b.Context())
				ended <- err
			}()
			<-d.Started()
			for d.Summary().Pipelines[0].Committed < queued {
				time.Sleep(time.Millisecond)
			}
			took += time.Since(began)
			b.StopTimer()
			stop() // the last deletes too
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
			used += cpu(b) - before
		}
		report(b, queued, used, took)
	}
	b.Run("sqlite", func(b *testing.B) {
		leat(b, func() string { return `{ sqlite: { dir: "` + b.TempDir() + `" } }` })
	})
	b.Run("memory", func(b *testing.B) {
		leat(b, func() string { return "{ memory: {} }" })
	})
	b.Run("plain", func(b *testing.B) {
		var used, took time.Duration
		for range b.N {
			b.StopTimer()
			run++
			client, url := queueOf(b, endpoint, fmt.Sprint("plain", run), queued)
			var mu sync.Mutex
			left := queued
			before, began := cpu(b), time.Now()
			b.StartTimer()
			var loops sync.WaitGroup
			for range 8 {
				loops.Go(func() {
					for {
						mu.Lock()
						over := left <= 0
						mu.Unlock()
						if over {
							return
						}
						out, err := client.ReceiveMessage(b.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll}})
						if err != nil {
							b.Error(err)
							return
						}
						if len(out.Messages) == 0 {
							continue
						}
						entries := make([]types.DeleteMessageBatchRequestEntry, len(out.Messages))
						for i := range entries {
							id := strconv.Itoa(i)
							entries[i] = types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: out.Messages[i].ReceiptHandle}
						}
						if _, err := client.DeleteMessageBatch(b.Context(), &awssqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: entries}); err != nil {
							b.Error(err)
							return
						}
						mu.Lock()
						left -= len(entries)
						mu.Unlock()
					}
				})
			}
			loops.Wait()
			b.StopTimer()
			used, took = used+cpu(b)-before, took+time.Since(began)
		}
		report(b, queued, used, took)
	})
}

// What fauxqs holds reaches the log, at few calls a message.
func TestQueueOnFauxqs(t *testing.T) {
	endpoint := fauxqstest.Start(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	const messages = 3000
	queueOf(t, endpoint, "q", messages)
	cfg, diags := config.LoadBytes("p.yaml", []byte(`
aws: { endpoint: "`+endpoint+`", region: us-east-1 }
pipelines:
  p:
    source: { sqs: { queue: q } }
    steps: [ append: { stream: "g/{{ data.g }}" } ]
stores: { main: { memory: {} } }
`), config.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	metrics := telemetry.NewMetrics("test")
	d := pipeline.New(cfg, pipeline.Options{Metrics: metrics})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		_, err := d.Run(ctx, t.Context())
		ended <- err
	}()
	for deadline := time.Now().Add(time.Minute); d.Summary().Pipelines == nil || d.Summary().Pipelines[0].Committed < messages; {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", d.Summary())
		}
		time.Sleep(5 * time.Millisecond) // another process: there is nothing but asking
	}
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_, text, _ := strings.Cut(w.Body.String(), "leat_sqs_calls_total{component=\"source\",pipeline=\"p\"} ")
	line, _, _ := strings.Cut(text, "\n")
	calls, err := strconv.Atoi(line)
	// Eight more for receives that wait, and a part of ten at the end.
	if err != nil || float64(calls) > 0.21*messages+20 {
		t.Errorf("%d calls for %d messages, %v", calls, messages, err)
	}
}
