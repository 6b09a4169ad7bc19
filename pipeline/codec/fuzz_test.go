package codec_test

import (
	"encoding/json"
	"testing"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
)

// FuzzDecode holds that no body makes Decode, FillMetadata or Encode panic, that what Decode accepts is JSON as
// encoding/json knows it, and that what Encode writes can be decoded again to the same event.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"id":"e-1","source":"s","detail-type":"T","time":"2026-01-02T03:04:05Z","detail":{"a":1},"account":"1"}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"e30=","ext":1}`,
		sns(`{"source":"s","detail-type":"T","detail":{},"x":"\u00e9"}`), sns("text"), sns("[1]"), `[1]`, `"x"`, ``, `{`,
	} {
		f.Add([]byte(seed), uint8(event.Auto))
	}
	f.Add([]byte(`{}`), uint8(event.SNS))
	f.Fuzz(func(t *testing.T, raw []byte, as uint8) {
		e := event.Event{Raw: raw}
		err := codec.Decode(&e, event.Envelope(as%5), 1<<20)
		if err != nil {
			if !event.IsPoison(err) {
				t.Fatalf("no poison: %v", err)
			}
			return
		}
		if !json.Valid(raw) || (e.Data != nil && !json.Valid(e.Data)) {
			t.Fatalf("accepted %q with data %q", raw, e.Data)
		}
		codec.FillMetadata(&e)
		if e.Metadata != nil && !json.Valid(e.Metadata) {
			t.Fatalf("metadata %q", e.Metadata)
		}
		for _, shape := range []event.Envelope{event.Received, event.EventBridge, event.CloudEvents, event.DataOnly} {
			for _, e.Changed = range []bool{false, true} {
				out, err := codec.Encode(nil, &e, shape)
				if err != nil {
					continue
				}
				again := event.Event{Raw: out}
				if err := codec.Decode(&again, event.Auto, 0); err != nil && shape != event.DataOnly && shape != event.Received {
					t.Fatalf("as %s: %q: %v", shape, out, err)
				}
				if shape != event.EventBridge && shape != event.CloudEvents {
					continue
				}
				if again.ID != e.ID || again.Source != e.Source || again.Type != e.Type {
					t.Fatalf("as %s: %q", shape, out)
				}
			}
		}
	})
}
