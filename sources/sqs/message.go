package sqs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/event"
)

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// read makes an event of a message. Metadata has the message's attributes by their names, binary ones in base64, and
// beside them what SQS says of it, by SQS' names: MessageId, MessageGroupId, SentTimestamp (milliseconds since 1970),
// ApproximateReceiveCount, AWSTraceHeader, SequenceNumber.
func (s *Source) read(m *types.Message) *held {
	h := &held{id: text(m.MessageId), handle: text(m.ReceiptHandle), group: m.Attributes["MessageGroupId"]}
	h.receives, _ = strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	body := text(m.Body)
	h.key = h.id
	if id := m.MessageAttributes[watermillUUID].StringValue; id != nil && *id != "" {
		h.key = *id // the message's own, which a publisher that repeats it gives again
	}
	if id := m.Attributes["MessageDeduplicationId"]; s.fifo && id != "" && !(s.content && id == digest(body)) {
		// The producer's own name for the event. The queue's digest of the body is none: two events may say the same.
		h.key = id
	}
	if s.last > 0 && h.receives >= s.last {
		s.counts.Last.Add(1)
		h.refused = event.PoisonAs(event.CodeReceives, fmt.Errorf("sqs: received %d times and never settled; the next receive would move it to the queue's dead-letter queue (maxReceiveCount %d)", h.receives, s.last))
	}
	if limit := s.env.MaxEventSize; len(body) > limit {
		body = body[:limit+1] // too large, which the pipeline says
	}
	h.event = event.Event{Raw: []byte(body), Metadata: metadata(m)}
	h.size = len(body)
	return h
}

// watermillUUID is the attribute in which watermill-aws carries a message's UUID.
const watermillUUID = "_watermill_message_uuid"

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// shown are the system attributes that go into the metadata.
var shown = []string{"MessageGroupId", "MessageDeduplicationId", "SentTimestamp", "ApproximateReceiveCount", "AWSTraceHeader", "SequenceNumber"}

func metadata(m *types.Message) []byte {
	all := make(map[string]string, len(m.MessageAttributes)+len(shown)+1)
	for name, a := range m.MessageAttributes {
		switch {
		case a.StringValue != nil:
			all[name] = *a.StringValue
		case len(a.BinaryValue) > 0:
			all[name] = base64.StdEncoding.EncodeToString(a.BinaryValue)
		}
	}
	for _, name := range shown {
		if v := m.Attributes[name]; v != "" {
			all[name] = v
		}
	}
	all["MessageId"] = text(m.MessageId)
	out, _ := json.Marshal(all) // strings never fail; keys come out in their order
	return out
}
