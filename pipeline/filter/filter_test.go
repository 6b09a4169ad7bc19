package filter_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
)

// sample is the event of the tables below.
func sample() *event.Recorded {
	return &event.Recorded{
		Event: event.Event{
			ID: "e1", Source: "shop", Type: "OrderCreated", Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
			Metadata: []byte(`{"trace":"t1","hops":2}`),
			Data: []byte(`{"order_id":"o-1","amount":512.50,"qty":3,"neg":-4,"zero":0,"exp":1e3,"big":9007199254740993,
				"huge":123456789012345678901234567890,"detail-type":"x","active":true,"gone":false,"n":null,
				"esc":"a\"b\\c\u00e9","uni":"héllo","created":"2026-01-01","when":"2026-01-02T03:04:05.000006Z","empty":"","dup":1,
				"items":[{"sku":"A","qty":2},{"sku":"B","qty":5},{"sku":"C"}],"nums":[3,1,2],"tags":["web","b2b"],"none":[],"obj":{"b":1,"a":null},
				"orders":[{"items":[{"qty":1}]},{"items":[{"qty":9}]}],"body":"{\"x\":[1,2]}","mixed":[1,"a"],"dup":2,"a":{"x":1},"a":{"y":2}}`),
		},
		Stream: event.Stream{Type: "order", ID: "o-1"}, Revision: 3, Position: 17,
	}
}

func row(column string) (any, bool) {
	v, ok := map[string]any{
		"total": apd.New(1050, -2), "name": "Ann", "seen": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), "tags": json.RawMessage(` ["x"] `),
		"done": true, "count": 7, "left": nil,
	}[column]
	return v, ok
}

func look(s *filter.Scope) *filter.View {
	v := s.NewView()
	v.Reset(sample())
	v.SetRow(row)
	v.SetItem([]byte(` {"sku":"I","n":1} `), 4)
	return v
}

const all = filter.Event | filter.Log | filter.Row | filter.Item

func TestValues(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		// Names and paths.
		{`type`, `"OrderCreated"`},
		{`id + source`, `"e1shop"`},
		{`subject`, `null`},
		{`stream`, `"order/o-1"`},
		{`[revision, position, index]`, `[3,17,4]`},
		{`time`, `"2026-01-02T03:04:05.000006Z"`},
		{`data.amount`, `512.50`},
		{`data.exp`, `1e3`},
		{`data.huge`, `123456789012345678901234567890`},
		{`data["detail-type"]`, `"x"`},
		{`data.items[1].sku`, `"B"`},
		{`data.items[1]["sku"]`, `"B"`},
		{`data.items[-1].sku`, `"C"`},
		{`data.items[len(data.items) - 1].sku`, `"C"`},
		{`data.items[7].sku`, `null`},
		{`data.items.sku`, `null`},
		{`[data.obj[1], data.obj[data.qty], data.items[type], data.qty[type], data.nope[type], data.items[data.nope]]`, `[null,null,null,null,null,null]`},
		{`data.amount.x[0]`, `null`},
		{`data?.x?.y[0]`, `null`},
		{`data["or" + "der_id"]`, `"o-1"`},
		{`data.n`, `null`},
		{`data.dup`, `2`},
		{`data.a.x`, `null`}, // of a key that is there twice the last counts, whole
		{`data.a.y`, `2`},
		{`data.esc`, `"a\"b\\c\u00e9"`},
		{`metadata.hops`, `2`},
		{`metadata.nope.x`, `null`},
		{`item.sku`, `"I"`},
		{`item`, `{"sku":"I","n":1}`},
		{`row.total`, `10.50`},
		{`row.seen`, `"2026-01-01T00:00:00Z"`},
		{`row.tags[0]`, `"x"`},
		{`[row.left, row.nope, row.name, row.count, row.done]`, `[null,null,"Ann",7,true]`},
		{`row == nil`, `false`},

		// Nil is a value to == and !=, false to tests, false as a truth.
		{`data.nope == nil`, `true`},
		{`data.n == nil`, `true`},
		{`data.nope != "x"`, `true`},
		{`data.nope == data.nada`, `true`},
		{`subject == nil`, `true`},
		{`data.empty == nil`, `false`},
		{`[data.nope > 1, data.nope <= 1, 1 < data.nope, data.nope > data.nada]`, `[false,false,false,false]`},
		{`[data.nope in ["a"], "a" in data.nope, nil in [nil]]`, `[false,false,false]`},
		{`[data.nope contains "a", data.nope startsWith "a", data.nope endsWith "", data.nope matches ".*"]`, `[false,false,false,false]`},
		{`data.nope not in ["a"]`, `true`},
		{`!data.nope`, `true`},
		{`data.nope || data.active`, `true`},
		{`data.nope && true`, `false`},
		{`data.nope ? 1 : 2`, `2`},
		{`data.nope ?? "d"`, `"d"`},
		{`data.empty ?? "d"`, `""`},
		{`[len(data.nope), count(data.nope), sum(data.nope), len(filter(data.nope, true))]`, `[0,0,0,0]`},
		{`[any(data.nope, true), all(data.nope, false), none(data.nope, true), one(data.nope, true)]`, `[false,true,true,false]`},
		{`[lower(data.nope), abs(data.nope), int(data.nope), first(data.nope), date(data.nope), trim(data.nope)]`, `[null,null,null,null,null,null]`},

		// Comparison.
		{`type == "OrderCreated"`, `true`},
		{`"OrderCreated" == type`, `true`},
		{`type != "x"`, `true`},
		{`data.order_id == "o-1"`, `true`},
		{`data.order_id == "o-12"`, `false`},
		{`data.esc == "a\"b\\cé"`, `true`},
		{`data.esc != "a\\\"b"`, `true`},
		{`data.qty == 3.0`, `true`},
		{`data.qty == "3"`, `false`},
		{`data.exp == 1000`, `true`},
		{`data.active == true`, `true`},
		{`data.big == 9007199254740993`, `true`},
		{`data.big == 9007199254740992`, `false`},
		{`data.big > 9007199254740992.0`, `true`},
		{`data.huge > data.big`, `true`},
		{`data.huge == data.huge`, `true`},
		{`[data.qty >= 3, data.qty > 3, 3 <= data.qty, data.qty < 3.5]`, `[true,false,true,true]`},
		{`1 < data.qty < 5`, `true`},
		{`1 < data.qty < 2`, `false`},
		{`data.order_id < "o-2"`, `true`},
		{`data.items == data.items`, `true`},
		{`data.obj == {a: nil, b: 1.0}`, `true`},
		{`data.nums == [3, 1, 2]`, `true`},
		{`data.nums == [3, 1]`, `false`},
		{`type in ["A", "OrderCreated"]`, `true`},
		{`type not in ["A", "B"]`, `true`},
		{`data.qty in [1, 3]`, `true`},
		{`data.qty in 1..3`, `true`},
		{`data.amount in 1..1000`, `false`},
		{`2 in data.nums`, `true`},
		{`"a" in data.obj`, `true`},
		{`"c" in data.obj`, `false`},
		{`type contains "Cre" && type startsWith "Order" && type endsWith "ed" && type matches "^O.*d$"`, `true`},

		// Times.
		{`time > "2026-01-01T00:00:00Z"`, `true`},
		{`"2026-01-03" > time`, `true`},
		{`time == "2026-01-02T04:04:05.000006+01:00"`, `true`},
		{`time == data.when`, `true`},
		{`data.created < time`, `true`},
		{`time.Year() * 100 + time.Month()`, `202601`},
		{`time.Format("2006/01")`, `"2026/01"`},
		{`time - duration("1h")`, `"2026-01-02T02:04:05.000006Z"`},
		{`time - date("2026-01-02") > duration("3h")`, `true`},
		{`(time - data.when).Seconds()`, `0`},
		{`date("2026-07-01 12:00", "2006-01-02 15:04", "Europe/London").Unix()`, `1782903600`},
		{`date(data.created).Weekday()`, `4`},
		{`time.After(row.seen)`, `true`},

		// Arithmetic.
		{`data.qty + 1`, `4`},
		{`data.qty * data.amount`, `1537.5`},
		{`7 / 2`, `3.5`},
		{`-7 % 3`, `-1`},
		{`2 ** 3`, `8`},
		{`-data.neg`, `4`},
		{`+data.qty`, `3`},
		{`9223372036854775807 + 1`, `9223372036854776000`},
		{`-9223372036854775807 - 2`, `-9223372036854776000`},
		{`data.order_id + "-" + type`, `"o-1-OrderCreated"`},
		{`row.total + data.qty`, `13.5`},

		// Functions.
		{`[len(data.uni), len(data.items), len(data.obj), len("a")]`, `[5,3,2,1]`},
		{`[upper(data.uni), lower("ÀB"), trim("  a "), trim("xax", "x"), trimPrefix("ab", "a"), trimSuffix("ab", "b")]`, `["HÉLLO","àb","a","a","b","a"]`},
		{`[split("a,b", ","), split("a,b,c", ",", 2), splitAfter("a,b", ",")]`, `[["a","b"],["a","b,c"],["a,","b"]]`},
		{`[replace("aaa", "a", "b"), replace("aaa", "a", "b", 2), join(data.tags, "+"), join(data.nums), indexOf("abc", "c"), lastIndexOf("aba", "a")]`,
			`["bbb","bba","web+b2b","312",2,2]`},
		{`[hasPrefix(type, "Order"), hasSuffix(type, "x")]`, `[true,false]`},
		{`[int("12"), int(3.9), float("1.5"), string(5), string(data.amount), string(true), string("x")]`, `[12,3,1.5,"5","512.50","true","x"]`},
		{`[abs(data.neg), ceil(1.2), floor(-1.2), round(1.5), round(2)]`, `[4,2,-2,2,2]`},
		{`[max(data.nums), min(1, data.nums, 2), mean(data.nums), median([1, 2, 3, 4]), max([])]`, `[3,1,2,2.5,null]`},
		{`[type(data.qty), type(nil), type(data.items), type(data.obj), type(type), ::type(time)]`, `["int","nil","array","map","string","time"]`},
		{`[data.uni[1:3], data.uni[-2:], data.nums[1:], data.nums[:-1], data.nope[1:2]]`, `["él","lo",[1,2],[3,1],null]`},
		{`[first(data.nums), last(data.nums), take(data.nums, 2), reverse(data.nums), sort(data.nums), sort(data.nums, "desc")]`, `[3,2,[3,1],[2,1,3],[1,2,3],[3,2,1]]`},
		{`[keys(data.obj), values(data.obj), toPairs({a: 1}), fromPairs([["a", 1], ["a", 2]]), get(data.obj, "b")]`, `[["b","a"],[1,null],[["a",1]],{"a":2},1]`},
		{`[uniq([1, 1.0, "a", "a", nil]), concat(data.nums, [4]), flatten([1, [2, [3]], data.nums])]`, `[[1,"a",null],[3,1,2,4],[1,2,3,3,1,2]]`},
		{`[fromJSON(data.body).x[1], toJSON(data.obj), toBase64("hi"), fromBase64("aGk=")]`, `[2,"{\"b\":1,\"a\":null}","aGk=","hi"]`},
		{`[bitand(6, 3), bitor(6, 3), bitxor(6, 3), bitnand(6, 3), bitshl(1, 4), bitshr(-8, 1), bitnot(0)]`, `[2,7,5,4,16,-4,-1]`},

		// Predicates and variables.
		{`any(data.items, .qty > 3)`, `true`},
		{`all(data.items, .qty > 1)`, `false`},
		{`none(data.items, .sku == "Z")`, `true`},
		{`one(data.items, .qty == 5)`, `true`},
		{`count(data.items, .qty > 1)`, `2`},
		{`count([true, false, data.active])`, `2`},
		{`map(data.items, .sku)`, `["A","B","C"]`},
		{`map(data.nums, # * #index)`, `[0,1,4]`},
		{`map(data.items, ({s: .sku, n: .qty ?? 0}))`, `[{"s":"A","n":2},{"s":"B","n":5},{"s":"C","n":0}]`},
		{`filter(data.nums, # > 1)`, `[3,2]`},
		{`find(data.items, .sku == "B").qty`, `5`},
		{`[findIndex(data.nums, # == 1), findIndex(data.nums, # == 9), findLast(data.nums, # < 3), findLastIndex(data.nums, # < 3)]`, `[1,-1,2,2]`},
		{`sum(data.nums)`, `6`},
		{`sum(data.items, .qty ?? 0)`, `7`},
		{`reduce(data.nums, #acc + #)`, `6`},
		{`reduce(data.nums, #acc + string(#), "")`, `"312"`},
		{`map(sortBy(data.items[:2], .qty, "desc"), .sku)`, `["B","A"]`},
		{`any(data.orders, any(.items, .qty > 3))`, `true`},
		{`any(data.tags, any(["b2b", "b2c"], # == "b2c"))`, `true`},
		{`data.items | filter(.qty > 2) | map(.sku) | join(",")`, `"B"`},
		{`let a = data.qty; let b = a + 1; a * b`, `12`},
		{`map(data.nums, {let x = #; x * x})`, `[9,1,4]`},
		{`data.active ? "yes" : "no"`, `"yes"`},
		{`if data.gone { 1 } else if data.active { 2 } else { 3 }`, `2`},
		{`{"a b": data.qty, (type): 1, c: [data.tags]}`, `{"a b":3,"OrderCreated":1,"c":[["web","b2b"]]}`},
	} {
		s := filter.NewScope(all)
		p, err := s.Compile(tt.src, filter.Any)
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		v := look(s)
		for range 2 { // the second run finds everything extracted
			got, err := p.JSON(nil, v)
			if string(got) != tt.want || err != nil {
				t.Errorf("%s = %s, %v, want %s", tt.src, got, err, tt.want)
			}
		}
		val, err := p.Value(v)
		if err != nil {
			t.Errorf("%s: Value: %v", tt.src, err)
		}
		if b, ok := val.(bool); ok {
			if got, err := p.Bool(v); got != b || err != nil {
				t.Errorf("%s: Bool = %v, %v, Value = %v", tt.src, got, err, b)
			}
		}
	}
}

func TestGoValues(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for src, want := range map[string]any{
		`data.qty`: 3, `data.amount`: 512.5, `data.esc`: `a"b\cé`, `data.active`: true, `data.nope`: nil, `time`: at,
		`data.obj`: map[string]any{"a": nil, "b": 1}, `data.mixed`: []any{1, "a"}, `{a: [1]}`: map[string]any{"a": []any{1}},
		`duration("1m")`: time.Minute, `data.a`: map[string]any{"y": 2},
	} {
		s := filter.NewScope(all)
		p, err := s.Compile(src, filter.Any)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Value(look(s))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", src, err, diff)
		}
	}
}

func TestValuesOutliveTheEvent(t *testing.T) {
	s := filter.NewScope(filter.Event)
	p, err := s.Compile(`{a: data.order_id, b: data.items, c: data.order_id + ""}`, filter.Any)
	if err != nil {
		t.Fatal(err)
	}
	e := sample()
	v := s.NewView()
	v.Reset(e)
	got, _ := p.Value(v)
	before, _ := json.Marshal(got)
	for i := range e.Data {
		e.Data[i] = 'x'
	}
	if after, _ := json.Marshal(got); string(after) != string(before) {
		t.Errorf("the value became %s", after)
	}
}

func TestWrongTypesAreTypeErrors(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{`data.order_id > 5`, `filter: operator > cannot take text and a number in data.order_id > 5`},
		{`5 < data.order_id`, `filter: operator < cannot take text and a number in 5 < data.order_id`},
		{`data.qty > "5"`, `filter: operator > cannot take a number and text in data.qty > "5"`},
		{`data.active > false`, ``},
		{`data.items > data.nums`, `filter: operator > cannot take an array and an array in data.items > data.nums`},
		{`data.order_id`, `filter: the result cannot take text in data.order_id`},
		{`!data.order_id`, `filter: operator ! cannot take text in !data.order_id`},
		{`data.qty && true`, `filter: operator && cannot take a number in data.qty && true`},
		{`data.qty contains "3"`, `filter: operator contains cannot take a number and text in data.qty contains "3"`},
		{`data.qty matches "3"`, `filter: operator matches cannot take a number in data.qty matches "3"`},
		{`1 in data.qty`, `filter: operator in cannot take a number and a number in 1 in data.qty`},
		{`data.nope + 1 > 0`, `filter: operator + cannot take nil and a number in data.nope + 1 > 0`},
		{`-data.nope < 0`, `filter: operator - cannot take nil in -data.nope < 0`},
		{`data.qty / data.zero > 1`, `filter: operator /: division by zero in data.qty / data.zero > 1`},
		{`data.qty % data.zero == 1`, `filter: operator %: division by zero in data.qty % data.zero == 1`},
		{`data.amount % 2 == 1`, `filter: operator % cannot take a number and a number in data.amount % 2 == 1`},
		{`any(data.qty, true)`, `filter: any cannot take a number in any(data.qty, true)`},
		{`any(data.items, .sku)`, `filter: any cannot take text in any(data.items, .sku)`},
		{`lower(data.qty) == "x"`, `filter: lower cannot take a number in lower(data.qty) == "x"`},
		{`int(data.order_id) == 1`, `filter: int: the text is no integer in int(data.order_id) == 1`},
		{`time > data.order_id`, `filter: operator > cannot take a time and text in time > data.order_id`},
		{`sort(data.mixed) == []`, `filter: sort cannot take text and a number in sort(data.mixed) == []`},
		{`data.exp ** data.exp > 1`, `filter: operator **: the result is no finite number in data.exp ** data.exp > 1`},
		{`fromJSON(data.order_id) == 1`, `filter: fromJSON: the text is not JSON in fromJSON(data.order_id) == 1`},
		{`row`, `filter: the result cannot take a row in row`},
	} {
		if tt.want == "" {
			continue // found by Compile
		}
		s := filter.NewScope(all)
		p, err := s.Compile(tt.src, filter.Bool)
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		got, err := p.Bool(look(s))
		var te *filter.TypeError
		if got || !errors.As(err, &te) || err.Error() != tt.want {
			t.Errorf("%s = %v, %v, want %s", tt.src, got, err, tt.want)
		}
	}
}

func TestDecimals(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{`data.amount`, `512.50`},
		{`-data.amount`, `-512.50`},
		{`data.huge`, `123456789012345678901234567890`},
		{`data.huge * 3 + 1`, `370370367037037036703703703671`},
		{`data.amount - 0.1`, `512.40`},
		{`0.1 + 0.2`, `0.3`},
		{`row.total + data.amount`, `523.00`},
		{`data.amount * data.qty`, `1537.50`},
		{`data.nope ?? 0`, `0`},
		{`data.active ? -data.amount : data.amount`, `-512.50`},
		{`let a = data.amount; a + a`, `1025.00`},
		{`sum(data.items, (.qty ?? 0) * 0.1)`, `0.7`},
		{`data.amount / 4`, `128.125`},
		{`data.nope`, `nil`},
		{`1e400 * 1e400 == nil ? 1 : 2`, ``},
	} {
		s := filter.NewScope(all)
		p, err := s.Compile(tt.src, filter.Number)
		if err != nil {
			if tt.want != "" {
				t.Errorf("%s: %v", tt.src, err)
			}
			continue
		}
		d, err := p.Decimal(look(s))
		got := "nil"
		if d != nil {
			got = d.Text('f')
		}
		if got != tt.want || err != nil {
			t.Errorf("%s = %s, %v, want %s", tt.src, got, err, tt.want)
		}
	}
}

func TestDecimalsAreBounded(t *testing.T) {
	for _, tt := range []struct{ src, data string }{
		{`data.a + 1`, `{"a":1e999999999}`},
		{`data.a`, `{"a":1e-999999999}`},
		{`data.a + data.a`, `{"a":` + strings.Repeat("9", 5000) + `}`},
		{`data.a + data.b`, `{"a":1}`},
		{`-data.b`, `{"a":1}`},
		{`data.a`, `{"a":"1"}`},
		{`data.a * 2`, `{"a":true}`},
	} {
		s := filter.NewScope(filter.Event)
		p, err := s.Compile(tt.src, filter.Number)
		if err != nil {
			t.Fatal(err)
		}
		v := s.NewView()
		v.Reset(&event.Recorded{Event: event.Event{Data: []byte(tt.data)}})
		var te *filter.TypeError
		if d, err := p.Decimal(v); d != nil || !errors.As(err, &te) {
			t.Errorf("%s of %.30s = %v, %v, want a TypeError", tt.src, tt.data, d, err)
		}
	}
}

func TestTimeAndText(t *testing.T) {
	s := filter.NewScope(filter.Event)
	compile := func(src string, w filter.Want) *filter.Program {
		p, err := s.Compile(src, w)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	created, missing, wrong, text := compile("data.created", filter.Time), compile("data.nope", filter.Time), compile("data.qty", filter.Time), compile("data.items", filter.Text)
	v := s.NewView()
	v.Reset(sample())
	if got, err := created.Time(v); err != nil || !got.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("created = %v, %v", got, err)
	}
	if got, err := missing.Time(v); err != nil || !got.IsZero() {
		t.Errorf("missing = %v, %v", got, err)
	}
	if _, err := wrong.Time(v); err == nil {
		t.Error("a number is taken for a time")
	}
	if got, err := text.Text(v); err != nil || !strings.HasPrefix(got, `[{"sku":"A"`) {
		t.Errorf("text = %s, %v", got, err)
	}
}

func TestPaths(t *testing.T) {
	s := filter.NewScope(all)
	p, err := s.Compile(`data["detail-type"] == type && data.items[0]?.sku != row.qty && any(data.items, .qty > data.min) && metadata.x == item.n`, filter.Bool)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`data.items`, `data.items[0].sku`, `data.min`, `data["detail-type"]`, `item.n`, `metadata.x`, `row.qty`, `type`}
	if diff := cmp.Diff(want, p.Paths()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for src, want := range map[string]string{`data.a["b"]`: "data.a.b", ` type `: "type", `(row.qty)`: "row.qty", `data.a + 1`: "", `"x"`: "", `-data.a`: ""} {
		p, err := s.Compile(src, filter.Any)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := p.Path(); got != want || ok != (want != "") {
			t.Errorf("Path of %s = %q, %v", src, got, ok)
		}
	}
}

func TestScopeSharesOnePass(t *testing.T) {
	s := filter.NewScope(filter.Event)
	var ps []*filter.Program
	for _, src := range []string{"data.a", "data.a.b", "data.a.b[1]", "data", "data.a.b[0].c"} {
		p, err := s.Compile(src, filter.Any)
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	v := s.NewView()
	for _, tt := range []struct {
		data string
		want []string
	}{
		{` {"a" : {"b" : [ {"c":1} , 2 ] }} `, []string{`{"b" : [ {"c":1} , 2 ] }`, `[ {"c":1} , 2 ]`, `2`, `{"a" : {"b" : [ {"c":1} , 2 ] }}`, `1`}},
		{`{"\u0061":{"b":[3]}}`, []string{`{"b":[3]}`, `[3]`, `null`, `{"\u0061":{"b":[3]}}`, `null`}},
		{`[1]`, []string{`null`, `null`, `null`, `[1]`, `null`}},
		{``, []string{`null`, `null`, `null`, `null`, `null`}}, // and nothing stays from the event before
	} {
		v.Reset(&event.Recorded{Event: event.Event{Data: []byte(tt.data)}})
		for i, p := range ps {
			if got, err := p.JSON(nil, v); string(got) != tt.want[i] || err != nil {
				t.Errorf("%s of %s = %s, %v, want %s", p.Source(), tt.data, got, err, tt.want[i])
			}
		}
	}
}

func TestViewsOfOneScopeRunTogether(t *testing.T) {
	s := filter.NewScope(filter.Event)
	p, err := s.Compile(`let x = data.qty; any(data.items, .qty > x) && x == 3`, filter.Bool)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			v, e := s.NewView(), sample()
			for range 200 {
				v.Reset(e)
				if ok, err := p.Bool(v); !ok || err != nil {
					t.Error(ok, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestFiltersDoNotAllocate(t *testing.T) {
	for _, src := range []string{
		`type == "OrderCreated" && data.amount > 500`,
		`data.order_id startsWith "o" && data.qty in [1, 2, 3] || !data.active`,
		`any(data.items, .qty > 4 && .sku == "B")`,
		`(data.qty + 1) * 2 == 8 ? data.active : false`,
		`time > "2026-01-01T00:00:00Z" && len(data.tags) == 2`,
		`data.nope ?? data.active`,
	} {
		s := filter.NewScope(filter.Event)
		p, err := s.Compile(src, filter.Bool)
		if err != nil {
			t.Fatal(err)
		}
		v, e := s.NewView(), sample()
		n := testing.AllocsPerRun(100, func() {
			v.Reset(e)
			if ok, err := p.Bool(v); !ok || err != nil {
				t.Fatal(src, ok, err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", src, n)
		}
	}
}

func TestNumbersCompareByValue(t *testing.T) {
	s := filter.NewScope(filter.Event)
	p, err := s.Compile("[data.a < data.b, data.a == data.b, data.a > data.b]", filter.Any)
	if err != nil {
		t.Fatal(err)
	}
	v := s.NewView()
	for _, tt := range []struct{ a, b, want string }{
		{"1", "1.0", "[false,true,false]"},
		{"1e2", "100", "[false,true,false]"},
		{"-0", "0.0", "[false,true,false]"},
		{"9007199254740992", "9007199254740993", "[true,false,false]"},
		{"9007199254740993", "9007199254740992.0", "[false,false,true]"},
		{"5e18", "6000000000000000000", "[true,false,false]"},
		{"6000000000000000000", "5e18", "[false,false,true]"},
		{"9223372036854775807", "1e19", "[true,false,false]"},
		{"-1e19", "-9223372036854775808", "[true,false,false]"},
		{"2.5", "2", "[false,false,true]"},
		{"-2.5", "-2", "[true,false,false]"},
		{"12345678901234567890", "12345678901234567891", "[true,false,false]"},
		{"9.0000000000000001", "9.0000000000000002", "[true,false,false]"},
		{"1e998", "1e999", "[true,false,false]"},
		{"0.1", "0.10", "[false,true,false]"},
		{"123456789012345678901234567890", "1.2345678901234567890123456789e29", "[false,true,false]"},
	} {
		v.Reset(&event.Recorded{Event: event.Event{Data: []byte(`{"a":` + tt.a + `,"b":` + tt.b + `}`)}})
		if got, err := p.JSON(nil, v); string(got) != tt.want || err != nil {
			t.Errorf("%s beside %s: %s, %v, want %s", tt.a, tt.b, got, err, tt.want)
		}
	}
}

func TestResetForgets(t *testing.T) {
	s := filter.NewScope(all)
	p, err := s.Compile("[stream, row == nil, row.count, item, item.n, index, data.qty, metadata.hops]", filter.Any)
	if err != nil {
		t.Fatal(err)
	}
	v := look(s)
	for _, tt := range []struct {
		change func()
		want   string
	}{
		{func() {}, `["order/o-1",false,7,{"sku":"I","n":1},1,4,3,2]`},
		{func() { v.SetItem([]byte(`{"n":2}`), 5) }, `["order/o-1",false,7,{"n":2},2,5,3,2]`},
		{func() { v.SetRow(nil) }, `["order/o-1",true,null,{"n":2},2,5,3,2]`},
		{func() { v.SetRow(row); v.Reset(&event.Recorded{}) }, `[null,true,null,null,null,0,null,null]`},
		{func() { v.Reset(sample()) }, `["order/o-1",true,null,null,null,0,3,2]`},
	} {
		tt.change()
		if got, err := p.JSON(nil, v); string(got) != tt.want || err != nil {
			t.Errorf("%s, %v, want %s", got, err, tt.want)
		}
	}
}

func TestWordsOfTags(t *testing.T) {
	for in, want := range map[string]filter.Want{"": filter.Any, "any": filter.Any, "bool": filter.Bool, "number": filter.Number, "time": filter.Time, "text": filter.Text} {
		if got, err := filter.ParseWant(in); got != want || err != nil {
			t.Errorf("ParseWant(%q) = %v, %v", in, got, err)
		}
	}
	for in, want := range map[string]filter.Roots{"": filter.Event, "event": filter.Event, "event,log,row,item": all, "event, row": filter.Event | filter.Row} {
		if got, err := filter.ParseRoots(in); got != want || err != nil {
			t.Errorf("ParseRoots(%q) = %v, %v", in, got, err)
		}
	}
	_, err := filter.ParseWant("boolean")
	_, err2 := filter.ParseRoots("event,rows")
	if err == nil || err2 == nil {
		t.Error("an unknown word is taken")
	}
}
