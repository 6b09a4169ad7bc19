package pattern_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/pattern"
)

func compile(t *testing.T, text string) *pattern.Pattern {
	t.Helper()
	p, err := pattern.CompileString(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestExplainReason(t *testing.T) {
	for _, tt := range []struct{ pattern, event, want string }{
		{`{"source":["shop"]}`, `{"source":"shop"}`, `the event matches`},
		{`{"source":["shop"]}`, `{"source":"bank"}`, `source is "bank"; the pattern wants ["shop"]`},
		{`{"source":["shop"]}`, `{"source":"Shop"}`, `source is "Shop"; the pattern wants ["shop"] (they differ in letter case only; equals-ignore-case takes both)`},
		{`{"detail":{"n":[42]}}`, `{"detail":{"n":"42"}}`, `detail.n is "42"; the pattern wants [42] (the event has text, the pattern a number)`},
		{`{"detail":{"n":["42"]}}`, `{"detail":{"n":42}}`, `detail.n is 42; the pattern wants ["42"] (in the event it is not text, in the pattern it is)`},
		{`{"detail":{"n":[true]}}`, `{"detail":{"n":"true"}}`, `detail.n is "true"; the pattern wants [true] (in the event it is text, in the pattern it is not)`},
		{`{"detail":{"f":["a*"]}}`, `{"detail":{"f":"ab"}}`, `detail.f is "ab"; the pattern wants ["a*"] (a star is a plain character here; write {"wildcard": …})`},
		{`{"detail":{"f":[{"prefix":"Ab"}]}}`, `{"detail":{"f":"abc"}}`, `detail.f is "abc"; the pattern wants [{"prefix":"Ab"}] (they differ in letter case only; equals-ignore-case inside takes both)`},
		{`{"detail":{"a":[1]}}`, `{"detail":{"b":1}}`, `detail.a is absent; the pattern wants [1]`},
		{`{"detail":{"status":[1]}}`, `{"detail":{"Status":1}}`, `detail.status is absent (the event has "detail.Status"); the pattern wants [1]`},
		{`{"orderId":["o-1"]}`, `{"detail":{"orderId":"o-1"}}`, `orderId is absent (the event has "detail.orderId"); the pattern wants ["o-1"]`},
		{`{"detail":{"a":["x"]}}`, `{"detail":{"a":{"x":1}}}`, `detail.a is an object, of which only the values inside can be matched; the pattern wants ["x"]`},
		{`{"detail":{"a":[{"exists":true}]}}`, `{"detail":{"a":[]}}`, `detail.a is an empty array, which counts as absent; the pattern wants [{"exists":true}]`},
		{`{"detail":{"a":["x"]}}`, `{"detail":{"a":[{"b":"x"}]}}`, `detail.a is an array without values of its own; the pattern wants ["x"]`},
		{`{"detail":{"a":["x"]}}`, `{"detail":"{\"a\":\"x\"}"}`, `detail is JSON inside text, which is not looked into; the pattern wants ["x"]`},
		{`{"detail":{"a":{"b":["x"]}}}`, `{"detail":{"a":7}}`, `detail.a is a value and has no fields; the pattern wants ["x"]`},
		{`{"detail":{"l":{"b":["x"]}}}`, `{"detail":{"l":[{"a":1}]}}`, `detail.l.b is in no element of the array detail.l; the pattern wants ["x"]`},
		{`{"detail":{"a":[{"exists":false}]}}`, `{"detail":{"a":1}}`, `detail.a is there (1); the pattern wants it absent`},
		{`{"detail":{"a":[{"exists":false},"x"]}}`, `{"detail":{"a":["y",null,true,1]}}`, `detail.a is "y", null, true, … (4 values); the pattern wants [{"exists":false},"x"]`},
		{`{"source":["shop"],"detail":{"a":[1],"b":[2]}}`, `{"source":"bank","detail":{"a":1,"b":3}}`, `source is "bank"; the pattern wants ["shop"]; and 1 more`},
		{`{"detail":{"l":{"a":[1],"b":[4]}}}`, `{"detail":{"l":[{"a":1},{"b":4}]}}`, `each field matches, but not all within the same element of an array`},
		{`{"$or":[{"a":[1],"b":[2]},{"c":[3]}]}`, `{"c":4}`, `c is 4; the pattern wants [3] (in the nearest of 2 alternatives)`},
	} {
		e, err := pattern.Explain(compile(t, tt.pattern), []byte(tt.event))
		if err != nil {
			t.Fatal(err)
		}
		if e.Reason != tt.want {
			t.Errorf("%s\n%s\n got %s\nwant %s", tt.pattern, tt.event, e.Reason, tt.want)
		}
	}
}

func TestExplainFields(t *testing.T) {
	p := compile(t, "{\"source\": [\"shop\"],\n \"$or\": [{\"detail\": {\"q\": [{\"numeric\": [\">\", 5]}, {\"prefix\": \"x\"}, {\"prefix\": \"y\"}]}},\n  {\"account\": [{\"anything-but\": {\"suffix\": \"1\"}}]}]}")
	got, err := pattern.Explain(p, []byte(`{"source":"shop","account":"01","detail":{"q":[3,"<&>",3.50]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := pattern.Explanation{
		Reason:       `detail.q is 3, "<&>", 3.50; the pattern wants [{"numeric": [">", 5]}, {"prefix": "x"}, {"prefix": "y"}] (in the nearest of 2 alternatives)`,
		Alternatives: 2,
		Fields: []pattern.FieldVerdict{
			{Path: "source", Operator: "exact", Pattern: `["shop"]`, Values: raw(`"shop"`), Match: true, Pointer: "/source", Line: 1, Column: 12},
			{
				Path: "detail.q", Operator: "numeric or prefix", Pattern: `[{"numeric": [">", 5]}, {"prefix": "x"}, {"prefix": "y"}]`, Values: raw(`3`, `"<&>"`, `3.50`),
				Why: `detail.q is 3, "<&>", 3.50; the pattern wants [{"numeric": [">", 5]}, {"prefix": "x"}, {"prefix": "y"}]`, Alternatives: []int{1},
				Pointer: "/$or/0/detail/q", Line: 2, Column: 27,
			},
			{
				Path: "account", Operator: "anything-but suffix", Pattern: `[{"anything-but": {"suffix": "1"}}]`, Values: raw(`"01"`),
				Why: `account is "01"; the pattern wants [{"anything-but": {"suffix": "1"}}]`, Alternatives: []int{2},
				Pointer: "/$or/1/account", Line: 3, Column: 15,
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
}

func raw(values ...string) (r []json.RawMessage) {
	for _, v := range values {
		r = append(r, json.RawMessage(v))
	}
	return r
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string // code, pointer and the beginning of the message
	}{
		{`{"source":["shop"],"detail":{"a":[{"numeric":[">",1]},"x"]}}`, nil},
		{`{"source":[{"exists":true}],"resources":[{"exists":false}],"replay-name":[{"exists":false}]}`, nil},
		{`{"$or":[{"source":["a"]},{"account":["b"]}],"detail":{"a":[{"exists":false},1]}}`, nil},
		{`{"detailType":["x"]}`, []string{`unknown_field /detailType events have no field "detailType" beside detail; did you mean "detail-type"?`}},
		{`{"orderId":["x"]}`, []string{`unknown_field /orderId events have no field "orderId" beside detail; did you mean "detail": {"orderId": …}?`}},
		{`{"other":[{"exists":false}]}`, nil},
		{`{"source":[1,{"numeric":[">",1]}]}`, []string{`never_matches /source source is always text`}},
		{`{"source":{"a":["x"]}}`, []string{`never_matches /source/a source is text and has no field "a"`}},
		{`{"source":[{"exists":false}]}`, []string{`never_matches /source every event has the field source`}},
		{`{"detail":["x"]}`, []string{`never_matches /detail detail is an object, and only the values inside it can be matched`}},
		{`{"detail":[{"exists":false}]}`, []string{`always_true /detail detail is an object and never a value of its own`}},
		{`{"detail":{"n":[{"numeric":[">",1,"<",1.0000000000000002]}]}}`, []string{`never_matches /detail/n no number lies between the bounds`}},
		{`{"detail":{"a":["x"],"a":["y"]}}`, []string{`shadowed /detail/a the list for detail.a has no effect: a later one at /detail/a replaces it`}},
		{`{"detail":{"a":["x"]},"detail.a":["y"]}`, []string{`shadowed /detail/a the list for detail.a has no effect: a later one at /detail.a replaces it`}},
		{`{"source":["x"],"$or":[{"source":["y"]},{"account":["1"]}]}`, nil}, // the first list counts in the second combination
		{`{"source":["x"],"$or":[{"source":["y"]},{"source":["z"]}]}`, []string{`shadowed /source the list for source has no effect: a later one at /$or/1/source replaces it`}},
		{`{"detail":{"a":[{"anything-but":"x"},{"anything-but":["y","z"]}]}}`, []string{`always_true /detail/a two anything-but in one list are alternatives`}},
		{`{"detail":{"a":[{"anything-but":{"prefix":"x"}},{"anything-but":{"prefix":"y"}}]}}`, []string{`always_true /detail/a two anything-but in one list are alternatives`}},
		{`{"detail":{"a":[{"anything-but":["x","y"]},{"anything-but":["y","z"]}]}}`, nil},
		{`{"detail":{"a":[{"exists":true},{"exists":false}]}}`, []string{`always_true /detail/a the field may be there or not`}},
		{`{"detail":{"a":["x",{"exists":true}]}}`, []string{`always_true /detail/a exists: true makes the other values of the list idle`}},
		{`{"detail":{"a":[{"wildcard":"*:*:*:*:x/*"}]}}`, []string{`near_complexity /detail/a the wildcards for detail.a score 9; EventBridge refuses a rule as too complex above 10`}},
		{`{"detail":{"a":["` + strings.Repeat("x", pattern.DefaultLength) + `"]}}`, []string{`long_pattern  the pattern has 2069 characters; EventBridge takes 2048`}},
		{`{"Source":["x"],"detail":["y"]}`, []string{`unknown_field /Source`, `never_matches /detail`}},
	} {
		var got []string
		for _, w := range pattern.Check(compile(t, tt.text)) {
			got = append(got, w.Code+" "+w.Pointer+" "+w.Message)
			if w.Line != 1 || w.Column != w.Offset+1 {
				t.Errorf("%.80s: warning at line %d, column %d, offset %d", tt.text, w.Line, w.Column, w.Offset)
			}
		}
		ok := len(got) == len(tt.want)
		for i := range min(len(got), len(tt.want)) {
			ok = ok && strings.HasPrefix(got[i], tt.want[i])
		}
		if !ok {
			t.Errorf("%.100s\n got %q\nwant %q", tt.text, got, tt.want)
		}
	}
}

func TestOverlap(t *testing.T) {
	own := map[string]string{"source": "leat.inventory", "detail-type": "Released"}
	for _, tt := range []struct {
		text string
		want pattern.Verdict
	}{
		{`{"source":["leat.inventory"]}`, pattern.Yes},
		{`{"source":[{"prefix":"leat."}],"detail-type":["Released"]}`, pattern.Yes},
		{`{"source":["trading"]}`, pattern.No},
		{`{"source":[{"anything-but":{"prefix":"leat."}}]}`, pattern.No},
		{`{"detail-type":[{"wildcard":"Re*"}],"detail":{"a":[1]}}`, pattern.Maybe},
		{`{"detail-type":["Other"],"detail":{"a":[1]}}`, pattern.No},
		{`{"account":["123456789012"]}`, pattern.Maybe},
		{`{"account":[{"exists":true}],"region":[{"prefix":""}]}`, pattern.Yes},
		{`{"account":[{"exists":false}]}`, pattern.No},
		{`{"source":{"a":["x"]}}`, pattern.No},
		{`{"source":{"a":[{"exists":false}]}}`, pattern.Yes},
		{`{"$or":[{"source":["trading"]},{"detail-type":["Released"]}]}`, pattern.Yes},
		{`{"$or":[{"source":["trading"]},{"detail":{"a":[1]}}]}`, pattern.Maybe},
		{`{"detail":[{"exists":false}]}`, pattern.Yes},
	} {
		if got := pattern.Overlap(compile(t, tt.text), own); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.text, got, tt.want)
		}
	}
	if got := pattern.Overlap(compile(t, `{"detail":{"kind":["a"]}}`), map[string]string{"detail.kind": "b"}); got != pattern.No {
		t.Errorf("a known field inside detail: %v", got)
	}
}

func TestBatch(t *testing.T) {
	in := `{"name":"a","pattern":{"n":[1.0]},"event":{"n":1}}
{"name":"b","pattern":{"n":[1]},"event":{"n":2}}

{"name":"c","pattern":{"n":[]},"event":{"n":2}}
{"name":"d","pattern_text":"{\"n\":[1]","event":{}}
{"name":"e","pattern":{"n":[1]},"event":[]}
`
	want := `{"name":"a","match":true}
{"name":"b","match":false}
{"name":"c","invalid":"Empty arrays are not allowed"}
{"name":"d","invalid":"Unexpected end-of-input: expected close marker for Object (start marker at line: 1, column: 1)"}
{"name":"e","invalid":"pattern: the event is not a JSON object (at byte 0)"}
`
	var out bytes.Buffer
	n, err := pattern.Batch(strings.NewReader(in), &out)
	if diff := cmp.Diff(want, out.String()); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if diff := cmp.Diff(pattern.BatchCounts{Matched: 1, Unmatched: 1, Invalid: 3}, n); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	if _, err := pattern.Batch(strings.NewReader(in+"no JSON\n"), &out); err == nil || !strings.Contains(err.Error(), "line 7") || out.String() != want {
		t.Errorf("a bad seventh line: %v\n%s", err, out.String())
	}
}

func TestExplainIsText(t *testing.T) {
	p := compile(t, `{"a":["b"]}`)
	for _, lead := range []string{"", "x", "xx"} { // the cut falls at each place within a character
		e, err := pattern.Explain(p, []byte(`{"a":"`+lead+strings.Repeat("𐐨é", 40)+`"}`))
		if err != nil || e.Match || !utf8.ValidString(e.Reason) {
			t.Errorf("%q, %v", e.Reason, err)
		}
	}
}
