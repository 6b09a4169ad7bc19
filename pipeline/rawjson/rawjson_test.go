package rawjson_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/leatdev/leat/pipeline/rawjson"
)

func TestCheck(t *testing.T) {
	for _, in := range []string{
		`null`, ` true `, "\t\r\n0", `-0`, `-0.0e-0`, `1E+9`, `123456789012345678901234567890`, `""`, `"a"`, `"12345678"`,
		`"1234567é"`, `"é漢😀"`, `"\"\\\/\b\f\n\r\t\u00e9"`, `"\ud83d\ude00"`, `"\ud800"`, `"\u0000"`, "\"\x7f\"", `[]`, `[ ]`,
		`[1,"a",null]`, `{}`, `{ }`, `{"a":1,"a":2}`, `{ "a" : { "b" : [ 1 , 2 ] } }`, `{"":""}`,
		strings.Repeat("[", rawjson.MaxDepth) + strings.Repeat("]", rawjson.MaxDepth),
	} {
		if err := rawjson.Check([]byte(in)); err != nil {
			t.Errorf("Check(%.40q) = %v", in, err)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, tt := range []struct {
		in     string
		offset int
		msg    string
	}{
		{"", 0, "unexpected end of JSON"},
		{"  ", 2, "unexpected end of JSON"},
		{"NaN", 0, "expected a JSON value"},
		{"nul", 0, "expected a JSON value"},
		{"truE", 0, "expected a JSON value"},
		{"Infinity", 0, "expected a JSON value"},
		{"1 2", 2, "more behind the JSON value"},
		{"01", 1, "more behind the JSON value"},
		{"+1", 0, "expected a JSON value"},
		{"-", 1, "unexpected end of JSON"},
		{"-a", 1, "expected a digit"},
		{"1.", 2, "unexpected end of JSON"},
		{"1.e1", 2, "expected a digit behind the decimal point"},
		{"1e+", 3, "unexpected end of JSON"},
		{"1ex", 2, "expected a digit in the exponent"},
		{"0x1", 1, "more behind the JSON value"},
		{`"abc`, 4, "unexpected end of JSON"},
		{`"abc\`, 5, "unexpected end of JSON"},
		{`"\x41"`, 1, "unknown escape in a string"},
		{`"\u12g4"`, 5, "expected four hexadecimal digits"},
		{`"\u12`, 5, "unexpected end of JSON"},
		{"\"a\nb\"", 2, "control character in a string"},
		{"\"12345678\x00\"", 9, "control character in a string"},
		{"\"\xff\"", 1, "invalid UTF-8"},
		{"\"1234567\xc3\"", 8, "invalid UTF-8"},
		{"\"\xed\xa0\x80\"", 1, "invalid UTF-8"}, // a surrogate, encoded
		{"\xef\xbb\xbf{}", 0, "expected a JSON value"},
		{`[1,]`, 3, "expected a JSON value"},
		{`[1 2]`, 3, "expected ',' or ']'"},
		{`[`, 1, "unexpected end of JSON"},
		{`{"a":1,}`, 7, "expected a key in quotes"},
		{`{a:1}`, 1, "expected a key in quotes"},
		{`{"a" 1}`, 5, "expected ':' behind the key"},
		{`{"a":}`, 5, "expected a JSON value"},
		{`{"a":1 "b":2}`, 7, "expected ',' or '}'"},
		{`{"a":1]`, 6, "expected ',' or '}'"},
		{"[1,\v2]", 3, "expected a JSON value"},
		{strings.Repeat("[", 10000), rawjson.MaxDepth, "nested too deeply"},
	} {
		var err *rawjson.SyntaxError
		if !errors.As(rawjson.Check([]byte(tt.in)), &err) {
			t.Errorf("Check(%.40q): no error", tt.in)
			continue
		}
		if err.Offset != tt.offset || err.Msg != tt.msg {
			t.Errorf("Check(%.40q) = %d %q, want %d %q", tt.in, err.Offset, err.Msg, tt.offset, tt.msg)
		}
	}
}

func TestObject(t *testing.T) {
	type member struct{ Key, Value string }
	for _, tt := range []struct {
		in   string
		want []member
		err  string
	}{
		{in: ` {} `},
		{in: `{"a":1}`, want: []member{{"a", "1"}}},
		{in: `{ "a" : "x" , "\u0062\n":[1, 2], "a":{} }`, want: []member{{"a", `"x"`}, {"b\n", "[1, 2]"}, {"a", "{}"}}},
		{in: `{"a":1}x`, want: []member{{"a", "1"}}, err: "rawjson: more behind the JSON value at byte 7"},
		{in: `{"a":1,"b":tru}`, want: []member{{"a", "1"}}, err: "rawjson: expected a JSON value at byte 11"},
		{in: `[]`, err: "rawjson: expected an object at byte 0"},
		{in: ``, err: "rawjson: unexpected end of JSON at byte 0"},
		{in: `{"a":1,}`, want: []member{{"a", "1"}}, err: "rawjson: expected a key in quotes at byte 7"},
	} {
		var got []member
		err := rawjson.Object([]byte(tt.in), func(k, v []byte) bool {
			got = append(got, member{string(k), string(v)})
			return true
		})
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Object(%q) (-want +got):\n%s", tt.in, diff)
		}
		if text(err) != tt.err {
			t.Errorf("Object(%q) error %q, want %q", tt.in, text(err), tt.err)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestObjectStopsWhereAsked(t *testing.T) {
	n := 0
	err := rawjson.Object([]byte(`{"a":1,"b":2,!`), func(_, _ []byte) bool { n++; return n < 2 })
	if n != 2 || err != nil {
		t.Errorf("%d members and %v, want 2 and no error", n, err)
	}
}

func TestObjectDepthCountsFromTheOutside(t *testing.T) {
	in := func(depth int) []byte {
		return []byte(`{"a":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `}`)
	}
	for _, walk := range []func([]byte) error{
		rawjson.Check,
		func(b []byte) error { return rawjson.Object(b, func(_, _ []byte) bool { return true }) },
	} {
		if err := walk(in(rawjson.MaxDepth)); err != nil {
			t.Errorf("at the limit: %v", err)
		}
		if err := walk(in(rawjson.MaxDepth + 1)); err == nil {
			t.Error("one beyond the limit is accepted")
		}
	}
}

func TestArray(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string
		err  string
	}{
		{in: `[]`},
		{in: ` [ 1 , "a,]" , {"b":[2]} ] `, want: []string{"1", `"a,]"`, `{"b":[2]}`}},
		{in: `[1,2`, want: []string{"1", "2"}, err: "rawjson: unexpected end of JSON at byte 4"},
		{in: `{}`, err: "rawjson: expected an array at byte 0"},
		{in: `[] []`, err: "rawjson: more behind the JSON value at byte 3"},
	} {
		var got []string
		err := rawjson.Array([]byte(tt.in), func(v []byte) bool { got = append(got, string(v)); return true })
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Array(%q) (-want +got):\n%s", tt.in, diff)
		}
		if text(err) != tt.err {
			t.Errorf("Array(%q) error %q, want %q", tt.in, text(err), tt.err)
		}
	}
}

func TestUnquote(t *testing.T) {
	for _, tt := range []struct{ in, want, err string }{
		{in: `"abc"`, want: "abc"},
		{in: ` "" `, want: ""},
		{in: `"a\"\\\/\b\f\n\r\tz"`, want: "a\"\\/\b\f\n\r\tz"},
		{in: `"\u00e9\ud83d\ude00"`, want: "é😀"},
		{in: `"\ud83dx"`, want: "�x"},
		{in: `"\ud83d\u0041"`, want: "�A"},
		{in: `"\ude00\ud83d"`, want: "��"},
		{in: `1`, err: "rawjson: expected a string at byte 0"},
		{in: `"a" 1`, err: "rawjson: more behind the JSON value at byte 4"},
		{in: `"a`, err: "rawjson: unexpected end of JSON at byte 2"},
	} {
		got, err := rawjson.Unquote([]byte(tt.in))
		if got != tt.want || text(err) != tt.err {
			t.Errorf("Unquote(%q) = %q, %v", tt.in, got, err)
		}
	}
}

func TestGet(t *testing.T) {
	const doc = ` {"a":{"b":1,"c":[10,{"d":"x"}],"b":2}, "a b":true, "\u00e9":null, "dup":{"x":1}, "dup":{}, "s":"{\"a\":1}"} `
	for _, tt := range []struct {
		path []string
		want string
		ok   bool
	}{
		{nil, strings.TrimSpace(doc), true},
		{[]string{"a", "b"}, "2", true},
		{[]string{"a", "c", "1", "d"}, `"x"`, true},
		{[]string{"a", "c", "2"}, "", false},
		{[]string{"a", "c", "-1"}, "", false},
		{[]string{"a b"}, "true", true},
		{[]string{"é"}, "null", true},
		{[]string{"dup", "x"}, "", false},
		{[]string{"s", "a"}, "", false},
		{[]string{"nope"}, "", false},
	} {
		got, ok := rawjson.Get([]byte(doc), tt.path...)
		if string(got) != tt.want || ok != tt.ok {
			t.Errorf("Get(%q) = %q, %v", tt.path, got, ok)
		}
	}
}

func TestSet(t *testing.T) {
	for _, tt := range []struct{ in, path, value, want, err string }{
		{in: `{"a":1, "b" : 2}`, path: "b", value: `"x"`, want: `{"a":1, "b" : "x"}`},
		{in: `{"a":1}`, path: "b", value: `2`, want: `{"a":1,"b":2}`},
		{in: `{ "a":1 }`, path: "b.c", value: `2`, want: `{ "a":1,"b":{"c":2} }`},
		{in: `{ }`, path: "a.b", value: `[]`, want: `{"a":{"b":[]} }`},
		{in: ``, path: "a.b", value: `1`, want: `{"a":{"b":1}}`},
		{in: `null`, path: "a", value: `1`, want: `{"a":1}`},
		{in: `{"a":null,"z":0}`, path: "a.b.c", value: `1`, want: `{"a":{"b":{"c":1}},"z":0}`},
		{in: `{"a":{"x":1},"a":{"x":2}}`, path: "a.x", value: `3`, want: `{"a":{"x":1},"a":{"x":3}}`},
		{in: `{"a":[1,2,3]}`, path: "a.1", value: `{}`, want: `{"a":[1,{},3]}`},
		{in: `{"a":[1,2]}`, path: "a.2.b", value: `3`, want: `{"a":[1,2,{"b":3}]}`},
		{in: `{"a":[]}`, path: "a.0", value: `3`, want: `{"a":[3]}`},
		{in: `{"a":[1]}`, path: "a.5", value: `3`, err: `rawjson: set: "5" is no index into an array of 1`},
		{in: `{"a":[1]}`, path: "a.b", value: `3`, err: `rawjson: set: "b" is no index into an array of 1`},
		{in: `{"a":"s"}`, path: "a.b", value: `3`, err: `rawjson: set: "b" is in no object`},
		{in: `{"a":1}`, path: `q"`, value: `3`, want: `{"a":1,"q\"":3}`},
	} {
		got, err := rawjson.Set([]byte(tt.in), strings.Split(tt.path, "."), []byte(tt.value))
		if string(got) != tt.want || text(err) != tt.err {
			t.Errorf("Set(%q, %q) = %q, %v, want %q", tt.in, tt.path, got, err, tt.want)
		}
	}
}

func TestDelete(t *testing.T) {
	for _, tt := range []struct{ in, path, want, err string }{
		{in: `{"a":1,"b":2,"c":3}`, path: "a", want: `{"b":2,"c":3}`},
		{in: `{"a":1,"b":2,"c":3}`, path: "b", want: `{"a":1,"c":3}`},
		{in: `{"a":1, "b":2, "c":3}`, path: "c", want: `{"a":1, "b":2}`},
		{in: `{ "a" : 1 }`, path: "a", want: `{ }`},
		{in: `{"a":1,"a":2}`, path: "a", want: `{}`},
		{in: `{"a":1,"b":2,"a":3}`, path: "a", want: `{"b":2}`},
		{in: `{"b":0,"a":1,"a":2,"c":3,"a":4}`, path: "a", want: `{"b":0,"c":3}`},
		{in: `{"x":{"a":1,"b":2},"y":[1]}`, path: "x.a", want: `{"x":{"b":2},"y":[1]}`},
		{in: `{"x":[{"a":1}]}`, path: "x.0.a", want: `{"x":[{}]}`},
		{in: `{"a":1}`, path: "b", want: `{"a":1}`},
		{in: `{"a":1}`, path: "a.b", want: `{"a":1}`},
		{in: `{"a":1}`, path: "b.c", want: `{"a":1}`},
		{in: `{"a":[1]}`, path: "a.0", err: `rawjson: delete: "0" is in no object`},
	} {
		got, err := rawjson.Delete([]byte(tt.in), strings.Split(tt.path, "."))
		if string(got) != tt.want || text(err) != tt.err {
			t.Errorf("Delete(%q, %q) = %q, %v, want %q", tt.in, tt.path, got, err, tt.want)
		}
	}
}

func TestEditsLeaveTheInputAlone(t *testing.T) {
	in := append(make([]byte, 0, 256), `{"a":1,"b":{"c":2}}`...) // room behind it, for appends gone wrong
	keep := string(in[:cap(in)])
	if _, err := rawjson.Set(in, []string{"b", "d"}, []byte("3")); err != nil {
		t.Fatal(err)
	}
	if _, err := rawjson.Delete(in, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	if v, _ := rawjson.Get(in, "a"); cap(v) != len(v) {
		t.Error("an append to what Get gives would write into the document")
	}
	if string(in[:cap(in)]) != keep {
		t.Errorf("input is now %q", in[:cap(in)])
	}
}

func TestKindOf(t *testing.T) {
	for in, want := range map[string]rawjson.Kind{
		"null": rawjson.KindNull, " true": rawjson.KindBool, "false": rawjson.KindBool, "-1": rawjson.KindNumber,
		"7": rawjson.KindNumber, `"x"`: rawjson.KindString, "[1]": rawjson.KindArray, "\n{}": rawjson.KindObject,
		"": rawjson.KindInvalid, "NaN": rawjson.KindInvalid,
	} {
		if got := rawjson.KindOf([]byte(in)); got != want {
			t.Errorf("KindOf(%q) = %v, want %v", in, got, want)
		}
	}
}

func TestAppendQuote(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", `""`},
		{"plain text of more than eight bytes", `"plain text of more than eight bytes"`},
		{"a\"b\\c\n\r\t\x01\x7f<>&", "\"a\\\"b\\\\c\\n\\r\\t\\u0001\x7f<>&\""},
		{"12345678\"é漢😀 ", "\"12345678\\\"é漢😀 \""},
		{"a\xffb\xc3", `"a�b�"`},
	} {
		if got := string(rawjson.AppendQuote(nil, tt.in)); got != tt.want {
			t.Errorf("AppendQuote(%q) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

// FuzzCheck holds the scanner against encoding/json, which accepts the same texts but for what is not UTF-8 and for
// its own, larger depth.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e3,"x\u00e9\n"],"b":{"c":null}}`, `"\ud800"`, `[1,]`, "\"\xff\"", `{"a":1}{`, `-0`, "[\"12345678\t\"]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := rawjson.Check(b)
		if want := json.Valid(b) && utf8.Valid(b) && depth(b) <= rawjson.MaxDepth; want != (err == nil) {
			t.Fatalf("Check(%q) = %v, encoding/json says %v", b, err, want)
		}
		rawjson.Skip(b, 0)
		if v, ok := rawjson.Get(b, "a", "0"); ok && err == nil && rawjson.Check(v) != nil {
			t.Fatalf("Get of %q gave %q", b, v)
		}
		edited, setErr := rawjson.Set(b, []string{"a", "b"}, []byte("1"))
		without, delErr := rawjson.Delete(b, []string{"a"})
		if err != nil {
			return
		}
		if setErr == nil && len(b) < 1000 && rawjson.Check(edited) != nil {
			t.Fatalf("Set made %q of %q", edited, b)
		}
		if delErr == nil {
			if rawjson.Check(without) != nil {
				t.Fatalf("Delete made %q of %q", without, b)
			}
			if _, ok := rawjson.Get(without, "a"); ok && rawjson.KindOf(b) == rawjson.KindObject {
				t.Fatalf("Delete left %q of %q", without, b)
			}
		}
		if rawjson.KindOf(b) == rawjson.KindObject {
			agreeOnMembers(t, b)
		}
		if rawjson.KindOf(b) == rawjson.KindString {
			var want string
			if json.Unmarshal(b, &want) != nil {
				t.Fatal("encoding/json reads no string")
			}
			if got, err := rawjson.Unquote(b); got != want || err != nil {
				t.Fatalf("Unquote(%q) = %q, %v, want %q", b, got, err, want)
			}
			var back string
			if err := json.Unmarshal(rawjson.AppendQuote(nil, want), &back); err != nil || back != want {
				t.Fatalf("AppendQuote(%q) reads as %q, %v", want, back, err)
			}
		}
	})
}

func agreeOnMembers(t *testing.T, b []byte) {
	want, got := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if err := rawjson.Object(b, func(k, v []byte) bool { got[string(k)] = v; return true }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("members of %q (-want +got):\n%s", b, diff)
	}
	for k, v := range want {
		if got, ok := rawjson.Get(b, k); !ok || string(got) != string(v) {
			t.Fatalf("Get(%q, %q) = %q", b, k, got)
		}
	}
}

func depth(b []byte) int {
	n, deepest, inside := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case !inside && (c == '{' || c == '['):
			n++
			deepest = max(deepest, n)
		case !inside && (c == '}' || c == ']'):
			n--
		}
	}
	return deepest
}

var small = []byte(`{"id":"e-0000001","source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-1","amount":512.5,"sku":"A-1","region":"eu-west"}}`)

var large = []byte(`{"version":"0","id":"6a7e8feb-b491-4cf7-a9f1-bf3703467718","detail-type":"OrderCreated","source":"com.example.shop","account":"111122223333","time":"2026-01-22T18:43:48Z","region":"eu-west-1","resources":["arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"],"detail":{"order_id":"o-123456","customer":{"id":"c-42","name":"Zoë Müller","address":{"street":"1 Long Street","city":"London","postcode":"N1 9GU"}},"items":[{"sku":"A-100","qty":2,"price":19.99},{"sku":"B-200","qty":1,"price":5.5},{"sku":"C-300","qty":12,"price":0.99}],"amount":57.36,"currency":"GBP","note":"please leave the parcel with the neighbour if nobody is at home, thank you","tags":["web","returning","newsletter"]}}`)

func BenchmarkCheck(b *testing.B) {
	for name, doc := range map[string][]byte{"small": small, "large": large} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				if rawjson.Check(doc) != nil {
					b.Fatal("invalid")
				}
			}
		})
	}
}

func BenchmarkObject(b *testing.B) {
	for name, doc := range map[string][]byte{"small": small, "large": large} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if rawjson.Object(doc, func(k, _ []byte) bool { n += len(k); return true }) != nil {
					b.Fatal("invalid")
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	b.SetBytes(int64(len(large)))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := rawjson.Get(large, "detail", "amount"); !ok {
			b.Fatal("not there")
		}
	}
}
