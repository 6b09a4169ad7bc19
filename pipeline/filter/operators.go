package filter

import (
	"math"
	"math/bits"
	"regexp"
	"regexp/syntax"
	"strings"
	"unsafe"

	"github.com/cockroachdb/apd/v3"
	"github.com/expr-lang/expr/ast"

	"github.com/leatdev/leat/pipeline/rawjson"
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

func (v *View) negate(s *site, x value) value {
	switch {
	case x.k == kInt && x.i != math.MinInt64:
		return intValue(-x.i)
	case x.k == kInt, x.k == kFloat:
		return floatValue(-x.number())
	case x.k == kDuration:
		return durationValue(-x.i)
	case x.k == kFault:
		return x
	}
	return v.fault(s, x.k)
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

// equality chooses the quickest way to compare two nodes: most filters compare a field of the event with a constant.
func equality(s *site, a, b *node) func(*View) truth {
	if a.fixed {
		a, b = b, a
	}
	if b.fixed && a.path != nil && b.val.k == kText {
		want := b.val.s
		if get := a.path.text; get != nil && want != "" {
			return func(v *View) truth { return truthOf(get(v) == want) }
		}
		if root, slot := a.path.root, a.path.slot; slot >= 0 {
			return func(v *View) truth { return truthOf(isText(v.raw(root, slot), want)) }
		}
	}
	x, y := a.eval, b.eval
	return func(v *View) truth {
		l := x(v)
		if l.k == kFault {
			return fault
		}
		r := y(v)
		if r.k == kFault {
			return fault
		}
		return v.equal(s, l, r)
	}
}

// isText reports whether raw JSON is the given text, looking for escapes only where they could matter: they make the
// raw text longer.
func isText(raw, want string) bool {
	n := len(raw) - 2
	if n < len(want) || raw[0] != '"' {
		return false
	}
	if n == len(want) {
		return raw[1:n+1] == want && strings.IndexByte(want, '\\') < 0
	}
	return strings.IndexByte(raw, '\\') >= 0 && rawjson.Text(rawBytes(raw)) == want
}

// equal compares by value. What is of different kinds is not equal, but for text beside a time, which reads as one.
func (v *View) equal(s *site, a, b value) truth {
	switch {
	case a.isNumber() && b.isNumber():
		return truthOf(compareNumbers(a, b) == 0)
	case a.k == kText && b.k == kText:
		return truthOf(a.s == b.s)
	case a.k == kTime || b.k == kTime:
		if a.k == kNil || b.k == kNil {
			return no
		}
		order, ok := compareTimes(a, b)
		return truthOf(ok && order == 0)
	case a.isList() && b.isList(), a.isMap() && b.isMap():
		return v.equalDeep(s, a, b)
	case a.k != b.k:
		return no
	}
	return truthOf(a.k == kNil || a.i == b.i)
}

func (v *View) equalDeep(s *site, a, b value) truth {
	if !v.charge(s, 8+(len(a.s)+len(b.s))/8) {
		return fault
	}
	if a.isList() {
		x, ok := v.items(s, a)
		y, ok2 := v.items(s, b)
		if !ok || !ok2 {
			return fault
		}
		if len(x) != len(y) {
			return no
		}
		for i := range x {
			if t := v.equal(s, x[i], y[i]); t != yes {
				return t
			}
		}
		return yes
	}
	x, ok := v.fields(s, a)
	y, ok2 := v.fields(s, b)
	if !ok || !ok2 {
		return fault
	}
	if len(x) != len(y) {
		return no
	}
	for k, p := range x {
		q, ok := y[k]
		if !ok {
			return no
		}
		if t := v.equal(s, p, q); t != yes {
			return t
		}
	}
	return yes
}

// ordering chooses the quickest way to order two nodes.
func ordering(s *site, op string, a, b *node) func(*View) truth {
	if a.fixed && !b.fixed {
		a, b = b, a
		op = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]
	}
	// The answer by the sign of the order: below, equal, above.
	answer := map[string][3]truth{"<": {yes, no, no}, "<=": {yes, yes, no}, ">": {no, no, yes}, ">=": {no, yes, yes}}[op]
	x := a.eval
	if b.fixed && b.val.isNumber() {
		r := b.val
		return func(v *View) truth {
			l := x(v)
			if l.k == kInt && r.k == kInt {
				return answer[1+compareInts(l.i, r.i)]
			}
			if l.isNumber() {
				return answer[1+compareNumbers(l, r)]
			}
			switch l.k {
			case kNil:
				return no
			case kFault:
				return fault
			}
			v.fault(s, l.k, r.k)
			return fault
		}
	}
	y := b.eval
	return func(v *View) truth {
		l := x(v)
		if l.k == kFault {
			return fault
		}
		r := y(v)
		if r.k == kFault {
			return fault
		}
		order, ok := compare(l, r)
		if ok {
			return answer[1+order]
		}
		if l.k == kNil || r.k == kNil {
			return no
		}
		v.fault(s, l.k, r.k)
		return fault
	}
}

// compare orders two values of kinds that have an order.
func compare(a, b value) (int, bool) {
	switch {
	case a.isNumber() && b.isNumber():
		return compareNumbers(a, b), true
	case a.k == kText && b.k == kText:
		return strings.Compare(a.s, b.s), true
	case a.k == kDuration && b.k == kDuration:
		return compareInts(a.i, b.i), true
	case a.k == kTime || b.k == kTime:
		return compareTimes(a, b)
	}
	return 0, false
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// compareNumbers orders by value, without the loss of a conversion. Spellings too long for a float are compared as
// decimals where the floats are the same.
func compareNumbers(a, b value) int {
	switch {
	case a.k == kInt && b.k == kInt:
		return compareInts(a.i, b.i)
	case a.k == kInt:
		return -compareNumbers(b, a)
	case b.k == kInt:
		f := a.float()
		switch {
		case f >= 1<<63:
			return 1
		case f < -1<<63:
			return -1
		}
		t := math.Trunc(f)
		if c := compareInts(int64(t), b.i); c != 0 {
			return c
		}
		switch {
		case f > t:
			return 1
		case f < t:
			return -1
		}
		return exactOrder(a, b)
	}
	f, g := a.float(), b.float()
	switch {
	case f < g:
		return -1
	case f > g:
		return 1
	}
	return exactOrder(a, b)
}

// exactOrder is for numbers whose floats are equal. Up to 15 digits a float tells all decimals apart, if it is finite.
func exactOrder(a, b value) int {
	if len(a.s) <= 15 && len(b.s) <= 15 && !math.IsInf(a.number(), 0) {
		return 0
	}
	x, y := decimalOf(a), decimalOf(b)
	if x == nil || y == nil {
		return 0
	}
	return x.Cmp(y)
}

func compareTimes(a, b value) (int, bool) {
	a, ok := asTime(a)
	b, ok2 := asTime(b)
	if !ok || !ok2 {
		return 0, false
	}
	if c := compareInts(a.i, b.i); c != 0 {
		return c, true
	}
	return compareInts(int64(a.nsec), int64(b.nsec)), true
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
	if test := inTexts(s, a, b); test != nil {
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
func inTexts(s *site, a, b *node) func(*View) truth {
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

func (c *compiler) arithmetic(n *ast.BinaryNode, s *site, a, b *node) *node {
	op := n.Operator
	t := tAny
	switch {
	case op == "/" || op == "%" || op == "**" || op == "^", a.typ == tNumber && b.typ == tNumber:
		t = tNumber
	case op == "+" && a.typ == tText && b.typ == tText:
		t = tText
	case op == "-" && a.typ == tTime && b.typ == tTime, a.typ == tDuration && b.typ == tDuration:
		t = tDuration
	case a.typ == tTime && b.typ == tDuration, a.typ == tDuration && b.typ == tTime:
		t = tTime
	}
	compute := map[string]func(v *View, s *site, a, b value) value{
		"+": (*View).add, "-": (*View).subtract, "*": (*View).multiply, "/": (*View).divide, "%": (*View).modulo,
		"**": (*View).power, "^": (*View).power,
	}[op]
	out := valueNode(t, func(v *View) value {
		x := a.eval(v)
		if x.k == kFault {
			return x
		}
		y := b.eval(v)
		if y.k == kFault {
			return y
		}
		return compute(v, s, x, y)
	}, a, b)
	if op == "+" || op == "-" || op == "*" {
		x, y := c.exactly(n.Left, a), c.exactly(n.Right, b)
		out.exact = func(v *View) *apd.Decimal { return v.exactOp(s, op, x, y) }
	}
	return out
}

func (v *View) add(s *site, a, b value) value {
	switch {
	case a.k == kInt && b.k == kInt:
		if sum := a.i + b.i; (sum > a.i) == (b.i > 0) {
			return intValue(sum)
		}
		return floatValue(float64(a.i) + float64(b.i))
	case a.isNumber() && b.isNumber():
		return v.finite(s, a.number()+b.number())
	case a.k == kText && b.k == kText:
		if !v.charge(s, len(a.s)+len(b.s)) {
			return faultValue
		}
		return textValue(a.s + b.s)
	case a.k == kTime && b.k == kDuration:
		return v.shift(s, a, b.i)
	case a.k == kDuration && b.k == kTime:
		return v.shift(s, b, a.i)
	case a.k == kDuration && b.k == kDuration:
		return durationValue(a.i + b.i)
	}
	return v.fault(s, a.k, b.k)
}

func (v *View) subtract(s *site, a, b value) value {
	switch {
	case a.k == kInt && b.k == kInt:
		if diff := a.i - b.i; (diff < a.i) == (b.i > 0) {
			return intValue(diff)
		}
		return floatValue(float64(a.i) - float64(b.i))
	case a.isNumber() && b.isNumber():
		return v.finite(s, a.number()-b.number())
	case a.k == kTime && b.k == kTime:
		return durationValue(int64(a.time().Sub(b.time())))
	case a.k == kTime && b.k == kDuration:
		return v.shift(s, a, -b.i)
	case a.k == kDuration && b.k == kDuration:
		return durationValue(a.i - b.i)
	case a.k == kTime && b.k == kText, a.k == kText && b.k == kTime:
		x, ok := asTime(a)
		y, ok2 := asTime(b)
		if ok && ok2 {
			return durationValue(int64(x.time().Sub(y.time())))
		}
	}
	return v.fault(s, a.k, b.k)
}

func (v *View) multiply(s *site, a, b value) value {
	switch {
	case a.k == kInt && b.k == kInt:
		neg := (a.i < 0) != (b.i < 0)
		hi, lo := bits.Mul64(magnitude(a.i), magnitude(b.i))
		if hi == 0 && lo <= math.MaxInt64 {
			if neg {
				return intValue(-int64(lo))
			}
			return intValue(int64(lo))
		}
		return floatValue(float64(a.i) * float64(b.i))
	case a.isNumber() && b.isNumber():
		return v.finite(s, a.number()*b.number())
	case a.k == kDuration && b.isNumber():
		return durationValue(int64(float64(a.i) * b.number()))
	case a.isNumber() && b.k == kDuration:
		return durationValue(int64(a.number() * float64(b.i)))
	}
	return v.fault(s, a.k, b.k)
}

func magnitude(i int64) uint64 {
	if i < 0 {
		return -uint64(i)
	}
	return uint64(i)
}

func (v *View) divide(s *site, a, b value) value {
	if !a.isNumber() || !b.isNumber() {
		return v.fault(s, a.k, b.k)
	}
	if b.number() == 0 {
		return v.faultWhy(s, "division by zero")
	}
	return v.finite(s, a.number()/b.number())
}

func (v *View) modulo(s *site, a, b value) value {
	x, ok := integer(a)
	y, ok2 := integer(b)
	if !ok || !ok2 {
		return v.fault(s, a.k, b.k)
	}
	switch y {
	case 0:
		return v.faultWhy(s, "division by zero")
	case -1:
		return intValue(0)
	}
	return intValue(x % y)
}

func (v *View) power(s *site, a, b value) value {
	if !a.isNumber() || !b.isNumber() {
		return v.fault(s, a.k, b.k)
	}
	return v.finite(s, math.Pow(a.number(), b.number()))
}

// finite keeps what JSON cannot say out of events and rows.
func (v *View) finite(s *site, f float64) value {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return v.faultWhy(s, "the result is no finite number")
	}
	return floatValue(f)
}

// integer gives a number that has no fraction and fits.
func integer(a value) (int64, bool) {
	switch a.k {
	case kInt:
		return a.i, true
	case kFloat:
		f := a.float()
		if f == math.Trunc(f) && f >= -1<<63 && f < 1<<63 {
			return int64(f), true
		}
	}
	return 0, false
}

// span makes the list a..b.
func (v *View) span(s *site, a, b value) value {
	if a.k == kFault || b.k == kFault {
		return faultValue
	}
	x, ok := integer(a)
	y, ok2 := integer(b)
	if !ok || !ok2 {
		return v.fault(s, a.k, b.k)
	}
	if y < x {
		return listValue(nil)
	}
	n := uint64(y) - uint64(x) + 1
	if n == 0 || n > budget {
		n = budget
	}
	if !v.charge(s, int(n)*elementCost) {
		return faultValue
	}
	list := make([]value, n)
	for i := range list {
		list[i] = intValue(x + int64(i))
	}
	return listValue(list)
}

// elementCost is what an element of a new list is charged: the bytes that it takes.
const elementCost = int(unsafe.Sizeof(value{}))
