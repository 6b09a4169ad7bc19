package putevents

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// Limits of PutEvents, and the codes of what is beyond them.
const (
	maxEntries    = 10
	maxTotal      = 1 << 20 // bytes of all entries, as the service counts them
	maxDetailType = 128
	maxSource     = 256

	codeInvalid   = "InvalidArgument"
	codeMalformed = "MalformedDetail"
	codeSource    = "NotAuthorizedForSource"
	codeThrottled = "ThrottlingException"
	codeInternal  = "InternalFailure"
)

// entry is one event of a request.
type entry struct {
	Time         *json.Number
	Source       string
	Resources    []string
	DetailType   string
	Detail       string
	EventBusName string
	TraceHeader  string
}

// result is one entry of the answer.
type result struct {
	EventID      string `json:"EventId,omitempty"`
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

func (r result) failed() bool { return r.ErrorCode != "" }

// retriable reports whether the same entry may fare better later.
func (r result) retriable() bool { return r.ErrorCode == codeThrottled || r.ErrorCode == codeInternal }

func required(parameter string) result {
	return invalid(parameter, parameter+" is a required argument.")
}

func invalid(parameter, reason string) result {
	return result{ErrorCode: codeInvalid, ErrorMessage: "Parameter " + parameter + " is not valid. Reason: " + reason}
}

// size is what the entry weighs against the limit of a request.
func (e *entry) size() int {
	n := len(e.Source) + len(e.DetailType) + len(e.Detail)
	if e.Time != nil {
		n += 14
	}
	for _, r := range e.Resources {
		n += len(r)
	}
	return n
}

// check says what is wrong with the entry, in the service's words.
func (e *entry) check() result {
	switch {
	case e.Source == "":
		return required("Source")
	case e.DetailType == "":
		return required("DetailType")
	case e.Detail == "":
		return required("Detail")
	case strings.HasPrefix(e.Source, "aws."):
		return result{ErrorCode: codeSource, ErrorMessage: "Not authorized for the source."}
	case utf8.RuneCountInString(e.DetailType) > maxDetailType:
		return invalid("DetailType", fmt.Sprintf("DetailType has more than %d characters.", maxDetailType))
	case utf8.RuneCountInString(e.Source) > maxSource:
		return invalid("Source", fmt.Sprintf("Source has more than %d characters.", maxSource))
	case rawjson.KindOf([]byte(e.Detail)) != rawjson.KindObject || rawjson.Check([]byte(e.Detail)) != nil:
		return result{ErrorCode: codeMalformed, ErrorMessage: "Detail is malformed."}
	}
	return result{}
}

// bus gives the name of the bus that the entry is for.
func (e *entry) bus() string {
	if e.EventBusName == "" {
		return defaultBus
	}
	if _, name, ok := strings.Cut(e.EventBusName, ":event-bus/"); ok && strings.HasPrefix(e.EventBusName, "arn:") {
		return name
	}
	return e.EventBusName
}

// time gives when the event happened, in seconds since 1970 with a fraction.
func (e *entry) time(now time.Time) (time.Time, bool) {
	if e.Time == nil {
		return now, true
	}
	s, err := e.Time.Float64()
	if err != nil || math.Abs(s) > 1e11 {
		return now, false
	}
	t := time.Unix(int64(math.Floor(s)), 0).UTC()
	return t, t.Year() >= 0 && t.Year() <= 9999
}

// event builds the event that EventBridge would deliver.
func (e *entry) event(id, region, trace string, at time.Time) (event.Event, result) {
	raw := make([]byte, 0, 256+e.size())
	raw = append(append(raw, `{"version":"0","id":"`...), id...)
	raw = rawjson.AppendQuote(append(raw, `","detail-type":`...), e.DetailType)
	raw = rawjson.AppendQuote(append(raw, `,"source":`...), e.Source)
	raw = append(raw, `,"account":"`+account+`","time":"`...)
	raw = at.UTC().AppendFormat(raw, time.RFC3339)
	raw = rawjson.AppendQuote(append(raw, `","region":`...), region)
	raw = append(raw, `,"resources":[`...)
	for i, r := range e.Resources {
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = rawjson.AppendQuote(raw, r)
	}
	raw = append(append(append(raw, `],"detail":`...), e.Detail...), '}')
	ev := event.Event{Raw: raw}
	if rawjson.Check(raw) != nil { // one level deeper than the detail: too deep now
		return ev, result{ErrorCode: codeMalformed, ErrorMessage: "Detail is malformed."}
	}
	if e.TraceHeader != "" {
		trace = e.TraceHeader
	}
	if traceHeader.MatchString(trace) {
		ev.SetMeta("AWSTraceHeader", trace)
	}
	return ev, result{EventID: id}
}

// traceHeader is X-Ray's; others are dropped, as the service does.
var traceHeader = regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24}(;(Parent=[0-9a-f]{16}|Sampled=[01?]|Self=[^;]{1,64}|Lineage=[^;]{1,64}))*$`)
