package filter

import (
	"math"
	"strings"

	"github.com/leatdev/leat/pipeline/rawjson"
)

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
