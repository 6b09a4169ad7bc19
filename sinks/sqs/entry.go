package sqs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/pipeline/trace"
)

// field names a part of an event: root, or a path below data or metadata.
type field struct {
	root string
	path []string
}

func parseField(s string) (field, error) {
	root, rest, below := strings.Cut(s, ".")
	f := field{root: root}
	switch root {
	case "id", "stream", "source", "type", "subject":
		if !below {
			return f, nil
		}
	case "metadata":
		if rest != "" {
			f.path = []string{rest}
			return f, nil
		}
	case "data":
		if f.path = strings.Split(rest, "."); !slices.Contains(f.path, "") {
			return f, nil
		}
	}
	return field{}, fmt.Errorf("%q is none of id, stream, source, type, subject, metadata.NAME, data.PATH", s)
}

// of gives the value of an event, "" where it has none. Values that are no text are given as JSON.
func (f field) of(e *event.Recorded) string {
	var in []byte
	switch f.root {
	case "id":
		return e.ID
	case "stream":
		if e.Stream.IsZero() {
			return ""
		}
		return e.Stream.String()
	case "source":
		return e.Source
	case "type":
		return e.Type
	case "subject":
		return e.Subject
	case "metadata":
		in = e.Metadata
	default:
		in = e.Data
	}
	v, ok := rawjson.Get(in, f.path...)
	switch {
	case !ok || rawjson.KindOf(v) == rawjson.KindNull:
		return ""
	case rawjson.KindOf(v) == rawjson.KindString:
		return rawjson.Text(v)
	}
	return string(v)
}

type attribute struct {
	name  string
	field field
}

func attributesOf(m map[string]string) (all []attribute) {
	if m == nil {
		m = map[string]string{"id": "id", "type": "type", "source": "source"}
	}
	for name, source := range m {
		f, _ := parseField(source) // Validate has seen it
		all = append(all, attribute{name, f})
	}
	slices.SortFunc(all, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	return all
}

// entry is an event as SendMessageBatch takes it.
type entry struct {
	index int // in the batch
	size  int
	group string
	send  types.SendMessageBatchRequestEntry
}

// text is the type of all attributes.
var text = "String"

// entry makes one of an event. Errors are poison.
func (s *Sink) entry(q *queue, index int, e *event.Recorded) (entry, error) {
	body := string(e.Raw)
	out := entry{index: index, size: len(body)}
	out.send.MessageBody = &body
	switch at := illegal(body); {
	case body == "":
		return out, refuse(event.CodeMalformed, "the body is empty, which SQS does not take")
	case at >= 0:
		return out, refuse(event.CodeMalformed, "the body has a character at byte %d that SQS does not take: it must be one of XML 1.0's, in UTF-8", at)
	}
	for _, a := range s.attributes {
		value := a.field.of(e)
		if value == "" {
			continue // SQS takes no empty ones
		}
		if illegal(value) >= 0 {
			return out, refuse(event.CodeMalformed, "attribute %s has a character that SQS does not take: it must be one of XML 1.0's, in UTF-8", a.name)
		}
		if out.send.MessageAttributes == nil {
			out.send.MessageAttributes = make(map[string]types.MessageAttributeValue, len(s.attributes))
		}
		out.send.MessageAttributes[a.name] = types.MessageAttributeValue{DataType: &text, StringValue: &value}
		out.size += len(a.name) + len(text) + len(value)
	}
	out.carry(e, q.maxSize)
	if out.size > q.maxSize {
		return out, refuse(event.CodeTooLarge, "the message has %d bytes with its attributes, the queue takes %d", out.size, q.maxSize)
	}
	if header := trace.XRayOf(&e.Event); header != "" && illegal(header) < 0 {
		out.send.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{trace.XRay: {DataType: &text, StringValue: &header}}
	}
	if s.cfg.Delay > 0 {
		out.send.DelaySeconds = int32(s.cfg.Delay / time.Second)
	}
	s.place(&out, e)
	return out, nil
}

// carry adds W3C's trace context as attributes, for consumers that do not speak X-Ray, where there is room for them and
// the config does not set them.
func (out *entry) carry(e *event.Recorded, maxSize int) {
	for _, name := range []string{trace.Traceparent, trace.Tracestate} {
		value := e.Meta(name)
		_, set := out.send.MessageAttributes[name]
		size := len(name) + len(text) + len(value)
		if value == "" || set || len(out.send.MessageAttributes) >= maxAttributes || out.size+size > maxSize || illegal(value) >= 0 {
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
func (s *Sink) place(out *entry, e *event.Recorded) {
	if s.group.root != "" {
		out.group = s.group.of(e)
	}
	if s.at.FIFO() {
		for _, root := range []string{"stream", "subject", "source"} {
			if out.group == "" {
				out.group = field{root: root}.of(e)
			}
		}
		if out.group == "" {
			out.group = "leat"
		}
		dedup := name(e.ID)
		if e.ID == "" {
			dedup = digest(string(e.Raw))
		}
		out.send.MessageDeduplicationId = &dedup
	}
	if out.group != "" {
		out.group = name(out.group)
		out.send.MessageGroupId = &out.group
	}
}

// name gives a group or an id as SQS takes them: up to 128 letters, digits and signs of ASCII. Others are named by their
// digest, the same one each time.
func name(s string) string {
	if len(s) > 128 {
		return digest(s)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return digest(s)
		}
	}
	return s
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func refuse(code, format string, args ...any) error {
	return event.PoisonAs(code, fmt.Errorf("sqs: "+format, args...))
}

// illegal gives the place of the first character that is none of XML 1.0's, -1 where there is none.
func illegal(s string) int {
	for i, r := range s {
		switch {
		case r >= 0x20 && r <= 0xD7FF, r == '\t', r == '\n', r == '\r', r >= 0x10000, r >= 0xE000 && r < utf8.RuneError:
		case r == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		default:
			return i
		}
	}
	return -1
}
