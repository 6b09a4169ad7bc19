package eventbridge

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/pipeline/trace"
	"github.com/leatdev/leat/sinks/internal/entries"
)

// PutEvents' limits; bytes are counted as the service does.
var limits = entries.Limits{Entries: 10, Bytes: 1<<20 - 1}

// Its limits of characters.
const (
	maxDetailType = 128
	maxSource     = 256
	maxTrace      = 500
)

type entry = entries.Entry[types.PutEventsRequestEntry]

// entry makes one of an event. Errors are poison.
func (s *Sink) entry(e *event.Recorded) (entry, error) {
	detail, err := s.detail(e)
	if err != nil {
		return entry{}, err
	}
	switch {
	case e.Source == "" || e.Type == "":
		return entry{}, refuse(event.CodeMalformed, "an event on a bus needs a source and a type: give them in the forward")
	case strings.HasPrefix(strings.ToLower(e.Source), "aws."):
		return entry{}, refuse(event.CodeSink, "source %.40q: sources that start with aws. are AWS' own", e.Source)
	case utf8.RuneCountInString(e.Type) > maxDetailType:
		return entry{}, refuse(event.CodeSink, "the type has %d characters, EventBridge takes %d", utf8.RuneCountInString(e.Type), maxDetailType)
	case utf8.RuneCountInString(e.Source) > maxSource:
		return entry{}, refuse(event.CodeSink, "the source has %d characters, EventBridge takes %d", utf8.RuneCountInString(e.Source), maxSource)
	}
	// The batch is the caller's, and its strings may be views: what the SDK sends, it sends before Write returns.
	about, err := s.resources.of(e)
	if err != nil {
		return entry{}, err
	}
	out := entry{Send: types.PutEventsRequestEntry{
		EventBusName: &s.cfg.Bus, Source: &e.Source, DetailType: &e.Type, Detail: &detail, Resources: about,
	}}
	out.Size = len(e.Source) + len(e.Type) + len(detail)
	for _, r := range out.Send.Resources {
		out.Size += len(r)
	}
	if !e.Time.IsZero() {
		t := e.Time
		out.Send.Time = &t
		out.Size += 14
	}
	if s.cfg.Trace != none {
		header := ""
		if s.cfg.Trace == trace.XRay {
			header = trace.XRayOf(&e.Event)
		} else {
			header = e.Meta(s.cfg.Trace)
		}
		if header != "" && len(header) <= maxTrace {
			out.Send.TraceHeader = &header
		}
	}
	if out.Size > limits.Bytes {
		return entry{}, refuse(event.CodeTooLarge, "the event has %d bytes, EventBridge takes less than 1 MiB", out.Size)
	}
	return out, nil
}

func refuse(code, format string, args ...any) error {
	return event.PoisonAs(code, fmt.Errorf(format, args...))
}

// detail gives the event's data with its id. A forward that asks for CloudEvents' envelope has it as the detail.
func (s *Sink) detail(e *event.Recorded) (string, error) {
	data := e.Data
	if e.Envelope != event.CloudEvents && strings.HasPrefix(string(e.Raw[:min(len(e.Raw), 20)]), `{"specversion":`) {
		data = e.Raw
	}
	if len(data) == 0 {
		data = []byte("{}")
	}
	if k := rawjson.KindOf(data); k != rawjson.KindObject {
		return "", event.PoisonAs(event.CodeMalformed, fmt.Errorf("%w, this one is of kind %s", errNoObject, k))
	}
	if s.idPath == nil || e.ID == "" {
		return string(data), nil
	}
	if _, there := rawjson.Get(data, s.idPath...); there {
		return string(data), nil
	}
	with, err := rawjson.Set(data, s.idPath, event.Quote(e.ID))
	if err != nil { // something else than an object is in the way: it is the producer's, and stays
		return string(data), nil //nolint:nilerr // see above
	}
	return string(with), nil
}
