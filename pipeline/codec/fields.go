package codec

import (
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/pattern"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// Fields shows the event to patterns in EventBridge's shape: type is detail-type, data is detail. An event that came in
// that shape and was not changed is seen as it came, with every top-level field that it has; of any other the fields are
// those that Encode would write. What a transport added to the metadata beside them is no part of the event.
//
// F is overwritten, its memory used again; what it holds are views into the event. Without allocations for events in
// EventBridge's shape that have none but the service's own fields.
func Fields(e *event.Event, f *pattern.Fields) {
	*f = pattern.Fields{
		ID: e.ID, Source: e.Source, DetailType: e.Type, Detail: e.Data,
		Resources: f.Resources[:0],
	}
	if e.Envelope == event.EventBridge && len(e.Raw) > 0 {
		topLevel(e, f)
		if !e.Changed {
			return
		}
	}
	f.Time = ""
	if !e.Time.IsZero() {
		f.Time = e.Time.UTC().Format(time.RFC3339)
	}
	if len(e.Metadata) > 0 {
		metaText(e.Metadata, "account", &f.Account)
		metaText(e.Metadata, "region", &f.Region)
		if v, ok := rawjson.Get(e.Metadata, "resources"); ok {
			f.Resources = texts(f.Resources[:0], v)
		}
	}
	f.Version = "0"
	if len(f.Resources) == 0 && e.Subject != "" {
		f.Resources = append(f.Resources, e.Subject)
	}
}

func metaText(meta []byte, key string, into *string) {
	if v, ok := rawjson.Get(meta, key); ok && rawjson.KindOf(v) == rawjson.KindString {
		*into = rawjson.Text(v)
	}
}

// texts appends the strings of an array.
func texts(dst []string, array []byte) []string {
	if rawjson.KindOf(array) != rawjson.KindArray {
		return dst
	}
	_ = rawjson.Array(array, func(v []byte) bool {
		if rawjson.KindOf(v) == rawjson.KindString {
			dst = append(dst, rawjson.Text(v))
		}
		return true
	})
	return dst
}

// topLevel takes from Raw what Event has no names for. Decode has validated it, so this only finds where members end,
// and it jumps over the data.
func topLevel(e *event.Event, f *pattern.Fields) {
	b := e.Raw
	data, isView := e.DataAt()
	for i := rawjson.SkipSpace(b, 0) + 1; ; i++ { // behind the bracket, then behind each comma
		i = rawjson.SkipSpace(b, i)
		end, escaped := 0, false
		if i >= len(b) || b[i] != '"' {
			return
		}
		if end, escaped = rawjson.SkipString(b, i); end < 0 {
			return
		}
		key := b[i+1 : end-1]
		if escaped {
			key = []byte(rawjson.Text(b[i:end]))
		}
		i = rawjson.SkipSpace(b, rawjson.SkipSpace(b, end)+1) // over the colon
		start := i
		if isView && i == data {
			i += len(e.Data)
		} else if i = rawjson.Skip(b, i); i < 0 {
			return
		}
		member(f, string(key), b[start:i:i])
		i = rawjson.SkipSpace(b, i) // the comma, or the end
	}
}

func member(f *pattern.Fields, key string, value []byte) {
	isText := rawjson.KindOf(value) == rawjson.KindString
	switch key {
	case "source", "detail-type", "detail":
		return
	case "id":
		if isText { // else null
			return
		}
	case "time":
		if isText {
			f.Time = rawjson.Text(value)
			return
		}
	case "account":
		if isText {
			f.Account = rawjson.Text(value)
			return
		}
	case "region":
		if isText {
			f.Region = rawjson.Text(value)
			return
		}
	case "version":
		if isText {
			f.Version = rawjson.Text(value)
			return
		}
	case "resources":
		n := 0
		f.Resources = f.Resources[:0]
		if rawjson.KindOf(value) == rawjson.KindArray {
			_ = rawjson.Array(value, func([]byte) bool { n++; return true })
			if f.Resources = texts(f.Resources, value); n == len(f.Resources) {
				return
			}
			f.Resources = f.Resources[:0]
		}
	}
	// A field that only this event has, or one of another type than it should be.
	if len(f.Other) == 0 {
		f.Other = append(make([]byte, 0, 64+len(value)), '{')
	} else {
		f.Other[len(f.Other)-1] = ','
	}
	f.Other = append(append(rawjson.AppendQuote(f.Other, key), ':'), value...)
	f.Other = append(f.Other, '}')
}
