package config

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/filter"
)

// writer is who writes a table: one relay of one pipeline.
type writer struct {
	pipeline string
	name     string // the step's name, where it has one
	key      string
	// whole: the steps have no mistake so far, and lack a key for no such reason.
	whole bool
	f     *source
	path  *path
	at    Related
}

// decodeProject decodes a projection and checks it against the table's definition.
func decodeProject(p *pipelineScope, c scope, e entry, s *Step) bool {
	s.Project = &Project{}
	_, hasEach := c.member(e.val, "each")
	if !hasEach {
		c.limit &^= filter.Item
	}
	x := s.Project
	if !c.stepStruct(e, "project", reflect.ValueOf(x).Elem()) {
		// What it says of columns holds whatever else is wrong.
		if def := c.l.cfg.Tables[x.Table]; def != nil && len(def.Columns) > 0 {
			c.checkColumns(e.val, x, def)
		}
		c.l.usedTables[x.Table] = true
		return false
	}
	before := len(c.l.diags)
	_, hasKey := c.member(e.val, "key")
	where, hasWhere := c.member(e.val, "where")
	switch {
	case hasKey && hasWhere:
		c.in("where").fail(where.key, CodeConflict, "project takes key (one row) or where (every row for which it is true), not both", "")
	case !hasKey && !hasWhere:
		c.fail(e.key, CodeMissingField, "project needs `key`, which finds the row, or `where`, which finds many", "for example `key: { order_id: data.order_id }`")
	case hasKey && len(x.Key) == 0:
		m, _ := c.member(e.val, "key")
		c.in("key").fail(m.key, CodeMissingField, "key names no column", "for example `key: { order_id: data.order_id }`")
	}
	if x.RowOps.empty() && len(x.ByType) == 0 {
		c.fail(e.key, CodeMissingField, "project changes nothing", "give it set, add, unset, append, delete or by_type")
	}
	folded := map[string]string{}
	for _, k := range x.Key {
		c.in("key").columnName(c.member2(e.val, "key", k.Name, 0), k.Name, folded)
	}
	c.checkOps(e.val, x.RowOps, x.Key, folded)
	if by, ok := c.member(e.val, "by_type"); ok {
		in := c.in("by_type")
		types, _ := c.quiet(by.val)
		for _, t := range types {
			ops := x.ByType[t.key.Value]
			if ops.empty() {
				in.in(t.key.Value).fail(t.key, CodeMissingField, fmt.Sprintf("nothing is changed for %s", t.key.Value), "a type that changes nothing is left out")
			}
			in.in(t.key.Value).checkOps(t.val, ops, x.Key, folded)
		}
	}
	c.checkTable(p, e, s)
	return !errorsIn(c.l.diags[before:])
}

func (o RowOps) empty() bool {
	return len(o.Set) == 0 && len(o.Add) == 0 && len(o.Unset) == 0 && len(o.Append) == 0 && o.Delete.IsZero()
}

// checkOps looks for changes that undo each other, and for names that no column can have.
func (c scope) checkOps(n *yaml.Node, o RowOps, key Exprs, folded map[string]string) {
	seen := map[string]string{}
	for _, k := range key {
		seen[k.Name] = "key"
	}
	add := func(op string, names []string) {
		for i, name := range names {
			first, twice := seen[name]
			if !twice {
				c.in(op).columnName(c.member2(n, op, name, i), name, folded)
				seen[name] = op
				continue
			}
			at := c.member2(n, op, name, i)
			message := fmt.Sprintf("the column %s is changed by %s and by %s", name, first, op)
			if first == "key" {
				message = fmt.Sprintf("the column %s is in the key, which %s cannot change", name, op)
			}
			c.in(op).fail(at, CodeConflict, message, "")
		}
	}
	add("set", o.Set.names())
	add("add", o.Add.names())
	add("append", o.Append.names())
	add("unset", o.Unset)
	if strings.TrimSpace(o.Delete.Source) == "true" && (len(o.Set)+len(o.Add)+len(o.Unset)+len(o.Append) > 0) {
		if m, ok := c.member(n, "delete"); ok {
			c.in("delete").fail(m.key, CodeConflict, "the row is deleted, so nothing else can change in it", "")
		}
	}
}

// member2 finds the node of a column under an operation: a key of a map, or an item of a list.
func (c scope) member2(n *yaml.Node, op, column string, i int) *yaml.Node {
	m, ok := c.member(n, op)
	if !ok {
		return deref(n)
	}
	if col, ok := c.member(m.val, column); ok {
		return col.key
	}
	if v := deref(m.val); v.Kind == yaml.SequenceNode && i < len(v.Content) {
		return deref(v.Content[i])
	}
	return m.key
}

func (x Exprs) names() []string {
	out := make([]string, len(x))
	for i := range x {
		out[i] = x[i].Name
	}
	return out
}

// checkTable checks columns against the table's definition, and that one relay writes the table.
func (c scope) checkTable(p *pipelineScope, e entry, s *Step) {
	x := s.Project
	if x.Table == "" || strings.Contains(x.Table, "${") {
		return
	}
	m, ok := c.member(e.val, "table")
	if !ok {
		return
	}
	node := deref(m.val)
	c.l.usedTables[x.Table] = true
	if t := c.l.cfg.Tables[x.Table]; t != nil && t.In != "" && x.Inline {
		m, _ := c.member(e.val, "inline")
		c.in("inline").fail(m.key, CodeConflict, fmt.Sprintf("the table %s lies in the database %s, which has no part in the append's transaction", x.Table, t.In), "take inline away, or keep the table in the store's database")
	}
	def := c.l.cfg.Tables[x.Table]
	if def == nil {
		c.in("table").tableName(node, x.Table)
		if near := nearest(x.Table, tableNames(c.l.cfg.Tables)); near != "" {
			c.in("table").fail(node, CodeUnknownName, fmt.Sprintf("no table is called %q", x.Table), fmt.Sprintf("did you mean %q? a table of its own is defined under tables", near))
			return
		}
	} else if len(def.Columns) > 0 {
		c.checkColumns(e.val, x, def)
	}
	key := append([]string(nil), x.Key.names()...)
	sort.Strings(key)
	w := &writer{pipeline: p.pipeline.Name, name: s.Name, key: strings.Join(key, ", "), at: Related{c.f.name, node.Line, c.f.column(node.Line, node.Column), "written here"},
		whole: !x.Where.IsZero(), f: c.f, path: c.in("table").path}
	first := c.l.writers[x.Table]
	if first == nil {
		c.l.writers[x.Table] = w
		c.l.writerNames = append(c.l.writerNames, x.Table)
		return
	}
	message, hint := "", ""
	switch {
	case first.pipeline != w.pipeline:
		message = fmt.Sprintf("the table %s is written by the pipeline %s already: a table belongs to one", x.Table, first.pipeline)
		hint = "project into a table of its own, or read both pipelines' events in one with `source: { event_log: … }`"
	case len(x.Key) > 0 && first.key != "" && first.key != w.key:
		message = fmt.Sprintf("the table %s has the key (%s) in a step above, here (%s)", x.Table, first.key, w.key)
		hint = "a table has one key"
	default:
		if first.key == "" {
			first.key = w.key
		}
		return
	}
	c.in("table").fail(node, CodeTableShared, message, hint)
	d := &c.l.diags[len(c.l.diags)-1]
	d.Related = append(d.Related, first.at)
}

func tableNames(m map[string]*Table) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

func (c scope) checkColumns(n *yaml.Node, x *Project, def *Table) {
	types := map[string]string{}
	var names []string
	for _, col := range def.Columns {
		types[col.Name] = col.Type
		names = append(names, col.Name)
	}
	check := func(c scope, n *yaml.Node, op string, cols []string, allowed ...string) {
		for i, name := range cols {
			t, ok := types[name]
			at := func() *yaml.Node { return c.member2(n, op, name, i) }
			switch {
			case !ok:
				c.in(op).fail(at(), CodeUnknownName, fmt.Sprintf("the table %s has no column %q", def.Name, name), suggestOr(name, names, "columns: "))
			case op == "key" && t == "json":
				c.in(op).fail(at(), CodeWrongType, fmt.Sprintf("the column %s is json, which cannot be in a key", name), "")
			case len(allowed) > 0 && !contains(allowed, t):
				c.in(op).fail(at(), CodeWrongType, fmt.Sprintf("%s needs a column of type %s, and %s is %s", op, strings.Join(allowed, " or "), name, t), "")
			}
		}
	}
	fits := func(c scope, n *yaml.Node, op string, all Exprs) {
		for _, x := range all {
			t := types[x.Name]
			program, err := c.l.compiler(everything).Compile(x.Expr.Source, filter.Any)
			if err != nil || strings.Contains(x.Expr.Source, "${") {
				continue // said already, or not known yet
			}
			if gives := program.Gives(); gives != "" && !columnTakes(t, gives) {
				hint := ""
				if t == "text" {
					hint = fmt.Sprintf("string(%s) makes text of it", shorten(x.Expr.Source))
				}
				m, _ := c.member(n, op)
				value, _ := c.member(m.val, x.Name)
				c.in(op).fail(deref(value.val), CodeWrongType, fmt.Sprintf("the column %s is %s, and this is %s", x.Name, t, gives), hint)
			}
		}
	}
	ops := func(c scope, n *yaml.Node, o RowOps) {
		fits(c, n, "set", o.Set)
		check(c, n, "set", o.Set.names())
		check(c, n, "add", o.Add.names(), "integer", "numeric", "any")
		check(c, n, "append", o.Append.names(), "json", "any")
		check(c, n, "unset", o.Unset)
	}
	check(c, n, "key", x.Key.names())
	fits(c, n, "key", x.Key)
	ops(c, n, x.RowOps)
	if by, ok := c.member(n, "by_type"); ok {
		types, _ := c.quiet(by.val)
		for _, t := range types {
			ops(c.in("by_type").in(t.key.Value), t.val, x.ByType[t.key.Value])
		}
	}
}

// columnTakes reports whether a column's type takes what an expression always gives, in filter's words.
func columnTakes(t, gives string) bool {
	switch t {
	case "text":
		return gives == "text" || gives == "a duration"
	case "integer", "numeric":
		return gives == "a number"
	case "boolean":
		return gives == "true or false"
	case "timestamp":
		return gives == "a time" || gives == "text"
	}
	return true
}
