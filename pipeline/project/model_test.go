package project

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/table/sqlite"
	"pgregory.net/rapid"
)

// modelSpecs use every kind of change once.
var modelSpecs = []Spec{
	{
		Table: "t", Key: fields("id", "data.id"),
		ByType: map[string]Ops{
			"set":    {Set: fields("a", "data.v", "b", "row.a")},
			"add":    {Add: fields("n", "data.v")},
			"append": {Append: fields("l", "data.v")},
			"unset":  {Unset: []string{"a"}},
			"spoil":  {Set: fields("n", "data.v ?? 0")}, // may be text, at which additions fail
			"delete": {Delete: "true"},
			"drain":  {Delete: "row.n >= data.v", Add: fields("n", "data.v")},
		},
	},
	{Table: "t", Key: fields("id", "item"), Each: "data.ids", ByType: map[string]Ops{"each": {Add: fields("n", "data.v"), Set: fields("b", "index")}}},
	{Table: "t", Where: "row.b == data.v", ByType: map[string]Ops{"where": {Set: fields("a", "data.id"), Add: fields("n", "1")}}},
	{Table: "t", Where: "row.n > data.v && row.a == data.id", ByType: map[string]Ops{"clear": {Delete: "true"}}},
	{Table: "t", Key: fields("id", "data.id"), ByType: map[string]Ops{"add": {Add: fields("m", "row.n")}}},
}

type payload struct {
	ID  string
	V   any // nil, int or string
	IDs []any
}

func (p payload) json() []byte {
	m := map[string]any{"ids": p.IDs}
	if p.ID != "" {
		m["id"] = p.ID
	}
	if p.V != nil {
		m["v"] = p.V
	}
	b, _ := json.Marshal(m)
	return b
}

// model does what modelSpecs say the plain way: one event at a time over a map of maps.
type model map[string]map[string]any

func (m model) clone() model {
	c := model{}
	for id, row := range m {
		c[id] = maps.Clone(row)
	}
	return c
}

// apply gives the rows behind an event, false where it fails.
func (m model) apply(typ string, p payload) (model, bool) {
	out := m.clone()
	ensure := func(id string) map[string]any {
		if out[id] == nil {
			out[id] = map[string]any{}
		}
		return out[id]
	}
	add := func(row map[string]any, column string, by any) bool {
		n, ok := by.(int)
		if !ok {
			return false
		}
		switch have := row[column].(type) {
		case nil:
			row[column] = n
		case int:
			row[column] = have + n
		default:
			return false
		}
		return true
	}
	keyed := typ == "set" || typ == "add" || typ == "append" || typ == "unset" || typ == "spoil" || typ == "delete" || typ == "drain"
	if keyed && p.ID == "" {
		return nil, false
	}
	switch typ {
	case "set":
		row := ensure(p.ID)
		row["a"], row["b"] = p.V, row["a"]
	case "add":
		if !add(ensure(p.ID), "n", p.V) || !add(out[p.ID], "m", out[p.ID]["n"]) {
			return nil, false
		}
	case "append":
		list, _ := ensure(p.ID)["l"].([]any)
		out[p.ID]["l"] = append(slices.Clone(list), p.V)
	case "unset":
		if out[p.ID] != nil {
			out[p.ID]["a"] = nil
		}
	case "spoil":
		row := ensure(p.ID)
		if row["n"] = p.V; p.V == nil {
			row["n"] = 0
		}
	case "delete":
		delete(out, p.ID)
	case "drain":
		order, ok := compare(out[p.ID]["n"], p.V)
		if !ok {
			return nil, false
		}
		if order == 0 || order == 1 {
			delete(out, p.ID)
		} else if !add(ensure(p.ID), "n", p.V) {
			return nil, false
		}
	case "each":
		for i, e := range p.IDs {
			id, ok := e.(string)
			if !ok || !add(ensure(id), "n", p.V) {
				return nil, false
			}
			out[id]["b"] = i
		}
	case "where":
		for _, row := range out {
			if row["b"] == p.V {
				row["a"] = nil
				if p.ID != "" {
					row["a"] = p.ID
				}
				if !add(row, "n", 1) {
					return nil, false
				}
			}
		}
	case "clear":
		for id, row := range out {
			order, _ := compare(row["n"], p.V)
			if same := row["a"] == p.ID || p.ID == "" && row["a"] == nil; order == 1 && same {
				delete(out, id)
			}
		}
	}
	return out, true
}

// compare gives -1, 0 or 1, 2 beside null; false where the two have no order.
func compare(a, b any) (int, bool) {
	if a == nil || b == nil {
		return 2, true
	}
	if x, ok := a.(int); ok {
		if y, ok := b.(int); ok {
			return cmp.Compare(x, y), true
		}
		return 2, false
	}
	if y, ok := b.(string); ok {
		return cmp.Compare(a.(string), y), true
	}
	return 2, false
}

func (m model) String() string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%q", id)
		for _, c := range []string{"a", "b", "n", "l", "m"} {
			v, _ := json.Marshal(m[id][c])
			b.WriteString(" " + string(v))
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// The fold of a log equals that of the model, in batches of any size, failures included.
func TestFoldIsTheModel(t *testing.T) {
	id := rapid.SampledFrom([]string{"x", "y", "z", "x", "y", "z", "w", ""})
	value := rapid.OneOf(
		rapid.Map(rapid.IntRange(-2, 3), func(i int) any { return i }),
		rapid.Map(rapid.IntRange(0, 2), func(i int) any { return i }),
		rapid.SampledFrom([]any{nil, "x", "text"}))
	one := rapid.Custom(func(t *rapid.T) event.Recorded {
		p := payload{ID: id.Draw(t, "id"), V: value.Draw(t, "v")}
		for range rapid.IntRange(1, 3).Draw(t, "items") {
			p.IDs = append(p.IDs, rapid.SampledFrom([]any{"x", "y", "z", "x", "y", "v", nil}).Draw(t, "item"))
		}
		typ := rapid.SampledFrom([]string{"set", "set", "add", "append", "unset", "spoil", "delete", "drain", "each", "each", "where", "clear", "other"}).Draw(t, "type")
		return ev(typ, string(p.json()))
	})
	rapid.Check(t, func(rt *rapid.T) {
		log := rapid.SliceOfN(one, 15, 60).Draw(rt, "log")
		m := model{}
		var failed []int
		for i, e := range log {
			next, ok := m.apply(e.Type, read(e.Data))
			if !ok {
				failed = append(failed, i)
				continue
			}
			m = next
		}
		for _, size := range []int{1, rapid.IntRange(2, 10).Draw(rt, "size"), 100} {
			r := newRig(t, nil, modelSpecs...)
			var gotFailed []int
			for from := 0; from < len(log); from += size {
				res := r.apply(log[from:min(from+size, len(log))]...)
				for _, i := range slices.Sorted(maps.Keys(res.Failed)) {
					gotFailed = append(gotFailed, from+i)
				}
			}
			got := r.inOrder("id", "a", "b", "n", "l", "m")
			if d := gocmp.Diff(m.String(), got); d != "" {
				rt.Fatalf("batches of %d: rows (-model +got):\n%s", size, d)
			}
			if d := gocmp.Diff(failed, gotFailed); d != "" {
				rt.Fatalf("batches of %d: failed (-model +got):\n%s", size, d)
			}
		}
	})
}

// inOrder gives the rows with the columns in that order.
func (r *rig) inOrder(columns ...string) string {
	var lines []string
	for row, err := range r.store.Scan(r.t.Context(), &r.d, nil) {
		if err != nil {
			r.t.Fatal(err)
		}
		var b []byte
		for i, c := range columns {
			if i > 0 {
				b = append(b, ' ')
			}
			b = table.AppendJSON(b, row[r.d.Index(c)])
		}
		lines = append(lines, string(b))
	}
	return strings.Join(lines, "\n")
}

func read(data []byte) payload {
	var m struct {
		ID  string `json:"id"`
		V   any    `json:"v"`
		IDs []any  `json:"ids"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		panic(err)
	}
	if f, ok := m.V.(float64); ok {
		m.V = int(f)
	}
	return payload{m.ID, m.V, m.IDs}
}

// Over SQLite the same log gives the same rows as in memory.
func TestFoldOverSQLite(t *testing.T) {
	file, err := sqlite.OpenFile(t.Context(), filepath.Join(t.TempDir(), "t.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ours, theirs := newRig(t, nil, modelSpecs...), newRigOn(t, file, nil, modelSpecs...)
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...any) any { return from[random.IntN(len(from))] }
	failed := 0
	for range 40 {
		var batch []event.Recorded
		for range 1 + random.IntN(60) {
			p := map[string]any{"id": pick("x", "y", "z", 1, 1.5, true, "1", nil), "v": pick(0, 1, 2, 0.1, json.Number("123456789012345678901234567890"), "x", nil, true, []int{1})}
			p["ids"] = []any{pick("x", "y", "z"), pick("x", 1, 7)}
			data, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			typ := pick("set", "add", "add", "append", "unset", "spoil", "delete", "drain", "each", "where", "clear").(string)
			batch = append(batch, ev(typ, string(data)))
		}
		want, got := ours.apply(batch...), theirs.apply(batch...)
		if d := gocmp.Diff(slices.Sorted(maps.Keys(want.Failed)), slices.Sorted(maps.Keys(got.Failed))); d != "" {
			t.Fatalf("failed (-memory +sqlite):\n%s", d)
		}
		failed += len(want.Failed)
		if d := gocmp.Diff(byLine(ours.rows()), byLine(theirs.rows())); d != "" {
			t.Fatalf("rows (-memory +sqlite):\n%s", d)
		}
	}
	if n := len(byLine(ours.rows())); n < 4 || failed < 100 {
		t.Errorf("the test tests little: %d rows, %d failures", n, failed)
	}
}

// byLine sorts lines: keys of different types in one column have no order that all backends share.
func byLine(s string) []string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return lines
}

// Sums of decimals are what exact fractions give, in any order of the events.
func TestSumsAreExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		texts := rapid.SliceOfN(rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?(e-?[0-9])?`), 1, 20).Draw(rt, "numbers")
		r := newRig(t, nil, Spec{Table: "t", Key: fields("id", "data.id"), Ops: Ops{Add: fields("n", "data.n", "m", "-data.n")}})
		want := new(big.Rat)
		for i, s := range texts {
			n, ok := new(big.Rat).SetString(s)
			if !ok {
				rt.Skip(s)
			}
			want.Add(want, n)
			r.apply(ev("a", fmt.Sprintf(`{"id":"k","n":%s}`, s)))
			if i%3 == 0 { // and a failure between them
				r.apply(ev("a", `{"id":"k","n":"x"}`))
			}
		}
		row, err := r.store.Load(t.Context(), &r.d, []table.Row{{"k"}})
		if err != nil {
			rt.Fatal(err)
		}
		for i, sign := range []int64{1, -1} {
			got, ok := new(big.Rat).SetString(string(table.AppendText(nil, row[0][i+1])))
			if !ok || got.Cmp(new(big.Rat).Mul(want, big.NewRat(sign, 1))) != 0 {
				rt.Fatalf("%v: got %s, want %s", texts, got, want)
			}
		}
	})
}
