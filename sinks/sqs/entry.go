package sqs

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/trace"
	"github.com/leatdev/leat/sinks/internal/aside"
)

// Names of the expressions beside the attributes: no attribute can be called so.
const (
	groupPart = " group"
	dedupPart = " deduplication"
)

// newForm compiles the config's expressions.
func newForm(c *Config) (*aside.Form, error) {
	parts := map[string]config.Expr{groupPart: c.Group, dedupPart: c.Deduplication}
	attributes := c.Attributes
	if attributes == nil {
		attributes = map[string]config.Expr{"id": {Source: "id"}, "type": {Source: "type"}, "source": {Source: "source"}}
	}
	for name, x := range attributes {
		parts[name] = x
	}
	if c.Watermill {
		parts[aside.WatermillUUID] = config.Expr{Source: "id"}
	}
	return aside.New(parts)
}

// entry is an event as SendMessageBatch takes it.
type entry struct {
	index int // in the batch
	size  int
	group string
	send  types.SendMessageBatchRequestEntry
}

// Place implements aside.Entry.
func (out entry) Place() (string, int) { return out.group, out.size }

// text is the type of all attributes.
var text = "String"

// entry makes one of an event. Errors are poison.
func (s *Sink) entry(q *queue, index int, e *event.Recorded) (entry, error) {
	body := string(e.Raw)
	out := entry{index: index, size: len(body)}
	out.send.MessageBody = &body
	switch at := aside.Illegal(body); {
	case body == "":
		return out, refuse(event.CodeMalformed, "the body is empty, which SQS does not take")
	case at >= 0:
		return out, refuse(event.CodeMalformed, "the body has a character at byte %d that SQS does not take: it must be one of XML 1.0's, in UTF-8", at)
	}
	values, err := s.form.Of(e)
	if err != nil {
		return out, fmt.Errorf("sqs: %w", err)
	}
	dedup := ""
	for _, v := range values {
		switch value := v.Text; {
		case v.Name == groupPart:
			out.group = value
		case v.Name == dedupPart:
			dedup = value
		case value == "": // SQS takes no empty ones
		case aside.Illegal(value) >= 0:
			return out, refuse(event.CodeMalformed, "attribute %s has a character that SQS does not take: it must be one of XML 1.0's, in UTF-8", v.Name)
		default:
			if out.send.MessageAttributes == nil {
				out.send.MessageAttributes = make(map[string]types.MessageAttributeValue, len(values))
			}
			out.send.MessageAttributes[v.Name] = types.MessageAttributeValue{DataType: &text, StringValue: &value}
			out.size += len(v.Name) + len(text) + len(value)
		}
	}
	out.carry(e, q.maxSize)
	if out.size > q.maxSize {
		return out, refuse(event.CodeTooLarge, "the message has %d bytes with its attributes, the queue takes %d", out.size, q.maxSize)
	}
	if header := trace.XRayOf(&e.Event); header != "" && aside.Illegal(header) < 0 {
		out.send.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{trace.XRay: {DataType: &text, StringValue: &header}}
	}
	if s.cfg.Delay > 0 {
		out.send.DelaySeconds = int32(s.cfg.Delay / time.Second)
	}
	s.place(&out, e, dedup)
	return out, nil
}

// carry adds W3C's trace context as attributes, for consumers that do not speak X-Ray, where there is room for them and
// the config does not set them.
func (out *entry) carry(e *event.Recorded, maxSize int) {
	for _, name := range []string{trace.Traceparent, trace.Tracestate} {
		value := e.Meta(name)
		_, set := out.send.MessageAttributes[name]
		size := len(name) + len(text) + len(value)
		if value == "" || set || len(out.send.MessageAttributes) >= aside.MaxAttributes || out.size+size > maxSize || aside.Illegal(value) >= 0 {
			continue
		}
		if out.send.MessageAttributes == nil {
			out.send.MessageAttributes = map[string]types.MessageAttributeValue{}
		}
		out.send.MessageAttributes[name] = types.MessageAttributeValue{DataType: &text, StringValue: &value}
		out.size += size
	}
}

// place puts the message in its group and, in a FIFO queue, gives it its deduplication id.
func (s *Sink) place(out *entry, e *event.Recorded, dedup string) {
	if s.at.FIFO() {
		if out.group == "" {
			out.group = aside.Group(e)
		}
		if dedup = aside.Name(dedup); dedup == "" {
			dedup = aside.Dedup(e)
		}
		out.send.MessageDeduplicationId = &dedup
	}
	if out.group != "" {
		out.group = aside.Name(out.group)
		group := out.group
		out.send.MessageGroupId = &group
	}
}

func refuse(code, format string, args ...any) error {
	return event.PoisonAs(code, fmt.Errorf("sqs: "+format, args...))
}
