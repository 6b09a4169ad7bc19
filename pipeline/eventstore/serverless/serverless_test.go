package serverless_test

import (
	"testing"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore/serverless"
)

func TestPayload(t *testing.T) {
	for _, tt := range []struct{ payload, data string }{
		{`{"a": 1}`, `{"a": 1}`},
		{`null`, `null`},
		{`"text"`, `"text"`},
		{`text, not JSON`, `"text, not JSON"`},
		{` {"a":1}`, `" {\"a\":1}"`},
		{"", `""`},
		{`<&>`, `"\u003c\u0026\u003e"`},
		{"{\"a\":\n1}\n", `"{\"a\":\n1}\n"`},
	} {
		e := event.Event{Metadata: []byte(`{"old":1}`)}
		if err := serverless.SetPayload(&e, tt.payload); err != nil {
			t.Fatal(err)
		}
		if got := serverless.Payload(&e); got != tt.payload {
			t.Errorf("%q comes back as %q, as data %s", tt.payload, got, e.Data)
		}
		if (e.Metadata == nil) != (string(e.Data) == tt.payload) {
			t.Errorf("%q: data %s with metadata %s", tt.payload, e.Data, e.Metadata)
		}
	}
	// What other writers put into the metadata makes no text of a payload.
	e := event.Event{Data: []byte(`"x"`), Metadata: []byte(`{"payload":{"a":"text"}}`)}
	if got := serverless.Payload(&e); got != `"x"` {
		t.Errorf("%q", got)
	}
}

func TestNames(t *testing.T) {
	const id = "89612bb0-ed5d-4feb-b6f6-790879033d0b"
	for s, want := range map[event.Stream]bool{
		{Type: "golden", ID: id}:                                     true,
		{Type: "a|b ü", ID: id}:                                      true,
		{Type: "golden", ID: "89612BB0-ED5D-4FEB-B6F6-790879033D0B"}: false,
		{Type: "golden", ID: "89612bb0ed5d4febb6f6790879033d0b"}:     false,
		{Type: "golden", ID: "{" + id + "}"}:                         false,
		{Type: "golden", ID: "1"}:                                    false,
		{Type: "$outbox.p", ID: id}:                                  false,
		{Type: "\xff", ID: id}:                                       false,
		{Type: "", ID: id}:                                           false,
	} {
		if serverless.Names(s) != want {
			t.Errorf("%q: want %v", s, want)
		}
	}
}
