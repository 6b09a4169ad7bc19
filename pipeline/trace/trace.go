// Package trace reads and writes where a trace goes on: W3C's traceparent and tracestate, and X-Ray's header.
//
// The two name the same thing: an X-Ray trace id is the 32 hexadecimal digits of a W3C one, cut behind the eighth. An
// event's metadata carries `traceparent` and `tracestate`, or `AWSTraceHeader` where only AWS spoke of it; so a trace
// goes on across the log, however long an event lies there. The package knows nothing of spans and exporters.
package trace

import (
	"encoding/hex"
	"strings"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// The entries of an event's metadata.
const (
	Traceparent = "traceparent"
	Tracestate  = "tracestate"
	XRay        = "AWSTraceHeader"
)

// Parent is the span that work belongs to. The zero value is none.
type Parent struct {
	TraceID [16]byte
	SpanID  [8]byte
	Sampled bool
	// State is W3C's tracestate, which vendors fill; it is passed on as it came.
	State string
}

// Valid reports whether there is a parent: neither id is zero.
func (p Parent) Valid() bool { return p.TraceID != [16]byte{} && p.SpanID != [8]byte{} }

// Of reads the parent of an event from its metadata. W3C's entry counts before X-Ray's, as leat keeps it up to date.
func Of(e *event.Event) (Parent, bool) {
	if len(e.Metadata) == 0 {
		return Parent{}, false
	}
	if p, ok := ParseTraceparent(get(e, Traceparent)); ok {
		p.State = get(e, Tracestate)
		return p, true
	}
	return ParseXRay(get(e, XRay))
}

// get is Event.Meta without taking the whole object apart.
func get(e *event.Event, key string) string {
	v, ok := rawjson.Get(e.Metadata, key)
	if !ok || rawjson.KindOf(v) != rawjson.KindString {
		return ""
	}
	return rawjson.Text(v)
}

// Carry writes a parent into an event's metadata. X-Ray's entry is kept up to date where there is one.
func Carry(e *event.Event, p Parent) {
	had := len(e.Metadata) > 2
	if !had && p.State == "" {
		e.Metadata = append(p.appendTraceparent([]byte(`{"`+Traceparent+`":"`)), `"}`...)
		return
	}
	e.SetMeta(Traceparent, p.Traceparent())
	if p.State != "" || had && e.Meta(Tracestate) != "" {
		e.SetMeta(Tracestate, p.State)
	}
	if had && e.Meta(XRay) != "" {
		e.SetMeta(XRay, p.XRay())
	}
}

// XRayOf gives X-Ray's header for an event, made of traceparent where there is none; "" where there is neither.
func XRayOf(e *event.Event) string {
	if h := e.Meta(XRay); h != "" {
		return h
	}
	if p, ok := ParseTraceparent(e.Meta(Traceparent)); ok {
		return p.XRay()
	}
	return ""
}

// ID gives the trace id of an event in hexadecimal, "" where it has none.
func ID(e *event.Event) string {
	if p, ok := Of(e); ok {
		return hex.EncodeToString(p.TraceID[:])
	}
	return ""
}

// ParseTraceparent reads W3C's header, version-traceid-parentid-flags. Versions to come are read by the rules of the
// recommendation: what follows the flags is theirs.
func ParseTraceparent(s string) (p Parent, ok bool) {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return p, false
	}
	var version, flags [1]byte
	if !lowerHex(version[:], s[:2]) || !lowerHex(p.TraceID[:], s[3:35]) || !lowerHex(p.SpanID[:], s[36:52]) || !lowerHex(flags[:], s[53:55]) {
		return Parent{}, false
	}
	if version[0] == 0xff || version[0] == 0 && len(s) != 55 || len(s) > 55 && s[55] != '-' || !p.Valid() {
		return Parent{}, false
	}
	p.Sampled = flags[0]&1 != 0
	return p, true
}

func lowerHex(dst []byte, s string) bool {
	if strings.ContainsAny(s, "ABCDEF") {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

// Traceparent gives W3C's header, version 00.
func (p Parent) Traceparent() string { return string(p.appendTraceparent(make([]byte, 0, 55))) }

func (p Parent) appendTraceparent(b []byte) []byte {
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, p.TraceID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, p.SpanID[:])
	if p.Sampled {
		return append(b, "-01"...)
	}
	return append(b, "-00"...)
}

// ParseXRay reads X-Ray's header, Root=1-8hex-24hex;Parent=16hex;Sampled=1, its fields in any order. Without a Parent
// there is no span to go on from, as in a header that a load balancer made: ok is false.
func ParseXRay(s string) (p Parent, ok bool) {
	for field := range strings.SplitSeq(s, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch key {
		case "Root":
			if len(value) != 35 || value[:2] != "1-" || value[10] != '-' || !lowerHex(p.TraceID[:], value[2:10]+value[11:]) {
				return Parent{}, false
			}
		case "Parent":
			if len(value) != 16 || !lowerHex(p.SpanID[:], value) {
				return Parent{}, false
			}
		case "Sampled":
			p.Sampled = value == "1"
		}
	}
	if !p.Valid() {
		return Parent{}, false
	}
	return p, true
}

// XRay gives X-Ray's header.
func (p Parent) XRay() string {
	id := hex.EncodeToString(p.TraceID[:])
	out := "Root=1-" + id[:8] + "-" + id[8:] + ";Parent=" + hex.EncodeToString(p.SpanID[:])
	if p.Sampled {
		return out + ";Sampled=1"
	}
	return out + ";Sampled=0"
}
