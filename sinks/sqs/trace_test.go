package sqs

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks/internal/aside"
)

// W3C's context goes as attributes and as X-Ray's header, and gives way to attributes that the config sets.
func TestTraceContext(t *testing.T) {
	const parent = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"
	var e event.Recorded
	e.ID, e.Raw = "e", []byte("{}")
	e.SetMeta("traceparent", parent)
	e.SetMeta("tracestate", "v=1")
	form, err := newForm(&Config{Attributes: map[string]config.Expr{"id": {Source: "id"}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &Sink{form: form}
	out, err := s.entry(&queue{maxSize: 1000}, 0, &e)
	if err != nil {
		t.Fatal(err)
	}
	a := out.send.MessageAttributes
	if len(a) != 3 || *a["traceparent"].StringValue != parent || *a["tracestate"].StringValue != "v=1" {
		t.Errorf("%v", a)
	}
	if h := out.send.MessageSystemAttributes["AWSTraceHeader"]; h.StringValue == nil || *h.StringValue != "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1" {
		t.Errorf("%v", out.send.MessageSystemAttributes)
	}
	if tight, err := s.entry(&queue{maxSize: 20}, 0, &e); err != nil || len(tight.send.MessageAttributes) != 1 {
		t.Errorf("%v, %v", tight.send.MessageAttributes, err)
	}
	full := entry{}
	full.send.MessageAttributes = map[string]types.MessageAttributeValue{}
	for i := range aside.MaxAttributes {
		full.send.MessageAttributes[string(rune('a'+i))] = types.MessageAttributeValue{}
	}
	if full.carry(&e, 1000); len(full.send.MessageAttributes) != aside.MaxAttributes || full.size != 0 {
		t.Errorf("more than SQS takes: %v", full.send.MessageAttributes)
	}
}
