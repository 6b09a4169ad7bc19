package rawjson

import (
	"encoding/binary"
	"math/bits"
)

// SkipSpace gives the index of the first byte from i on that is not white space.
func SkipSpace(b []byte, i int) int { return space(b, i) }

// Skip gives the index behind the value that starts at b[i], without validating it, or -1 where the text ends within
// it. It is the quick way over what Check has seen.
func Skip(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		end, _ := SkipString(b, i)
		return end
	case '{', '[':
		return skipContainer(b, i)
	}
	for j := i; ; j++ {
		if j == len(b) {
			return j
		}
		switch b[j] {
		case ',', '}', ']', ':', ' ', '\n', '\t', '\r', '"', '{', '[':
			if j == i {
				return -1 // no value starts like this
			}
			return j
		}
	}
}

// SkipString gives the index behind the string whose opening quote is b[i], or -1 where it does not end, and whether
// it has escapes.
func SkipString(b []byte, i int) (end int, escaped bool) {
	i++
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			q, e := w^ones*'"', w^ones*'\\'
			found := ((q-ones)&^q | (e-ones)&^e) & highs
			if found != 0 {
				i += bits.TrailingZeros64(found) >> 3
				break
			}
			i += 8
		}
		for ; i < len(b) && b[i] != '"' && b[i] != '\\'; i++ {
		}
		if i >= len(b) {
			return -1, escaped
		}
		if b[i] == '"' {
			return i + 1, escaped
		}
		escaped = true
		i += 2
	}
}

// skipContainer counts brackets of both kinds as one, which is right for what is valid, and passes over strings. It
// goes byte by byte between strings: JSON has so many of them that looking at eight bytes at once loses there.
func skipContainer(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i, _ = SkipString(b, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}
