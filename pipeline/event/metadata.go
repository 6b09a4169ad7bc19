package event

import (
	"bytes"
	"encoding/json"
	"sort"
)

// Meta gives one entry of the metadata, "" where it is absent or no string.
func (e *Event) Meta(key string) string {
	if len(e.Metadata) == 0 {
		return ""
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(e.Metadata, &m) != nil {
		return ""
	}
	var s string
	if json.Unmarshal(m[key], &s) != nil {
		return ""
	}
	return s
}

// SetMeta sets one entry of the metadata; an empty value removes it. Keys are written in their order.
func (e *Event) SetMeta(key, value string) {
	m := map[string]json.RawMessage{}
	if len(e.Metadata) > 0 {
		_ = json.Unmarshal(e.Metadata, &m) // not an object: nothing to keep
	}
	if value == "" {
		delete(m, key)
	} else {
		m[key] = Quote(value)
	}
	e.Metadata = object(m)
}

func object(m map[string]json.RawMessage) []byte {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	out := []byte{'{'}
	for i, k := range keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, Quote(k)...)
		out = append(out, ':')
		out = append(out, m[k]...)
	}
	return append(out, '}')
}

// Quote gives s as a JSON string, without HTML escapes.
func Quote(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string never fails
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
