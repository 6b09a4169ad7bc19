package codec_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

func TestEncode(t *testing.T) {
	made := event.Event{
		ID: "e-1", Source: "shop", Type: "Order\"Created", Subject: "o-1",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600)),
		Data: []byte(`{"a":1}`), Metadata: []byte(`{"account":"1","Replay-Name":"r","list":[1],"n":12,"big":1e300,"region":"eu"}`),
		Changed: true,
	}
	with := func(change func(*event.Event)) event.Event { e := made; change(&e); return e }
	const bridge = `{"version":"0","id":"e-1","detail-type":"Order\"Created","source":"shop","account":"1",` +
		`"time":"2026-01-02T02:04:05Z","region":"eu","resources":["o-1"],"detail":{"a":1}}`
	const cloud = `{"specversion":"1.0","id":"e-1","source":"shop","type":"Order\"Created","subject":"o-1",` +
		`"time":"2026-01-02T02:04:05.000000678Z","datacontenttype":"application/json","account":"1","replayname":"r","n":12,"region":"eu","data":{"a":1}}`
	for _, tt := range []struct {
		name string
		e    event.Event
		as   event.Envelope
		want string
		err  string
	}{
		{name: "eventbridge", e: made, as: event.EventBridge, want: bridge},
		{name: "cloudevents", e: made, as: event.CloudEvents, want: cloud},
		{name: "data", e: made, as: event.DataOnly, want: `{"a":1}`},
		{name: "no data", e: with(func(e *event.Event) { e.Data = nil }), as: event.DataOnly, want: `null`},
		{
			name: "little is given", e: event.Event{ID: "1", Source: "s", Type: "t"}, as: event.EventBridge,
			want: `{"version":"0","id":"1","detail-type":"t","source":"s","resources":[],"detail":{}}`,
		},
		{
			name: "resources of the metadata", e: event.Event{ID: "1", Source: "s", Type: "t", Subject: "x", Metadata: []byte(`{"resources":["a"]}`)}, as: event.EventBridge,
			want: `{"version":"0","id":"1","detail-type":"t","source":"s","resources":["a"],"detail":{}}`,
		},
		{name: "received, made by leat", e: made, as: event.Received, want: bridge},
		{name: "received, changed eventbridge", e: with(func(e *event.Event) { e.Raw, e.Envelope = []byte("{}"), event.EventBridge }), as: event.Received, want: bridge},
		{name: "received, changed cloudevents", e: with(func(e *event.Event) { e.Raw, e.Envelope = []byte("{}"), event.CloudEvents }), as: event.Received, want: cloud},
		{name: "received, changed sns", e: with(func(e *event.Event) { e.Raw, e.Envelope = []byte("{}"), event.SNS }), as: event.Received, want: bridge},
		{name: "received, changed sns of text", e: event.Event{Envelope: event.SNS, Data: []byte(`"x"`), Changed: true}, as: event.Received, want: `"x"`},
		{name: "received, changed plain", e: with(func(e *event.Event) { e.Envelope = event.Plain }), as: event.Received, want: `{"a":1}`},
		{name: "received, unchanged", e: event.Event{Raw: []byte(" {\"x\" : 1}\n"), Envelope: event.Plain}, as: event.Received, want: " {\"x\" : 1}\n"},
		{
			name: "unchanged: the metadata is the envelope's", as: event.CloudEvents,
			e:    event.Event{ID: "1", Source: "s", Type: "t", Envelope: event.EventBridge, Raw: []byte(`{"account":"123","detail":{}}`), Data: []byte(`{}`)},
			want: `{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"application/json","account":"123","data":{}}`,
		},
		{name: "eventbridge needs a source", e: with(func(e *event.Event) { e.Source = "" }), as: event.EventBridge, err: "codec: EventBridge's shape needs a source and a type: give them in the forward"},
		{name: "eventbridge needs an object", e: with(func(e *event.Event) { e.Data = []byte("[1]") }), as: event.EventBridge, err: "codec: EventBridge's shape needs an object as data, found an array"},
		{name: "cloudevents needs an id", e: with(func(e *event.Event) { e.ID = "" }), as: event.CloudEvents, err: "codec: CloudEvents' shape needs an id, a source and a type: give them in the forward"},
		{name: "nothing leaves as sns", e: made, as: event.SNS, err: "codec: no event leaves as sns"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.e.Clone()
			got, err := codec.Encode([]byte("> "), &tt.e, tt.as)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err || event.Code(err) != event.CodeMalformed {
					t.Fatalf("error %v, want %s", err, tt.err)
				}
				return
			}
			if diff := cmp.Diff("> "+tt.want, string(got)); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if diff := cmp.Diff(before, tt.e); diff != "" {
				t.Errorf("the event was written to:\n%s", diff)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	for _, raw := range []string{
		`{"version":"0","id":"e-1","detail-type":"T","source":"s","account":"1","time":"2026-01-02T03:04:05Z","region":"r","resources":["a"],"detail":{"a":[1,"é"]},"replay-name":"x"}`,
		`{"id":"e-1","source":"s","detail-type":"T","detail":{}}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"x","time":"2026-01-02T03:04:05.123456789Z","tenant":"t","n":1,"data":{"a":1}}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"t"}`,
	} {
		first, _ := decoded(t, raw, event.Auto)
		codec.FillMetadata(&first)
		first.Changed = true
		again, err := codec.Encode(nil, &first, event.Received)
		if err != nil {
			t.Fatal(err)
		}
		second, _ := decoded(t, string(again), event.Auto)
		codec.FillMetadata(&second)
		first.Raw, first.Changed, second.Raw = nil, false, nil
		first.Metadata = without(t, first.Metadata)
		second.Metadata = without(t, second.Metadata)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("%s became %s (-first +second):\n%s", raw, again, diff)
		}
	}
}

// without drops what Encode adds by rule.
func without(t *testing.T, meta []byte) []byte {
	t.Helper()
	for _, key := range []string{"version", "datacontenttype"} {
		var err error
		if meta, err = rawjson.Delete(meta, []string{key}); err != nil {
			t.Fatal(err)
		}
	}
	if v, ok := rawjson.Get(meta, "resources"); ok && string(v) == "[]" {
		meta, _ = rawjson.Delete(meta, []string{"resources"})
	}
	if string(meta) == "{}" {
		return nil
	}
	return meta
}
