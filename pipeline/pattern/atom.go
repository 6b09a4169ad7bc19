package pattern

// op is one thing that can be asked of a leaf, which is a scalar of an event.
type op uint8

const (
	opString     op = iota // the string text
	opAddress              // a string that is the IP address low
	opNumber               // the number num
	opNumberText           // the number whose text is text, as no double holds it
	opTrue
	opFalse
	opNull
	opPrefix     // a string that begins with text
	opPrefixFold // the same, by fold
	opSuffix
	opSuffixFold
	opFold // a string equal to fold
	opGlob // a string that glob fits
	opRange
	opCIDR   // a string that is an IP address from low to high
	opExists // any leaf
	opAbsent // no leaf
	opNot    // any leaf that no atom of not accepts
)

// atom is one element of a field's list: {"prefix": "x"}, "x", 300 …
type atom struct {
	op        op
	text      string
	num       float64
	fold      *folded
	glob      *glob
	limits    *limits
	low, high address
	not       []atom
	inner     string // the operator inside anything-but: "", prefix, suffix, equals-ignore-case, wildcard
	at        int    // offset of the element in the pattern's text
}

// limits is a numeric range.
type limits struct {
	low, high         float64 // ±Inf where there is none
	openLow, openHigh bool    // the bound itself is outside
}

func (r *limits) holds(v float64) bool {
	return (v > r.low || v == r.low && !r.openLow) && (v < r.high || v == r.high && !r.openHigh)
}

// leafKind is a leaf's JSON type.
type leafKind uint8

const (
	leafString leafKind = iota
	leafNumber
	leafTrue
	leafFalse
	leafNull
)

// leaf is a scalar of an event. What costs something to find out is found out once, when it is first asked for.
type leaf struct {
	kind leafKind
	text []byte // decoded text of a string, raw text of a number

	numeric uint8 // 0 not looked at, 1 a double holds it, 2 none does
	num     float64
	isIP    uint8 // 0 not looked at, 1 yes, 2 no
	ip      address
}

func (l *leaf) set(kind leafKind, text []byte) {
	l.kind, l.text, l.numeric, l.isIP = kind, text, 0, 0
}

func (l *leaf) number() (float64, bool) {
	if l.numeric == 0 {
		l.numeric = 2
		if v, ok := number(l.text); ok {
			l.num, l.numeric = v, 1
		}
	}
	return l.num, l.numeric == 1
}

func (l *leaf) address() (address, bool) {
	if l.isIP == 0 {
		l.isIP = 2
		if a, ok := parseAddress(l.text); ok {
			l.ip, l.isIP = a, 1
		}
	}
	return l.ip, l.isIP == 1
}

// accepts reports whether the leaf is what the atom asks for.
func (a *atom) accepts(l *leaf) bool {
	switch a.op {
	case opExists:
		return true
	case opNot:
		for i := range a.not {
			if a.not[i].accepts(l) {
				return false
			}
		}
		return true
	case opNumber:
		if l.kind != leafNumber {
			return false
		}
		v, ok := l.number()
		return ok && v == a.num
	case opRange:
		if l.kind != leafNumber {
			return false
		}
		v, ok := l.number()
		return ok && a.limits.holds(v)
	case opNumberText:
		return l.kind == leafNumber && string(l.text) == a.text
	case opTrue:
		return l.kind == leafTrue
	case opFalse:
		return l.kind == leafFalse
	case opNull:
		return l.kind == leafNull
	case opAbsent:
		return false
	}
	if l.kind != leafString {
		return false
	}
	s := l.text
	switch a.op {
	case opString:
		return string(s) == a.text
	case opPrefix:
		return len(s) >= len(a.text) && string(s[:len(a.text)]) == a.text
	case opSuffix:
		return len(s) >= len(a.text) && string(s[len(s)-len(a.text):]) == a.text
	case opFold:
		return a.fold.equal(s)
	case opPrefixFold:
		return a.fold.prefix(s) >= 0
	case opSuffixFold:
		return a.fold.suffix(s)
	case opGlob:
		return a.glob.match(s)
	case opAddress:
		ip, ok := l.address()
		return ok && ip == a.low
	case opCIDR:
		ip, ok := l.address()
		return ok && ip.compare(a.low) >= 0 && ip.compare(a.high) <= 0
	}
	return false
}
