package filter

import (
	"math"
	"strconv"
)

var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// number reads a JSON number. Up to 15 digits without an exponent are exact in a float, and so is their quotient by a
// power of ten that is exact too (Clinger's fast path); all else goes to strconv.
func number(raw string) value {
	i, neg := 0, false
	if raw[0] == '-' {
		i, neg = 1, true
	}
	var m int64
	digits, point := 0, -1
	for ; i < len(raw); i++ {
		switch c := raw[i]; {
		case c-'0' <= 9:
			if digits++; digits > 18 {
				return longNumber(raw)
			}
			m = m*10 + int64(c-'0')
		case c == '.' && point < 0:
			point = digits
		default:
			return longNumber(raw)
		}
	}
	if neg {
		m = -m
	}
	if point < 0 {
		return value{k: kInt, i: m, s: raw}
	}
	if digits > 15 {
		return longNumber(raw)
	}
	f := float64(m) / pow10[digits-point]
	if neg && m == 0 {
		f = math.Copysign(0, -1)
	}
	return value{k: kFloat, i: int64(math.Float64bits(f)), s: raw}
}

func longNumber(raw string) value {
	if i, err := strconv.ParseInt(raw, 10, 64); err == nil {
		return value{k: kInt, i: i, s: raw}
	}
	f, err := strconv.ParseFloat(raw, 64)
	if math.IsNaN(f) || err != nil && !math.IsInf(f, 0) {
		return nilValue // no number: the payload is not JSON
	}
	return value{k: kFloat, i: int64(math.Float64bits(f)), s: raw}
}

// appendFloat writes a float as encoding/json does.
func appendFloat(dst []byte, f float64) []byte {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

func appendNumber(dst []byte, a value) []byte {
	switch {
	case a.s != "":
		return append(dst, a.s...)
	case a.k == kInt:
		return strconv.AppendInt(dst, a.i, 10)
	}
	return appendFloat(dst, a.float())
}
