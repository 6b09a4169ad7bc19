package bustail

import (
	"context"
	"strconv"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// Receive waits up to twenty seconds and gives the events that came, none twice. Done tells that they were taken. An
// outage of the queue service is waited out, with a word to Options.Warn; an error is final.
func (t *Tail) Receive(ctx context.Context) ([]Message, error) {
	if err := t.probe.send(ctx, t); err != nil {
		return nil, err
	}
	in := &sqs.ReceiveMessageInput{
		QueueUrl: &t.queueURL, MaxNumberOfMessages: 10, WaitTimeSeconds: int32(t.probe.wait() / time.Second),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAWSTraceHeader},
	}
	var got []types.Message
	for failures := 0; ; failures++ {
		out, err := t.sqs.ReceiveMessage(ctx, in)
		if err == nil {
			got = out.Messages
			break
		}
		switch kind := aws.KindOf(err); {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case kind == aws.Missing && failures < 3: // of a new queue not every part of the service knows yet
		case kind != aws.Throttled && kind != aws.Unreachable:
			return nil, explain(err, "queue "+t.Name, "sqs:ReceiveMessage")
		case failures == 0:
			t.o.Warn(explain(err, "queue "+t.Name, "sqs:ReceiveMessage"))
		}
		if !sleep(ctx, min(time.Second<<min(failures, 5), 30*time.Second)) {
			return nil, ctx.Err()
		}
	}
	var fresh, done []Message
	for i := range got {
		m := Message{Body: []byte(awssdk.ToString(got[i].Body)), Trace: got[i].Attributes["AWSTraceHeader"], Handle: awssdk.ToString(got[i].ReceiptHandle)}
		if t.probe.is(m.Body, t.o.Now) || t.seen.has(identity(m.Body, awssdk.ToString(got[i].MessageId))) {
			done = append(done, m)
			continue
		}
		fresh = append(fresh, m)
	}
	t.Done(ctx, done)
	return fresh, nil
}

// Done deletes events from the queue. One that stays is not given again.
func (t *Tail) Done(ctx context.Context, ms []Message) {
	if len(ms) == 0 {
		return
	}
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &t.queueURL}
	for i := range ms {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: awssdk.String(strconv.Itoa(i)), ReceiptHandle: &ms[i].Handle})
	}
	_, _ = t.sqs.DeleteMessageBatch(ctx, in) // what comes again is known by its id
}

// identity names an event: EventBridge may deliver it twice, in two messages. A replay of it is another.
func identity(body []byte, message string) string {
	id, replay := "", ""
	_ = rawjson.Object(body, func(key, value []byte) bool {
		switch {
		case string(key) == "id" && rawjson.KindOf(value) == rawjson.KindString:
			id = rawjson.Text(value)
		case string(key) == "replay-name" && rawjson.KindOf(value) == rawjson.KindString:
			replay = rawjson.Text(value)
		}
		return true
	})
	if id == "" {
		return "message " + message
	}
	return id + " " + replay
}

// recent remembers the last names that it was asked about.
type recent struct {
	set  map[string]struct{}
	ring []string
	next int
}

const remembered = 20000

// has reports whether it was asked about the name before.
func (r *recent) has(name string) bool {
	if r.set == nil {
		r.set = map[string]struct{}{}
	}
	if _, ok := r.set[name]; ok {
		return true
	}
	if len(r.ring) < remembered {
		r.ring = append(r.ring, name)
	} else {
		delete(r.set, r.ring[r.next])
		r.ring[r.next] = name
		r.next = (r.next + 1) % remembered
	}
	r.set[name] = struct{}{}
	return false
}
