package codec

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// Decode takes e.Raw apart and fills ID, Source, Type, Subject, Time and Data, and Envelope with the shape that it
// found. Strings and Data are views into Raw; only escapes, times with an offset and SNS messages are copied.
//
// Want is the shape that the body must have. Auto goes by what the body holds: "detail-type" makes it EventBridge's,
// "specversion" CloudEvents', "Type": "Notification" with "Message" SNS', anything else is Plain. A body that claims a
// shape must keep its rules: EventBridge's events need source, detail-type and an object as detail (id and time may be
// absent: leat's own inputs accept hand-written lines), CloudEvents need id, source and type. Members without a place
// in Event are not looked at; see FillMetadata.
//
// MaxSize bounds the body in bytes; zero: no bound. Errors are poison, with CodeTooLarge or CodeMalformed, and say
// which field or which byte is at fault. They never quote the body. Envelope and the other fields are unspecified then.
func Decode(e *event.Event, want event.Envelope, maxSize int) error {
	if maxSize > 0 && len(e.Raw) > maxSize {
		return event.PoisonAs(event.CodeTooLarge, fmt.Errorf("codec: the body is larger than limits.event_size, %d bytes; only its beginning is kept", maxSize))
	}
	e.ID, e.Source, e.Type, e.Subject, e.Time, e.Data = "", "", "", "", time.Time{}, nil
	raw := e.Raw
	start := rawjson.SkipSpace(raw, 0)
	if start == len(raw) {
		return malformed("the body is empty")
	}
	if want == event.Plain || (want == event.Auto && raw[start] != '{') {
		return plain(e, raw, start)
	}
	var m members
	if err := rawjson.Object(raw, func(key, value []byte) bool { m.take(key, value); return true }); err != nil {
		return syntax(err, "")
	}
	if want == event.Auto {
		want = m.shape()
	}
	e.Envelope = want
	switch want {
	case event.EventBridge:
		return m.eventBridge(e)
	case event.CloudEvents:
		return m.cloudEvents(e)
	case event.SNS:
		return m.sns(e)
	case event.Plain:
		e.Data = trimSpace(raw, start)
		return nil
	}
	return fmt.Errorf("codec: %s is no shape to decode", want)
}

func plain(e *event.Event, raw []byte, start int) error {
	if err := rawjson.Check(raw); err != nil {
		return syntax(err, "")
	}
	e.Envelope, e.Data = event.Plain, trimSpace(raw, start)
	return nil
}

func trimSpace(b []byte, start int) []byte {
	end := len(b)
	for end > start && b[end-1] <= ' ' {
		end--
	}
	return b[start:end:end]
}

// members holds the values of an envelope that have a place in Event, of all shapes at once: which shape it is shows
// only at its end.
type members struct {
	id, source, time               []byte
	detailType, detail             []byte
	specVersion, typ, subject      []byte
	data, dataBase64               []byte
	snsType, message               []byte
	messageID, topicARN, timestamp []byte
	snsSubject                     []byte
}

func (m *members) take(key, value []byte) {
	switch string(key) {
	case "id":
		m.id = value
	case "source":
		m.source = value
	case "time":
		m.time = value
	case "detail-type":
		m.detailType = value
	case "detail":
		m.detail = value
	case "specversion":
		m.specVersion = value
	case "type":
		m.typ = value
	case "subject":
		m.subject = value
	case "data":
		m.data = value
	case "data_base64":
		m.dataBase64 = value
	case "Type":
		m.snsType = value
	case "Message":
		m.message = value
	case "MessageId":
		m.messageID = value
	case "TopicArn":
		m.topicARN = value
	case "Timestamp":
		m.timestamp = value
	case "Subject":
		m.snsSubject = value
	}
}

func (m *members) shape() event.Envelope {
	switch {
	case m.detailType != nil:
		return event.EventBridge
	case m.specVersion != nil:
		return event.CloudEvents
	case m.message != nil && string(m.snsType) == `"Notification"`:
		return event.SNS
	}
	return event.Plain
}

func (m *members) eventBridge(e *event.Event) (err error) {
	if m.detail == nil {
		return malformed("an EventBridge event needs %q", "detail")
	}
	if k := rawjson.KindOf(m.detail); k != rawjson.KindObject {
		return malformed("detail: expected an object, found %s", article(k))
	}
	e.Data = m.detail
	if e.Type, err = required(m.detailType, "detail-type", "an EventBridge event"); err != nil {
		return err
	}
	if e.Source, err = required(m.source, "source", "an EventBridge event"); err != nil {
		return err
	}
	if e.ID, err = optional(m.id, "id"); err != nil {
		return err
	}
	e.Time, err = instant(m.time, "time")
	return err
}

func (m *members) cloudEvents(e *event.Event) (err error) {
	version, err := required(m.specVersion, "specversion", "a CloudEvent")
	if err != nil {
		return err
	}
	if version != "1.0" && version != "0.3" {
		return malformed("specversion: leat reads CloudEvents 1.0, not %.20q", version)
	}
	if e.ID, err = required(m.id, "id", "a CloudEvent"); err != nil {
		return err
	}
	if e.Source, err = required(m.source, "source", "a CloudEvent"); err != nil {
		return err
	}
	if e.Type, err = required(m.typ, "type", "a CloudEvent"); err != nil {
		return err
	}
	if e.Subject, err = optional(m.subject, "subject"); err != nil {
		return err
	}
	if e.Time, err = instant(m.time, "time"); err != nil {
		return err
	}
	if e.Data = m.data; m.data == nil && m.dataBase64 != nil {
		e.Data, err = binaryData(m.dataBase64)
	}
	return err
}

// binaryData reads CloudEvents' data_base64. leat carries JSON, so it must hold JSON.
func binaryData(value []byte) ([]byte, error) {
	text, err := optional(value, "data_base64")
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, malformed("data_base64: %w", err)
	}
	if err := rawjson.Check(data); err != nil {
		return nil, syntax(err, "in data_base64: ")
	}
	return trimSpace(data, rawjson.SkipSpace(data, 0)), nil
}

func (m *members) sns(e *event.Event) error {
	if string(m.snsType) != `"Notification"` {
		return malformed("Type: an SNS body must be a Notification")
	}
	text, err := required(m.message, "Message", "an SNS notification")
	if err != nil {
		return err
	}
	// The message is a view into Raw, or memory of its own where it had escapes; neither is written to.
	body := unsafe.Slice(unsafe.StringData(text), len(text))
	switch inner, ok := innerMembers(body); {
	case !ok:
		e.Data = m.message // any other text: data is the JSON string
	case inner.shape() == event.EventBridge:
		err = within("Message", inner.eventBridge(e))
	case inner.shape() == event.CloudEvents:
		err = within("Message", inner.cloudEvents(e))
	default:
		e.Data = trimSpace(body, rawjson.SkipSpace(body, 0))
	}
	if err != nil {
		return err
	}
	return m.snsRest(e)
}

// innerMembers reads the message of an SNS notification; ok is whether it is JSON.
func innerMembers(body []byte) (m members, ok bool) {
	if rawjson.KindOf(body) != rawjson.KindObject {
		return m, rawjson.Check(body) == nil
	}
	err := rawjson.Object(body, func(key, value []byte) bool { m.take(key, value); return true })
	return m, err == nil
}

// snsRest takes from the notification what the event inside it does not say.
func (m *members) snsRest(e *event.Event) error {
	for _, f := range []struct {
		into  *string
		value []byte
		name  string
	}{{&e.ID, m.messageID, "MessageId"}, {&e.Source, m.topicARN, "TopicArn"}, {&e.Subject, m.snsSubject, "Subject"}} {
		s, err := optional(f.value, f.name)
		if err != nil {
			return err
		}
		if *f.into == "" {
			*f.into = s
		}
	}
	t, err := instant(m.timestamp, "Timestamp")
	if e.Time.IsZero() {
		e.Time = t
	}
	return err
}

func optional(value []byte, name string) (string, error) {
	if len(value) > 0 && value[0] == '"' {
		return rawjson.Text(value), nil
	}
	if value == nil || value[0] == 'n' {
		return "", nil
	}
	return "", malformed("%s: expected a string, found %s", name, article(rawjson.KindOf(value)))
}

func required(value []byte, name, of string) (string, error) {
	s, err := optional(value, name)
	if err == nil && s == "" {
		err = malformed("%s needs %q", of, name)
	}
	return s, err
}

func instant(value []byte, name string) (time.Time, error) {
	s, err := optional(value, name)
	if err != nil || s == "" {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, malformed("%s: expected a time like 2026-01-31T12:00:00Z (RFC 3339)", name)
	}
	return t.UTC(), nil
}

func article(k rawjson.Kind) string {
	switch k {
	case rawjson.KindNull:
		return "null"
	case rawjson.KindArray, rawjson.KindObject:
		return "an " + k.String()
	}
	return "a " + k.String()
}

func malformed(format string, args ...any) error {
	return event.PoisonAs(event.CodeMalformed, fmt.Errorf("codec: "+format, args...))
}

func syntax(err error, where string) error {
	var s *rawjson.SyntaxError
	if errors.As(err, &s) {
		return malformed("%sno valid JSON: %s at byte %d", where, s.Msg, s.Offset)
	}
	return malformed("%s%w", where, err)
}

func within(part string, err error) error {
	if err == nil {
		return nil
	}
	return malformed("in %s: %s", part, strings.TrimPrefix(err.Error(), "codec: "))
}
