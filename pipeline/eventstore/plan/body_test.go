package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/event"
)

// What is stored of an event gives it again, and the flags are the ones that stores have on their disks.
func TestFold(t *testing.T) {
	raw := []byte(`{"detail":{"n":1}}`)
	for _, tt := range []struct {
		name  string
		e     event.Event
		body  string
		flags int64
	}{
		{name: "nothing", flags: 8 | 2},
		{name: "a body alone", e: event.Event{Raw: raw, Envelope: event.Plain}, body: string(raw), flags: 8},
		{name: "a payload alone", e: event.Event{Data: []byte("1"), Changed: true}, body: "1", flags: 2 | 1},
		{name: "a payload within", e: event.Event{Raw: raw, Data: raw[10:17:17], Envelope: event.EventBridge}, body: string(raw)},
		{name: "a payload beside", e: event.Event{Raw: raw, Data: []byte("1"), Envelope: event.SNS}, body: string(raw) + "1", flags: 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body, s := Fold(&tt.e)
			if string(body) != tt.body || s.Flags() != tt.flags {
				t.Errorf("%q, flags %b", body, s.Flags())
			}
			if again := ShapeOf(s.Word()); again != s {
				t.Errorf("%+v comes back as %+v", s, again)
			}
			var got event.Event
			if !s.Unfold(body, &got) {
				t.Fatal("does not fit")
			}
			if diff := cmp.Diff(tt.e, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if s.Len += len(body) + 1; s.Unfold(body, &got) {
				t.Error("a payload beyond the body fits")
			}
		})
	}
}
