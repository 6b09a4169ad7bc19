package project

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/table"
)

func TestDef(t *testing.T) {
	specs := []Spec{
		{Table: "t", Key: fields("b", "data.b", "a", "data.a"), Ops: Ops{Set: fields("z", "1"), Add: fields("y", "1"), Unset: []string{"x"}}},
		{Table: "t", Key: fields("a", "data.q", "b", "data.r"), ByType: map[string]Ops{"B": {Append: fields("w", "1")}, "A": {Set: fields("v", "1", "z", "1")}}},
	}
	any := func(names ...string) []table.Column {
		var cs []table.Column
		for _, n := range names {
			cs = append(cs, table.Column{Name: n, Type: table.Any})
		}
		return cs
	}
	block := &table.Def{
		Version: 3, Indexes: [][]string{{"z"}},
		Columns: []table.Column{{Name: "z", Type: table.Any}, {Name: "a", Type: table.Text}, {Name: "y", Type: table.Numeric}, {Name: "b", Type: table.Integer}, {Name: "v", Type: table.Text}, {Name: "w", Type: table.JSON}, {Name: "x", Type: table.Any}, {Name: "free", Type: table.Text}},
	}
	for name, tt := range map[string]struct {
		block *table.Def
		want  table.Def
	}{
		"inferred":             {nil, table.Def{Name: "t", Version: 1, Key: []string{"b", "a"}, Columns: any("b", "a", "z", "y", "x", "v", "w")}},
		"a block of a version": {&table.Def{Name: "t", Version: 2}, table.Def{Name: "t", Version: 2, Key: []string{"b", "a"}, Columns: any("b", "a", "z", "y", "x", "v", "w")}},
		"a block of columns": {block, table.Def{Name: "t", Version: 3, Indexes: [][]string{{"z"}}, Key: []string{"a", "b"}, Columns: []table.Column{
			{Name: "a", Type: table.Text}, {Name: "b", Type: table.Integer}, {Name: "z", Type: table.Any}, {Name: "y", Type: table.Numeric},
			{Name: "v", Type: table.Text}, {Name: "w", Type: table.JSON}, {Name: "x", Type: table.Any}, {Name: "free", Type: table.Text},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Compile(specs, tt.block)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, p.Def()); d != "" {
				t.Errorf("definition (-want +got):\n%s", d)
			}
		})
	}
}

func TestDefinition(t *testing.T) {
	base := func() []Spec {
		return []Spec{{
			Table: "t", Key: fields("a", "data.a", "b", "data.b"), Ops: Ops{Set: fields("x", "1", "y", "2"), Unset: []string{"u", "v"}},
			ByType: map[string]Ops{"A": {Delete: "true"}},
		}}
	}
	hash := func(specs []Spec, def *table.Def) string {
		t.Helper()
		p, err := Compile(specs, def)
		if err != nil {
			t.Fatal(err)
		}
		return p.Definition()
	}
	first := hash(base(), nil)
	if first != hash(base(), nil) || len(first) != 32 {
		t.Errorf("the definition is %q, then %q", first, hash(base(), nil))
	}
	for name, edit := range map[string]func(s *Spec){
		"lines moved": func(s *Spec) { s.Set[0], s.Set[1] = s.Set[1], s.Set[0]; s.Unset = []string{"v", "u"} },
		"spaces":      func(s *Spec) { s.Set[0].Expr = " 1\n" },
	} {
		specs := base()
		edit(&specs[0])
		if hash(specs, nil) != first {
			t.Errorf("%s: the definition changes", name)
		}
	}
	seen := map[string]string{first: "the first"}
	for name, edit := range map[string]func(s *Spec){
		"set":      func(s *Spec) { s.Set[0].Expr = "3" },
		"key":      func(s *Spec) { s.Key[0].Expr = "data.c" },
		"unset":    func(s *Spec) { s.Unset = s.Unset[:1] },
		"delete":   func(s *Spec) { s.Delete = "row.x == 1" },
		"type":     func(s *Spec) { s.ByType = map[string]Ops{"B": {Delete: "true"}} },
		"each":     func(s *Spec) { s.Each = "data.list" },
		"add":      func(s *Spec) { s.Set, s.Add = s.Set[:1], fields("y", "2") },
		"append":   func(s *Spec) { s.Set, s.Append = s.Set[:1], fields("y", "2") },
		"new name": func(s *Spec) { s.Set[1].Column = "yy" },
	} {
		specs := base()
		edit(&specs[0])
		h := hash(specs, nil)
		if other, ok := seen[h]; ok {
			t.Errorf("%s has the definition of %s", name, other)
		}
		seen[h] = name
	}
}

func TestMistakes(t *testing.T) {
	key := fields("id", "data.id")
	set := Ops{Set: fields("x", "1")}
	block := &table.Def{Columns: []table.Column{{Name: "id", Type: table.Text}, {Name: "total", Type: table.Numeric}, {Name: "name", Type: table.Text}, {Name: "x", Type: table.Any}}}
	for name, tt := range map[string]struct {
		def   *table.Def
		specs []Spec
		want  []string // part of each error, in order
	}{
		"no key":              {nil, []Spec{{Ops: set}}, []string{"step 1: key: no step into table t has a key"}},
		"neither":             {nil, []Spec{{Key: key, Ops: set}, {Ops: set}}, []string{"step 2: key: the step says neither"}},
		"both":                {nil, []Spec{{Key: key, Where: "row.x == 1", Ops: set}}, []string{"where: a step has either key or where"}},
		"other key":           {nil, []Spec{{Key: key, Ops: set}, {Key: fields("no", "data.no"), Ops: set}}, []string{"step 2: key: an earlier step into table t has the key (id)"}},
		"key twice":           {nil, []Spec{{Key: fields("id", "1", "id", "2"), Ops: set}}, []string{"key.id: the column is there twice"}},
		"nothing":             {nil, []Spec{{Key: key}}, []string{"step 1: the step changes nothing"}},
		"nothing in a type":   {nil, []Spec{{Key: key, ByType: map[string]Ops{"A": {}}}}, []string{"step 1: the step changes nothing"}},
		"key changed":         {nil, []Spec{{Key: key, Ops: Ops{Set: fields("id", "1")}}}, []string{"set.id: column id is part of the key"}},
		"key unset":           {nil, []Spec{{Key: key, Ops: Ops{Unset: []string{"id"}}}}, []string{"unset.id: column id is part of the key"}},
		"twice":               {nil, []Spec{{Key: key, Ops: Ops{Set: fields("x", "1"), Add: fields("x", "1")}}}, []string{"add.x: column x is in set too"}},
		"unknown column":      {block, []Spec{{Key: key, Ops: Ops{Add: fields("totl", "1")}}}, []string{`add.totl: table: there is no column "totl"; there are id, total, name, x (did you mean total?)`}},
		"unknown key":         {block, []Spec{{Key: fields("ident", "data.id"), Ops: set}}, []string{`key.ident: table: there is no column "ident"`}},
		"unknown row column":  {nil, []Spec{{Key: key, Ops: Ops{Set: fields("total", "row.totals")}}}, []string{`set.total: table: there is no column "totals"; there are id, total (did you mean total?)`}},
		"quoted row column":   {nil, []Spec{{Key: key, Ops: Ops{Set: fields("total", `row["a b"]`)}}}, []string{`there is no column "a b"`}},
		"unknown in where":    {nil, []Spec{{Key: key, Ops: set}, {Where: "row.y == 1", Ops: set}}, []string{`step 2: where: table: there is no column "y"`}},
		"row in key":          {nil, []Spec{{Key: fields("id", "row.x"), Ops: set}}, []string{"key.id: filter: 1:1: row cannot be used here"}},
		"item without each":   {nil, []Spec{{Key: key, Ops: Ops{Set: fields("x", "item.x")}}}, []string{"set.x: filter: 1:1: item cannot be used here"}},
		"item in each":        {nil, []Spec{{Key: key, Each: "item.x", Ops: set}}, []string{"each: filter: 1:1: item cannot be used here"}},
		"add to text":         {block, []Spec{{Key: key, Ops: Ops{Add: fields("name", "1")}}}, []string{"add.name: column name is text, which add cannot change"}},
		"append to a number":  {block, []Spec{{Key: key, Ops: Ops{Append: fields("total", "1")}}}, []string{"append.total: column total is numeric"}},
		"add of text":         {nil, []Spec{{Key: key, Ops: Ops{Add: fields("x", `"text"`)}}}, []string{"add.x: filter: 1:1: this must be a number"}},
		"delete of a number":  {nil, []Spec{{Key: key, Ops: Ops{Delete: "1"}}}, []string{"delete: filter: 1:1: this must be true or false"}},
		"syntax":              {nil, []Spec{{Key: key, ByType: map[string]Ops{"A": {Set: fields("x", "1 +")}}}}, []string{"by_type.A.set.x: filter: 1:"}},
		"other table":         {nil, []Spec{{Key: key, Ops: set}, {Table: "u", Key: key, Ops: set}}, []string{`step 2: table: the step is for table "u", not "t"`}},
		"names that are one":  {nil, []Spec{{Key: key, Ops: Ops{Set: fields("x", "1", "X", "2")}}}, []string{`"x" and "X"`}},
		"a name that is ours": {nil, []Spec{{Key: key, Ops: Ops{Set: fields("leat_types", "1")}}}, []string{"no column may be called"}},
		"all at once": {nil, []Spec{{Key: fields("id", "nope"), Ops: Ops{Set: fields("x", "data.", "id", "1")}}}, []string{
			"key.id: filter: 1:1: there is no name nope", "set.x: filter: 1:", "set.id: column id is part of the key",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range tt.specs {
				if tt.specs[i].Table == "" {
					tt.specs[i].Table = "t"
				}
			}
			_, err := Compile(tt.specs, tt.def)
			var got Mistakes
			errors.As(err, &got)
			if len(got) != len(tt.want) {
				t.Fatalf("%d mistakes, want %d: %v", len(got), len(tt.want), err)
			}
			for i, e := range got {
				if !strings.Contains(e.Error(), tt.want[i]) {
					t.Errorf("mistake %d is %q, want %q in it", i, e, tt.want[i])
				}
			}
		})
	}
	_, err := Compile([]Spec{{Table: "t", Key: key, Ops: Ops{Set: fields("x", "data.a +  nope")}}}, nil)
	var e *filter.Error
	if !errors.As(err, &e) || e.Column != 11 {
		t.Errorf("the error %v does not point at the name", err)
	}
}
