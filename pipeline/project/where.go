package project

import (
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/table"
)

// where is a condition over rows. Those of its parts that only say which value a column has are asked of the database;
// the whole is then evaluated for each row that comes.
type where struct {
	program *filter.Program
	equal   []change
}

func (c *compiler) where(src string, roots filter.Roots) *where {
	w := &where{program: c.program([]string{"where"}, src, roots|filter.Row, filter.Bool)}
	if w.program == nil {
		return w
	}
	tree, err := parser.Parse(src)
	if err != nil {
		return w // what filter accepts and this parser does not is evaluated row by row
	}
	for _, part := range conjuncts(tree.Node, nil) {
		eq, ok := part.(*ast.BinaryNode)
		if !ok || eq.Operator != "==" {
			continue
		}
		for _, side := range [][2]ast.Node{{eq.Left, eq.Right}, {eq.Right, eq.Left}} {
			name, ok := rowMember(side[0])
			if !ok || c.def.Index(name) < 0 {
				continue
			}
			// The other side must not look at the row: then it has one value for the event.
			value := side[1].String()
			if _, err := filter.NewScope(roots).Compile(value, filter.Any); err != nil {
				continue
			}
			if p, err := c.scope.Compile(value, filter.Any); err == nil {
				w.equal = append(w.equal, change{c.def.Index(name), p})
				break
			}
		}
	}
	return w
}

func conjuncts(n ast.Node, into []ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "&&" || b.Operator == "and") {
		return conjuncts(b.Right, conjuncts(b.Left, into))
	}
	return append(into, n)
}

// rowMember gives the column of a node that is just row.column.
func rowMember(n ast.Node) (string, bool) {
	m, ok := n.(*ast.MemberNode)
	if !ok || m.Optional || m.Method {
		return "", false
	}
	id, ok := m.Node.(*ast.IdentifierNode)
	if !ok || id.Value != "row" {
		return "", false
	}
	s, ok := m.Property.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return s.Value, true
}

// asked gives the equalities that the database can check for the event in the view: at least all rows for which the
// condition is true meet them. One whose value is of another type than the column, or could be meant otherwise, is
// left to the condition.
func (w *where) asked(d *table.Def, v *filter.View) map[string]table.Value {
	var equal map[string]table.Value
	for _, e := range w.equal {
		col := d.Columns[e.column]
		value, ok := askable(col.Type, e.program, v)
		if !ok {
			continue
		}
		if equal == nil {
			equal = map[string]table.Value{}
		}
		equal[col.Name] = value
	}
	return equal
}

func askable(t table.Type, p *filter.Program, v *filter.View) (table.Value, bool) {
	raw, err := p.Value(v)
	if err != nil {
		return nil, false
	}
	var value table.Value
	switch raw := raw.(type) {
	case nil:
		return nil, true
	case bool:
		value = raw
	case int:
		value = apd.New(int64(raw), 0)
	case float64:
		d, err := p.Decimal(v)
		if err != nil {
			return nil, false
		}
		value = d
	case string:
		if t != table.Text && mayBeTime(raw) {
			return nil, false
		}
		value = raw
	case time.Time:
		if t == table.Any || t == table.Text { // a text that reads as this time is equal to it
			return nil, false
		}
		value = raw
	default:
		return nil, false
	}
	if value, err = table.Canonical(value); err != nil {
		return nil, false
	}
	k := table.Kind(value)
	return value, t == table.Any || t == k || t == table.Integer && k == table.Numeric
}

// mayBeTime reports whether an expression could read a text as a time, where it stands beside one.
func mayBeTime(s string) bool {
	s = strings.TrimSpace(s)
	return strings.Contains(s, ":") || len(s) == len("2006-01-02") && s[4] == '-' && s[7] == '-'
}
