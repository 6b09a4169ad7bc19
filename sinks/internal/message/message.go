// Package message makes messages of events as SQS and SNS take them: the body is the event as its forward wrote it, and
// beside it stand a subject, a group, a deduplication id and attributes, made by expressions and within the services' limits.
//
// What the services or a reader would not take (empty bodies, characters that XML has not, sizes) is poison.
package message

import (
	"fmt"
	"strings"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/trace"
)

// Config says how messages are made.
type Config struct {
	Service       string // in errors: SQS
	FIFO          bool   // each message needs a group and a deduplication id
	Subject       config.Text
	Group         config.Expr
	Deduplication config.Expr
	Attributes    map[string]config.Expr // nil: id, type and source
	Watermill     bool                   // the event's id goes as WatermillUUID
}

// Message is what is sent. Empty texts are left out.
type Message struct {
	Body, Subject, Group, Dedup string
	Attributes                  []Attribute
	Size                        int // bytes that count for the limits: body, subject and attributes
}

// Attribute is a message attribute. All are of type String, and none is empty, as the services take no empty ones.
type Attribute struct{ Name, Text string }

// String is the type of all attributes.
const String = "String"

// Of makes the message of an event, of at most most bytes. Errors are poison.
func (m *Maker) Of(e *event.Recorded, most int) (Message, error) {
	out := Message{Body: string(e.Raw), Size: len(e.Raw)}
	switch at := illegal(out.Body); {
	case out.Body == "":
		return out, refuse(event.CodeMalformed, "the message is empty, which %s does not take", m.service)
	case at >= 0:
		return out, refuse(event.CodeMalformed, "the message has a character at byte %d that %s does not take: it must be one of XML 1.0's, in UTF-8", at, m.service)
	}
	values, err := m.values(e)
	if err != nil {
		return out, err
	}
	out.Attributes = values[:0]
	for _, v := range values {
		switch {
		case v.Name == groupPart:
			out.Group = v.Text
		case v.Name == dedupPart:
			out.Dedup = v.Text
		case v.Name == subjectPart:
			if err := m.checkSubject(v.Text); err != nil {
				return out, err
			}
			out.Subject = v.Text
			out.Size += len(v.Text)
		case v.Text == "":
		case illegal(v.Text) >= 0:
			return out, refuse(event.CodeMalformed, "attribute %s has a character that %s does not take: it must be one of XML 1.0's, in UTF-8", v.Name, m.service)
		default:
			out.Attributes = append(out.Attributes, v)
			out.Size += v.size()
		}
	}
	out.carry(e, most)
	if out.Size > most {
		return out, refuse(event.CodeTooLarge, "the message has %d bytes with its attributes, %d are the limit", out.Size, most)
	}
	m.place(&out, e)
	return out, nil
}

// Given is a text as the SDK takes one that may be missing: nil where it is empty.
func Given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (a Attribute) size() int { return len(a.Name) + len(String) + len(a.Text) }

// carry adds W3C's trace context as attributes, where there is room for them and the config does not set them.
func (out *Message) carry(e *event.Recorded, most int) {
	for _, name := range []string{trace.Traceparent, trace.Tracestate} {
		a := Attribute{name, e.Meta(name)}
		if a.Text == "" || out.has(name) || len(out.Attributes) >= maxAttributes || out.Size+a.size() > most || illegal(a.Text) >= 0 {
			continue
		}
		out.Attributes = append(out.Attributes, a)
		out.Size += a.size()
	}
}

func (out *Message) has(name string) bool {
	for i := range out.Attributes {
		if out.Attributes[i].Name == name {
			return true
		}
	}
	return false
}

// place puts the message in its group and gives it what tells repeats, as the service takes them.
func (m *Maker) place(out *Message, e *event.Recorded) {
	if out.Group == "" && m.fifo {
		out.Group = group(e)
	}
	out.Group = Name(out.Group)
	switch {
	case !m.fifo:
		out.Dedup = ""
	case out.Dedup == "":
		out.Dedup = dedup(e)
	default:
		out.Dedup = Name(out.Dedup)
	}
}

// group gives the group where the config names none, or its expression gives nothing: the event's stream, else subject,
// else source.
func group(e *event.Recorded) string {
	switch {
	case !e.Stream.IsZero():
		return e.Stream.String()
	case e.Subject != "":
		return e.Subject
	case e.Source != "":
		return e.Source
	}
	return "leat"
}

// dedup gives the deduplication id where the config names none: the event's id, so that a repeat within five minutes
// arrives once.
func dedup(e *event.Recorded) string {
	if e.ID == "" {
		return Digest(string(e.Raw))
	}
	return Name(e.ID)
}

// maxSubject is how many characters a subject may have.
const maxSubject = 100

func (m *Maker) checkSubject(subject string) error {
	if len(subject) > maxSubject || strings.HasPrefix(subject, " ") {
		return refuse(event.CodeMalformed, "the subject has %d characters; %s takes up to %d, the first of them no space", len(subject), m.service, maxSubject)
	}
	for i := range len(subject) {
		if subject[i] < ' ' || subject[i] > '~' {
			return refuse(event.CodeMalformed, "the subject has a character at byte %d that %s does not take: it must be printable ASCII", i, m.service)
		}
	}
	return nil
}

func refuse(code, format string, args ...any) error {
	return event.PoisonAs(code, fmt.Errorf(format, args...))
}
