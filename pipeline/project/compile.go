package project

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/table"
)

// meaning is counted up when this package comes to do something else with the same steps: then their tables have to be
// built anew.
const meaning = 1

type step struct {
	each  *filter.Program
	key   []*filter.Program // in the order of Def.Key
	where *where
	ops   *ops
	types map[string]*ops
}

// ops are one set of changes.
type ops struct {
	set, add, app []change
	unset         []int
	always        bool // delete: true
	delete        *filter.Program
}

type change struct {
	column  int
	program *filter.Program
}

func (o *ops) empty() bool {
	return len(o.set)+len(o.add)+len(o.app)+len(o.unset) == 0 && !o.always && o.delete == nil
}

// makes reports whether the changes make a row that is not there.
func (o *ops) makes() bool { return len(o.set)+len(o.add)+len(o.app) > 0 }

// SetBuild lets the projection read and write another build of its table (table.Def.Build). It is not for use while
// Apply runs.
func (p *Projection) SetBuild(n int) { p.def.Build = n }

// Compile checks and compiles the steps into one table, in their order in the file. Def is the table's block, without
// Key; nil or without columns: they are inferred. The error is Mistakes.
func Compile(specs []Spec, def *table.Def) (*Projection, error) {
	c := &compiler{specs: specs, scope: filter.NewScope(filter.Event | filter.Log | filter.Row | filter.Item)}
	c.define(def)
	p := &Projection{def: c.def, scope: c.scope, steps: make([]step, len(specs))}
	for i := range specs {
		c.at = i
		p.steps[i] = c.step(&specs[i])
	}
	if len(c.errs) == 0 {
		if err := p.def.Validate(); err != nil {
			c.at = 0
			c.fail([]string{"table"}, err, "")
		}
	}
	if len(c.errs) > 0 {
		slices.SortStableFunc(c.errs, func(a, b *Error) int { return a.Step - b.Step })
		return nil, c.errs
	}
	p.definition = define(specs, p.def.Key)
	return p, nil
}

// said is what a step says, without places, and sorted where the file's order means nothing.
type said struct {
	Key         [][2]string `json:",omitempty"`
	Where, Each string      `json:",omitempty"`
	saidOps
	ByType map[string]saidOps `json:",omitempty"`
}

type saidOps struct {
	Set, Add, Append [][2]string `json:",omitempty"`
	Unset            []string    `json:",omitempty"`
	Delete           string      `json:",omitempty"`
}

// define hashes what the steps say.
func define(specs []Spec, key []string) string {
	var all []said
	for _, p := range specs {
		s := said{Key: sorted(p.Key), Where: strings.TrimSpace(p.Where), Each: strings.TrimSpace(p.Each), saidOps: sayOps(p.Ops)}
		for t, o := range p.ByType {
			if s.ByType == nil {
				s.ByType = map[string]saidOps{}
			}
			s.ByType[t] = sayOps(o)
		}
		all = append(all, s)
	}
	b, _ := json.Marshal(struct { // text alone: it cannot fail
		Meaning int
		Key     []string
		Steps   []said
	}{meaning, key, all})
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

func sayOps(o Ops) saidOps {
	unset := slices.Sorted(slices.Values(o.Unset))
	return saidOps{Set: sorted(o.Set), Add: sorted(o.Add), Append: sorted(o.Append), Unset: unset, Delete: strings.TrimSpace(o.Delete)}
}

func sorted(fields []Field) [][2]string {
	var out [][2]string
	for _, f := range fields {
		out = append(out, [2]string{f.Column, strings.TrimSpace(f.Expr)})
	}
	slices.SortFunc(out, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return out
}

type compiler struct {
	specs []Spec
	scope *filter.Scope
	def   table.Def
	known bool // the columns come from the tables block
	at    int
	errs  Mistakes
}

func (c *compiler) fail(path []string, err error, hint string) {
	c.errs = append(c.errs, &Error{Step: c.at, Path: slices.Clone(path), Err: err, Hint: hint})
}

// define works out the columns, the key first.
func (c *compiler) define(def *table.Def) {
	c.def = table.Def{Version: 1}
	if def != nil {
		c.def = def.Clone()
		c.def.Version = max(1, c.def.Version)
	}
	c.known = len(c.def.Columns) > 0
	if len(c.specs) > 0 && c.def.Name == "" {
		c.def.Name = c.specs[0].Table
	}
	c.findKey()
	if c.known {
		c.keyFirst()
		return
	}
	for _, k := range c.def.Key {
		c.infer(k)
	}
	for i := range c.specs {
		s := &c.specs[i]
		c.inferOps(&s.Ops)
		for _, t := range slices.Sorted(maps.Keys(s.ByType)) {
			o := s.ByType[t]
			c.inferOps(&o)
		}
	}
}

// findKey takes the key of the first step that has one; all must have the same columns.
func (c *compiler) findKey() {
	c.def.Key = nil
	for i := range c.specs {
		c.at = i
		var names []string
		for _, f := range c.specs[i].Key {
			if slices.Contains(names, f.Column) {
				c.fail([]string{"key", f.Column}, errors.New("the column is there twice"), "")
			}
			names = append(names, f.Column)
		}
		if len(names) == 0 {
			continue
		}
		if c.def.Key == nil {
			c.def.Key = names
			continue
		}
		slices.Sort(names)
		if first := slices.Sorted(slices.Values(c.def.Key)); !slices.Equal(first, names) {
			c.fail([]string{"key"}, fmt.Errorf("an earlier step into table %s has the key (%s)", c.def.Name, strings.Join(c.def.Key, ", ")), "all steps into a table have one key")
		}
	}
	if c.def.Key == nil && len(c.specs) > 0 {
		c.at = 0
		c.fail([]string{"key"}, fmt.Errorf("no step into table %s has a key", c.def.Name), "key: { order_id: data.order_id } says which row an event is for")
	}
}

// keyFirst puts the columns of the tables block in order: the key's in the order of the block, then the others.
func (c *compiler) keyFirst() {
	var key, rest []table.Column
	for _, col := range c.def.Columns {
		if slices.Contains(c.def.Key, col.Name) {
			key = append(key, col)
		} else {
			rest = append(rest, col)
		}
	}
	if len(key) == len(c.def.Key) {
		c.def.Key = nil
		for _, col := range key {
			c.def.Key = append(c.def.Key, col.Name)
		}
	}
	c.def.Columns = append(key, rest...)
}

func (c *compiler) inferOps(o *Ops) {
	for _, fields := range [][]Field{o.Set, o.Add, o.Append} {
		for _, f := range fields {
			c.infer(f.Column)
		}
	}
	for _, name := range o.Unset {
		c.infer(name)
	}
}

func (c *compiler) infer(name string) {
	if c.def.Index(name) < 0 {
		c.def.Columns = append(c.def.Columns, table.Column{Name: name, Type: table.Any})
	}
}

func (c *compiler) step(s *Spec) step {
	out := step{}
	if s.Table != c.def.Name {
		c.fail([]string{"table"}, fmt.Errorf("the step is for table %q, not %q", s.Table, c.def.Name), "")
	}
	roots := filter.Event | filter.Log
	if s.Each != "" {
		out.each = c.program([]string{"each"}, s.Each, roots, filter.List)
		roots |= filter.Item
	}
	switch {
	case len(s.Key) > 0 && s.Where != "":
		c.fail([]string{"where"}, errors.New("a step has either key or where"), "")
	case s.Where != "":
		out.where = c.where(s.Where, roots)
	case len(s.Key) == 0 && c.def.Key != nil:
		c.fail([]string{"key"}, errors.New("the step says neither by key nor by where which rows it is for"), "")
	}
	for _, name := range c.def.Key {
		for _, f := range s.Key {
			if f.Column == name {
				c.column([]string{"key", name}, name, true)
				out.key = append(out.key, c.program([]string{"key", name}, f.Expr, roots, filter.Any))
			}
		}
	}
	out.ops = c.ops(nil, &s.Ops, roots|filter.Row)
	if len(s.ByType) > 0 {
		out.types = map[string]*ops{}
	}
	some := s.Ops.some()
	for _, t := range slices.Sorted(maps.Keys(s.ByType)) {
		o := s.ByType[t]
		out.types[t] = c.ops([]string{"by_type", t}, &o, roots|filter.Row)
		some = some || o.some()
	}
	if !some {
		c.fail(nil, errors.New("the step changes nothing"), "it wants set, add, append, unset, delete or by_type")
	}
	return out
}

// some reports whether there is any change.
func (o *Ops) some() bool {
	return len(o.Set)+len(o.Add)+len(o.Append)+len(o.Unset) > 0 || strings.TrimSpace(o.Delete) != ""
}

func (c *compiler) ops(path []string, o *Ops, roots filter.Roots) *ops {
	out := &ops{}
	taken := map[string]string{}
	claim := func(kind, column string) []string {
		at := append(slices.Clone(path), kind, column)
		if other, ok := taken[column]; ok {
			c.fail(at, fmt.Errorf("column %s is in %s too", column, other), "what happens first? Put one of them in a step of its own")
		}
		taken[column] = kind
		return at
	}
	changes := func(kind string, fields []Field, want filter.Want, types ...table.Type) []change {
		var all []change
		for _, f := range fields {
			at := claim(kind, f.Column)
			i := c.column(at, f.Column, false)
			if i >= 0 && types != nil && !slices.Contains(types, c.def.Columns[i].Type) {
				c.fail(at, fmt.Errorf("column %s is %s, which %s cannot change", f.Column, c.def.Columns[i].Type, kind), "")
			}
			all = append(all, change{i, c.program(at, f.Expr, roots, want)})
		}
		return all
	}
	out.set = changes("set", o.Set, filter.Any)
	out.add = changes("add", o.Add, filter.Number, table.Any, table.Numeric, table.Integer)
	out.app = changes("append", o.Append, filter.Any, table.Any, table.JSON)
	for _, name := range o.Unset {
		out.unset = append(out.unset, c.column(claim("unset", name), name, false))
	}
	switch strings.TrimSpace(o.Delete) {
	case "":
	case "true":
		out.always = true
	default:
		out.delete = c.program(append(slices.Clone(path), "delete"), o.Delete, roots, filter.Bool)
	}
	return out
}

// column gives a column's place.
func (c *compiler) column(path []string, name string, key bool) int {
	i := c.def.Index(name)
	switch {
	case i < 0:
		c.fail(path, &table.UnknownError{Kind: "column", Name: name, Have: c.def.Names()}, nearest(name, c.def.Names()))
	case !key && slices.Contains(c.def.Key, name):
		c.fail(path, fmt.Errorf("column %s is part of the key: it never changes", name), "")
	}
	return i
}

// program compiles an expression twice: to see that it names nothing but roots, and into the one scope that all of them
// share, so that one pass over an event serves all.
func (c *compiler) program(path []string, src string, roots filter.Roots, want filter.Want) *filter.Program {
	if _, err := filter.NewScope(roots).Compile(src, want); err != nil {
		c.fail(path, err, "")
		return nil
	}
	p, err := c.scope.Compile(src, want)
	if err != nil {
		c.fail(path, err, "")
		return nil
	}
	for _, read := range p.Paths() {
		if name, ok := rowColumn(read); ok && c.def.Index(name) < 0 {
			c.fail(path, &table.UnknownError{Kind: "column", Name: name, Have: c.def.Names()}, nearest(name, c.def.Names()))
		}
	}
	return p
}

// rowColumn gives the column that a path of an expression reads: `row.total`, `row["unit price"][0]`.
func rowColumn(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "row")
	if !ok || rest == "" {
		return "", false
	}
	if name, ok := strings.CutPrefix(rest, "."); ok {
		if end := strings.IndexAny(name, ".["); end >= 0 {
			name = name[:end]
		}
		return name, true
	}
	if quoted, ok := strings.CutPrefix(rest, "["); ok {
		if q, err := strconv.QuotedPrefix(quoted); err == nil {
			name, err := strconv.Unquote(q)
			return name, err == nil
		}
	}
	return "", false
}

// nearest gives a hint where some name is at most two edits away.
func nearest(name string, have []string) string {
	best, bestAt := 3, ""
	for _, h := range have {
		if d := distance(strings.ToLower(name), strings.ToLower(h)); d < best && d < len(h) {
			best, bestAt = d, h
		}
	}
	if bestAt == "" {
		return ""
	}
	return "did you mean " + bestAt + "?"
}

// distance is Levenshtein's, by bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
