package filter

import (
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/expr-lang/expr/ast"
)

// Program is an expression ready to run. It is safe for concurrent use, each goroutine with a View of its own, which
// must be of the scope that compiled it.
type Program struct {
	src   string
	root  *node
	test  func(*View) truth
	exact func(*View) *apd.Decimal
	site  *site
	reads []string
}

// Compile parses, checks and compiles an expression. Its error carries one or more *Error (see Errors).
func (s *Scope) Compile(src string, want Want) (*Program, error) {
	tree, errs := s.parse(src)
	if errs != nil {
		return nil, join(errs)
	}
	c := &compiler{scope: s, src: src}
	root := c.compile(tree.Node)
	if len(c.errs) == 0 && !want.takes(root.typ) {
		c.errs = append(c.errs, mistake(CodeType, src, len(src)-len(strings.TrimLeft(src, " \t\r\n")), wantHints[want],
			"this must be %s, it is %s", want.words(), root.typ))
	}
	if op, sum := arithmeticOf(tree.Node); len(c.errs) == 0 && sum && want == Bool && root.typ == tAny {
		c.errs = append(c.errs, mistake(CodeType, src, len(src)-len(strings.TrimLeft(src, " \t\r\n")), wantHints[want],
			"this must be true or false, and %s gives neither", op))
	}
	if len(c.errs) > 0 {
		slices.SortStableFunc(c.errs, func(a, b *Error) int { return a.Offset - b.Offset })
		return nil, join(c.errs)
	}
	slices.Sort(c.reads)
	p := &Program{src: src, root: root, site: &site{src: src, what: "the result"}, reads: slices.Compact(c.reads)}
	p.test = c.condition(tree.Node, root, "the result")
	p.exact = c.exactly(tree.Node, root)
	return p, nil
}

// arithmeticOf gives the operator where the whole expression is a sum, a product or the like, of whatever type.
func arithmeticOf(n ast.Node) (op string, ok bool) {
	b, ok := n.(*ast.BinaryNode)
	if !ok || !slices.Contains([]string{"+", "-", "*", "/", "%", "**", "^"}, b.Operator) {
		return "", false
	}
	return b.Operator, true
}

func (w Want) takes(t typ) bool {
	switch w {
	case Bool:
		return t == tBool || t == tAny
	case Number:
		return t == tNumber || t == tAny
	case Time:
		return t == tTime || t == tText || t == tAny
	case List:
		return t == tList || t == tAny
	}
	return true
}

func (w Want) words() string {
	return [...]string{"anything", "true or false", "a number", "a time", "text", "an array"}[w]
}

var wantHints = map[Want]string{Bool: `compare it with something: type == "OrderCreated"`}

// Source gives the expression as it was compiled.
func (p *Program) Source() string { return p.src }

// Paths gives what the program reads of the event, sorted: "type", "data.items[0].sku", `data["detail-type"]`.
func (p *Program) Paths() []string { return p.reads }

// Path gives the path where the program is nothing but one.
func (p *Program) Path() (string, bool) {
	if p.root.path == nil {
		return "", false
	}
	return p.root.path.name, true
}

// Gives says in words what the result is for every event that gives one: true or false, a number, text, a time, a duration, an array, an
// object. It is empty where that depends on the event.
func (p *Program) Gives() string {
	if t := p.root.typ; t != tAny && t != tNil {
		return t.String()
	}
	return ""
}

// Constant reports whether the result is the same for every event.
func (p *Program) Constant() bool { return p.root.fixed }

// Bool gives the program's truth; nil is false. The error is a *TypeError where a value is of the wrong type, a
// *CostError where there was too much work; the truth is false then. It allocates nothing for comparisons of fields.
func (p *Program) Bool(v *View) (bool, error) {
	v.begin()
	if t := p.test(v); t != fault {
		return t == yes, nil
	}
	return false, v.err
}

// Value gives the result as one of nil, bool, int, float64, string, time.Time, time.Duration, []any and
// map[string]any, sharing no memory with the event. An integer beyond 64 bits comes as a float64: where a number's
// spelling matters, JSON and Decimal keep it.
func (p *Program) Value(v *View) (any, error) {
	a, err := p.run(v)
	if err != nil {
		return nil, err
	}
	return plain(a, 0), nil
}

// run evaluates the program. A row as a whole is no result, nor is what would be too large when written out.
func (p *Program) run(v *View) (value, error) {
	v.begin()
	a := p.root.eval(v)
	switch {
	case a.k == kRow:
		a = v.fault(p.site, a.k)
	case (a.k == kList || a.k == kMap) && !v.chargeWhole(p.site, a):
		a = faultValue
	}
	if a.k == kFault {
		return nilValue, v.err
	}
	return a, nil
}

// JSON appends the result as JSON. A path's value is copied as it stands in the event, the spelling of its numbers
// included; nil is null. On an error dst comes back as it was.
func (p *Program) JSON(dst []byte, v *View) ([]byte, error) {
	if at := p.root.path; at != nil && at.slot >= 0 {
		v.begin()
		if raw := v.raw(at.root, at.slot); raw != "" {
			return append(dst, raw...), nil
		}
		return append(dst, "null"...), nil
	}
	a, err := p.run(v)
	if err != nil {
		return dst, err
	}
	return appendJSON(dst, a), nil
}

// Decimal gives the result as an exact decimal: numbers as they are spelt, and sums, differences, products and
// negations of them without rounding; any other computation gives the shortest decimal of its float. It is nil for
// nil. The decimal must not be written to. What is no number is a *TypeError.
func (p *Program) Decimal(v *View) (*apd.Decimal, error) {
	v.begin()
	d := p.exact(v)
	if v.err != nil {
		return nil, v.err
	}
	return d, nil
}

// Time gives the result as a time, the zero one for nil; text is read as RFC 3339 or 2006-01-02.
func (p *Program) Time(v *View) (time.Time, error) {
	a, err := p.run(v)
	if err != nil || a.k == kNil {
		return time.Time{}, err
	}
	t, ok := asTime(a)
	if !ok {
		v.faultWhy(p.site, "the result is no time")
		return time.Time{}, v.err
	}
	return t.time(), nil
}

// Text gives the result as a template shows it (see Template), sharing no memory with the event.
func (p *Program) Text(v *View) (string, error) {
	b, err := p.AppendText(nil, v)
	return string(b), err
}

// AppendText is Text for a buffer. On an error dst comes back as it was.
func (p *Program) AppendText(dst []byte, v *View) ([]byte, error) {
	if at := p.root.path; at != nil && at.text != nil {
		return append(dst, at.text(v)...), nil
	}
	a, err := p.run(v)
	if err != nil {
		return dst, err
	}
	return appendText(dst, a), nil
}
