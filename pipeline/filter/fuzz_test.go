package filter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// TestNumbersReadAsStrconvDoes holds the quick way of reading numbers against the slow one.
func TestNumbersReadAsStrconvDoes(t *testing.T) {
	s := filter.NewScope(filter.Event)
	p, err := s.Compile("data", filter.Number)
	if err != nil {
		t.Fatal(err)
	}
	v := s.NewView()
	check := func(t interface{ Fatalf(string, ...any) }, text string) {
		v.Reset(&event.Recorded{Event: event.Event{Data: []byte(text)}})
		got, err := p.Value(v)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			if got != int(i) {
				t.Fatalf("%s is %v", text, got)
			}
			return
		}
		want, err := strconv.ParseFloat(text, 64)
		if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s is %v, want %v", text, got, want)
		}
		if d, err := p.Decimal(v); err != nil || d == nil {
			t.Fatalf("%s: decimal %v, %v", text, d, err)
		}
	}
	for _, text := range []string{
		"0", "-0", "-0.0", "0.5", "123456789012345.6", "12345678901234.5", "0.1234567890123456", "0.123456789012345", "9007199254740993.5",
		"12345678901234567.8", "1.2345678901234567", "999999999999999999", "9999999999999999999", "9223372036854775807", "9223372036854775808",
		"-9223372036854775808", "-9223372036854775809", "5e-324", "1e22", "1e23", "1.7976931348623157e308", "0.000001",
	} {
		check(t, text)
	}
	number := rapid.Custom(func(t *rapid.T) string {
		digits := func(n int) string {
			return rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), n, n, -1).Draw(t, "digits")
		}
		text := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign") + "1" + digits(rapid.IntRange(0, 20).Draw(t, "whole"))
		if n := rapid.IntRange(0, 20).Draw(t, "fraction"); n > 0 {
			text += "." + digits(n)
		}
		return text + rapid.SampledFrom([]string{"", "", "e5", "E-7", "e+12"}).Draw(t, "exponent")
	})
	rapid.Check(t, func(t *rapid.T) { check(t, number.Draw(t, "number")) })
}

var sources = []string{
	`type == "OrderCreated" && data.amount > 500`, `data["detail-type"] ?? data.items[0]?.sku`, `any(data.items, .qty > 3 && .sku in ["A"])`,
	`let a = data.items | map(#.qty); sum(a) + reduce(a, #acc + #, 0)`, `{a: 1, "b": [data.x, time, nil]}`, `time - duration("1h") > "2026-01-01"`,
	`if data.a { 1 } else { 2 }`, `-data.a ** 2 % 3 / 4.5e1`, `data.x matches "^a+$" or not (data.y contains 'b')`, `1 < data.a < 3`, `data.a ?: 2`,
	`sortBy(data.items, .qty, "desc")[1:-1]`, `keys(data) == uniq(flatten([data.a, [1..3]]))`, `get(data, "a").b[-1]`, `toJSON(fromJSON(data.s))`,
	`date(data.s, "2006", "UTC").Format("Jan")`, "`raw` + b\"bytes\"", `data.detail-type`, `type(data.x) == ::type(1)`, `data.x.y()`, `((((1))))`, `"\u00e9" // c`,
}

func FuzzCompile(f *testing.F) {
	for _, s := range sources {
		f.Add(s)
	}
	f.Add("order/{{ data.x }}\\{{ {{ {a: '}}'} }}")
	f.Fuzz(func(t *testing.T, src string) {
		s := filter.NewScope(filter.Event | filter.Item)
		hung := time.AfterFunc(time.Minute, func() { panic(fmt.Sprintf("hangs on %q", src)) })
		defer hung.Stop()
		_, err := s.Compile(src, filter.Any)
		checkErrors(t, src, err)
		_, err = s.Template(src)
		checkErrors(t, src, err)
	})
}

func checkErrors(t *testing.T, src string, err error) {
	if err == nil {
		return
	}
	all := filter.Errors(err)
	if len(all) == 0 {
		t.Fatalf("%q: %v carries no Error", src, err)
	}
	for _, e := range all {
		if e.Code == "" || e.Message == "" || e.Line < 1 || e.Column < 1 || e.Offset < 0 || e.Offset > len(src) {
			t.Fatalf("%q: %+v", src, e)
		}
	}
}

func FuzzEvaluate(f *testing.F) {
	for _, s := range sources {
		f.Add(s, []byte(`{"a":[1,-2.5,{"b":null}],"items":[{"qty":2,"sku":"A"}],"s":"2026","x":"\u00e9\n","amount":1e3}`))
		f.Add(s, []byte(`{"a":{"a":1,"a":[2]},"x":tru`))
	}
	f.Fuzz(func(t *testing.T, src string, data []byte) {
		s := filter.NewScope(filter.Event | filter.Item)
		p, err := s.Compile(src, filter.Any)
		if err != nil {
			return
		}
		v := s.NewView()
		v.Reset(&event.Recorded{Event: event.Event{Type: "OrderCreated", Data: data, Metadata: data}})
		v.SetItem(data, 1)
		valid := rawjson.Check(data) == nil
		got, err := p.JSON(nil, v)
		if err != nil {
			var te *filter.TypeError
			var ce *filter.CostError
			if !errors.As(err, &te) && !errors.As(err, &ce) || err.Error() == "" {
				t.Fatalf("%q: %v", src, err)
			}
		} else if valid && !json.Valid(got) {
			t.Fatalf("%q of %q gives %q", src, data, got)
		}
		truth, err1 := p.Bool(v)
		val, err2 := p.Value(v)
		if b, ok := val.(bool); ok && (err1 != nil || b != truth) {
			t.Fatalf("%q of %q: Bool %v, %v, Value %v, %v", src, data, truth, err1, val, err2)
		}
		if (err == nil) != (err2 == nil) && p.Constant() {
			t.Fatalf("%q: JSON %v, Value %v", src, err, err2)
		}
		_, _ = p.Decimal(v)
		_, _ = p.Time(v)
		_, _ = p.Text(v)
	})
}
