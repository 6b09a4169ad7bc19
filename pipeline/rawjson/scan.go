package rawjson

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth bounds how many objects and arrays may lie within each other.
const MaxDepth = 1000

// SyntaxError says where a text stops being JSON.
type SyntaxError struct {
	Offset int // in bytes, from 0
	Msg    string
}

// Error gives the message and the offset.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("rawjson: %s at byte %d", e.Msg, e.Offset)
}

// Check validates one JSON value; white space may surround it. The error is a *SyntaxError.
func Check(b []byte) error {
	s := scanner{b: b}
	i := s.value(s.space(0), 1)
	if i >= 0 {
		i = s.end(i)
	}
	return s.err(i)
}

// Object validates one object and hands each member to the function in the same pass: its key without quotes (escapes
// resolved), and the bytes of its value. Both are views into b, but for a key with escapes. Where the function gives
// false the walk ends without an error and the rest stays unread. The error is a *SyntaxError; members before the
// fault have been handed over by then. A value that is no object is such a fault.
func Object(b []byte, member func(key, value []byte) bool) error {
	s := scanner{b: b}
	i := s.space(0)
	if i >= len(b) || b[i] != '{' {
		return s.err(s.fail(i, "expected an object"))
	}
	i = s.space(i + 1)
	if i < len(b) && b[i] == '}' {
		return s.err(s.end(i + 1))
	}
	for {
		key, esc := i+1, false
		if i, esc = s.key(i); i < 0 {
			return s.err(i)
		}
		k := b[key : i-1]
		if esc {
			k = appendUnescaped(nil, k)
		}
		if i = s.colon(i); i < 0 {
			return s.err(i)
		}
		start := i
		if i = s.value(i, 2); i < 0 {
			return s.err(i)
		}
		if !member(k, b[start:i:i]) {
			return nil
		}
		var more bool
		if i, more = s.next(i, '}'); !more {
			if i >= 0 {
				i = s.end(i)
			}
			return s.err(i)
		}
	}
}

// Array validates one array and hands the bytes of each element to the function in the same pass, as Object does with
// members.
func Array(b []byte, elem func(value []byte) bool) error {
	s := scanner{b: b}
	i := s.space(0)
	if i >= len(b) || b[i] != '[' {
		return s.err(s.fail(i, "expected an array"))
	}
	i = s.space(i + 1)
	if i < len(b) && b[i] == ']' {
		return s.err(s.end(i + 1))
	}
	for {
		start := i
		if i = s.value(i, 2); i < 0 {
			return s.err(i)
		}
		if !elem(b[start:i:i]) {
			return nil
		}
		var more bool
		if i, more = s.next(i, ']'); !more {
			if i >= 0 {
				i = s.end(i)
			}
			return s.err(i)
		}
	}
}

// scanner validates. Its methods take the index to read at and give the index behind what they read, or -1 after a
// fault, which is then in at and msg.
type scanner struct {
	b   []byte
	at  int
	msg string
}

func (s *scanner) fail(i int, msg string) int {
	s.at, s.msg = min(i, len(s.b)), msg
	if i >= len(s.b) {
		s.msg = "unexpected end of JSON"
	}
	return -1
}

func (s *scanner) err(i int) error {
	if i >= 0 {
		return nil
	}
	return &SyntaxError{Offset: s.at, Msg: s.msg}
}

func (s *scanner) space(i int) int { return space(s.b, i) }

// space skips white space. Compact JSON has none, so the first test is all that most calls do.
func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' {
		if c := b[i]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			break
		}
		i++
	}
	return i
}

func (s *scanner) end(i int) int {
	if i = s.space(i); i < len(s.b) {
		return s.fail(i, "more behind the JSON value")
	}
	return i
}

// key reads a member's key, from its opening quote; esc tells whether it has escapes.
func (s *scanner) key(i int) (end int, esc bool) {
	if i >= len(s.b) || s.b[i] != '"' {
		return s.fail(i, "expected a key in quotes"), false
	}
	return s.str(i + 1)
}

func (s *scanner) colon(i int) int {
	if i = s.space(i); i >= len(s.b) || s.b[i] != ':' {
		return s.fail(i, "expected ':' behind the key")
	}
	return s.space(i + 1)
}

// next reads what stands behind a member or an element: a comma (more) or the closing bracket.
func (s *scanner) next(i int, closing byte) (end int, more bool) {
	i = s.space(i)
	if i < len(s.b) {
		switch s.b[i] {
		case ',':
			return s.space(i + 1), true
		case closing:
			return i + 1, false
		}
	}
	if closing == '}' {
		return s.fail(i, "expected ',' or '}'"), false
	}
	return s.fail(i, "expected ',' or ']'"), false
}

func (s *scanner) value(i, depth int) int {
	if i >= len(s.b) {
		return s.fail(i, "")
	}
	switch c := s.b[i]; c {
	case '"':
		end, _ := s.str(i + 1)
		return end
	case '{':
		return s.object(i, depth)
	case '[':
		return s.array(i, depth)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.number(i)
	}
	return s.fail(i, "expected a JSON value")
}

func (s *scanner) object(i, depth int) int {
	if depth > MaxDepth {
		return s.fail(i, "nested too deeply")
	}
	i = s.space(i + 1)
	if i < len(s.b) && s.b[i] == '}' {
		return i + 1
	}
	for more := true; more; i, more = s.next(i, '}') {
		if i, _ = s.key(i); i < 0 {
			return i
		}
		if i = s.colon(i); i < 0 {
			return i
		}
		if i = s.value(i, depth+1); i < 0 {
			return i
		}
	}
	return i
}

func (s *scanner) array(i, depth int) int {
	if depth > MaxDepth {
		return s.fail(i, "nested too deeply")
	}
	i = s.space(i + 1)
	if i < len(s.b) && s.b[i] == ']' {
		return i + 1
	}
	for more := true; more; i, more = s.next(i, ']') {
		if i = s.value(i, depth+1); i < 0 {
			return i
		}
	}
	return i
}

func (s *scanner) literal(i int, word string) int {
	if len(s.b)-i < len(word) || string(s.b[i:i+len(word)]) != word {
		return s.fail(i, "expected a JSON value")
	}
	return i + len(word)
}

func (s *scanner) number(i int) int {
	b := s.b
	if b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case i < len(b) && isDigit(b[i]):
		i = digits(b, i)
	default:
		return s.fail(i, "expected a digit")
	}
	if i < len(b) && b[i] == '.' {
		if i++; i >= len(b) || !isDigit(b[i]) {
			return s.fail(i, "expected a digit behind the decimal point")
		}
		i = digits(b, i)
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i >= len(b) || !isDigit(b[i]) {
			return s.fail(i, "expected a digit in the exponent")
		}
		i = digits(b, i)
	}
	return i
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func digits(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

// Eight bytes at a time: a word with 0x01, or 0x80, in each byte.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// str reads a string behind its opening quote. It looks at eight bytes at once and stops at the first that is a quote,
// a backslash, a control character or not ASCII. A byte below 0x80 minus n has its high bit set just where it is less
// than n; the borrow that this sends upwards can only mark bytes behind a true find.
func (s *scanner) str(i int) (end int, esc bool) {
	b := s.b
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			found := (w | (w - ones*0x20) | ((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones)) & highs
			if found != 0 {
				i += bits.TrailingZeros64(found) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return s.fail(i, ""), esc
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, esc
		case c == '\\':
			esc = true
			if i = s.escape(i); i < 0 {
				return i, esc
			}
		case c < 0x20:
			return s.fail(i, "control character in a string"), esc
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return s.fail(i, "invalid UTF-8"), esc
			}
			i += n
		}
	}
}

// escape reads one escape, from its backslash.
func (s *scanner) escape(i int) int {
	b := s.b
	if i+1 >= len(b) {
		return s.fail(len(b), "")
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for j := i + 2; j < i+6; j++ {
			if j >= len(b) || hexDigit(b[j]) < 0 {
				return s.fail(j, "expected four hexadecimal digits")
			}
		}
		return i + 6
	}
	return s.fail(i, "unknown escape in a string")
}

func hexDigit(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}
