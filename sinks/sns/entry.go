package sns

import (
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/trace"
	"github.com/leatdev/leat/sinks/internal/aside"
)

// Names of the expressions beside the attributes: no attribute can be called so.
const (
	groupPart = " group"
	dedupPart = " deduplication"
)

// form makes entries of events.
type form struct {
	fifo    bool
	aside   *aside.Form
	subject *filter.Template // nil: none
	views   sync.Pool
}

func newForm(c *Config) (*form, error) {
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
	f := &form{fifo: c.fifo()}
	var err error
	if f.aside, err = aside.New(parts); err != nil {
		return nil, err
	}
	if c.Subject.IsZero() {
		return f, nil
	}
	scope := filter.NewScope(filter.Event | filter.Log)
	if f.subject, err = scope.Template(c.Subject.Source); err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	f.views.New = func() any { return scope.NewView() }
	return f, nil
}

// entry is an event as PublishBatch takes it.
type entry struct {
	index   int // in the batch
	size    int
	group   string
	publish types.PublishBatchRequestEntry
}

// Place implements aside.Entry.
func (out entry) Place() (string, int) { return out.group, out.size }

// text is the type of all attributes.
var text = "String"

// entry makes one of an event. Errors are poison.
func (f *form) entry(index int, e *event.Recorded) (entry, error) {
	body := string(e.Raw)
	out := entry{index: index, size: len(body)}
	out.publish.Message = &body
	switch at := aside.Illegal(body); {
	case body == "":
		return out, refuse(event.CodeMalformed, "the message is empty, which SNS does not take")
	case at >= 0:
		return out, refuse(event.CodeMalformed, "the message has a character at byte %d that SNS does not take: it must be one of XML 1.0's, in UTF-8", at)
	}
	values, err := f.aside.Of(e)
	if err != nil {
		return out, fmt.Errorf("sns: %w", err)
	}
	dedup := ""
	for _, v := range values {
		switch v.Name {
		case groupPart:
			out.group = v.Text
		case dedupPart:
			dedup = v.Text
		default:
			if aside.Illegal(v.Text) >= 0 {
				return out, refuse(event.CodeMalformed, "attribute %s has a character that SNS does not take: it must be one of XML 1.0's, in UTF-8", v.Name)
			}
			out.attribute(v.Name, v.Text)
		}
	}
	for _, name := range []string{trace.Traceparent, trace.Tracestate} {
		if v := e.Meta(name); len(out.publish.MessageAttributes) < aside.MaxAttributes && aside.Illegal(v) < 0 {
			out.attribute(name, v)
		}
	}
	if err := f.subjectOf(&out, e); err != nil {
		return out, err
	}
	if out.size > maxTotal {
		return out, refuse(event.CodeTooLarge, "the message has %d bytes with its attributes, SNS takes %d", out.size, maxTotal)
	}
	f.place(&out, e, dedup)
	return out, nil
}

// attribute adds one, unless it is empty, which SNS does not take, or there.
func (out *entry) attribute(name, value string) {
	if _, there := out.publish.MessageAttributes[name]; value == "" || there {
		return
	}
	if out.publish.MessageAttributes == nil {
		out.publish.MessageAttributes = map[string]types.MessageAttributeValue{}
	}
	out.publish.MessageAttributes[name] = types.MessageAttributeValue{DataType: &text, StringValue: &value}
	out.size += len(name) + len(text) + len(value)
}

func (f *form) subjectOf(out *entry, e *event.Recorded) error {
	if f.subject == nil {
		return nil
	}
	v := f.views.Get().(*filter.View)
	defer func() {
		v.Reset(&event.Recorded{})
		f.views.Put(v)
	}()
	v.Reset(e)
	subject, err := f.subject.Text(v)
	if err != nil {
		return event.PoisonAs(event.CodeExpression, fmt.Errorf("sns: subject: %w", err))
	}
	if subject == "" {
		return nil
	}
	if len(subject) > maxSubject || subject[0] == ' ' {
		return refuse(event.CodeMalformed, "the subject has %d characters; SNS takes up to %d, the first of them no space", len(subject), maxSubject)
	}
	for i := range len(subject) {
		if subject[i] < ' ' || subject[i] > '~' {
			return refuse(event.CodeMalformed, "the subject has a character at byte %d that SNS does not take: it must be printable ASCII", i)
		}
	}
	out.publish.Subject = &subject
	out.size += len(subject)
	return nil
}

// place puts the message in its group and, in a FIFO topic, gives it its deduplication id.
func (f *form) place(out *entry, e *event.Recorded, dedup string) {
	if f.fifo {
		if out.group == "" {
			out.group = aside.Group(e)
		}
		if dedup = aside.Name(dedup); dedup == "" {
			dedup = aside.Dedup(e)
		}
		out.publish.MessageDeduplicationId = &dedup
	}
	if out.group != "" {
		out.group = aside.Name(out.group)
		group := out.group
		out.publish.MessageGroupId = &group
	}
}

func refuse(code, format string, args ...any) error {
	return event.PoisonAs(code, fmt.Errorf("sns: "+format, args...))
}
