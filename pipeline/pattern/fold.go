package pattern

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// folded is the text of an ignore-case operator. Each character of it accepts its own lower-case and upper-case form, as Java
// maps single UTF-16 characters: ß accepts ß and SS, k does not accept the Kelvin sign, and σ not ς. Characters beyond the
// Basic Multilingual Plane, which the service does not fold, accept themselves.
type folded struct {
	ascii string // the text in lower case, where it is ASCII; else chars holds it
	chars []caseForms
}

type caseForms struct{ lower, upper string }

func fold(s string) *folded {
	ascii := true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
		}
	}
	if ascii {
		return &folded{ascii: strings.ToLower(s)}
	}
	f := &folded{}
	for _, r := range s {
		f.chars = append(f.chars, formsOf(r))
	}
	return f
}

func formsOf(r rune) caseForms {
	if r > 0xffff {
		return caseForms{string(r), string(r)}
	}
	f := caseForms{string(unicode.ToLower(r)), string(unicode.ToUpper(r))}
	if r == 'İ' {
		f.lower = "i\u0307"
	}
	if long, ok := longUpper[r]; ok {
		f.upper = long
	}
	return f
}

// prefix returns how many bytes at the start of s the text accepts, -1 where it does not. In no character is one form the
// beginning (or the end) of the other unless they are equal, so the first form that fits is the only one.
func (f *folded) prefix(s []byte) int {
	if f.chars == nil {
		n := len(f.ascii)
		if len(s) < n || !equalLower(s[:n], f.ascii) {
			return -1
		}
		return n
	}
	at := 0
	for _, c := range f.chars {
		switch rest := s[at:]; {
		case len(rest) >= len(c.lower) && string(rest[:len(c.lower)]) == c.lower:
			at += len(c.lower)
		case len(rest) >= len(c.upper) && string(rest[:len(c.upper)]) == c.upper:
			at += len(c.upper)
		default:
			return -1
		}
	}
	return at
}

func (f *folded) suffix(s []byte) bool {
	if f.chars == nil {
		n := len(s) - len(f.ascii)
		return n >= 0 && equalLower(s[n:], f.ascii)
	}
	for i := len(f.chars) - 1; i >= 0; i-- {
		c := f.chars[i]
		switch n, m := len(s)-len(c.lower), len(s)-len(c.upper); {
		case n >= 0 && string(s[n:]) == c.lower:
			s = s[:n]
		case m >= 0 && string(s[m:]) == c.upper:
			s = s[:m]
		default:
			return false
		}
	}
	return true
}

func (f *folded) equal(s []byte) bool { return f.prefix(s) == len(s) }

// equalLower compares s, its ASCII letters lowered, with a lower-case text of the same length.
func equalLower(s []byte, lower string) bool {
	for i, c := range s {
		if lowerASCII(c) != lower[i] {
			return false
		}
	}
	return true
}

func lowerASCII(c byte) byte {
	if c-'A' < 26 {
		c |= 0x20
	}
	return c
}

// longUpper holds the characters whose upper case is more than one character (Unicode's SpecialCasing.txt, the unconditional
// mappings of the Basic Multilingual Plane).
var longUpper = map[rune]string{
	0x00df: "SS", 0x0149: "\u02bcN", 0x01f0: "J\u030c", 0x0390: "\u0399\u0308\u0301", 0x03b0: "\u03a5\u0308\u0301",
	0x0587: "\u0535\u0552", 0x1e96: "H\u0331", 0x1e97: "T\u0308", 0x1e98: "W\u030a", 0x1e99: "Y\u030a", 0x1e9a: "A\u02be",
	0x1f50: "\u03a5\u0313", 0x1f52: "\u03a5\u0313\u0300", 0x1f54: "\u03a5\u0313\u0301", 0x1f56: "\u03a5\u0313\u0342",
	0x1f80: "\u1f08\u0399", 0x1f81: "\u1f09\u0399", 0x1f82: "\u1f0a\u0399", 0x1f83: "\u1f0b\u0399",
	0x1f84: "\u1f0c\u0399", 0x1f85: "\u1f0d\u0399", 0x1f86: "\u1f0e\u0399", 0x1f87: "\u1f0f\u0399",
	0x1f88: "\u1f08\u0399", 0x1f89: "\u1f09\u0399", 0x1f8a: "\u1f0a\u0399", 0x1f8b: "\u1f0b\u0399",
	0x1f8c: "\u1f0c\u0399", 0x1f8d: "\u1f0d\u0399", 0x1f8e: "\u1f0e\u0399", 0x1f8f: "\u1f0f\u0399",
	0x1f90: "\u1f28\u0399", 0x1f91: "\u1f29\u0399", 0x1f92: "\u1f2a\u0399", 0x1f93: "\u1f2b\u0399",
	0x1f94: "\u1f2c\u0399", 0x1f95: "\u1f2d\u0399", 0x1f96: "\u1f2e\u0399", 0x1f97: "\u1f2f\u0399",
	0x1f98: "\u1f28\u0399", 0x1f99: "\u1f29\u0399", 0x1f9a: "\u1f2a\u0399", 0x1f9b: "\u1f2b\u0399",
	0x1f9c: "\u1f2c\u0399", 0x1f9d: "\u1f2d\u0399", 0x1f9e: "\u1f2e\u0399", 0x1f9f: "\u1f2f\u0399",
	0x1fa0: "\u1f68\u0399", 0x1fa1: "\u1f69\u0399", 0x1fa2: "\u1f6a\u0399", 0x1fa3: "\u1f6b\u0399",
	0x1fa4: "\u1f6c\u0399", 0x1fa5: "\u1f6d\u0399", 0x1fa6: "\u1f6e\u0399", 0x1fa7: "\u1f6f\u0399",
	0x1fa8: "\u1f68\u0399", 0x1fa9: "\u1f69\u0399", 0x1faa: "\u1f6a\u0399", 0x1fab: "\u1f6b\u0399",
	0x1fac: "\u1f6c\u0399", 0x1fad: "\u1f6d\u0399", 0x1fae: "\u1f6e\u0399", 0x1faf: "\u1f6f\u0399",
	0x1fb2: "\u1fba\u0399", 0x1fb3: "\u0391\u0399", 0x1fb4: "\u0386\u0399", 0x1fb6: "\u0391\u0342",
	0x1fb7: "\u0391\u0342\u0399", 0x1fbc: "\u0391\u0399", 0x1fc2: "\u1fca\u0399", 0x1fc3: "\u0397\u0399",
	0x1fc4: "\u0389\u0399", 0x1fc6: "\u0397\u0342", 0x1fc7: "\u0397\u0342\u0399", 0x1fcc: "\u0397\u0399",
	0x1fd2: "\u0399\u0308\u0300", 0x1fd3: "\u0399\u0308\u0301", 0x1fd6: "\u0399\u0342", 0x1fd7: "\u0399\u0308\u0342",
	0x1fe2: "\u03a5\u0308\u0300", 0x1fe3: "\u03a5\u0308\u0301", 0x1fe4: "\u03a1\u0313", 0x1fe6: "\u03a5\u0342",
	0x1fe7: "\u03a5\u0308\u0342", 0x1ff2: "\u1ffa\u0399", 0x1ff3: "\u03a9\u0399", 0x1ff4: "\u038f\u0399",
	0x1ff6: "\u03a9\u0342", 0x1ff7: "\u03a9\u0342\u0399", 0x1ffc: "\u03a9\u0399", 0xfb00: "FF", 0xfb01: "FI",
	0xfb02: "FL", 0xfb03: "FFI", 0xfb04: "FFL", 0xfb05: "ST", 0xfb06: "ST", 0xfb13: "\u0544\u0546",
	0xfb14: "\u0544\u0535", 0xfb15: "\u0544\u053b", 0xfb16: "\u054e\u0546", 0xfb17: "\u0544\u053d",
}
