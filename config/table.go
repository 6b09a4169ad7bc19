package config

import (
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// columns decodes a table's columns: a map from names to types.
func (c scope) columns(n *yaml.Node, v reflect.Value) bool {
	entries, ok := c.entries(n)
	if !ok {
		return false
	}
	out := make([]TableColumn, 0, len(entries))
	for _, e := range entries {
		in := c.in(e.key.Value)
		x := TableColumn{Name: e.key.Value}
		at := len(c.l.diags)
		good := in.scalarValue(deref(e.val), reflect.ValueOf(&x.Type).Elem(), &field{enum: ColumnTypes})
		if n := deref(e.val); !good && n.Kind == yaml.ScalarNode && len(c.l.diags) > at {
			if meant := columnType(n.Value); meant != "" {
				c.l.diags[len(c.l.diags)-1].Hint = fmt.Sprintf("did you mean %q?", meant)
			}
		}
		ok = ok && good
		out = append(out, x)
	}
	v.Set(reflect.ValueOf(out))
	return ok
}

// columnType gives leat's type for what SQL and other languages call it, "" where there is none.
func columnType(s string) string {
	word, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(s)), "(")
	switch word {
	case "string", "varchar", "char", "uuid", "character varying", "str":
		return "text"
	case "int", "int4", "int8", "int32", "int64", "bigint", "smallint", "long", "serial":
		return "integer"
	case "decimal", "float", "float64", "double", "double precision", "number", "real", "money":
		return "numeric"
	case "bool":
		return "boolean"
	case "datetime", "date", "time", "timestamptz", "timestamp with time zone":
		return "timestamp"
	case "jsonb", "object", "map", "array", "list":
		return "json"
	}
	return ""
}

// table decodes one entry of tables.
func (c scope) table(e entry) *Table {
	t := new(Table)
	v := reflect.ValueOf(t).Elem()
	c.l.defaults(v)
	t.Name = e.key.Value
	c = c.in(t.Name)
	c.f = e.f
	t.Pos = c.pos(e.key)
	entries, ok := c.entries(e.val)
	if !ok || !(object{scope: c, what: "table " + t.Name, node: e.key, v: v}).decode(entries) {
		return t
	}
	c.tableName(e.key, t.Name)
	c.l.usedDatabases[t.In] = true
	if m, ok := c.member(e.val, "in"); ok && !contains(c.l.databaseNames, t.In) && !strings.Contains(t.In, "${") {
		hint := suggestOr(t.In, c.l.databaseNames, "databases: ")
		if len(c.l.databaseNames) == 0 {
			hint = "databases stand under `databases:` by name"
		}
		c.in("in").fail(deref(m.val), CodeUnknownName, fmt.Sprintf("no database is called %q", t.In), hint)
	}
	var names []string
	folded := map[string]string{}
	for _, col := range t.Columns {
		names = append(names, col.Name)
		c.columnName(c.member2(e.val, "columns", col.Name, 0), col.Name, folded)
	}
	if m, ok := c.member(e.val, "indexes"); ok && len(t.Columns) > 0 {
		list := deref(m.val)
		for i, index := range t.Indexes {
			if len(index) == 0 {
				c.in("indexes").item(i).fail(list, CodeMissingField, "an index names no column", "")
			}
			for j, col := range index {
				if contains(names, col) {
					continue
				}
				at := list
				if list.Kind == yaml.SequenceNode && i < len(list.Content) {
					at = deref(list.Content[i])
					if at.Kind == yaml.SequenceNode && j < len(at.Content) {
						at = deref(at.Content[j])
					}
				}
				c.in("indexes").item(i).fail(at, CodeUnknownName, fmt.Sprintf("the table %s has no column %q", t.Name, col), suggestOr(col, names, "columns: "))
			}
		}
	}
	return t
}

// maxName bounds the names of tables and columns, in bytes: no database takes longer ones.
const maxName = 63

// tableName checks that databases take a table's name, and that leat has no use of its own for it.
func (c scope) tableName(n *yaml.Node, name string) {
	lower := strings.ToLower(name)
	switch {
	case name == "":
		c.fail(n, CodeBadValue, "a table has a name", "")
	case len(name) > maxName:
		c.fail(n, CodeBadValue, fmt.Sprintf("the name of the table is longer than %d bytes", maxName), "")
	case strings.HasPrefix(lower, "leat_") || strings.HasPrefix(lower, "sqlite_"):
		c.fail(n, CodeBadValue, fmt.Sprintf("no table may be called %q: names that start with leat_ or sqlite_ are taken", name), "")
	}
}

// columnName checks a column's name; folded holds those before it, by their name in small letters.
func (c scope) columnName(n *yaml.Node, name string, folded map[string]string) {
	lower := strings.ToLower(name)
	before, twice := folded[lower]
	switch {
	case name == "":
		c.fail(n, CodeBadValue, "a column has a name", "")
	case len(name) > maxName:
		c.fail(n, CodeBadValue, fmt.Sprintf("the name of the column is longer than %d bytes", maxName), "")
	case lower == "leat_types":
		c.fail(n, CodeBadValue, fmt.Sprintf("no column may be called %q: leat keeps types there", name), "")
	case twice && before != name:
		c.fail(n, CodeDuplicateName, fmt.Sprintf("the columns %q and %q are one to some databases", before, name), "")
	}
	folded[lower] = name
}
