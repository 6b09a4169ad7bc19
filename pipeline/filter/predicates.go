package filter

import (
	"sort"

	"github.com/cockroachdb/apd/v3"
	"github.com/expr-lang/expr/ast"
)

// visit is what looking at one node of a predicate for one element is charged.
const visit = 8

// predicates are the functions that take a predicate. Without one, count and sum look at the element itself.
var predicates = []string{
	"any", "all", "none", "one", "filter", "map", "count", "sum", "find", "findIndex", "findLast", "findLastIndex", "sortBy", "reduce",
}

// loop runs a body for each element of a list.
type loop struct {
	s     *site
	list  *node
	body  *node
	test  func(*View) truth
	depth int
}

func (c *compiler) predicate(n *ast.BuiltinNode) *node {
	list := c.compile(n.Arguments[0])
	if c.depth > 0 && !list.fixed && !ofElement(n.Arguments[0]) {
		return c.fail(n, CodeCost, "look at the element in hand: any(data.orders, any(.items, .qty > 3))",
			"%s within a predicate would visit every element for every element", n.Name)
	}
	l := loop{s: c.site(n, n.Name), list: list, depth: c.depth}
	c.depth++
	if len(n.Arguments) > 1 {
		l.body = c.compile(n.Arguments[1].(*ast.PredicateNode).Node)
		l.test = c.condition(n.Arguments[1], l.body, n.Name)
	} else {
		d := l.depth
		l.body = valueNode(tAny, func(v *View) value { return v.frames[d].elem })
		l.test = c.condition(n, l.body, n.Name)
	}
	c.depth--
	out := l.compile(c, n)
	out.size = size([]*node{list, l.body})
	return out
}

func (l loop) compile(c *compiler, n *ast.BuiltinNode) *node {
	switch n.Name {
	case "any":
		return l.quantifier(yes, yes, no)
	case "all":
		return l.quantifier(no, no, yes)
	case "none":
		return l.quantifier(yes, no, yes)
	case "one":
		return l.one()
	case "filter":
		return l.filter()
	case "map":
		return l.mapped()
	case "count":
		return l.count()
	case "sum":
		return l.sum(c, n)
	case "find":
		return l.find(false, false)
	case "findIndex":
		return l.find(false, true)
	case "findLast":
		return l.find(true, false)
	case "findLastIndex":
		return l.find(true, true)
	case "sortBy":
		return l.sortBy(c, n)
	}
	return l.reduce(c, n)
}

// ofElement reports whether a node is a path from the element in hand: #, .items, #.a["b"]. However deep such loops
// lie within each other, together they visit each value of the event once.
func ofElement(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.PointerNode:
		return n.Name == ""
	case *ast.ChainNode:
		return ofElement(n.Node)
	case *ast.MemberNode:
		switch n.Property.(type) {
		case *ast.StringNode, *ast.IntegerNode:
			return ofElement(n.Node)
		}
	}
	return false
}

// run calls f for each element, which is then in hand. It gives false where the view has an error.
func (l *loop) run(v *View, f func(i int, e value) bool) bool {
	return l.over(v, l.list.eval(v), f)
}

func (l *loop) over(v *View, list value, f func(i int, e value) bool) bool {
	for len(v.frames) <= l.depth {
		v.frames = append(v.frames, frame{})
	}
	return v.each(l.s, list, visit*(1+l.body.size), func(i int, e value) bool {
		fr := &v.frames[l.depth]
		fr.elem, fr.index = e, i
		return f(i, e)
	})
}

// quantifier stops at the first element whose test gives stop.
func (l loop) quantifier(stop, found, end truth) *node {
	return boolNode(func(v *View) truth {
		out := end
		ok := l.run(v, func(int, value) bool {
			t := l.test(v)
			if t == stop {
				out = found
			}
			return t != stop && t != fault
		})
		if !ok {
			return fault
		}
		return out
	})
}

func (l loop) one() *node {
	return boolNode(func(v *View) truth {
		n := 0
		ok := l.run(v, func(int, value) bool {
			t := l.test(v)
			if t == yes {
				n++
			}
			return t != fault && n < 2
		})
		if !ok {
			return fault
		}
		return truthOf(n == 1)
	})
}

func (l loop) filter() *node {
	return valueNode(tList, func(v *View) value {
		list := []value{}
		ok := l.run(v, func(_ int, e value) bool {
			t := l.test(v)
			if t == yes && v.charge(l.s, elementCost) {
				list = append(list, e)
			}
			return t != fault
		})
		if !ok {
			return faultValue
		}
		return listValue(list)
	})
}

func (l loop) mapped() *node {
	return valueNode(tList, func(v *View) value {
		list := []value{}
		ok := l.run(v, func(int, value) bool {
			e := l.body.eval(v)
			if e.k == kFault || !v.charge(l.s, elementCost) {
				return false
			}
			list = append(list, e)
			return true
		})
		if !ok {
			return faultValue
		}
		return listValue(list)
	})
}

func (l loop) count() *node {
	return valueNode(tNumber, func(v *View) value {
		n := int64(0)
		ok := l.run(v, func(int, value) bool {
			t := l.test(v)
			if t == yes {
				n++
			}
			return t != fault
		})
		if !ok {
			return faultValue
		}
		return intValue(n)
	})
}

func (l loop) sum(c *compiler, n *ast.BuiltinNode) *node {
	out := valueNode(tAny, func(v *View) value {
		total := intValue(0)
		ok := l.run(v, func(i int, _ value) bool {
			e := l.body.eval(v)
			if i == 0 && e.k == kDuration {
				total = durationValue(0)
			}
			if e.k != kFault {
				total = v.add(l.s, total, e)
			}
			return total.k != kFault && e.k != kFault
		})
		if !ok {
			return faultValue
		}
		return total
	})
	at := ast.Node(n)
	if len(n.Arguments) > 1 {
		at = n.Arguments[1].(*ast.PredicateNode).Node
	}
	x := c.exactly(at, l.body)
	out.exact = func(v *View) *apd.Decimal {
		total := new(apd.Decimal)
		ok := l.run(v, func(int, value) bool {
			was := total
			total = v.exactOp(l.s, "+", func(*View) *apd.Decimal { return was }, x)
			return total != nil
		})
		if !ok {
			return nil
		}
		return total
	}
	return out
}

func (l loop) find(last, position bool) *node {
	t := tAny
	if position {
		t = tNumber
	}
	return valueNode(t, func(v *View) value {
		list := l.list.eval(v)
		if last {
			items, ok := v.items(l.s, list)
			if !ok {
				return faultValue
			}
			list = listValue(reversed(items))
			if !v.charge(l.s, elementCost*len(items)) {
				return faultValue
			}
		}
		found, at, n := nilValue, -1, 0
		ok := l.over(v, list, func(i int, e value) bool {
			t := l.test(v)
			if t == yes {
				found, at = e, i
			}
			n++
			return t == no
		})
		switch {
		case !ok:
			return faultValue
		case !position:
			return found
		case at < 0:
			return intValue(-1)
		case last:
			return intValue(int64(len(list.list()) - 1 - at))
		}
		return intValue(int64(at))
	})
}

func reversed(l []value) []value {
	out := make([]value, len(l))
	for i, e := range l {
		out[len(l)-1-i] = e
	}
	return out
}

func (l loop) sortBy(c *compiler, n *ast.BuiltinNode) *node {
	order := constant(textValue("asc"))
	if len(n.Arguments) > 2 {
		order = c.compile(n.Arguments[2])
	}
	return valueNode(tList, func(v *View) value {
		var keys, vals []value
		ok := l.run(v, func(_ int, e value) bool {
			k := l.body.eval(v)
			keys, vals = append(keys, k), append(vals, e)
			return k.k != kFault && v.charge(l.s, 2*elementCost)
		})
		if !ok {
			return faultValue
		}
		return v.sorted(l.s, keys, vals, order.eval(v))
	})
}

// sorted orders vals by keys, stably; keys without an order among them are a fault.
func (v *View) sorted(s *site, keys, vals []value, order value) value {
	if order.k != kText || order.s != "asc" && order.s != "desc" {
		if order.k == kFault {
			return order
		}
		return v.faultWhy(s, `the order is "asc" or "desc"`)
	}
	if !v.charge(s, 2*elementCost*len(keys)) {
		return faultValue
	}
	perm := make([]int, len(keys))
	for i := range perm {
		perm[i] = i
	}
	sort.SliceStable(perm, func(i, j int) bool {
		a, b := keys[perm[i]], keys[perm[j]]
		if order.s == "desc" {
			a, b = b, a
		}
		if v.err != nil || !v.charge(s, 4+min(len(a.s), len(b.s))/8) {
			return false
		}
		c, ok := compare(a, b)
		if !ok {
			v.fault(s, a.k, b.k)
		}
		return c < 0
	})
	if v.err != nil {
		return faultValue
	}
	out := make([]value, len(perm))
	for i, p := range perm {
		out[i] = vals[p]
	}
	return listValue(out)
}

func (l loop) reduce(c *compiler, n *ast.BuiltinNode) *node {
	var start *node
	if len(n.Arguments) > 2 {
		start = c.compile(n.Arguments[2])
	}
	return valueNode(tAny, func(v *View) value {
		acc, begun := nilValue, start != nil
		if begun {
			if acc = start.eval(v); acc.k == kFault {
				return acc
			}
		}
		ok := l.run(v, func(_ int, e value) bool {
			if !begun {
				acc, begun = e, true
				return true
			}
			v.frames[l.depth].acc = acc
			acc = l.body.eval(v)
			return acc.k != kFault
		})
		if !ok {
			return faultValue
		}
		return acc
	})
}
