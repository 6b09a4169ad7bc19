package filter

import (
	"errors"
	"github.com/cockroachdb/apd/v3"
	"github.com/expr-lang/expr/ast"
)

// node is a part of an expression, ready to run.
type node struct {
	typ  typ
	eval func(*View) value
	// test gives the truth without making a value of it; only where the type is tBool.
	test func(*View) truth
	// exact computes in decimals; nil where eval's number is all there is.
	exact func(*View) *apd.Decimal
	// fixed tells that the value does not depend on the event; it is in val.
	fixed bool
	val   value
	// path is set where the node is just a path of the event.
	path *path
	size int // nodes, itself included: the cost of running it once
}

// path is where a value lies in the event.
type path struct {
	name string             // as an expression writes it
	text func(*View) string // a field that is text, empty where it is missing; else nil
	root int                // the trie, where slot is not negative
	slot int                // -1: not in JSON
}

// typ is what is known of a value before there is an event.
type typ uint8

const (
	tAny typ = iota
	tNil
	tBool
	tNumber
	tText
	tTime
	tDuration
	tList
	tMap
)

var typNames = [...]string{"unknown", "nil", "true or false", "a number", "text", "a time", "a duration", "an array", "an object"}

func (t typ) String() string { return typNames[t] }

// truth is a boolean, or the word that the view holds an error.
type truth int8

const (
	no    truth = 0
	yes   truth = 1
	fault truth = -1
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

type compiler struct {
	scope *Scope
	src   string
	errs  []*Error
	vars  []variable
	depth int // predicates around the node in hand
	reads []string
}

type variable struct {
	name string
	slot int
	typ  typ
}

func (c *compiler) at(n ast.Node) int { return byteOffset(c.src, n.Location().From) }

func (c *compiler) site(n ast.Node, what string) *site {
	return &site{src: c.src, at: c.at(n), what: what}
}

// fail notes a mistake and gives a node that stands for it until Compile returns.
func (c *compiler) fail(n ast.Node, code, hint, format string, args ...any) *node {
	c.errs = append(c.errs, mistake(code, c.src, c.at(n), hint, format, args...))
	return constant(nilValue)
}

func (c *compiler) compile(n ast.Node) *node {
	switch n := n.(type) {
	case *ast.NilNode:
		return constant(nilValue)
	case *ast.BoolNode:
		return constant(boolValue(n.Value))
	case *ast.IntegerNode:
		return constant(intValue(int64(n.Value)))
	case *ast.FloatNode:
		return constant(floatValue(n.Value))
	case *ast.StringNode:
		return constant(textValue(n.Value))
	case *ast.IdentifierNode:
		return c.identifier(n)
	case *ast.ChainNode:
		return c.compile(n.Node)
	case *ast.MemberNode:
		return c.member(n)
	case *ast.SliceNode:
		return c.slice(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.BuiltinNode:
		return c.builtin(n)
	case *ast.CallNode:
		return c.method(n)
	case *ast.PointerNode:
		return c.pointer(n)
	case *ast.VariableDeclaratorNode:
		return c.let(n)
	case *ast.SequenceNode:
		return c.sequence(n)
	case *ast.ArrayNode:
		return c.array(n)
	case *ast.MapNode:
		return c.object(n)
	}
	return c.fail(n, CodeSyntax, "", "this is not available in expressions")
}

func constant(v value) *node {
	n := &node{typ: typeOf(v), fixed: true, val: v, size: 1}
	n.eval = func(*View) value { return v }
	if v.k == kBool {
		t := truthOf(v.i != 0)
		n.test = func(*View) truth { return t }
	}
	return n
}

func typeOf(v value) typ {
	switch v.k {
	case kBool:
		return tBool
	case kInt, kFloat:
		return tNumber
	case kText:
		return tText
	case kTime:
		return tTime
	case kDuration:
		return tDuration
	case kArray, kList:
		return tList
	case kObject, kMap:
		return tMap
	case kNil:
		return tNil
	}
	return tAny
}

// boolNode makes a node of a test.
func boolNode(test func(*View) truth, parts ...*node) *node {
	n := &node{typ: tBool, test: test, size: size(parts)}
	n.eval = func(v *View) value {
		switch test(v) {
		case yes:
			return value{k: kBool, i: 1}
		case no:
			return value{k: kBool}
		}
		return faultValue
	}
	return n
}

func valueNode(t typ, eval func(*View) value, parts ...*node) *node {
	return &node{typ: t, eval: eval, size: size(parts)}
}

func size(parts []*node) int {
	n := 1
	for _, p := range parts {
		n += p.size
	}
	return n
}

// fold computes a node now where none of its parts depends on the event.
func (c *compiler) fold(at ast.Node, n *node, parts ...*node) *node {
	for _, p := range parts {
		if !p.fixed {
			return n
		}
	}
	v := &View{}
	v.begin()
	v.work = budget / 16 // the program keeps what is made here
	val := n.eval(v)
	if v.err == nil {
		f := constant(val)
		f.exact = n.exact
		f.size = n.size
		return f
	}
	var e *TypeError
	if errors.As(v.err, &e) {
		e.site = &site{src: e.site.src, what: e.site.what}
		return c.fail(at, CodeType, "", "%s", e.reason())
	}
	return c.fail(at, CodeCost, "", "this is too much work")
}

// condition gives the truth of a node: nil is false, what is no boolean is a fault.
func (c *compiler) condition(at ast.Node, n *node, what string) func(*View) truth {
	if n.test != nil {
		return n.test
	}
	s, eval := c.site(at, what), n.eval
	return func(v *View) truth { return v.truth(s, eval(v)) }
}

func (v *View) truth(s *site, a value) truth {
	switch a.k {
	case kBool:
		return truth(a.i)
	case kNil:
		return no
	case kFault:
		return fault
	}
	v.fault(s, a.k)
	return fault
}

func (c *compiler) identifier(n *ast.IdentifierNode) *node {
	for i := len(c.vars) - 1; i >= 0; i-- {
		if x := c.vars[i]; x.name == n.Value {
			return valueNode(x.typ, func(v *View) value { return v.vars[x.slot] })
		}
	}
	return c.event(n, n.Value, nil)
}

// event gives the node of a path of the event.
func (c *compiler) event(at ast.Node, name string, steps []step) *node {
	p := &path{name: formatPath(name, steps), slot: -1}
	n := &node{path: p, size: 1}
	c.reads = append(c.reads, p.name)
	switch name {
	case "id":
		c.text(n, func(v *View) string { return v.event.ID })
	case "source":
		c.text(n, func(v *View) string { return v.event.Source })
	case "type":
		c.text(n, func(v *View) string { return v.event.Type })
	case "subject":
		c.text(n, func(v *View) string { return v.event.Subject })
	case "stream":
		c.text(n, (*View).streamName)
	case "time":
		n.typ = tTime
		n.eval = func(v *View) value {
			if v.event.Time.IsZero() {
				return nilValue
			}
			return timeValue(v.event.Time)
		}
	case "revision":
		n.typ, n.eval = tNumber, func(v *View) value { return intValue(v.event.Revision) }
	case "position":
		n.typ, n.eval = tNumber, func(v *View) value { return intValue(v.event.Position) }
	case "index":
		n.typ, n.eval = tNumber, func(v *View) value { return intValue(int64(v.index)) }
	case "data":
		c.json(at, n, inData, steps)
		return n
	case "metadata":
		c.json(at, n, inMetadata, steps)
		return n
	case "item":
		c.json(at, n, inItem, steps)
		return n
	case "row":
		return c.row(at, n, steps)
	default:
		return c.fail(at, CodeName, "", "there is no name %s", name)
	}
	if len(steps) > 0 {
		hint := ""
		if _, ok := methods[steps[0].key]; ok && n.typ == tTime {
			hint = "call it: " + name + "." + steps[0].key + "()"
		}
		return c.fail(at, CodeType, hint, "%s is %s and has no fields", name, n.typ)
	}
	return n
}

func (c *compiler) text(n *node, get func(*View) string) {
	n.typ, n.path.text = tText, get
	n.eval = func(v *View) value {
		s := get(v)
		if s == "" {
			return nilValue
		}
		return value{k: kText, s: s}
	}
}

func (v *View) streamName() string {
	if v.stream == "" && !v.event.Stream.IsZero() {
		v.stream = v.event.Stream.String()
	}
	return v.stream
}

func (c *compiler) json(at ast.Node, n *node, root int, steps []step) {
	slot, s := c.scope.slot(root, steps), c.site(at, n.path.name)
	n.path.root, n.path.slot = root, slot
	n.eval = func(v *View) value {
		raw := v.raw(root, slot)
		// A text is looked through for escapes, and made anew where it has some: within a predicate that adds up.
		if len(raw) > 64 && raw[0] == '"' && !v.charge(s, len(raw)/8) {
			return faultValue
		}
		return typed(raw)
	}
}

func (c *compiler) row(at ast.Node, n *node, steps []step) *node {
	if len(steps) == 0 {
		n.eval = func(v *View) value {
			if v.row == nil {
				return nilValue
			}
			return value{k: kRow}
		}
		return n
	}
	if steps[0].index >= 0 {
		return c.fail(at, CodeType, "write row.column", "a row has columns, no indexes")
	}
	column, rest, s := steps[0].key, steps[1:], c.site(at, n.path.name)
	n.eval = func(v *View) value {
		if v.row == nil {
			return nilValue
		}
		a, ok := v.row(column)
		if !ok {
			return nilValue
		}
		val := fromGo(a)
		for _, st := range rest {
			if val = v.step(s, val, st); val.k == kFault {
				return val
			}
		}
		return val
	}
	return n
}

func (c *compiler) member(n *ast.MemberNode) *node {
	if id, steps, ok := flatten(n); ok && !c.isVar(id.Value) {
		return c.event(n, id.Value, steps)
	}
	base := c.compile(n.Node)
	s := c.site(n, "[ ]")
	if p, ok := n.Property.(*ast.StringNode); ok {
		st := step{p.Value, -1}
		return valueNode(tAny, func(v *View) value { return v.step(s, base.eval(v), st) }, base)
	}
	prop := c.compile(n.Property)
	return valueNode(tAny, func(v *View) value { return v.get(s, base.eval(v), prop.eval(v)) }, base, prop)
}

func (c *compiler) isVar(name string) bool {
	for _, x := range c.vars {
		if x.name == name {
			return true
		}
	}
	return false
}

func (c *compiler) conditional(n *ast.ConditionalNode) *node {
	cond, a, b := c.compile(n.Cond), c.compile(n.Exp1), c.compile(n.Exp2)
	test := c.condition(n.Cond, cond, "a condition")
	t := a.typ
	if b.typ != t {
		t = tAny
		if a.typ == tNil {
			t = b.typ
		} else if b.typ == tNil {
			t = a.typ
		}
	}
	out := valueNode(t, func(v *View) value {
		switch test(v) {
		case yes:
			return a.eval(v)
		case no:
			return b.eval(v)
		}
		return faultValue
	}, cond, a, b)
	x, y := c.exactly(n.Exp1, a), c.exactly(n.Exp2, b)
	out.exact = func(v *View) *apd.Decimal {
		switch test(v) {
		case yes:
			return x(v)
		case no:
			return y(v)
		}
		return nil
	}
	return out
}

func (c *compiler) let(n *ast.VariableDeclaratorNode) *node {
	val := c.compile(n.Value)
	slot := len(c.vars)
	c.scope.vars = max(c.scope.vars, slot+1)
	c.vars = append(c.vars, variable{n.Name, slot, val.typ})
	body := c.compile(n.Expr)
	c.vars = c.vars[:slot]
	bind := func(v *View) bool {
		a := val.eval(v)
		v.vars[slot] = a
		return a.k != kFault
	}
	out := valueNode(body.typ, func(v *View) value {
		if !bind(v) {
			return faultValue
		}
		return body.eval(v)
	}, val, body)
	x := c.exactly(n.Expr, body)
	out.exact = func(v *View) *apd.Decimal {
		if !bind(v) {
			return nil
		}
		return x(v)
	}
	return out
}

func (c *compiler) sequence(n *ast.SequenceNode) *node {
	var last *node
	for _, part := range n.Nodes { // what stands before the last has no effect
		last = c.compile(part)
	}
	return last
}

func (c *compiler) array(n *ast.ArrayNode) *node {
	parts := make([]*node, len(n.Nodes))
	for i := range n.Nodes {
		parts[i] = c.compile(n.Nodes[i])
	}
	return c.fold(n, valueNode(tList, func(v *View) value {
		list := make([]value, len(parts))
		for i, p := range parts {
			if list[i] = p.eval(v); list[i].k == kFault {
				return faultValue
			}
		}
		return listValue(list)
	}, parts...), parts...)
}

func (c *compiler) object(n *ast.MapNode) *node {
	keys, vals := make([]*node, len(n.Pairs)), make([]*node, len(n.Pairs))
	for i, p := range n.Pairs {
		pair := p.(*ast.PairNode)
		keys[i], vals[i] = c.compile(pair.Key), c.compile(pair.Value)
		if t := keys[i].typ; t != tText && t != tAny {
			return c.fail(pair.Key, CodeType, "", "a key is text, not %s", t)
		}
	}
	s, parts := c.site(n, "a key"), append(keys[:len(keys):len(keys)], vals...)
	return c.fold(n, valueNode(tMap, func(v *View) value {
		o := &object{}
		for i := range keys {
			k, val := keys[i].eval(v), vals[i].eval(v)
			if k.k == kFault || val.k == kFault {
				return faultValue
			}
			if k.k != kText {
				return v.fault(s, k.k)
			}
			o.set(k.s, val)
		}
		return value{k: kMap, x: o}
	}, parts...), parts...)
}

func (o *object) set(key string, val value) {
	if i := index(o.keys, key); i >= 0 {
		o.vals[i] = val
		return
	}
	o.keys, o.vals = append(o.keys, key), append(o.vals, val)
}

func (c *compiler) pointer(n *ast.PointerNode) *node {
	d := c.depth - 1
	if d < 0 {
		return c.fail(n, CodeSyntax, "", "# is the element within any, all, map and their like")
	}
	switch n.Name {
	case "":
		return valueNode(tAny, func(v *View) value { return v.frames[d].elem })
	case "index":
		return valueNode(tNumber, func(v *View) value { return intValue(int64(v.frames[d].index)) })
	case "acc":
		return valueNode(tAny, func(v *View) value { return v.frames[d].acc })
	}
	return c.fail(n, CodeName, "", "there is no #%s", n.Name)
}
