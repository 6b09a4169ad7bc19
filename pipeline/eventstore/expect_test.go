package eventstore_test

import (
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

func TestExpectText(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want eventstore.Expect
		out  string // "": as in
	}{
		{"any", eventstore.Any, ""},
		{"no_stream", eventstore.NoStream, ""},
		{"stream_exists", eventstore.StreamExists, ""},
		{"7", eventstore.Revision(7), ""},
		{"0", eventstore.NoStream, "no_stream"},
		{"9223372036854775807", eventstore.Revision(1<<63 - 1), ""},
	} {
		got, err := eventstore.ParseExpect(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("%s: %v, %v", tt.in, got, err)
		}
		if tt.out == "" {
			tt.out = tt.in
		}
		if got.String() != tt.out {
			t.Errorf("%s is written %s", tt.in, got)
		}
	}
	for _, in := range []string{"", "Any", "-1", "1.5", "9223372036854775808", "no stream"} {
		if got, err := eventstore.ParseExpect(in); err == nil {
			t.Errorf("%q is %v", in, got)
		}
	}
}

func TestExpectMet(t *testing.T) {
	for _, tt := range []struct {
		e              eventstore.Expect
		none, one, two bool // met by a stream at revision 0, 1, 2
	}{
		{eventstore.Any, true, true, true},
		{eventstore.Expect{}, true, true, true},
		{eventstore.NoStream, true, false, false},
		{eventstore.StreamExists, false, true, true},
		{eventstore.Revision(1), false, true, false},
		{eventstore.Revision(0), true, false, false},
		{eventstore.Revision(-5), true, false, false},
	} {
		if got := [3]bool{tt.e.Met(0), tt.e.Met(1), tt.e.Met(2)}; got != [3]bool{tt.none, tt.one, tt.two} {
			t.Errorf("%s: %v", tt.e, got)
		}
	}
	if n, ok := eventstore.Revision(4).Exact(); n != 4 || !ok {
		t.Error("Revision(4) is not exact")
	}
	if n, ok := eventstore.NoStream.Exact(); n != 0 || !ok {
		t.Error("NoStream is not exact")
	}
	if _, ok := eventstore.StreamExists.Exact(); ok {
		t.Error("StreamExists is exact")
	}
}

func TestConflictWords(t *testing.T) {
	s := event.Stream{Type: "order", ID: "o-1"}
	for want, err := range map[string]error{
		"order/o-1 is at revision 3, expected 2":           &eventstore.ConflictError{Stream: s, Expected: eventstore.Revision(2), Actual: 3},
		"order/o-1 does not exist, expected stream_exists": &eventstore.ConflictError{Stream: s, Expected: eventstore.StreamExists},
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q, want %q", err, want)
		}
	}
}
