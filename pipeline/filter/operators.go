package filter

import (
	"math"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/cockroachdb/apd/v3"
	"github.com/expr-lang/expr/ast"
)

func (c *compiler) unary(n *ast.UnaryNode) *node {
	a := c.compile(n.Node)
	s := c.site(n, "operator "+n.Operator)
	switch n.Operator {
	case "!", "not":
		test := c.condition(n.Node, a, "operator "+n.Operator)
		return c.fold(n, boolNode(func(v *View) truth {
			switch test(v) {
			case yes:
				return no
			case no:
				return yes
			}
			return fault
		}, a), a)
	case "+":
		out := valueNode(a.typ, func(v *View) value {
			x := a.eval(v)
			if !x.isNumber() && x.k != kFault {
				return v.fault(s, x.k)
			}
			return x
		}, a)
		out.exact = c.exactly(n.Node, a)
		return c.fold(n, out, a)
	}
	out := valueNode(a.typ, func(v *View) value { return v.negate(s, a.eval(v)) }, a)
	x := c.exactly(n.Node, a)
	out.exact = func(v *View) *apd.Decimal {
		d := x(v)
		if d == nil {
			if v.err == nil {
				v.fault(s, kNil)
			}
			return nil
		}
		return new(apd.Decimal).Neg(d)
	}
	return c.fold(n, out, a)
}

func (c *compiler) binary(n *ast.BinaryNode) *node {
	if n.Operator == "in" {
		return c.in(n)
	}
	a, b := c.compile(n.Left), c.compile(n.Right)
	s := c.site(n, "operator "+n.Operator)
	var out *node
	switch n.Operator {
	case "==", "!=":
		out = boolNode(equality(s, a, b), a, b)
		if n.Operator == "!=" {
			eq := out.test
			out = boolNode(func(v *View) truth {
				if t := eq(v); t != fault {
					return 1 - t
				}
				return fault
			}, a, b)
		}
	case "<", "<=", ">", ">=":
		out = boolNode(ordering(s, n.Operator, a, b), a, b)
	case "&&", "and":
		x, y := c.condition(n.Left, a, s.what), c.condition(n.Right, b, s.what)
		out = boolNode(func(v *View) truth {
			if t := x(v); t != yes {
				return t
			}
			return y(v)
		}, a, b)
	case "||", "or":
		x, y := c.condition(n.Left, a, s.what), c.condition(n.Right, b, s.what)
		out = boolNode(func(v *View) truth {
			if t := x(v); t != no {
				return t
			}
			return y(v)
		}, a, b)
	case "??":
		t := a.typ
		if b.typ != t {
			t = tAny
		}
		out = valueNode(t, func(v *View) value {
			if x := a.eval(v); x.k != kNil {
				return x
			}
			return b.eval(v)
		}, a, b)
		x, y := c.exactly(n.Left, a), c.exactly(n.Right, b)
		out.exact = func(v *View) *apd.Decimal {
			if d := x(v); d != nil || v.err != nil {
				return d
			}
			return y(v)
		}
	case "contains", "startsWith", "endsWith":
		out = boolNode(textTest(s, n.Operator, a, b), a, b)
	case "matches":
		return c.matches(n, s, a, b)
	case "+", "-", "*", "/", "%", "**", "^":
		out = c.arithmetic(n, s, a, b)
	case "..":
		out = valueNode(tList, func(v *View) value { return v.span(s, a.eval(v), b.eval(v)) }, a, b)
	default:
		return c.fail(n, CodeSyntax, "", "operator %s is not available", n.Operator)
	}
	return c.fold(n, out, a, b)
}

func textTest(s *site, op string, a, b *node) func(*View) truth {
	test := map[string]func(s, t string) bool{
		"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix,
	}[op]
	return func(v *View) truth {
		l := a.eval(v)
		if l.k == kFault {
			return fault
		}
		r := b.eval(v)
		if r.k == kFault {
			return fault
		}
		if l.k == kText && r.k == kText {
			if !v.charge(s, 1+len(l.s)/8) {
				return fault
			}
			return truthOf(test(l.s, r.s))
		}
		if l.k != kNil && l.k != kText || r.k != kNil && r.k != kText {
			v.fault(s, l.k, r.k)
			return fault
		}
		return no
	}
}

// maxProgram bounds a pattern: the time of a match grows with the text's length times the instructions.
const maxProgram = 2000

func (c *compiler) matches(n *ast.BinaryNode, s *site, a, b *node) *node {
	if !b.fixed || b.val.k != kText {
		return c.fail(n.Right, CodeCost, "", "the pattern of matches must be written in the expression")
	}
	parsed, err := syntax.Parse(b.val.s, syntax.Perl)
	if err != nil {
		return c.fail(n.Right, CodeType, "", "this is no pattern: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(prog.Inst) > maxProgram {
		return c.fail(n.Right, CodeCost, "", "the pattern is too large")
	}
	re, err := regexp.Compile(b.val.s)
	if err != nil {
		return c.fail(n.Right, CodeType, "", "this is no pattern: %v", err)
	}
	cost := 4 + len(prog.Inst)/4
	return c.fold(n, boolNode(func(v *View) truth {
		l := a.eval(v)
		switch l.k {
		case kText:
			if !v.charge(s, cost*len(l.s)) {
				return fault
			}
			return truthOf(re.MatchString(l.s))
		case kNil:
			return no
		case kFault:
			return fault
		}
		v.fault(s, l.k)
		return fault
	}, a, b), a)
}

// in is membership of a list, or of an object's keys.
func (c *compiler) in(n *ast.BinaryNode) *node {
	a := c.compile(n.Left)
	s := c.site(n, "operator in")
	if r, ok := n.Right.(*ast.BinaryNode); ok && r.Operator == ".." {
		low, high := c.compile(r.Left), c.compile(r.Right)
		return c.fold(n, boolNode(func(v *View) truth {
			x, l, h := a.eval(v), low.eval(v), high.eval(v)
			switch {
			case x.k == kFault || l.k == kFault || h.k == kFault:
				return fault
			case l.k != kInt || h.k != kInt:
				v.fault(s, l.k, h.k)
				return fault
			case !x.isNumber():
				return no
			}
			return truthOf(compareNumbers(x, l) >= 0 && compareNumbers(x, h) <= 0 && x.number() == math.Trunc(x.number()))
		}, a, low, high), a, low, high)
	}
	b := c.compile(n.Right)
	if test := inTexts(a, b); test != nil {
		return c.fold(n, boolNode(test, a, b), a, b)
	}
	return c.fold(n, boolNode(func(v *View) truth {
		x := a.eval(v)
		if x.k == kFault {
			return fault
		}
		l := b.eval(v)
		switch {
		case l.k == kFault:
			return fault
		case x.k == kNil || l.k == kNil:
			return no
		case l.isMap() && x.k == kText:
			got := v.step(s, l, step{x.s, -1})
			if got.k == kNil {
				return v.hasKey(s, l, x.s)
			}
			return truthOf(got.k != kFault)
		case !l.isList():
			v.fault(s, x.k, l.k)
			return fault
		}
		found := no
		ok := v.each(s, l, 8, func(_ int, e value) bool {
			found = v.equal(s, x, e)
			return found == no
		})
		if !ok {
			return fault
		}
		return found
	}, a, b), a, b)
}

// inTexts is the common `type in ["A", "B"]`: a list of constant texts, as a set.
func inTexts(a, b *node) func(*View) truth {
	if !b.fixed || b.val.k != kList {
		return nil
	}
	set := map[string]struct{}{}
	var few []string
	for _, e := range b.val.list() {
		if e.k != kText {
			return nil
		}
		if _, ok := set[e.s]; !ok {
			few = append(few, e.s)
		}
		set[e.s] = struct{}{}
	}
	return func(v *View) truth {
		x := a.eval(v)
		switch {
		case x.k == kFault:
			return fault
		case x.k != kText:
			return no
		case len(few) <= 8:
			for _, t := range few {
				if t == x.s {
					return yes
				}
			}
			return no
		}
		_, ok := set[x.s]
		return truthOf(ok)
	}
}
