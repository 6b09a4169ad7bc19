// Package peek looks into an SQS queue without taking anything out of it.
//
// SQS has no call for that. A look receives messages under a visibility timeout of its own, holds them so that none comes
// twice, and makes all of them visible again at its end; a look that is killed gives them back by itself within thirty
// seconds. What it cannot hide: each look raises the receive counts, by which a redrive policy moves messages away, and
// while it lasts (ten seconds at most) consumers do not see what it holds, with a FIFO queue the whole group. Of a FIFO
// group the first messages are seen, in their order; releasing them keeps it.
package peek

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/watch"
)

const (
	hold   = 30 * time.Second // visibility timeout of what is held
	within = 10 * time.Second // after which nothing more is received
	calls  = 10 * time.Second // bounds one call
	batch  = 10
)

// Queue is a queue that can be looked into.
type Queue struct {
	watch.About

	client *aws.SQS
}

// Message is a message as it was seen.
type Message = watch.Message

// Facts implements watch.Queue.
func (q *Queue) Facts() watch.About { return q.About }

var _ watch.Queue = (*Queue)(nil)

// Open finds a queue by its name, URL or ARN.
func Open(ctx context.Context, client *aws.SQS, queue string) (*Queue, error) {
	parsed, err := aws.ParseQueue(queue)
	if err != nil {
		return nil, fmt.Errorf("peek: %w", err)
	}
	q := &Queue{About: watch.About{Name: parsed.Name, URL: parsed.URL, FIFO: parsed.FIFO()}, client: client}
	if q.URL == "" {
		in := &sqs.GetQueueUrlInput{QueueName: &q.Name}
		if parsed.Account != "" {
			in.QueueOwnerAWSAccountId = &parsed.Account
		}
		out, err := client.GetQueueUrl(ctx, in)
		if err != nil {
			return nil, q.explain(err, "sqs:GetQueueUrl")
		}
		q.URL = awssdk.ToString(out.QueueUrl)
	}
	return q, q.describe(ctx)
}

func (q *Queue) explain(err error, need string) error {
	return fmt.Errorf("peek: %w", aws.Explain(err, "queue "+q.Name, need))
}

func (q *Queue) describe(ctx context.Context) error {
	out, err := q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &q.URL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		return q.explain(err, "sqs:GetQueueAttributes")
	}
	a := out.Attributes
	number := func(name string) int { n, _ := strconv.Atoi(a[name]); return n }
	q.ARN = a["QueueArn"]
	q.Waiting, q.InFlight, q.Delayed = number("ApproximateNumberOfMessages"), number("ApproximateNumberOfMessagesNotVisible"), number("ApproximateNumberOfMessagesDelayed")
	var redrive struct {
		Dead string          `json:"deadLetterTargetArn"`
		Max  json.RawMessage `json:"maxReceiveCount"` // a number, or one in quotes
	}
	if json.Unmarshal([]byte(a["RedrivePolicy"]), &redrive) == nil {
		q.MaxReceives, _ = strconv.Atoi(strings.Trim(string(redrive.Max), `"`))
		q.Dead = redrive.Dead[strings.LastIndexByte(redrive.Dead, ':')+1:]
	}
	return nil
}

// Looked says what a look did.
type Looked = watch.Looked

// Look shows at most the given number of messages, in the order in which the queue hands them out, and makes them visible
// again, also where show fails or ctx ends.
func (q *Queue) Look(ctx context.Context, most int, show func(Message) error) (l Looked, err error) {
	var held []string
	began := time.Now()
	defer func() {
		l.Unreleased = q.release(context.WithoutCancel(ctx), held)
	}()
	for ctx.Err() == nil && l.Seen < most {
		if time.Since(began) > within {
			l.More = true
			return l, nil
		}
		got, err := q.receive(ctx, min(batch, most-l.Seen))
		if err != nil {
			return l, err
		}
		if len(got) == 0 {
			return l, nil
		}
		for i := range got {
			held = append(held, got[i].Handle)
			if q.MaxReceives > 0 && got[i].Receives >= q.MaxReceives {
				l.Last++
			}
		}
		for i := range got {
			if err := show(got[i]); err != nil {
				return l, err
			}
			l.Seen++
		}
	}
	l.More = l.Seen >= most
	return l, ctx.Err()
}

// receive asks once. Broken off, the call would leave hidden what the queue has handed out by then, so it is seen to its
// end; it waits for a second, as without any wait SQS asks a part of its servers alone.
func (q *Queue) receive(ctx context.Context, n int) ([]Message, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), calls)
	defer cancel()
	out, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &q.URL, MaxNumberOfMessages: int32(n), VisibilityTimeout: int32(hold / time.Second), WaitTimeSeconds: 1,
		MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, q.explain(err, "sqs:ReceiveMessage")
	}
	ms := make([]Message, len(out.Messages))
	for i := range out.Messages {
		ms[i] = message(&out.Messages[i])
	}
	return ms, nil
}

func message(m *types.Message) Message {
	receives, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	attributes := map[string]string{}
	for name, v := range m.MessageAttributes {
		switch {
		case v.StringValue != nil:
			attributes[name] = *v.StringValue
		case len(v.BinaryValue) > 0:
			attributes[name] = base64.StdEncoding.EncodeToString(v.BinaryValue)
		}
	}
	return Message{
		ID: awssdk.ToString(m.MessageId), Body: awssdk.ToString(m.Body), Handle: awssdk.ToString(m.ReceiptHandle),
		Group: m.Attributes["MessageGroupId"], Dedup: m.Attributes["MessageDeduplicationId"], Sequence: m.Attributes["SequenceNumber"],
		Trace: m.Attributes["AWSTraceHeader"], Sender: m.Attributes["SenderId"],
		Sent: millis(m.Attributes["SentTimestamp"]), FirstReceived: millis(m.Attributes["ApproximateFirstReceiveTimestamp"]),
		Receives: receives, Attributes: attributes,
	}
}

func millis(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

// release makes visible what is held and gives how many it could not.
func (q *Queue) release(ctx context.Context, handles []string) (failed int) {
	for len(handles) > 0 {
		some := handles[:min(batch, len(handles))]
		handles = handles[len(some):]
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.URL}
		for i := range some {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: awssdk.String(strconv.Itoa(i)), ReceiptHandle: &some[i]})
		}
		failed += q.releaseSome(ctx, in)
	}
	return failed
}

// releaseSome tries three times.
func (q *Queue) releaseSome(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput) int {
	for n := 0; ; n++ {
		limited, cancel := context.WithTimeout(ctx, calls)
		out, err := q.client.ChangeMessageVisibilityBatch(limited, in)
		cancel()
		failed := len(in.Entries)
		if err == nil {
			var left []types.ChangeMessageVisibilityBatchRequestEntry
			failed = 0
			for _, f := range out.Failed {
				i, e := strconv.Atoi(awssdk.ToString(f.Id))
				if e != nil || i < 0 || i >= len(in.Entries) {
					continue
				}
				failed++
				if aws.KindOfCode(awssdk.ToString(f.Code)) != aws.Invalid { // else it is visible by now
					left = append(left, in.Entries[i])
				} else {
					failed--
				}
			}
			if failed == 0 {
				return 0
			}
			for i := range left {
				left[i].Id = awssdk.String(strconv.Itoa(i))
			}
			in.Entries = left
		}
		if n == 2 {
			return failed
		}
		pause := time.NewTimer(100 * time.Millisecond << n)
		<-pause.C
	}
}
