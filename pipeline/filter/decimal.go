package filter

import (
	"strconv"

	"github.com/cockroachdb/apd/v3"
	"github.com/expr-lang/expr/ast"
)

// Decimals are exact, so their size must be bounded: 1e999999999 + 1 has a thousand million digits.
const (
	maxDigits   = 1000
	maxExponent = 1000
)

// exactContext rounds nothing: precision 0 means as many digits as there are.
var exactContext = apd.BaseContext

// exactly gives the decimal of a node: its own arithmetic, else its number as it is spelt.
func (c *compiler) exactly(at ast.Node, n *node) func(*View) *apd.Decimal {
	if n.exact != nil {
		return n.exact
	}
	s, eval := c.site(at, "a decimal"), n.eval
	if n.fixed {
		if d := decimalOf(n.val); d != nil {
			return func(*View) *apd.Decimal { return d }
		}
	}
	return func(v *View) *apd.Decimal {
		a := eval(v)
		switch a.k {
		case kNil, kFault:
			return nil
		case kInt, kFloat:
			if d := decimalOf(a); d != nil {
				return d
			}
			v.faultWhy(s, "the number is too long or too large")
			return nil
		}
		v.fault(s, a.k)
		return nil
	}
}

// decimalOf gives a number's decimal: of its spelling where it has one, else of the shortest that gives the float. It
// is nil for what is out of bounds, or no number.
func decimalOf(a value) *apd.Decimal {
	if a.k == kInt {
		return apd.New(a.i, 0)
	}
	text := a.s
	if text == "" {
		text = strconv.FormatFloat(a.float(), 'g', -1, 64)
	}
	if len(text) > maxDigits {
		return nil
	}
	d, _, err := apd.NewFromString(text)
	if err != nil || d.Form != apd.Finite || d.Exponent > maxExponent || d.Exponent < -maxExponent-maxDigits {
		return nil
	}
	return d
}

// exactOp adds, subtracts or multiplies two decimals without rounding.
func (v *View) exactOp(s *site, op string, x, y func(*View) *apd.Decimal) *apd.Decimal {
	a := x(v)
	if v.err != nil {
		return nil
	}
	b := y(v)
	if v.err != nil {
		return nil
	}
	if a == nil || b == nil {
		v.fault(s, kindOfDecimal(a), kindOfDecimal(b))
		return nil
	}
	d := new(apd.Decimal)
	var err error
	switch op {
	case "+":
		_, err = exactContext.Add(d, a, b)
	case "-":
		_, err = exactContext.Sub(d, a, b)
	case "*":
		_, err = exactContext.Mul(d, a, b)
	}
	if err != nil || d.Form != apd.Finite || d.NumDigits() > 4*maxDigits || !v.charge(s, int(d.NumDigits())) {
		if v.err == nil {
			v.faultWhy(s, "the number is too long or too large")
		}
		return nil
	}
	return d
}

func kindOfDecimal(d *apd.Decimal) kind {
	if d == nil {
		return kNil
	}
	return kInt
}
