package filter_test

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/expr-lang/expr"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
)

// oracleData has a value of each type and nothing missing: there leat means what expr means.
const oracleData = `{"i":7,"n":-3,"f":2.5,"g":0.125,"s":"Hello","t":"order-17","e":"","b":true,"c":false,
	"nums":[3,1,2.5,-4],"words":["b2b","web","a"],"items":[{"q":2,"s":"A","b":true},{"q":5.5,"s":"B","b":false},{"q":-1,"s":"A","b":true}],
	"o":{"x":1,"y":{"z":"deep"}}}`

// TestAgreesWithExpr runs random well-typed expressions here and on expr's own machine. They must give the same,
// but for what leat promises to do otherwise: it has no infinities.
func TestAgreesWithExpr(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := &event.Recorded{Event: event.Event{ID: "e1", Type: "OrderCreated", Source: "shop", Time: at, Data: []byte(oracleData)}}
	env := map[string]any{"id": "e1", "type": "OrderCreated", "source": "shop", "time": at, "data": decode(t, oracleData)}
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		src := draw(t, rapid.SampledFrom([]string{"num", "text", "bool", "nums", "words", "any"}).Draw(t, "type"), 4, false)
		want, err := expr.Eval(src, env)
		if err != nil || !finite(want) {
			return
		}
		s := filter.NewScope(filter.Event)
		p, err := s.Compile(src, filter.Any)
		if err != nil {
			for _, e := range filter.Errors(err) {
				if e.Code != filter.CodeType && e.Code != filter.CodeCost { // constants that fail, too large
					t.Fatalf("%s: %v", src, err)
				}
			}
			return
		}
		v := s.NewView()
		v.Reset(e)
		got, err := p.Value(v)
		if err != nil {
			if !finite(want) || contains(err.Error(), "division by zero", "no finite number") {
				return
			}
			t.Fatalf("%s: %v, expr says %v", src, err, want)
		}
		if diff := cmp.Diff(floats(want), floats(got)); diff != "" {
			t.Fatalf("%s (-expr +leat):\n%s", src, diff)
		}
		compared++
	})
	t.Logf("%d compared", compared)
	if compared == 0 {
		t.Error("nothing was compared")
	}
}

func contains(s string, parts ...string) bool {
	for _, p := range parts {
		if bytes.Contains([]byte(s), []byte(p)) {
			return true
		}
	}
	return false
}

// draw makes an expression of a type; within tells that # is a number in hand.
func draw(t *rapid.T, typ string, depth int, within bool) string {
	pick := func(options ...string) string { return rapid.SampledFrom(options).Draw(t, "pick") }
	sub := func(typ string) string { return draw(t, typ, depth-1, within) }
	if depth == 0 {
		switch typ {
		case "num":
			if within {
				return pick("#", "1", "data.i")
			}
			return pick("data.i", "data.n", "data.f", "data.g", "data.o.x", "data.items[1].q", "0", "2", "3.5", "10", "data?.o.x")
		case "text":
			return pick("data.s", "data.t", "data.e", "type", "id", "data.o.y.z", `data["s"]`, `"ell"`, `'O'`, `"order-17"`)
		case "bool":
			return pick("data.b", "data.c", "true", "false", "data.items[0].b")
		case "nums":
			return pick("data.nums", "[1, 2.5]", "[data.i, data.f]", "1..4", "[]")
		case "words":
			return pick("data.words", `["web", "x"]`, "[type, data.s]")
		}
		return pick("nil", "data.nope", "data.o", "data.items", "{a: 1}", "data.o.nope")
	}
	switch typ {
	case "num":
		switch rapid.IntRange(0, 11).Draw(t, "num") {
		case 0, 1:
			return "(" + sub("num") + pick(" + ", " - ", " * ", " / ") + sub("num") + ")"
		case 2:
			return "(-" + sub("num") + ")"
		case 3:
			return "len(" + sub(pick("text", "nums", "words")) + ")"
		case 4:
			return pick("abs", "round", "floor", "ceil", "int", "float") + "(" + sub("num") + ")"
		case 5:
			return "(" + sub("bool") + " ? " + sub("num") + " : " + sub("num") + ")"
		case 6:
			return pick("max", "min", "mean", "median") + "(" + sub("nums") + ", " + sub("num") + ")"
		case 7:
			return "indexOf(" + sub("text") + ", " + sub("text") + ")"
		case 8:
			return "(data.nope ?? " + sub("num") + ")"
		case 9:
			if within {
				return sub("num")
			}
			return "sum(" + sub("nums") + pick(", # > 1 ? 1 : 2)", ", # < 0 ? # : 3)", ", # * 2)") + pick("", " + count("+sub("nums")+", # > 1)")
		case 10:
			if within {
				return sub("num")
			}
			return "reduce(" + sub("nums") + ", #acc + " + draw(t, "num", depth-1, true) + ", 0)"
		}
		return sub("num")
	case "text":
		switch rapid.IntRange(0, 7).Draw(t, "text") {
		case 0:
			return "(" + sub("text") + " + " + sub("text") + ")"
		case 1:
			return pick("lower", "upper", "trim") + "(" + sub("text") + ")"
		case 2:
			return "replace(" + sub("text") + ", " + pick(`"l"`, `"e"`, `"-"`) + ", " + sub("text") + ")"
		case 3:
			return "join(" + sub("words") + `, "-")`
		case 4:
			return "(" + sub("bool") + " ? " + sub("text") + " : " + sub("text") + ")"
		case 5:
			return sub("text") + pick("[1:3]", "[:2]", "[-2:]")
		case 6:
			return pick("trimPrefix", "trimSuffix") + "(" + sub("text") + ", " + sub("text") + ")"
		}
		return sub("text")
	case "bool":
		switch rapid.IntRange(0, 10).Draw(t, "bool") {
		case 0:
			return "(" + sub("num") + pick(" < ", " <= ", " > ", " >= ", " == ", " != ") + sub("num") + ")"
		case 1:
			return "(" + sub("text") + pick(" < ", " == ", " != ", " contains ", " startsWith ", " endsWith ", " not contains ") + sub("text") + ")"
		case 2:
			return "(" + sub("bool") + pick(" && ", " || ", " == ", " != ", " and ", " or ") + sub("bool") + ")"
		case 3:
			return pick("!", "not ") + "(" + sub("bool") + ")"
		case 4:
			return "(" + sub("num") + pick(" in ", " not in ") + sub("nums") + ")"
		case 5:
			return "(" + sub("text") + pick(" in ", " not in ") + sub("words") + ")"
		case 6:
			return "(" + sub("text") + " matches " + pick(`"^o"`, `"[0-9]+"`, `"l{2}"`) + ")"
		case 7:
			if within {
				return sub("bool")
			}
			return pick("any", "all", "none", "one") + "(" + sub("nums") + ", " + draw(t, "bool", depth-1, true) + ")"
		case 8:
			return pick("any", "all", "none", "one") + "(" + pick(`data.items, .q > 1)`, `data.items, .s == "A" && .b)`, `data.words, # startsWith "w")`)
		case 9:
			return "(" + sub("any") + pick(" == ", " != ") + sub("any") + ")"
		}
		return sub("bool")
	case "nums":
		if within {
			return draw(t, typ, 0, within)
		}
		switch rapid.IntRange(0, 6).Draw(t, "nums") {
		case 0:
			return "map(" + sub("nums") + ", " + draw(t, "num", depth-1, true) + ")"
		case 1:
			return "filter(" + sub("nums") + ", " + draw(t, "bool", depth-1, true) + ")"
		case 2:
			return pick("sort", "reverse", "uniq") + "(map(" + sub("nums") + ", # + 0.5))"
		case 3:
			return "map(data.items, .q)"
		case 4:
			return "concat(" + sub("nums") + ", " + sub("nums") + ")"
		case 5:
			return "map(sortBy(data.items, .q), .q)"
		}
		return sub("nums")
	case "words":
		if within {
			return draw(t, typ, 0, within)
		}
		switch rapid.IntRange(0, 3).Draw(t, "words") {
		case 0:
			return "split(" + sub("text") + `, "-")`
		case 1:
			return `map(data.items, .s)`
		case 2:
			return `filter(` + sub("words") + `, len(#) > 1)`
		}
		return sub("words")
	}
	return pick(sub("any"), "{a: "+sub("num")+"}", "["+sub("text")+"]", "let x = "+draw(t, "num", 0, within)+"; x + "+draw(t, "num", 0, within))
}

// decode reads JSON as an event's values are: integers apart from other numbers.
func decode(t *testing.T, text string) any {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case json.Number:
			if i, err := v.Int64(); err == nil {
				return int(i)
			}
			f, _ := v.Float64()
			return f
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			for k := range v {
				v[k] = walk(v[k])
			}
		}
		return v
	}
	return walk(v)
}

// floats makes what a value computes comparable: expr keeps integers and floats apart where leat does not.
func floats(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	var out any
	_ = json.Unmarshal(b, &out)
	if l, ok := out.([]any); ok && len(l) == 0 {
		return nil
	}
	return out
}

// finite reports whether no number in the value is beyond what integers of both sides hold.
func finite(v any) bool {
	switch v := v.(type) {
	case float64:
		return math.Abs(v) < 1e15
	case int:
		return v > -1e15 && v < 1e15
	case []any:
		for _, e := range v {
			if !finite(e) {
				return false
			}
		}
	case map[string]any:
		for _, e := range v {
			if !finite(e) {
				return false
			}
		}
	}
	return true
}
