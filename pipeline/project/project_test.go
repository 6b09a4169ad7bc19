package project

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/table/memory"
)

// rig is a projection over a memory table.
type rig struct {
	t     testing.TB
	p     *Projection
	d     table.Def
	store table.Store
}

func newRig(t testing.TB, def *table.Def, specs ...Spec) *rig {
	t.Helper()
	return newRigOn(t, memory.New(memory.Options{}), def, specs...)
}

func newRigOn(t testing.TB, store table.Store, def *table.Def, specs ...Spec) *rig {
	t.Helper()
	p, err := Compile(specs, def)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, p: p, d: p.Def(), store: store}
	if _, err := r.store.Ensure(t.Context(), &r.d, p.Definition(), "r", "l"); err != nil {
		t.Fatal(err)
	}
	return r
}

// apply folds events as one batch and writes the result.
func (r *rig) apply(batch ...event.Recorded) *Result {
	r.t.Helper()
	res, err := r.p.Apply(r.t.Context(), r.store, r.p.All(batch), Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(res)
	return res
}

func (r *rig) write(res *Result) {
	r.t.Helper()
	if err := r.store.Apply(r.t.Context(), &table.Write{Def: &r.d, Put: res.Put, Delete: res.Delete}); err != nil {
		r.t.Fatal(err)
	}
}

// rows gives the table, a row a line: its values as JSON.
func (r *rig) rows() string {
	r.t.Helper()
	var b []byte
	for row, err := range r.store.Scan(r.t.Context(), &r.d, nil) {
		if err != nil {
			r.t.Fatal(err)
		}
		for i, v := range row {
			if i > 0 {
				b = append(b, ' ')
			}
			b = table.AppendJSON(b, v)
		}
		b = append(b, '\n')
	}
	return strings.TrimSuffix(string(b), "\n")
}

func (r *rig) want(rows ...string) {
	r.t.Helper()
	if d := cmp.Diff(strings.Join(rows, "\n"), r.rows()); d != "" {
		r.t.Errorf("rows (-want +got):\n%s", d)
	}
}

// ev makes an event of a type and a payload.
func ev(typ, data string) event.Recorded {
	if !json.Valid([]byte(data)) {
		panic(data)
	}
	return event.Recorded{
		Event:  event.Event{ID: "e", Type: typ, Source: "shop", Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Data: []byte(data)},
		Stream: event.Stream{Type: "order", ID: "o-1"}, Revision: 3, Position: 17,
	}
}

func fields(pairs ...string) []Field {
	var out []Field
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, Field{pairs[i], pairs[i+1]})
	}
	return out
}

var orderKey = fields("id", "data.id")

func TestKeyAndChanges(t *testing.T) {
	for name, tt := range map[string]struct {
		spec   Spec
		events []event.Recorded
		want   string
	}{
		"set makes a row": {
			Spec{Key: orderKey, Ops: Ops{Set: fields("state", `"placed"`, "n", "data.n")}},
			[]event.Recorded{ev("a", `{"id":"o-1","n":1.50}`)},
			`"o-1" "placed" 1.5`,
		},
		"set takes what was there away": {
			Spec{Key: orderKey, Ops: Ops{Set: fields("n", "data.n")}},
			[]event.Recorded{ev("a", `{"id":"o-1","n":1}`), ev("a", `{"id":"o-1"}`)},
			`"o-1" null`,
		},
		"add is exact": {
			Spec{Key: orderKey, Ops: Ops{Add: fields("total", "data.n")}},
			[]event.Recorded{ev("a", `{"id":"o-1","n":0.1}`), ev("a", `{"id":"o-1","n":0.2}`), ev("a", `{"id":"o-1","n":123456789012345678901234567890}`)},
			`"o-1" 123456789012345678901234567890.3`,
		},
		"add takes away": {
			Spec{Key: orderKey, Ops: Ops{Add: fields("total", "-data.n", "count", "1", "net", "data.n * 3 - 0.1")}},
			[]event.Recorded{ev("a", `{"id":"o-1","n":0.1}`)},
			`"o-1" -0.1 1 0.2`,
		},
		"add on null": {
			Spec{Key: orderKey, Ops: Ops{Set: fields("a", "nil"), Add: fields("total", "data.n")}},
			[]event.Recorded{ev("a", `{"id":"o-1","n":5}`)},
			`"o-1" null 5`,
		},
		"unset": {
			Spec{Key: orderKey, ByType: map[string]Ops{"a": {Set: fields("x", "1", "y", "2")}, "b": {Unset: []string{"x"}}}},
			[]event.Recorded{ev("a", `{"id":"o-1"}`), ev("b", `{"id":"o-1"}`), ev("b", `{"id":"o-2"}`)},
			`"o-1" null 2`,
		},
		"append": {
			Spec{Key: orderKey, Ops: Ops{Append: fields("lines", "data.line")}},
			[]event.Recorded{ev("a", `{"id":"o-1","line":{"sku":"x", "n":1.0}}`), ev("a", `{"id":"o-1","line":2}`), ev("a", `{"id":"o-1"}`)},
			`"o-1" [{"sku":"x", "n":1.0},2,null]`,
		},
		"append to an array that was set": {
			Spec{Key: orderKey, ByType: map[string]Ops{"set": {Set: fields("l", "data.l")}, "add": {Append: fields("l", "data.x")}}},
			[]event.Recorded{
				ev("set", `{"id":"1","l":[]}`), ev("set", `{"id":"2","l":[ ]}`), ev("set", `{"id":"3","l":[ 1 ]}`),
				ev("add", `{"id":"1","x":9}`), ev("add", `{"id":"2","x":9}`), ev("add", `{"id":"3","x":9}`),
			},
			"\"1\" [9]\n\"2\" [9]\n\"3\" [ 1,9]",
		},
		"delete": {
			Spec{Key: orderKey, ByType: map[string]Ops{"a": {Set: fields("x", "1")}, "b": {Delete: "true"}}},
			[]event.Recorded{ev("a", `{"id":"o-1"}`), ev("a", `{"id":"o-2"}`), ev("b", `{"id":"o-1"}`), ev("b", `{"id":"o-9"}`)},
			`"o-2" 1`,
		},
		"delete by an expression over the row as it was": {
			Spec{Key: orderKey, Ops: Ops{Add: fields("n", "data.n"), Delete: "row.n > 2"}},
			[]event.Recorded{ev("a", `{"id":"o-1","n":3}`), ev("a", `{"id":"o-2","n":3}`), ev("a", `{"id":"o-1","n":3}`)},
			`"o-2" 3`,
		},
		"a deleted row comes back new": {
			Spec{Key: orderKey, ByType: map[string]Ops{"a": {Add: fields("n", "1")}, "b": {Delete: "true"}}},
			[]event.Recorded{ev("a", `{"id":"o-1"}`), ev("a", `{"id":"o-1"}`), ev("b", `{"id":"o-1"}`), ev("a", `{"id":"o-1"}`)},
			`"o-1" 1`,
		},
		"row is the present row, nil when new": {
			Spec{Key: orderKey, Ops: Ops{Set: fields("new", "row == nil", "was", "row.now", "now", "data.n")}},
			[]event.Recorded{ev("a", `{"id":"o-1","n":1}`), ev("a", `{"id":"o-1","n":2}`)},
			`"o-1" false 1 2`,
		},
		"all expressions see the row before": {
			Spec{Key: orderKey, Ops: Ops{Set: fields("a", "row.b ?? 0", "b", "data.n"), Add: fields("c", "row.b ?? 0")}},
			[]event.Recorded{ev("a", `{"id":"o-1","n":1}`), ev("a", `{"id":"o-1","n":2}`), ev("a", `{"id":"o-1","n":3}`)},
			`"o-1" 2 3 3`,
		},
		"common changes, then those of the type": {
			Spec{
				Key: orderKey, Ops: Ops{Add: fields("n", "1"), Set: fields("seen", "type")},
				ByType: map[string]Ops{"a": {Set: fields("twice", "row.n * 2", "last", "row.seen")}},
			},
			[]event.Recorded{ev("b", `{"id":"o-1"}`), ev("a", `{"id":"o-1"}`), ev("c", `{"id":"o-1"}`)},
			`"o-1" "c" 3 4 "a"`,
		},
		"a type that is not listed does not even need the key": {
			Spec{Key: orderKey, ByType: map[string]Ops{"a": {Set: fields("x", "1")}}},
			[]event.Recorded{ev("b", `{}`), ev("a", `{"id":"o-1"}`)},
			`"o-1" 1`,
		},
		"each": {
			Spec{Key: fields("id", "data.id", "sku", "item.sku"), Each: "data.lines", Ops: Ops{Add: fields("qty", "item.qty"), Set: fields("at", "index", "who", "data.who")}},
			[]event.Recorded{
				ev("a", `{"id":"o-1","who":"w","lines":[{"sku":"x","qty":1},{"sku":"y","qty":2.5},{"sku":"x","qty":10}]}`),
				ev("a", `{"id":"o-2","lines":[]}`), ev("a", `{"id":"o-3"}`), ev("a", `{"id":"o-4","lines":null}`),
			},
			"\"o-1\" \"x\" 2 \"w\" 11\n\"o-1\" \"y\" 1 \"w\" 2.5",
		},
		"each over plain values": {
			Spec{Key: fields("tag", "item"), Each: "filter(data.tags, # != \"no\")", Ops: Ops{Add: fields("n", "1")}},
			[]event.Recorded{ev("a", `{"tags":["x","no","y"]}`), ev("a", `{"tags":["x"]}`)},
			"\"x\" 2\n\"y\" 1",
		},
		"values of all kinds": {
			Spec{Key: orderKey, Ops: Ops{Set: fields(
				"t", "time", "b", "data.b", "f", "data.f", "i", "data.i", "s", "data.s", "o", "data.o", "l", "[1, data.b]", "stream", "stream", "pos", "position", "rev", "revision",
			)}},
			[]event.Recorded{ev("a", `{"id":"o-1","b":true,"f":1.10,"i":9007199254740993,"s":"ü\u0041","o":{"x" : 1.0}}`)},
			`"o-1" "2026-01-02T03:04:05.000006Z" true 1.1 9007199254740993 "üA" {"x" : 1.0} [1,true] "order/o-1" 17 3`,
		},
		"a key of several parts and types": {
			Spec{Key: fields("a", "data.a", "b", "data.b", "c", "time"), Ops: Ops{Add: fields("n", "1")}},
			[]event.Recorded{ev("a", `{"a":1,"b":true}`), ev("a", `{"a":1.0,"b":true}`), ev("a", `{"a":"1","b":true}`)},
			"1 true \"2026-01-02T03:04:05.000006Z\" 2\n\"1\" true \"2026-01-02T03:04:05.000006Z\" 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tt.spec.Table = "t"
			whole := newRig(t, nil, tt.spec)
			if res := whole.apply(tt.events...); len(res.Failed) > 0 {
				t.Errorf("failed: %v", res.Failed)
			}
			whole.want(tt.want)
			single := newRig(t, nil, tt.spec)
			for _, e := range tt.events {
				single.apply(e)
			}
			single.want(tt.want)
		})
	}
}

func TestWhere(t *testing.T) {
	put := Spec{Table: "t", Key: orderKey, ByType: map[string]Ops{
		"put": {Set: fields("who", "data.who", "n", "data.n", "at", "data.at")},
		"bye": {Delete: "true"},
	}}
	seed := []event.Recorded{
		ev("put", `{"id":"a","who":"ann","n":1}`), ev("put", `{"id":"b","who":"bob","n":2}`), ev("put", `{"id":"c","who":"ann","n":3}`),
		ev("put", `{"id":"d","n":4}`), ev("put", `{"id":"e","who":"2026-01-02T00:00:00Z","n":5}`), ev("put", `{"id":"f","who":true,"n":"x"}`),
	}
	for name, tt := range map[string]struct {
		where  string
		ops    Ops
		events []event.Recorded
		want   string
		miss   int
	}{
		"by a column": {
			where: "row.who == data.who", ops: Ops{Set: fields("hit", "data.v")},
			events: []event.Recorded{ev("x", `{"who":"ann","v":1}`), ev("x", `{"who":"bob","v":2}`), ev("x", `{"who":"zoe","v":3}`)},
			want:   "a1 b2 c1 d e f",
		},
		"rows that the batch made or changed": {
			where: "row.who == data.who && type == \"x\"", ops: Ops{Add: fields("hit", "1")},
			events: []event.Recorded{
				ev("put", `{"id":"g","who":"ann","n":1}`), ev("put", `{"id":"a","who":"bob","n":1}`), ev("bye", `{"id":"c"}`),
				ev("x", `{"who":"ann"}`), ev("put", `{"id":"c","who":"ann"}`), ev("x", `{"who":"ann"}`), ev("x", `{"who":"bob"}`),
			},
			want: "a1 b1 c1 d e f g2",
		},
		"by a range": {
			where: "row.n > data.n", ops: Ops{Set: fields("hit", "1")},
			events: []event.Recorded{ev("x", `{"n":2}`)},
			want:   "a b c1 d1 e1 f", miss: 1,
		},
		"by two columns": {
			where: "data.n == row.n && row.who == \"ann\"", ops: Ops{Set: fields("hit", "1")},
			events: []event.Recorded{ev("x", `{"n":3.0}`), ev("x", `{"n":2}`)},
			want:   "a b c1 d e f",
		},
		"null is a value": {
			where: "row.who == data.nope", ops: Ops{Set: fields("hit", "1")},
			events: []event.Recorded{ev("x", `{}`)},
			want:   "a b c d1 e f",
		},
		"a text that is a time": {
			where: "row.who == data.at", ops: Ops{Set: fields("hit", "1")},
			events: []event.Recorded{ev("x", `{"at":"2026-01-02T00:00:00Z"}`)},
			want:   "a b c d e1 f",
		},
		"deletes": {
			where: "row.who == data.who", ops: Ops{Delete: "row.n < data.n"},
			events: []event.Recorded{ev("x", `{"who":"ann","n":2}`)},
			want:   "b c d e f",
		},
		"an or is not a part": {
			where: "row.who == \"bob\" || row.n == 1", ops: Ops{Set: fields("hit", "1")},
			events: []event.Recorded{ev("x", `{}`)},
			want:   "a1 b1 c d e f",
		},
		"both sides of the row": {
			where: "row.n == row.n", ops: Ops{Set: fields("hit", "row.n")},
			events: []event.Recorded{ev("x", `{}`)},
			want:   `a1 b2 c3 d4 e5 f"x"`,
		},
		"makes no row": {
			where: "row.who == \"nobody\"", ops: Ops{Set: fields("hit", "1")},
			events: []event.Recorded{ev("x", `{}`)},
			want:   "a b c d e f",
		},
		"changes what it looks for": {
			where: "row.who == data.who", ops: Ops{Set: fields("who", "data.to"), Add: fields("hit", "1")},
			events: []event.Recorded{ev("x", `{"who":"ann","to":"bob"}`), ev("x", `{"who":"bob","to":"cat"}`), ev("x", `{"who":"ann","to":"dot"}`)},
			want:   "a2 b1 c2 d e f",
		},
	} {
		t.Run(name, func(t *testing.T) {
			where := Spec{Table: "t", Where: tt.where, ByType: map[string]Ops{"x": tt.ops}}
			for _, size := range []int{1, 2, 100} {
				r := newRig(t, nil, put, Spec{Table: "t", Key: orderKey, ByType: map[string]Ops{"never": {Set: fields("hit", "1")}}}, where)
				r.apply(seed...)
				miss := 0
				for from := 0; from < len(tt.events); from += size {
					res := r.apply(tt.events[from:min(from+size, len(tt.events))]...)
					if len(res.Failed) > 0 {
						t.Fatalf("failed: %v", res.Failed)
					}
					miss += res.Mismatches
				}
				var got []string
				for row, err := range r.store.Scan(t.Context(), &r.d, nil) {
					if err != nil {
						t.Fatal(err)
					}
					b := table.AppendText(nil, row[0])
					if hit := row[r.d.Index("hit")]; hit != nil {
						b = table.AppendJSON(b, hit)
					}
					got = append(got, string(b))
				}
				if d := cmp.Diff(tt.want, strings.Join(got, " ")); d != "" {
					t.Errorf("batches of %d (-want +got):\n%s", size, d)
				}
				if miss != tt.miss {
					t.Errorf("%d mismatches, want %d", miss, tt.miss)
				}
			}
		})
	}
}

func TestWhereWithEach(t *testing.T) {
	r := newRig(t, nil,
		Spec{Table: "t", Key: orderKey, ByType: map[string]Ops{"put": {Set: fields("group", "data.g")}}},
		Spec{Table: "t", Where: "row.group == item.g", Each: "data.list", ByType: map[string]Ops{"x": {Add: fields("n", "item.n + index")}}})
	r.apply(ev("put", `{"id":"a","g":1}`), ev("put", `{"id":"b","g":2}`), ev("put", `{"id":"c","g":1}`),
		ev("x", `{"list":[{"g":1,"n":10},{"g":2,"n":20},{"g":1,"n":30}]}`))
	r.want(`"a" 1 42`, `"b" 2 21`, `"c" 1 42`)
}

// More rows than a condition may keep are asked for again, with the same result.
func TestWhereOverManyRows(t *testing.T) {
	const n = scanKeep + 500
	r := newRig(t, nil,
		Spec{Table: "t", Key: orderKey, ByType: map[string]Ops{"put": {Set: fields("n", "data.n")}}},
		Spec{Table: "t", Where: "row.n % 1000 == data.n", ByType: map[string]Ops{"x": {Set: fields("hit", "(row.hit ?? 0) + 1")}}})
	var batch []event.Recorded
	for i := range n {
		batch = append(batch, ev("put", fmt.Sprintf(`{"id":"%05d","n":%d}`, i, i)))
	}
	r.apply(batch...)
	res := r.apply(ev("x", `{"n":7}`), ev("x", `{"n":8}`), ev("x", `{"n":7}`))
	if want := 2 * (n/1000 + 1); len(res.Put) != want {
		t.Errorf("%d rows changed, want %d", len(res.Put), want)
	}
	hits := map[string]int{}
	for row := range r.store.Scan(t.Context(), &r.d, nil) {
		hits[string(table.AppendText(nil, row[2]))]++
	}
	if hits["2"] != n/1000+1 || hits["1"] != n/1000+1 {
		t.Errorf("hits: %v", hits)
	}
}

func TestColumnTypes(t *testing.T) {
	columns := []table.Column{
		{Name: "text", Type: table.Text}, {Name: "id", Type: table.Text}, {Name: "int", Type: table.Integer}, {Name: "num", Type: table.Numeric},
		{Name: "bool", Type: table.Boolean}, {Name: "at", Type: table.Timestamp}, {Name: "doc", Type: table.JSON}, {Name: "any", Type: table.Any},
	}
	for _, tt := range []struct {
		column, expr string
		want         string // "" : refused
	}{
		{"text", `"x"`, `"x"`}, {"text", "data.i", ""}, {"text", "string(data.i)", `"5"`}, {"text", "data.nil", "null"}, {"text", "data.b", ""},
		{"text", "data.o", ""}, {"text", "time", ""}, {"text", "data.nul", ""}, {"text", "data.f", ""},
		{"int", "data.i", "5"}, {"int", "data.f", ""}, {"int", "data.whole", "7"}, {"int", "data.s", ""}, {"int", "data.numtext", ""}, {"int", "data.nil", "null"},
		{"int", "data.big", "123456789012345678901234567890"}, {"int", "data.b", ""},
		{"num", "data.f", "1.5"}, {"num", "data.numtext", ""}, {"num", "data.i * data.f", "7.5"}, {"num", "data.huge", ""}, {"num", "time", ""}, {"num", "data.o", ""},
		{"bool", "data.b", "true"}, {"bool", "data.i > 3", "true"}, {"bool", "data.i", ""}, {"bool", "data.s", ""}, {"bool", "data.nil", "null"},
		{"at", "time", `"2026-01-02T03:04:05.000006Z"`}, {"at", "data.at", `"2026-05-06T05:08:09.1Z"`}, {"at", "data.s", ""}, {"at", "data.i", ""}, {"at", "data.nil", "null"},
		{"doc", "data.o", `{"a": 1.0}`}, {"doc", "data.s", `"s"`}, {"doc", "data.f", "1.50"}, {"doc", "data.nil", "null"}, {"doc", "data.nul", `"a\u0000b"`}, {"doc", "[1, data.s]", `[1,"s"]`},
		{"any", "data.o", `{"a": 1.0}`}, {"any", "data.f", "1.5"}, {"any", "data.nul", ""}, {"any", "data.huge", ""}, {"any", "data.big", "123456789012345678901234567890"},
	} {
		t.Run(tt.column+"="+tt.expr, func(t *testing.T) {
			r := newRig(t, &table.Def{Columns: columns}, Spec{Table: "t", Key: orderKey, Ops: Ops{Set: fields(tt.column, tt.expr)}})
			res := r.apply(ev("a", `{"id":"k","i":5,"f":1.50,"whole":7.0,"s":"s","numtext":"5","b":true,"nil":null,"o":{"a": 1.0},"at":"2026-05-06T07:08:09.1+02:00","big":123456789012345678901234567890,"huge":1e5000,"nul":"a\u0000b"}`))
			if tt.want == "" {
				if got := event.Code(res.Failed[0]); got != event.CodeProjection {
					t.Errorf("the code is %q (%v), want %q", got, res.Failed[0], event.CodeProjection)
				}
				r.want()
				return
			}
			if len(res.Failed) > 0 {
				t.Fatal(res.Failed)
			}
			row, err := r.store.Load(t.Context(), &r.d, []table.Row{{"k"}})
			if err != nil {
				t.Fatal(err)
			}
			if got := string(table.AppendJSON(nil, row[0][r.d.Index(tt.column)])); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// An event that fails leaves no trace, whatever it had done before it failed; the others are as if it had not been.
func TestFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		specs []Spec
		bad   event.Recorded
		code  string
	}{
		"no key": {
			[]Spec{{Key: orderKey, Ops: Ops{Add: fields("n", "data.n")}}}, ev("a", `{"n":1}`), event.CodeProjection,
		},
		"null key": {
			[]Spec{{Key: orderKey, Ops: Ops{Add: fields("n", "data.n")}}}, ev("a", `{"id":null,"n":1}`), event.CodeProjection,
		},
		"object as key": {
			[]Spec{{Key: orderKey, Ops: Ops{Add: fields("n", "data.n")}}}, ev("a", `{"id":{},"n":1}`), event.CodeProjection,
		},
		"text added": {
			[]Spec{{Key: orderKey, Ops: Ops{Add: fields("n", "data.n")}}}, ev("a", `{"id":"o-1","n":"1"}`), event.CodeProjection,
		},
		"nothing added": {
			[]Spec{{Key: orderKey, Ops: Ops{Add: fields("n", "data.n")}}}, ev("a", `{"id":"o-1"}`), event.CodeProjection,
		},
		"a number that grows too long": {
			[]Spec{{Key: orderKey, Ops: Ops{Add: fields("n", "data.n")}}}, ev("a", `{"id":"o-1","n":1e1001}`), event.CodeProjection,
		},
		"added to text": {
			[]Spec{{Key: orderKey, Ops: Ops{Add: fields("n", "data.n")}, ByType: map[string]Ops{"b": {Set: fields("n", "\"text\"")}}}},
			ev("b", `{"id":"o-1"}`), event.CodeProjection,
		},
		"appended to no array": {
			[]Spec{{Key: orderKey, Ops: Ops{Add: fields("n", "data.n")}}, {Key: orderKey, ByType: map[string]Ops{"b": {Append: fields("n", "1")}}}},
			ev("b", `{"id":"o-1","n":1}`), event.CodeProjection,
		},
		"an expression meets a wrong type": {
			[]Spec{{Key: orderKey, Ops: Ops{Add: fields("n", "data.n + 0"), Set: fields("x", "data.s == nil ? 0 : data.s > 5")}}},
			ev("a", `{"id":"o-1","n":1,"s":"text"}`), event.CodeExpression,
		},
		"delete meets a wrong type": {
			[]Spec{{Key: orderKey, Ops: Ops{Add: fields("n", "data.n"), Delete: "data.s > 5"}}}, ev("a", `{"id":"o-1","n":1,"s":"text"}`), event.CodeExpression,
		},
		"each over no array": {
			[]Spec{
				{Key: orderKey, Ops: Ops{Add: fields("n", "data.n")}},
				{Key: fields("id", "item"), Each: "data.list", Ops: Ops{Add: fields("n", "1")}},
			},
			ev("a", `{"id":"o-1","n":1,"list":5}`), event.CodeProjection,
		},
		"the third item": {
			[]Spec{
				{Key: orderKey, Ops: Ops{Add: fields("n", "data.n")}},
				{Key: fields("id", "item.id"), Each: "data.list", Ops: Ops{Add: fields("n", "item.n")}},
			},
			ev("a", `{"id":"o-1","n":1,"list":[{"id":"o-1","n":1},{"id":"o-2","n":1},{"id":"o-1","n":"x"}]}`), event.CodeProjection,
		},
		"the third item's key": {
			[]Spec{
				{Key: orderKey, Ops: Ops{Add: fields("n", "data.n")}},
				{Key: fields("id", "item.id"), Each: "data.list", Ops: Ops{Add: fields("n", "1")}},
			},
			ev("a", `{"id":"o-1","n":1,"list":[{"id":"o-1"},{"id":"o-2"},{}]}`), event.CodeProjection,
		},
		"the second step": {
			[]Spec{
				{Key: orderKey, Ops: Ops{Add: fields("n", "data.n")}},
				{Key: fields("id", "data.other"), ByType: map[string]Ops{"b": {Delete: "true"}}},
				{Key: fields("id", "data.none"), ByType: map[string]Ops{"b": {Set: fields("n", "1")}}},
			},
			ev("b", `{"id":"o-1","n":1,"other":"o-2"}`), event.CodeProjection,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range tt.specs {
				tt.specs[i].Table = "t"
			}
			good := []event.Recorded{ev("a", `{"id":"o-1","n":1.5}`), ev("a", `{"id":"o-2","n":2}`), ev("a", `{"id":"o-1","n":0.25}`)}
			clean := newRig(t, nil, tt.specs...)
			clean.apply(good...)

			r := newRig(t, nil, tt.specs...)
			var failed, asked []int
			items := r.p.All([]event.Recorded{good[0], good[1], tt.bad, good[2], tt.bad})
			res, err := r.p.Apply(t.Context(), r.store, items, Options{
				Failed: func(src int, err error) {
					failed = append(failed, src)
					if err == nil || !event.IsPoison(err) {
						t.Errorf("event %d failed with %v", src, err)
					}
				},
				Skip: func(src int) bool { asked = append(asked, src); return src == 4 },
			})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]int{2}, failed); d != "" {
				t.Errorf("told of (-want +got):\n%s", d)
			}
			if d := cmp.Diff([]int{0, 1, 2, 3, 4}, asked); d != "" {
				t.Errorf("asked about (-want +got):\n%s", d)
			}
			if got := event.Code(res.Failed[2]); got != tt.code || len(res.Failed) != 1 {
				t.Errorf("failed: %v with the code %q, want %q", res.Failed, got, tt.code)
			}
			r.write(res)
			r.want(clean.rows())
		})
	}
}

// What does not change is not written.
func TestOnlyChanges(t *testing.T) {
	r := newRig(t, nil, Spec{Table: "t", Key: orderKey, ByType: map[string]Ops{"a": {Set: fields("x", "data.x")}, "b": {Delete: "true"}}})
	r.apply(ev("a", `{"id":"o-1","x":1}`))
	for name, batch := range map[string][]event.Recorded{
		"the same again":          {ev("a", `{"id":"o-1","x":1.0}`)},
		"there and back":          {ev("a", `{"id":"o-1","x":2}`), ev("a", `{"id":"o-1","x":1}`)},
		"made and deleted":        {ev("a", `{"id":"o-2","x":2}`), ev("b", `{"id":"o-2"}`)},
		"deleted and made again":  {ev("b", `{"id":"o-1"}`), ev("a", `{"id":"o-1","x":1}`)},
		"deleted what is not":     {ev("b", `{"id":"o-9"}`)},
		"a type that is not ours": {ev("z", `{"id":"o-1"}`)},
		"nothing":                 {},
	} {
		t.Run(name, func(t *testing.T) {
			if res := r.apply(batch...); len(res.Put)+len(res.Delete)+len(res.Failed) > 0 {
				t.Errorf("it gives %+v", res)
			}
		})
	}
}

func TestTableFails(t *testing.T) {
	p, err := Compile([]Spec{{Table: "t", Key: orderKey, Ops: Ops{Set: fields("x", "1")}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	empty := memory.New(memory.Options{}) // without the table
	batch := []event.Recorded{ev("a", `{"id":"1"}`)}
	if res, err := p.Apply(t.Context(), empty, p.All(batch), Options{}); err == nil {
		t.Errorf("Load failed and Apply gave %+v", res)
	}
	p, err = Compile([]Spec{{Table: "t", Key: orderKey, ByType: map[string]Ops{"z": {Set: fields("x", "1")}}}, {Table: "t", Where: "row.x == 1", Ops: Ops{Delete: "true"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := p.Apply(t.Context(), empty, p.All(batch), Options{}); err == nil {
		t.Errorf("Scan failed and Apply gave %+v", res)
	}
}
