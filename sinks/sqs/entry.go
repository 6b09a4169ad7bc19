package sqs

import (
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/trace"
	"github.com/leatdev/leat/sinks/internal/entries"
	"github.com/leatdev/leat/sinks/internal/message"
)

type entry = entries.Entry[types.SendMessageBatchRequestEntry]

// entry makes one of an event. Errors are poison.
func (s *Sink) entry(q *queue, e *event.Recorded) (out entry, err error) {
	m, err := s.messages.Of(e, q.maxSize)
	if err != nil {
		return out, err
	}
	out.Size, out.Group = m.Size, m.Group
	out.Send = types.SendMessageBatchRequestEntry{
		MessageBody:    &m.Body,
		MessageGroupId: message.Given(m.Group), MessageDeduplicationId: message.Given(m.Dedup), DelaySeconds: int32(s.cfg.Delay / time.Second),
	}
	if len(m.Attributes) > 0 {
		out.Send.MessageAttributes = make(map[string]types.MessageAttributeValue, len(m.Attributes))
	}
	for i := range m.Attributes {
		a := &m.Attributes[i]
		out.Send.MessageAttributes[a.Name] = types.MessageAttributeValue{DataType: awssdk.String(message.String), StringValue: &a.Text}
	}
	if header := trace.XRayOf(&e.Event); header != "" && message.Legal(header) {
		out.Send.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{trace.XRay: {DataType: awssdk.String(message.String), StringValue: &header}}
	}
	return out, nil
}
