package table

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func num(s string) *apd.Decimal {
	d, _, err := apd.NewFromString(s)
	if err != nil {
		panic(err)
	}
	return d
}

func TestCanonical(t *testing.T) {
	zone := time.FixedZone("", 3600)
	for _, tt := range []struct {
		in   Value
		want string // as JSON; "": refused
	}{
		{nil, "null"}, {true, "true"}, {"", `""`}, {"ä\u2028", `"ä\u2028"`},
		{num("1.10"), "1.1"}, {num("1E+3"), "1000"}, {num("-0"), "0"}, {num("0.00"), "0"}, {num("0E+5"), "0"}, {num("100"), "100"}, {num("-12.3400E+1"), "-123.4"},
		{num("1E-1000"), "0." + strings.Repeat("0", 999) + "1"}, {num("1E+999"), "1" + strings.Repeat("0", 999)},
		{num("9223372036854775808.0"), "9223372036854775808"},
		{num("1E+1000"), ""}, {num("1E-1001"), ""}, {num("NaN"), ""}, {num("Infinity"), ""}, {num("1E+99999"), ""},
		{(*apd.Decimal)(nil), "null"}, {json.RawMessage(nil), "null"}, {json.RawMessage(`{"a": 1.0}`), `{"a": 1.0}`},
		{time.Date(2026, 1, 2, 3, 4, 5, 6, zone), `"2026-01-02T02:04:05.000000006Z"`},
		{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), ""}, {time.Date(10000, 1, 1, 0, 30, 0, 0, zone), `"9999-12-31T23:30:00Z"`}, {time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), ""},
		{"a\x00b", ""}, {"a\xffb", ""}, {json.RawMessage("\"\x00\""), ""}, {json.RawMessage("\"\xff\""), ""}, {5, ""}, {1.5, ""}, {[]byte("x"), ""},
	} {
		got, err := Canonical(tt.in)
		if tt.want == "" {
			if !errors.Is(err, ErrValue) {
				t.Errorf("Canonical(%.40v) = %v, %v", tt.in, got, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("Canonical(%.40v): %v", tt.in, err)
			continue
		}
		if s := string(AppendJSON(nil, got)); s != tt.want {
			t.Errorf("Canonical(%.40v) = %s, want %s", tt.in, s, tt.want)
		}
	}
}

// decimals draws numbers of all sizes within the bounds, in all spellings.
func decimals(t *rapid.T) *apd.Decimal {
	return num(rapid.OneOf(
		rapid.StringMatching(`-?[0-9]{1,25}(\.[0-9]{1,25})?(E[+-]?[0-9]{1,2})?`),
		rapid.StringMatching(`-?[0-9]{1,4}(\.[0-9]{1,3})?`),
	).Draw(t, "number"))
}

func rat(d *apd.Decimal) *big.Rat {
	r, ok := new(big.Rat).SetString(d.Text('f'))
	if !ok {
		panic(d)
	}
	return r
}

// The canonical form keeps the number, and equal numbers have one.
func TestCanonicalNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := decimals(t)
		v, err := Canonical(d)
		if err != nil {
			t.Fatal(err)
		}
		c := v.(*apd.Decimal)
		if rat(c).Cmp(rat(d)) != 0 {
			t.Fatalf("%s became %s", d, c)
		}
		if c.Exponent > 0 || c.Exponent < 0 && strings.HasSuffix(c.Text('f'), "0") {
			t.Fatalf("%s is not canonical: %s", d, c)
		}
		again, err := Canonical(c)
		if err != nil || again.(*apd.Decimal).CmpTotal(c) != 0 {
			t.Fatalf("%s: again it is %s", c, again)
		}
	})
}

// A float64 is given for a number only where its shortest form is that number.
func TestFloat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, err := Canonical(decimals(t))
		if err != nil {
			t.Fatal(err)
		}
		d := v.(*apd.Decimal)
		if f, ok := Float(d); ok {
			back, err := FromFloat(f)
			if err != nil || back.Cmp(d) != 0 {
				t.Fatalf("%s is stored as %v and comes back as %s", d, f, back)
			}
		}
	})
	for _, f := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
		if d, err := FromFloat(f); err == nil {
			t.Errorf("FromFloat(%v) = %s", f, d)
		}
	}
	if f, ok := Float(num("0.1")); !ok || f != 0.1 {
		t.Errorf("0.1 is %v, %v", f, ok)
	}
	if _, ok := Float(num("0.10000000000000001")); ok {
		t.Error("0.10000000000000001 became 0.1")
	}
}

func values(t *rapid.T, name string) Value {
	v := rapid.OneOf(
		rapid.Just[Value](nil), rapid.Map(rapid.Bool(), func(b bool) Value { return b }),
		rapid.Map(rapid.StringN(0, 4, 8), func(s string) Value { return strings.ReplaceAll(s, "\x00", "") }),
		rapid.Custom(func(t *rapid.T) Value { return decimals(t) }),
		rapid.Map(rapid.Int64Range(-1e9, 1e9), func(i int64) Value { return time.Unix(0, i*1000) }),
		rapid.SampledFrom([]Value{json.RawMessage(`{}`), json.RawMessage(`[]`), json.RawMessage(`"a"`), json.RawMessage(`1`)}),
		rapid.SampledFrom([]Value{"1", "true", "{}", num("1"), num("1.0"), num("10E-1"), true}),
	).Draw(t, name)
	c, err := Canonical(v)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// AppendKey tells rows apart just as CompareRows does, also rows of several columns.
func TestAppendKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Row{values(t, "a0"), values(t, "a1")}
		b := Row{values(t, "b0"), values(t, "b1")}
		same := bytes.Equal(AppendKey(nil, a), AppendKey(nil, b))
		if same != (CompareRows(a, b) == 0) {
			t.Fatalf("%v and %v: the keys are the same: %v, the rows: %v", a, b, same, !same)
		}
	})
}

func TestCompareIsAnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := values(t, "a"), values(t, "b"), values(t, "c")
		if Compare(a, a) != 0 || Compare(a, b) != -Compare(b, a) {
			t.Fatalf("%v, %v: %d and %d", a, b, Compare(a, b), Compare(b, a))
		}
		vs := []Value{a, b, c}
		slices.SortFunc(vs, Compare)
		if Compare(vs[0], vs[2]) > 0 {
			t.Fatalf("%v is not transitive", vs)
		}
	})
}

func TestAppendRowJSON(t *testing.T) {
	d := &Def{Columns: []Column{{`a"b`, Any}, {"n", Any}, {"t", Any}, {"z", Any}, {"j", Any}, {"b", Any}}}
	row := Row{"<&>\n", num("0.0000001"), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), nil, json.RawMessage(`[1]`), false}
	want := `{"a\"b":"<&>\n","n":0.0000001,"t":"2026-01-02T03:04:05Z","z":null,"j":[1],"b":false}`
	if diff := cmp.Diff(want, string(AppendRowJSON(nil, d, row))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseText(t *testing.T) {
	for _, tt := range []struct {
		t    Type
		s    string
		want []string
	}{
		{Text, "1", []string{`"1"`}}, {Numeric, "1.50", []string{"1.5"}}, {Numeric, "x", nil}, {Numeric, "1e9999", nil}, {Boolean, "true", []string{"true"}}, {Boolean, "1", nil},
		{Timestamp, "2026-01-02T03:04:05+01:00", []string{`"2026-01-02T02:04:05Z"`}}, {Timestamp, "2026-01-02", nil}, {JSON, `{"a":1}`, []string{`{"a":1}`}}, {JSON, "{", nil},
		{Any, "true", []string{`"true"`, "true", "true"}}, {Any, "1", []string{`"1"`, "1", "1"}}, {Any, "x", []string{`"x"`}}, {Any, "", []string{`""`}}, {Any, "NaN", []string{`"NaN"`}},
	} {
		vs, err := ParseText(tt.t, tt.s)
		if (err != nil) != (tt.want == nil) {
			t.Errorf("ParseText(%s, %q): %v", tt.t, tt.s, err)
		}
		var got []string
		for _, v := range vs {
			got = append(got, string(AppendJSON(nil, v)))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("ParseText(%s, %q) (-want +got):\n%s", tt.t, tt.s, diff)
		}
	}
}
