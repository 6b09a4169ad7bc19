package filter

import (
	"math"
	"slices"
	"strconv"
)

func (v *View) abs(s *site, a value) value {
	if a.isNumber() && a.number() >= 0 {
		return a
	}
	return v.negate(s, a)
}

func rounding(f func(float64) float64) func(*View, *site, value) value {
	return func(v *View, s *site, a value) value {
		switch a.k {
		case kInt:
			return a
		case kFloat:
			return floatValue(f(a.float()))
		}
		return v.fault(s, a.k)
	}
}

func (v *View) toInt(s *site, a value) value {
	switch a.k {
	case kInt:
		return a
	case kFloat:
		if i, ok := integer(floatValue(math.Trunc(a.float()))); ok {
			return intValue(i)
		}
		return v.faultWhy(s, "the number is too large for an integer")
	case kText:
		i, err := strconv.ParseInt(a.s, 10, 64)
		if err != nil {
			return v.faultWhy(s, "the text is no integer")
		}
		return intValue(i)
	}
	return v.fault(s, a.k)
}

func (v *View) toFloat(s *site, a value) value {
	switch a.k {
	case kInt, kFloat:
		return v.finite(s, a.number())
	case kText:
		f, err := strconv.ParseFloat(a.s, 64)
		if err != nil {
			return v.faultWhy(s, "the text is no number")
		}
		return v.finite(s, f)
	}
	return v.fault(s, a.k)
}

// numbers hands over the numbers among the arguments and in the lists among them.
func (v *View) numbers(s *site, args []value, f func(a value)) bool {
	for _, a := range args {
		switch {
		case a.isNumber():
			f(a)
		case a.isList():
			if !v.each(s, a, 8, func(_ int, e value) bool { return v.numbers(s, []value{e}, f) }) {
				return false
			}
		case a.k != kNil:
			v.fault(s, a.k)
			return false
		}
	}
	return v.err == nil
}

func extreme(sign int) func(*View, *site, []value) value {
	return func(v *View, s *site, args []value) value {
		best := nilValue
		ok := v.numbers(s, args, func(a value) {
			if best.k == kNil || compareNumbers(a, best)*sign > 0 {
				best = a
			}
		})
		if !ok {
			return faultValue
		}
		return best
	}
}

func (v *View) mean(s *site, args []value) value {
	sum, n := 0.0, 0
	if !v.numbers(s, args, func(a value) { sum += a.number(); n++ }) {
		return faultValue
	}
	if n == 0 {
		return floatValue(0)
	}
	return v.finite(s, sum/float64(n))
}

func (v *View) median(s *site, args []value) value {
	var all []float64
	if !v.numbers(s, args, func(a value) { all = append(all, a.number()) }) || !v.charge(s, 16*len(all)) {
		return faultValue
	}
	n := len(all)
	if n == 0 {
		return floatValue(0)
	}
	slices.Sort(all)
	if n%2 == 1 {
		return v.finite(s, all[n/2])
	}
	return v.finite(s, (all[n/2-1]+all[n/2])/2)
}

func bitwise(f func(a, b int64) int64) func(*View, *site, []value) value {
	return func(v *View, s *site, args []value) value {
		a, ok := integer(args[0])
		b, ok2 := integer(args[1])
		if !ok || !ok2 {
			return v.fault(s, args[0].k, args[1].k)
		}
		return intValue(f(a, b))
	}
}

func shifting(f func(a int64, n uint64) int64) func(*View, *site, []value) value {
	return func(v *View, s *site, args []value) value {
		a, ok := integer(args[0])
		n, ok2 := integer(args[1])
		if !ok || !ok2 || n < 0 {
			return v.fault(s, args[0].k, args[1].k)
		}
		return intValue(f(a, uint64(n)))
	}
}
