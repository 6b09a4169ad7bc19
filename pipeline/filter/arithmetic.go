package filter

import (
	"math"
	"math/bits"

	"github.com/cockroachdb/apd/v3"
	"github.com/expr-lang/expr/ast"
)

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
