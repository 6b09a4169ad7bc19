package pattern_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/pattern"
	"github.com/leatdev/leat/pipeline/race"
)

func operatorVectors(tb testing.TB) []vector {
	tb.Helper()
	data, err := os.ReadFile("testdata/operators.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	return parseVectors(tb, data)
}

func TestOperators(t *testing.T) {
	for _, v := range operatorVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			p, err := pattern.Compile(v.Pattern)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := p.Match(v.Event); err != nil || got != v.Match {
				t.Errorf("Match: %v, %v; want %v", got, err, v.Match)
			}
			if p.String() != string(v.Pattern) {
				t.Errorf("String: %s", p)
			}
			set := pattern.NewSet[string]()
			if _, err := set.Add(v.Pattern, "it"); err != nil {
				t.Fatal(err)
			}
			found := 0
			if err := set.Match(v.Event, func(string) bool { found++; return true }); err != nil || found == 1 != v.Match {
				t.Errorf("Set finds it %d times, %v; want %v", found, err, v.Match)
			}
			e, err := pattern.Explain(p, v.Event)
			if err != nil || e.Match != v.Match || e.Reason == "" || len(e.Fields) == 0 {
				t.Errorf("Explain: %+v, %v", e, err)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	long := strings.Repeat("x", pattern.MaxLength)
	for _, tt := range []struct {
		name, text string
		want       pattern.Error
	}{
		{"empty text", "", pattern.Error{Reason: "Filter is not an object", Line: 1, Column: 1}},
		{"array", "\n  []", pattern.Error{Reason: "Filter is not an object", Offset: 3, Line: 2, Column: 3}},
		{"scalar for a list", "{\"source\":\n  \"shop\"}", pattern.Error{Reason: `"source" must be an object or an array`, Pointer: "/source", Offset: 13, Line: 2, Column: 3}},
		{"operator", `{"detail":{"a/b":[1,{"Prefix":"x"}]}}`, pattern.Error{Reason: "Unrecognized match type Prefix", Pointer: "/detail/a~1b/1/Prefix", Offset: 21, Line: 1, Column: 22}},
		{"empty list", `{"a":[]}`, pattern.Error{Reason: "Empty arrays are not allowed", Pointer: "/a", Offset: 6, Line: 1, Column: 7}},
		{"anything-but member", `{"a":[{"anything-but":["x",null]}]}`, pattern.Error{Reason: "Inside anything but list, start|null|boolean is not supported.", Pointer: "/a/0/anything-but/1", Offset: 27, Line: 1, Column: 28}},
		{"numeric bound", `{"a":[{"numeric":[">",1,"<",1e400]}]}`, pattern.Error{Reason: "Cannot compare number : 1e400", Pointer: "/a/0/numeric", Offset: 28, Line: 1, Column: 29}},
		{"wildcard", `{"a":["x",{"wildcard":"a**"}]}`, pattern.Error{Reason: "Consecutive wildcard characters at pos 2", Pointer: "/a/1/wildcard", Offset: 22, Line: 1, Column: 23}},
		{"cidr", `{"a":[{"cidr":"10.0.0.1/32"}]}`, pattern.Error{Reason: "IPv4 mask bits must be < 32", Pointer: "/a/0/cidr", Offset: 14, Line: 1, Column: 15}},
		{"$or member", `{"$or":[{"a":[1]},[]]}`, pattern.Error{Reason: "Only JSON object is allowed in array of $or relationship.", Pointer: "/$or/1", Offset: 18, Line: 1, Column: 19}},
		{"syntax", "{\"a\":[1,\n2 3]}", pattern.Error{Reason: "Unexpected character ('3' (code 51)): was expecting comma to separate Array entries", Pointer: "/a", Offset: 11, Line: 2, Column: 3}},
		{"something behind", `{"a":[1]} x`, pattern.Error{Reason: "Unrecognized token 'x': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')", Offset: 10, Line: 1, Column: 11}},
		{"too long", `{"a":["` + long + `"]}`, pattern.Error{Reason: "Event pattern must have length less than or equal to 4096", Line: 1, Column: 1}},
		{"too complex", `{"a":[{"wildcard":"*:*:*:*:*:event-bus/*"}]}`, pattern.Error{Reason: "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences after a wildcard character", Pointer: "/a", Offset: 5, Line: 1, Column: 6}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pattern.CompileString(tt.text)
			var e *pattern.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want an *Error", err)
			}
			if diff := cmp.Diff(tt.want, *e); diff != "" {
				t.Error(diff)
			}
			if !strings.HasPrefix(e.Error(), "Event pattern is not valid. Reason: "+tt.want.Reason) {
				t.Errorf("message %q", e.Error())
			}
		})
	}
}

// TestLengthIgnoresSpace: indentation does not count towards the service's limit, as nobody sends it.
func TestLengthIgnoresSpace(t *testing.T) {
	if _, err := pattern.CompileString("{\"a\":[" + strings.Repeat(" \n", pattern.MaxLength) + "1]}"); err != nil {
		t.Error(err)
	}
	for _, text := range []string{strings.Repeat(`{"a":`, 1<<15), strings.Repeat(" ", 1<<21)} {
		if _, err := pattern.CompileString(text); err == nil || !strings.Contains(err.Error(), "less than or equal to 4096") {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
}

func TestOrExplodes(t *testing.T) {
	or := make([]string, 11)
	for i := range or {
		or[i] = fmt.Sprintf(`"f%d":{"$or":[{"a":[1]},{"b":[2]}]}`, i)
	}
	if _, err := pattern.CompileString("{" + strings.Join(or, ",") + "}"); err == nil || !strings.Contains(err.Error(), "more than 1000 combinations") {
		t.Errorf("2,048 combinations: %v", err)
	}
	if _, err := pattern.CompileString("{" + strings.Join(or[:9], ",") + "}"); err != nil {
		t.Errorf("512 combinations: %v", err)
	}
}

func TestNoEvent(t *testing.T) {
	p, err := pattern.CompileString(`{"source":["shop"],"detail":{"l":{"a":[1]}}}`)
	if err != nil {
		t.Fatal(err)
	}
	set := pattern.NewSet[int]()
	set.AddPattern(p, 1)
	for _, event := range []string{
		"", " ", "null", "[]", `"x"`, "1", `[{"source":"shop"}]`, `{`, `{"source"`, `{"source":`, `{"source":"shop`, `{"source":"shop"`,
		`{"source":"shop",}`, `{"source" "shop"}`, `{"source":shop}`, `{"detail":{"l":[{"a":2},]}}`, `{"detail":{"l":[{"a":2}}`,
		`{"detail":{"l":{"a":"\x"}}}`, `{"other":"\`, `{"other":[`, `{"other":tru}`, "{\x00}",
		`{"detail":{"l":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}}`,
	} {
		if _, err := p.Match([]byte(event)); !errors.Is(err, pattern.ErrEvent) {
			t.Errorf("Match(%.60s): error %v, want ErrEvent", event, err)
		}
		if _, err := set.AppendMatches(nil, []byte(event)); !errors.Is(err, pattern.ErrEvent) {
			t.Errorf("AppendMatches(%.60s): error %v, want ErrEvent", event, err)
		}
		if _, err := pattern.Explain(p, []byte(event)); !errors.Is(err, pattern.ErrEvent) {
			t.Errorf("Explain(%.60s): error %v, want ErrEvent", event, err)
		}
	}
}

// TestDecidedEarly: what lies behind the place where a match is certain is not read.
func TestDecidedEarly(t *testing.T) {
	p, err := pattern.CompileString(`{"source":["shop"],"detail-type":["Placed"]}`)
	if err != nil {
		t.Fatal(err)
	}
	event := []byte(`{"detail-type":"Placed","source":"shop", no JSON from here on`)
	if ok, err := p.Match(event); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	set := pattern.NewSet[int]()
	set.AddPattern(p, 1)
	if got, err := set.AppendMatches(nil, event); len(got) != 1 || err != nil {
		t.Errorf("the set: %v, %v", got, err)
	}
	if _, err := set.Add([]byte(`{"account":["1"]}`), 2); err != nil {
		t.Fatal(err)
	}
	if got, err := set.AppendMatches(nil, event); !errors.Is(err, pattern.ErrEvent) {
		t.Errorf("the set, not yet decided: %v, %v", got, err)
	}
}

// TestLongArrays: a pattern over two fields of an array's elements takes a time that does not grow with the square of its length.
// With 200,000 elements such a search would outlast any test's patience.
func TestLongArrays(t *testing.T) {
	p, err := pattern.CompileString(`{"l":{"a":[1],"b":[4],"c":[{"exists":false}]}}`)
	if err != nil {
		t.Fatal(err)
	}
	n := 200_000
	if race.Enabled {
		n /= 10
	}
	event := `{"l":[` + strings.Repeat(`{"a":1},`, n) + strings.Repeat(`{"b":4},`, n) + strings.Repeat(`{"c":0},`, n)
	for last, want := range map[string]bool{`{}]}`: false, `{"a":1,"b":4}]}`: true, `{"a":1,"b":4,"c":1}]}`: false} {
		if got, err := p.Match([]byte(event + last)); err != nil || got != want {
			t.Errorf("ending in %s: %v, %v; want %v", last, got, err, want)
		}
	}
	nested := `{"l":[{"a":0},{"x":0}, {"b":[` + strings.Repeat(`5,`, n) + `5]}, [` + strings.Repeat(`{"b":4},{"a":1},`, n) + `{"a":1,"b":4}]]}`
	if got, err := p.Match([]byte(nested)); err != nil || !got {
		t.Errorf("nested: %v, %v; want a match", got, err)
	}

	// Fields in arrays that have nothing to do with one another are not tried in all combinations.
	many := `[` + strings.Repeat(`{"x":1},`, n/10) + `{}]`
	for text, want := range map[string]bool{
		`{"a":{"x":[1]},"b":{"x":[1]},"c":{"x":[1]},"d":{"x":[1]},"z":[{"exists":false}]}`:                        false,
		`{"a":{"x":[1]},"b":{"x":[1]},"c":{"x":[1]},"d":{"x":[1]},"y":{"x":[{"exists":false}]}}`:                  false,
		`{"a":{"x":[1]},"b":{"x":[1]},"c":{"x":[1]},"d":{"x":[1],"y":[2]}}`:                                       false,
		`{"a":{"x":[1]},"b":{"x":[1]},"c":{"x":[1]},"d":{"x":[1]},"y":{"x":[{"exists":false},1]}}`:                true,
		`{"a":{"x":[1]},"b":{"x":[1]},"c":{"x":[1]},"d":{"x":[1],"y":[{"exists":false}]},"w":[{"exists":false}]}`: true,
	} {
		event := `{"a":` + many + `,"b":` + many + `,"c":` + many + `,"d":` + many + `,"y":` + many + `,"z":1}`
		if got, err := compile(t, text).Match([]byte(event)); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
}
