package filter_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
)

// TestWorkIsBounded runs what Compile cannot tell from the innocent on events made for it: each must end soon, with
// a CostError.
func TestWorkIsBounded(t *testing.T) {
	numbers := `{"a":[` + strings.Repeat("1,", 60_000) + `1],"s":"` + strings.Repeat("x", 100_000) + `"}`
	for _, src := range []string{
		`any(data.a, 7 in data.a)`,
		`any(data.a, data.a[data.a[0] + 59000] == 7)`,
		`any(data.a, lower(data.s) == "y")`,
		`any(data.a, data.s contains "y")`,
		`any(data.a, len(sort(data.a)) == 0)`,
		`any(data.a, data.s matches "(x+x+)+y")`,
		`any(data.a, replace(data.s, "x", data.s) == "y")`,
		`replace(data.s, "x", data.s) == "y"`,
		`join(data.a, data.s) == "y"`,
		`let b = map(data.a, # + 0); any(data.a, data.a != b)`,
		`any(data.a, len(1..data.a[0] + 100000) == 0)`,
		`len(1..(data.a[0] * 1000000000000000)) == 0`,
		`any(data.a, fromJSON(toJSON(data.a)) == nil)`,
		`reduce(data.a, #acc + #acc, "x") == nil`,
		`len(flatten(map(data.a, data.a))) == 0`,
		`len(uniq(map(data.a, #index))) == 0`,
		`any(data.a, split(data.s, "") == nil)`,
		doubling(),
	} {
		s := filter.NewScope(filter.Event)
		p, err := s.Compile(src, filter.Bool)
		if err != nil {
			t.Errorf("%.80s: %v", src, err)
			continue
		}
		v := s.NewView()
		v.Reset(&event.Recorded{Event: event.Event{Data: []byte(numbers)}})
		start := time.Now()
		_, err = p.Bool(v)
		took := time.Since(start)
		var ce *filter.CostError
		if !errors.As(err, &ce) {
			t.Errorf("%.80s: %v, want a CostError", src, err)
		}
		t.Logf("%8s %.60s", took.Round(time.Millisecond), src)
		if took > time.Minute {
			t.Errorf("%.80s took %s", src, took)
		}
	}
}

// TestResultsAreBounded: a list may hold one text many times, so that it is small in memory and huge as JSON.
func TestResultsAreBounded(t *testing.T) {
	data := `{"a":[` + strings.Repeat("1,", 60_000) + `1],"s":"` + strings.Repeat("x", 100_000) + `"}`
	for _, src := range []string{
		`map(data.a, data.s)`, `{x: map(data.a, data.s)}`, `toJSON(map(data.a, data.s))`, `string(map(data.a, data.s))`, sharing(),
	} {
		s := filter.NewScope(filter.Event)
		p, err := s.Compile(src, filter.Any)
		if err != nil {
			t.Fatal(err)
		}
		v := s.NewView()
		v.Reset(&event.Recorded{Event: event.Event{Data: []byte(data)}})
		var ce *filter.CostError
		if _, err := p.JSON(nil, v); !errors.As(err, &ce) {
			t.Errorf("%.40s: JSON: %v", src, err)
		}
		if _, err := p.Value(v); !errors.As(err, &ce) {
			t.Errorf("%.40s: Value: %v", src, err)
		}
		if _, err := p.Text(v); !errors.As(err, &ce) {
			t.Errorf("%.40s: Text: %v", src, err)
		}
	}
}

// sharing is a list whose parts double with each line.
func sharing() string {
	src, name := "let a = [data.s]; ", "a"
	for range 40 {
		src += "let " + name + "a = [" + name + ", " + name + "]; "
		name += "a"
	}
	return src + name
}

// doubling is a text that doubles with each line.
func doubling() string {
	src, name := "let a = data.s; ", "a"
	for range 20 {
		src += "let " + name + "a = " + name + " + " + name + "; "
		name += "a"
	}
	return src + name + ` == "y"`
}

// TestLargeEventsFit holds the budget above what ordinary expressions do to the largest ordinary events.
func TestLargeEventsFit(t *testing.T) {
	data := `{"items":[` + strings.Repeat(`{"sku":"A-100","qty":2,"price":19.99},`, 6_000) + `{"sku":"Z","qty":99,"price":1}]}` // 240 kB
	for _, src := range []string{
		`any(data.items, .qty > 10 && .sku startsWith "Z" && .price < 5)`,
		`sum(data.items, .qty * .price) > 1000`,
		`len(sortBy(data.items, .qty)) == 6001`,
		`len(uniq(map(data.items, .sku))) == 2`,
		`join(map(data.items, .sku), ",") contains "Z"`,
		`len(toJSON(data)) > 200000`,
	} {
		s := filter.NewScope(filter.Event)
		p, err := s.Compile(src, filter.Bool)
		if err != nil {
			t.Fatal(err)
		}
		v := s.NewView()
		v.Reset(&event.Recorded{Event: event.Event{Data: []byte(data)}})
		if ok, err := p.Bool(v); !ok || err != nil {
			t.Errorf("%s: %v, %v", src, ok, err)
		}
	}
}
