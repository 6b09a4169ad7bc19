package sns

import (
	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks/internal/entries"
	"github.com/leatdev/leat/sinks/internal/message"
)

type entry = entries.Entry[types.PublishBatchRequestEntry]

// entry makes one of an event. Errors are poison.
func (s *Sink) entry(e *event.Recorded) (out entry, err error) {
	m, err := s.messages.Of(e, limits.Bytes)
	if err != nil {
		return out, err
	}
	out.Size, out.Group = m.Size, m.Group
	out.Send = types.PublishBatchRequestEntry{
		Message: &m.Body, Subject: message.Given(m.Subject), MessageGroupId: message.Given(m.Group), MessageDeduplicationId: message.Given(m.Dedup),
	}
	if len(m.Attributes) > 0 {
		out.Send.MessageAttributes = make(map[string]types.MessageAttributeValue, len(m.Attributes))
	}
	for i := range m.Attributes {
		a := &m.Attributes[i]
		out.Send.MessageAttributes[a.Name] = types.MessageAttributeValue{DataType: awssdk.String(message.String), StringValue: &a.Text}
	}
	return out, nil
}
