// Package notify receives the notifications that `forward: notify` sends to SQS, by itself or through SNS: that a stream has
// a new revision. A reader takes one, reads the stream behind what it knows, and acknowledges.
//
//	r, err := notify.Open(ctx, notify.Config{Queue: "orders-changed"})
//	for d, err := range r.All(ctx) { … ; r.Acknowledge(ctx, d) }
//
// Notifications come at least once, and from a standard queue in any order: what counts is the revision that the
// stream has when it is read.
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/event"
)

// Notification says that a stream has a new revision. Its JSON is that of serverless-event-store, the revision a string.
type Notification struct {
	StreamID       string `json:"StreamId"`
	StreamType     string `json:"StreamType"`
	StreamRevision int64  `json:"StreamRevision,string"`
}

// Stream names the stream.
func (n Notification) Stream() event.Stream { return event.Stream{Type: n.StreamType, ID: n.StreamID} }

// Delivery is a notification as it was received.
type Delivery struct {
	Notification
	// Err is set where the message is no notification; Body is what it is. One such message hurts no others. It comes again
	// until it is acknowledged, or the queue's own redrive policy takes it away.
	Err  error
	Body string
	// Received counts how often the message was received, where the queue says so.
	Received int
	receipt  string
}

// Config says which queue to receive from.
type Config struct {
	Queue string // name, URL or ARN
	AWS   aws.Settings
	// Wait is how long Receive waits for a first message, at most 20 s; zero: 20 s.
	Wait time.Duration
	// Max is the number of messages that Receive gives, at most 10; zero: 10.
	Max int
	// Visibility is how long a message that was received stays hidden from others; zero: as the queue says.
	Visibility time.Duration
	// Transport carries the requests; nil: the SDK's own.
	Transport http.RoundTripper
}

// Receiver receives from one queue. It is safe for concurrent use.
type Receiver struct {
	cfg    Config
	url    string
	client *aws.SQS
	close  func()
}

const (
	most  = 10 // of SQS, for a receive and for a batch
	first = 100 * time.Millisecond
)

// Open finds the queue.
func Open(ctx context.Context, c Config) (*Receiver, error) {
	at, err := aws.ParseQueue(c.Queue)
	if err != nil {
		return nil, fmt.Errorf("notify: queue: %w", err)
	}
	if c.AWS.Region == "" {
		c.AWS.Region = at.Region
	}
	cfg, err := aws.Load(ctx, c.AWS, c.Transport, 2)
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	r := &Receiver{cfg: c, url: at.URL, client: aws.NewSQS(cfg), close: func() { aws.Close(cfg) }}
	if r.cfg.Wait <= 0 || r.cfg.Wait > 20*time.Second {
		r.cfg.Wait = 20 * time.Second
	}
	if r.cfg.Max <= 0 || r.cfg.Max > most {
		r.cfg.Max = most
	}
	if r.url == "" {
		in := &sqs.GetQueueUrlInput{QueueName: &at.Name}
		if at.Account != "" {
			in.QueueOwnerAWSAccountId = &at.Account
		}
		got, err := aws.Retry(ctx, c.AWS, func() (*sqs.GetQueueUrlOutput, error) { return r.client.GetQueueUrl(ctx, in) })
		if err != nil {
			r.close()
			return nil, fmt.Errorf("notify: %w", aws.Explain(err, "queue "+c.Queue, "sqs:GetQueueUrl"))
		}
		r.url = *got.QueueUrl
	}
	return r, nil
}

// Close lets go of the connections.
func (r *Receiver) Close() error { r.close(); return nil }

// Receive waits for messages and gives those that came; none is no error.
func (r *Receiver) Receive(ctx context.Context) ([]Delivery, error) {
	in := &sqs.ReceiveMessageInput{
		QueueUrl: &r.url, MaxNumberOfMessages: int32(r.cfg.Max), WaitTimeSeconds: int32((r.cfg.Wait + time.Second - 1) / time.Second),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount},
	}
	if r.cfg.Visibility > 0 {
		in.VisibilityTimeout = int32((r.cfg.Visibility + time.Second - 1) / time.Second)
	}
	got, err := r.client.ReceiveMessage(ctx, in)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("notify: %w", aws.Explain(err, "queue "+r.cfg.Queue, "sqs:ReceiveMessage"))
	}
	out := make([]Delivery, len(got.Messages))
	for i := range got.Messages {
		m := &got.Messages[i]
		d := Delivery{Body: text(m.Body), receipt: text(m.ReceiptHandle)}
		_, _ = fmt.Sscan(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)], &d.Received)
		d.Notification, d.Err = Parse([]byte(d.Body))
		out[i] = d
	}
	return out, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Parse reads the body of a message: a notification, as it is or in the envelope that SNS puts around it.
func Parse(body []byte) (Notification, error) {
	var sns struct {
		Type    string
		Message *string
	}
	if json.Unmarshal(body, &sns) == nil && sns.Message != nil && (sns.Type == "" || sns.Type == "Notification") {
		body = []byte(*sns.Message)
	}
	var n Notification
	if err := json.Unmarshal(body, &n); err != nil {
		return Notification{}, fmt.Errorf("notify: this is no notification: %w", err)
	}
	if n.StreamID == "" || n.StreamType == "" || n.StreamRevision < 1 {
		return Notification{}, errors.New("notify: this is no notification: StreamId, StreamType or StreamRevision is missing")
	}
	return n, nil
}

// All gives deliveries until ctx ends. An error of the queue is given too, and reading goes on after a while unless the
// loop is left: from 100 ms, doubling to 5 s.
func (r *Receiver) All(ctx context.Context) iter.Seq2[Delivery, error] {
	return func(yield func(Delivery, error) bool) {
		wait := first
		for ctx.Err() == nil {
			got, err := r.Receive(ctx)
			if err != nil {
				if ctx.Err() != nil || !yield(Delivery{}, err) {
					return
				}
				select {
				case <-time.After(wait):
				case <-ctx.Done():
				}
				wait = min(2*wait, 5*time.Second)
				continue
			}
			wait = first
			for _, d := range got {
				if !yield(d, nil) {
					return // what is left comes again when its time of hiding is over
				}
			}
		}
	}
}

// Acknowledge deletes messages from the queue. The error joins those of the messages that could not be deleted; they
// come again.
func (r *Receiver) Acknowledge(ctx context.Context, deliveries ...Delivery) error {
	var errs []error
	for len(deliveries) > 0 {
		n := min(len(deliveries), most)
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &r.url}
		for i := range deliveries[:n] {
			id := fmt.Sprint(i)
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: &deliveries[i].receipt})
		}
		got, err := aws.Retry(ctx, r.cfg.AWS, func() (*sqs.DeleteMessageBatchOutput, error) { return r.client.DeleteMessageBatch(ctx, in) })
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("notify: %w", aws.Explain(err, "queue "+r.cfg.Queue, "sqs:DeleteMessage")))...)
		}
		for _, f := range got.Failed {
			errs = append(errs, fmt.Errorf("notify: delete a message: %s: %s", text(f.Code), text(f.Message)))
		}
		deliveries = deliveries[n:]
	}
	return errors.Join(errs...)
}
