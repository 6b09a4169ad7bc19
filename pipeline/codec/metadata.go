package codec

import (
	"cmp"
	"slices"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// FillMetadata adds to e.Metadata what the envelope in e.Raw says beyond Event's own names: EventBridge's account,
// region, resources, version and replay-name, CloudEvents' extension attributes and datacontenttype, SNS' TopicArn,
// MessageId and the values of its message attributes, and the same of an event inside a notification. Entries that are
// there already stay; keys come out in their order; members that are null are left out.
//
// Decode does not do this, since most events need none of it: call it, after Decode, only where an expression reads
// metadata, before a step changes the event, and before it is appended. It may be called again: nothing changes then.
func FillMetadata(e *event.Event) {
	if len(e.Raw) == 0 {
		return
	}
	var buf [16]entry // most envelopes: no allocation unless there is something to add
	found := buf[:0]
	switch e.Envelope {
	case event.EventBridge:
		found = gather(found, e.Raw, namedByEventBridge)
	case event.CloudEvents:
		found = gather(found, e.Raw, namedByCloudEvents)
	case event.SNS:
		found = gatherSNS(found, e.Raw)
	}
	if len(found) > 0 {
		e.Metadata = merge(e.Metadata, found)
	}
}

type entry struct {
	key   string
	value []byte
}

func gather(found []entry, object []byte, named func(key string) bool) []entry {
	_ = rawjson.Object(object, func(key, value []byte) bool { // Decode has seen that it is one
		if !named(string(key)) && value[0] != 'n' {
			found = append(found, entry{string(key), value})
		}
		return true
	})
	return found
}

func namedByEventBridge(key string) bool {
	switch key {
	case "id", "source", "detail-type", "detail", "time":
		return true
	}
	return false
}

func namedByCloudEvents(key string) bool {
	switch key {
	case "specversion", "id", "source", "type", "subject", "time", "data", "data_base64":
		return true
	}
	return false
}

func gatherSNS(found []entry, raw []byte) []entry {
	var message []byte
	_ = rawjson.Object(raw, func(key, value []byte) bool {
		switch string(key) {
		case "Message":
			message = value
		case "TopicArn", "MessageId":
			found = append(found, entry{string(key), value})
		case "MessageAttributes":
			found = gatherAttributes(found, value)
		}
		return true
	})
	if rawjson.KindOf(message) != rawjson.KindString {
		return found
	}
	body := []byte(rawjson.Text(message))
	inner, ok := innerMembers(body)
	if !ok {
		return found
	}
	switch inner.shape() {
	case event.EventBridge:
		return gather(found, body, namedByEventBridge)
	case event.CloudEvents:
		return gather(found, body, namedByCloudEvents)
	}
	return found
}

// gatherAttributes takes {"name": {"Type": …, "Value": …}} as name and value.
func gatherAttributes(found []entry, attributes []byte) []entry {
	if rawjson.KindOf(attributes) != rawjson.KindObject {
		return found
	}
	_ = rawjson.Object(attributes, func(key, attribute []byte) bool {
		if v, ok := rawjson.Get(attribute, "Value"); ok && v[0] != 'n' {
			found = append(found, entry{string(key), v})
		}
		return true
	})
	return found
}

// merge writes one object of what there is and what was found. Of found entries with one key the last counts.
func merge(have []byte, found []entry) []byte {
	slices.Reverse(found)
	all := make([]entry, 0, len(found)+4)
	if rawjson.KindOf(have) == rawjson.KindObject {
		_ = rawjson.Object(have, func(key, value []byte) bool {
			all = append(all, entry{string(key), value})
			return true
		})
	}
	all = append(all, found...)
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	out := append(make([]byte, 0, 64*len(all)), '{')
	for i, m := range all {
		if i > 0 && all[i-1].key == m.key {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(rawjson.AppendQuote(out, m.key), ':'), m.value...)
	}
	return append(out, '}')
}
