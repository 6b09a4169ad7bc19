package codec

import (
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// Encode appends the event in the shape that want names:
//
//   - Received: the bytes in which it came where no step changed it, else its own envelope written anew. The wrapping
//     of an SNS notification is the transport's and not forged: such an event, and one that leat made, leaves in
//     EventBridge's shape where it has a type and a source, else as its data.
//   - EventBridge: as the service delivers it, time in whole seconds. Account, region, resources and replay-name come
//     from the metadata; without resources there the subject takes their place.
//   - CloudEvents: version 1.0, structured, data as JSON. Metadata becomes extension attributes where it can: their
//     names are lower-case letters and digits, so replay-name leaves as replayname; lists and objects stay behind.
//   - DataOnly and Plain: the payload alone, null where there is none.
//
// The same event always gives the same bytes. Of an event that no step changed, the metadata is what FillMetadata
// would make of it; of a changed one it is what e.Metadata holds. An event that the shape cannot carry (no type, no
// source, data that is no object in EventBridge's) gives an error that is poison with CodeMalformed.
//
// Encode copies: where e.Changed is false and want is Received, e.Raw itself does as well.
func Encode(dst []byte, e *event.Event, want event.Envelope) ([]byte, error) {
	if want == event.Received || want == event.Auto {
		if !e.Changed && len(e.Raw) > 0 {
			return append(dst, e.Raw...), nil
		}
		switch want = e.Envelope; want {
		case event.Auto, event.SNS:
			want = event.DataOnly
			if e.Type != "" && e.Source != "" && rawjson.KindOf(e.Data) == rawjson.KindObject {
				want = event.EventBridge
			}
		}
	}
	switch want {
	case event.EventBridge:
		return encodeEventBridge(dst, e)
	case event.CloudEvents:
		return encodeCloudEvents(dst, e)
	case event.DataOnly, event.Plain:
		return appendData(dst, e, "null"), nil
	}
	return dst, malformed("no event leaves as %s", want)
}

func encodeEventBridge(dst []byte, e *event.Event) ([]byte, error) {
	switch k := rawjson.KindOf(e.Data); {
	case e.Type == "" || e.Source == "":
		return dst, malformed("EventBridge's shape needs a source and a type: give them in the forward")
	case k != rawjson.KindObject && len(e.Data) > 0:
		return dst, malformed("EventBridge's shape needs an object as data, found %s", article(k))
	}
	meta := metadataOf(e)
	dst = append(dst, `{"version":"0","id":`...)
	dst = rawjson.AppendQuote(dst, e.ID)
	dst = rawjson.AppendQuote(append(dst, `,"detail-type":`...), e.Type)
	dst = rawjson.AppendQuote(append(dst, `,"source":`...), e.Source)
	dst = appendText(dst, meta, "account")
	if !e.Time.IsZero() {
		dst = append(e.Time.UTC().AppendFormat(append(dst, `,"time":"`...), time.RFC3339), '"')
	}
	dst = appendText(dst, meta, "region")
	dst = append(dst, `,"resources":`...)
	if v, ok := rawjson.Get(meta, "resources"); ok && rawjson.KindOf(v) == rawjson.KindArray {
		dst = append(dst, v...)
	} else if e.Subject != "" {
		dst = append(rawjson.AppendQuote(append(dst, '['), e.Subject), ']')
	} else {
		dst = append(dst, "[]"...)
	}
	dst = appendText(dst, meta, "replay-name")
	dst = appendData(append(dst, `,"detail":`...), e, "{}")
	return append(dst, '}'), nil
}

// metadataOf gives the metadata with what the envelope says, without writing to e.
func metadataOf(e *event.Event) []byte {
	if e.Changed {
		return e.Metadata
	}
	c := *e
	FillMetadata(&c)
	return c.Metadata
}

// appendText appends a member of the metadata where it is a string.
func appendText(dst, meta []byte, key string) []byte {
	v, ok := rawjson.Get(meta, key)
	if !ok || rawjson.KindOf(v) != rawjson.KindString {
		return dst
	}
	dst = rawjson.AppendQuote(append(dst, ','), key)
	return append(append(dst, ':'), v...)
}

func appendData(dst []byte, e *event.Event, none string) []byte {
	if len(e.Data) == 0 {
		return append(dst, none...)
	}
	return append(dst, e.Data...)
}

func encodeCloudEvents(dst []byte, e *event.Event) ([]byte, error) {
	if e.Type == "" || e.Source == "" || e.ID == "" {
		return dst, malformed("CloudEvents' shape needs an id, a source and a type: give them in the forward")
	}
	meta := metadataOf(e)
	dst = append(dst, `{"specversion":"1.0","id":`...)
	dst = rawjson.AppendQuote(dst, e.ID)
	dst = rawjson.AppendQuote(append(dst, `,"source":`...), e.Source)
	dst = rawjson.AppendQuote(append(dst, `,"type":`...), e.Type)
	if e.Subject != "" {
		dst = rawjson.AppendQuote(append(dst, `,"subject":`...), e.Subject)
	}
	if !e.Time.IsZero() {
		dst = append(e.Time.UTC().AppendFormat(append(dst, `,"time":"`...), time.RFC3339Nano), '"')
	}
	if len(e.Data) > 0 {
		before := len(dst)
		if dst = appendText(dst, meta, "datacontenttype"); len(dst) == before {
			dst = append(dst, `,"datacontenttype":"application/json"`...)
		}
	}
	dst = appendText(dst, meta, "dataschema")
	dst = appendExtensions(dst, meta)
	if len(e.Data) > 0 {
		dst = append(append(dst, `,"data":`...), e.Data...)
	}
	return append(dst, '}'), nil
}

// appendExtensions appends the metadata that CloudEvents can carry: strings, booleans and integers of 32 bits. Where
// two names become one, the first stays.
func appendExtensions(dst, meta []byte) []byte {
	if rawjson.KindOf(meta) != rawjson.KindObject {
		return dst
	}
	taken := map[string]bool{"": true, "datacontenttype": true, "dataschema": true}
	_ = rawjson.Object(meta, func(key, value []byte) bool {
		name := attributeName(string(key))
		if taken[name] || namedByCloudEvents(name) || !attributeValue(value) {
			return true
		}
		taken[name] = true
		dst = append(append(append(dst, ',', '"'), name...), '"', ':')
		dst = append(dst, value...)
		return true
	})
	return dst
}

func attributeName(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return -1
	}, key)
}

func attributeValue(value []byte) bool {
	switch rawjson.KindOf(value) {
	case rawjson.KindString, rawjson.KindBool:
		return true
	case rawjson.KindNumber:
		for i, c := range value {
			if (c < '0' || c > '9') && (i > 0 || c != '-') {
				return false
			}
		}
		return len(value) < 10 // within 32 bits for certain
	}
	return false
}
