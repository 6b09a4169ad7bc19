package pattern

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// kind is a token of JSON text.
type kind uint8

const (
	tokEnd kind = iota
	tokObject
	tokObjectEnd
	tokArray
	tokArrayEnd
	tokName
	tokString
	tokNumber
	tokTrue
	tokFalse
	tokNull
)

// lexer splits the text of a pattern into tokens and checks its syntax as it goes, so that what is wrong first is reported
// first, be it syntax or meaning. Its messages are those of the JSON parser behind the service.
type lexer struct {
	text   []byte
	at     int    // next unread byte
	opens  []open // enclosing containers
	first  bool   // no member of the innermost container was read yet
	named  bool   // the last token was a member's name
	spaces int    // insignificant white space passed so far

	kind  kind
	start int    // offset of the token
	str   string // decoded text of a name or string, raw text of a number
}

type open struct {
	at   int
	kind kind
}

// syntaxError is a lexer's panic value: it unwinds the recursive compiler, which turns it into an *Error.
type syntaxError struct {
	offset int
	reason string
}

func (l *lexer) fail(offset int, format string, args ...any) {
	panic(syntaxError{offset, fmt.Sprintf(format, args...)})
}

func (l *lexer) space() {
	for l.at < len(l.text) {
		switch l.text[l.at] {
		case ' ', '\t', '\r', '\n':
			l.at++
			l.spaces++
		default:
			return
		}
	}
}

// next reads one token.
func (l *lexer) next() kind {
	l.kind = l.read()
	return l.kind
}

func (l *lexer) read() kind {
	l.space()
	l.start, l.str = l.at, ""
	if l.at-l.spaces > utf8.UTFMax*MaxLength {
		l.fail(0, "%s", tooLong) // no use in reading on
	}
	if l.at == len(l.text) {
		if n := len(l.opens); n > 0 {
			o := l.opens[n-1]
			what := "Object"
			if o.kind == tokArray {
				what = "Array"
			}
			e := newError(l.text, o.at, "", "")
			l.fail(l.at, "Unexpected end-of-input: expected close marker for %s (start marker at line: %d, column: %d)", what, e.Line, e.Column)
		}
		return tokEnd
	}
	c := l.text[l.at]
	if len(l.opens) == 0 {
		return l.value("expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')")
	}
	inObject := l.opens[len(l.opens)-1].kind == tokObject
	if l.named {
		l.named = false
		return l.value("expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')")
	}
	if c == '}' || c == ']' {
		if l.first || c == '}' || !inObject {
			return l.close(c)
		}
	}
	if !l.first {
		if c == '}' || c == ']' {
			return l.close(c)
		}
		if c != ',' {
			what := "Array"
			if inObject {
				what = "Object"
			}
			l.unexpected("was expecting comma to separate " + what + " entries")
		}
		l.at++
		l.space()
		l.start = l.at
		if l.at == len(l.text) {
			l.fail(l.at, "Unexpected end-of-input: expected close marker for the container")
		}
		c = l.text[l.at]
	}
	l.first = false
	if !inObject {
		return l.value("expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')")
	}
	if c != '"' {
		l.unexpected("was expecting double-quote to start field name")
	}
	l.str = l.quoted()
	l.space()
	if l.at == len(l.text) {
		l.fail(l.at, "Unexpected end-of-input within/between Object entries")
	}
	if l.text[l.at] != ':' {
		l.start = l.at
		l.unexpected("was expecting a colon to separate field name and value")
	}
	l.at++
	l.named = true
	return tokName
}

func (l *lexer) close(c byte) kind {
	o := l.opens[len(l.opens)-1]
	if (c == '}') != (o.kind == tokObject) {
		e := newError(l.text, o.at, "", "")
		if c == '}' {
			l.fail(l.at, "Unexpected close marker '}': expected ']' (for Array starting at line: %d, column: %d)", e.Line, e.Column)
		}
		l.fail(l.at, "Unexpected close marker ']': expected '}' (for Object starting at line: %d, column: %d)", e.Line, e.Column)
	}
	l.opens = l.opens[:len(l.opens)-1]
	l.first = false
	l.at++
	if c == '}' {
		return tokObjectEnd
	}
	return tokArrayEnd
}

func (l *lexer) unexpected(expecting string) {
	r, _ := utf8.DecodeRune(l.text[l.at:])
	if r == '/' {
		expecting = "maybe a (non-standard) comment? (not recognized as one since Feature 'ALLOW_COMMENTS' not enabled for parser)"
	}
	code := fmt.Sprintf("code %d", r)
	if r > 0xff {
		code += fmt.Sprintf(" / 0x%x", r)
	}
	l.fail(l.at, "Unexpected character ('%c' (%s)): %s", r, code, expecting)
}

func (l *lexer) value(expecting string) kind {
	if l.at == len(l.text) {
		l.fail(l.at, "Unexpected end-of-input within/between Object entries")
	}
	switch c := l.text[l.at]; {
	case c == '{' || c == '[':
		k := tokObject
		if c == '[' {
			k = tokArray
		}
		l.opens = append(l.opens, open{l.at, k})
		l.first = true
		l.at++
		return k
	case c == '"':
		l.str = l.quoted()
		return tokString
	case c == '-' || c >= '0' && c <= '9':
		l.str = l.number()
		return tokNumber
	case c == '+':
		l.fail(l.at, "Unexpected character ('+' (code 43)) in numeric value: JSON spec does not allow numbers to have plus signs: enable `JsonReadFeature.ALLOW_LEADING_PLUS_SIGN_FOR_NUMBERS` to allow")
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$':
		return l.word()
	default:
		l.unexpected(expecting)
	}
	return tokEnd
}

func (l *lexer) word() kind {
	end := l.at
	for end < len(l.text) {
		c := l.text[end]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' {
			end++
			continue
		}
		break
	}
	w := string(l.text[l.at:end])
	switch w {
	case "true":
		l.at = end
		return tokTrue
	case "false":
		l.at = end
		return tokFalse
	case "null":
		l.at = end
		return tokNull
	case "NaN", "Infinity", "INF":
		l.fail(l.at, "Non-standard token '%s': enable `JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS` to allow", w)
	}
	l.fail(l.at, "Unrecognized token '%s': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')", w)
	return tokEnd
}

func (l *lexer) number() string {
	i, b := l.at, l.text
	digits := func(lack string) {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		if i > from {
			return
		}
		if i == len(b) {
			l.fail(i, "Unexpected end-of-input in a Number value")
		}
		r, _ := utf8.DecodeRune(b[i:])
		l.fail(i, "Unexpected character ('%c' (code %d)) in numeric value: %s", r, r, lack)
	}
	if b[i] == '-' {
		i++
	}
	from := i
	digits("expected digit (0-9) to follow minus sign, for valid numeric value")
	if b[from] == '0' && i > from+1 {
		l.fail(from, "Invalid numeric value: Leading zeroes not allowed")
	}
	if i < len(b) && b[i] == '.' {
		i++
		digits("Decimal point not followed by a digit")
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		digits("Exponent indicator not followed by a digit")
	}
	s := string(b[l.at:i])
	l.at = i
	return s
}

// quoted reads a string from its opening quote on.
func (l *lexer) quoted() string {
	body := l.text[l.at+1:]
	for i, c := range body {
		switch {
		case c == '"':
			s := string(body[:i])
			l.at += i + 2
			return s
		case c == '\\':
			return l.escaped(i)
		case c < ' ':
			l.fail(l.at+1+i, "Illegal unquoted character ((CTRL-CHAR, code %d)): has to be escaped using backslash to be included in string value", c)
		}
	}
	l.fail(len(l.text), "Unexpected end-of-input: was expecting closing quote for a string value")
	return ""
}

// escaped reads on in a string whose first plain bytes hold no escape.
func (l *lexer) escaped(plain int) string {
	body := l.text[l.at+1:]
	out := append([]byte(nil), body[:plain]...)
	for i := plain; i < len(body); {
		switch c := body[i]; {
		case c == '"':
			l.at += i + 2
			return string(out)
		case c < ' ':
			l.fail(l.at+1+i, "Illegal unquoted character ((CTRL-CHAR, code %d)): has to be escaped using backslash to be included in string value", c)
		case c != '\\':
			out = append(out, c)
			i++
		default:
			rest, n := appendEscape(out, body[i:])
			if n == 0 {
				if i+1 >= len(body) {
					i = len(body)
					continue
				}
				r, _ := utf8.DecodeRune(body[i+1:])
				if r == 'u' {
					l.fail(l.at+1+i, "Unexpected character in a unicode escape: expected a hex-digit for character escape sequence")
				}
				l.fail(l.at+1+i, "Unrecognized character escape '%c' (code %d)", r, r)
			}
			out, i = rest, i+n
		}
	}
	l.fail(len(l.text), "Unexpected end-of-input: was expecting closing quote for a string value")
	return ""
}

// appendEscape decodes the escape sequence at the start of b, which is a backslash, and returns how many bytes it took; 0 means
// that it is not one. A surrogate pair is one sequence; a lone surrogate becomes U+FFFD.
func appendEscape(dst, b []byte) ([]byte, int) {
	if len(b) < 2 {
		return dst, 0
	}
	if i := bytes.IndexByte([]byte(`"\/bfnrt`), b[1]); i >= 0 {
		return append(dst, "\"\\/\b\f\n\r\t"[i]), 2
	}
	r, ok := hex4(b)
	if !ok {
		return dst, 0
	}
	if utf16.IsSurrogate(r) {
		low, ok := hex4(b[6:])
		if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
			return utf8.AppendRune(dst, pair), 12
		}
		r = utf8.RuneError
	}
	return utf8.AppendRune(dst, r), 6
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		r <<= 4
		switch {
		case c >= '0' && c <= '9':
			r |= rune(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r |= rune(c|0x20-'a') + 10
		default:
			return 0, false
		}
	}
	return r, true
}
