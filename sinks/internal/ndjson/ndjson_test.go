package ndjson

import "testing"

func TestAppendLine(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"a": 1}`, "{\"a\": 1}\n"},
		{"{\n  \"a b\" : [1,\r\n\t2],\n \"c\\\"\" : \"x  y\"\n}", "{\"a b\":[1,2],\"c\\\"\":\"x  y\"}\n"},
		{"\n1\n", "1\n"},
		{"\n\"torn", "\"torn\n"},
		{"", "\n"},
	} {
		if got := string(AppendLine([]byte("> "), []byte(tt.in))); got != "> "+tt.want {
			t.Errorf("%q became %q, want %q", tt.in, got, "> "+tt.want)
		}
	}
}
