package pattern

import (
	"math"
	"strconv"
	"unsafe"
)

// number reads the text of a JSON number. ok is false where no double holds its value: such a number is compared by its text
// only. A double holds the value when the shortest decimal that reads back as that double is the same number (the rule of
// Java's BigDecimal.valueOf, by which the service compares): 0.1 is held, 9007199254740993 and 1e309 are not.
func number(text []byte) (v float64, ok bool) {
	d := decimal{}
	if !d.scan(text) {
		return 0, false
	}
	if d.mantissa == 0 && !d.long {
		return 0, true // -0 is 0
	}
	// A decimal of at most 15 digits is always the shortest of its double, away from the ends of the exponent's range.
	first := d.exp + d.digits // decimal exponent of the first digit, plus one
	if first > 310 || first < -330 {
		return 0, false
	}
	if !d.long && d.digits <= 15 && d.exp >= -22 && d.exp <= 22 {
		v = float64(d.mantissa)
		if d.exp < 0 {
			v /= pow10[-d.exp]
		} else {
			v *= pow10[d.exp]
		}
		if d.negative {
			v = -v
		}
		return v, true
	}
	v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64)
	if err != nil || math.IsInf(v, 0) {
		return 0, false
	}
	var buf [32]byte
	s := decimal{}
	s.scan(strconv.AppendFloat(buf[:0], v, 'e', -1, 64))
	return v, !d.long && s.mantissa == d.mantissa && s.exp == d.exp
}

var pow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// decimal is the value mantissa × 10^exp, the mantissa without trailing zeros.
type decimal struct {
	mantissa uint64
	digits   int // of the mantissa
	exp      int
	negative bool
	long     bool // it has more than 19 digits; mantissa is then cut off
}

// scan reads a JSON number and reports whether it is one.
func (d *decimal) scan(b []byte) bool {
	i, zeros, any := 0, 0, false
	if len(b) > 0 && b[0] == '-' {
		d.negative, i = true, 1
	}
	point := false
	for ; i < len(b); i++ {
		c := b[i]
		if c == '.' {
			if point {
				return false
			}
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		any = true
		if point {
			d.exp--
		}
		if c == '0' {
			if d.mantissa != 0 || d.long {
				zeros++ // written only if another digit follows
			}
			continue
		}
		for ; zeros > 0; zeros-- {
			d.push(0)
		}
		d.push(uint64(c - '0'))
	}
	if !any {
		return false
	}
	d.exp += zeros
	if i == len(b) {
		return true
	}
	if b[i] != 'e' && b[i] != 'E' {
		return false
	}
	i++
	minus := false
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		minus = b[i] == '-'
		i++
	}
	if i == len(b) {
		return false
	}
	e := 0
	for ; i < len(b); i++ {
		c := b[i]
		if c < '0' || c > '9' {
			return false
		}
		if e < 1<<20 {
			e = e*10 + int(c-'0')
		}
	}
	if minus {
		e = -e
	}
	d.exp += e
	return true
}

func (d *decimal) push(digit uint64) {
	if d.digits == 19 {
		d.long = true
		d.exp++
		return
	}
	d.mantissa = d.mantissa*10 + digit
	d.digits++
}
