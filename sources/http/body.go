package http

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	nethttp "net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// form is how a body holds events.
type form uint8

const (
	values     form = iota // one JSON value, or an array of events
	lines                  // NDJSON
	cloudEvent             // a structured CloudEvent
	cloudBatch             // an array of them
	binary                 // a CloudEvent whose fields are headers
)

// formOf reads what the headers say of the body. Kind is the media type of a binary CloudEvent's data.
func formOf(h nethttp.Header) (f form, kind string, no *refusal) {
	kind = h.Get("Content-Type")
	var params map[string]string
	switch kind {
	case "":
		kind = "application/json"
	case "application/json": // most often
	default:
		var err error
		if kind, params, err = mime.ParseMediaType(kind); err != nil {
			return 0, "", unsupported("the Content-Type cannot be read")
		}
	}
	if c := params["charset"]; c != "" && !strings.EqualFold(c, "utf-8") && !strings.EqualFold(c, "us-ascii") {
		return 0, "", unsupported("the body must be UTF-8, not " + c)
	}
	if c := h.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		return 0, "", unsupported("the body must come as it is, not as " + c)
	}
	switch {
	case kind == "application/cloudevents+json":
		return cloudEvent, kind, nil
	case kind == "application/cloudevents-batch+json":
		return cloudBatch, kind, nil
	case h.Get("Ce-Specversion") != "":
		if isJSON(kind) || strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "xml") {
			return binary, kind, nil
		}
	case kind == "application/x-ndjson" || kind == "application/ndjson" || kind == "application/jsonl" || kind == "application/x-jsonlines":
		return lines, kind, nil
	case isJSON(kind):
		return values, kind, nil
	}
	return 0, "", unsupported("leat takes JSON here (Content-Type: application/json, application/x-ndjson, application/cloudevents+json or -batch+json), not " + kind)
}

func isJSON(kind string) bool { return kind == "application/json" || strings.HasSuffix(kind, "+json") }

func unsupported(message string) *refusal {
	return &refusal{status: nethttp.StatusUnsupportedMediaType, code: "unsupported_type", message: message}
}

func malformed(format string, args ...any) *refusal {
	return &refusal{status: nethttp.StatusBadRequest, code: event.CodeMalformed, message: fmt.Sprintf(format, args...)}
}

func notJSON(where string, err error) *refusal {
	var s *rawjson.SyntaxError
	if errors.As(err, &s) {
		return malformed("%sno valid JSON: %s at byte %d", where, s.Msg, s.Offset)
	}
	return malformed("%sno valid JSON", where)
}

// parse takes a body apart. Either all of it is good or nothing is taken. The events are views into the body. Single is
// whether the body was one event, and no list of one.
func parse(f form, kind string, h nethttp.Header, body []byte, most int) (events []event.Event, single bool, no *refusal) {
	start := rawjson.SkipSpace(body, 0)
	if start == len(body) && f != binary {
		return nil, false, malformed("the body is empty")
	}
	switch f {
	case binary:
		raw, no := structured(kind, h, body)
		if no == nil {
			no = checkCloudEvent("", raw)
		}
		return []event.Event{{Raw: raw}}, true, no
	case lines:
		events, no = parseLines(body, most)
		return events, false, no
	case cloudEvent:
		return []event.Event{{Raw: body}}, true, checkCloudEvent("", body)
	case cloudBatch:
		if body[start] != '[' {
			return nil, false, malformed("a batch of CloudEvents is an array")
		}
	case values:
		if body[start] != '[' {
			if err := rawjson.Check(body); err != nil {
				return nil, false, notJSON("", err)
			}
			return []event.Event{{Raw: body}}, true, nil
		}
	}
	over := false
	err := rawjson.Array(body, func(v []byte) bool {
		if over = len(events) == most; over {
			return false
		}
		events = append(events, event.Event{Raw: v})
		return true
	})
	switch {
	case over:
		return nil, false, tooMany(most)
	case err != nil:
		return nil, false, notJSON("", err)
	}
	if f == cloudBatch {
		for i := range events {
			if no := checkCloudEvent(fmt.Sprintf("event %d: ", i), events[i].Raw); no != nil {
				return nil, false, no
			}
		}
	}
	return events, false, nil
}

func tooMany(most int) *refusal {
	return &refusal{status: nethttp.StatusRequestEntityTooLarge, code: "too_many_events", message: fmt.Sprintf("a body holds at most %d events", most)}
}

func parseLines(body []byte, most int) ([]event.Event, *refusal) {
	var events []event.Event
	n := 0
	for line := range bytes.Lines(body) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(events) == most {
			return nil, tooMany(most)
		}
		if err := rawjson.Check(line); err != nil {
			return nil, notJSON(fmt.Sprintf("line %d: ", n), err)
		}
		events = append(events, event.Event{Raw: line[:len(line):len(line)]})
	}
	return events, nil
}

func checkCloudEvent(where string, raw []byte) *refusal {
	e := event.Event{Raw: raw}
	if err := codec.Decode(&e, event.CloudEvents, 0); err != nil {
		return malformed("%s%s", where, strings.TrimPrefix(err.Error(), "codec: "))
	}
	return nil
}

// structured writes a binary CloudEvent in its structured form, since events keep the bytes of one body: headers as
// attributes (section 3.1.3 of CloudEvents' HTTP protocol binding, 1.0.2), the body as data, JSON as it is and other
// text as a string.
func structured(kind string, h nethttp.Header, body []byte) ([]byte, *refusal) {
	raw := append(make([]byte, 0, len(body)+512), '{')
	var names []string
	for name := range h {
		if attr, ok := strings.CutPrefix(name, "Ce-"); ok {
			names = append(names, attr)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		attr := strings.ToLower(name)
		if attr == "data" || attr == "data_base64" || attr == "datacontenttype" || attr == "" {
			return nil, malformed("the header Ce-%s has no place in a CloudEvent", name)
		}
		value := h.Get("Ce-" + name)
		if text, err := url.PathUnescape(value); err == nil { // values are percent-encoded; a lone % stands for itself
			value = text
		}
		raw = rawjson.AppendQuote(append(rawjson.AppendQuote(raw, attr), ':'), value)
		raw = append(raw, ',')
	}
	raw = rawjson.AppendQuote(append(raw, `"datacontenttype":`...), kind)
	switch {
	case len(bytes.TrimSpace(body)) == 0:
	case isJSON(kind):
		if err := rawjson.Check(body); err != nil {
			return nil, notJSON("", err)
		}
		raw = append(append(raw, `,"data":`...), body...)
	default:
		raw = rawjson.AppendQuote(append(raw, `,"data":`...), string(bytes.ToValidUTF8(body, []byte("\uFFFD"))))
	}
	return append(raw, '}'), nil
}
