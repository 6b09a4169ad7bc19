package config

import (
	"fmt"
	"strings"
)

// lexer follows the literals of expressions, templates and JSON, so that a value lands in one as text and can never
// end it.
type lexer struct {
	mode    mode
	code    bool // inside {{ }} of a template
	depth   int  // braces of the expression's own that are open there
	quote   byte // the quote that is open, 0 outside a literal
	comment string
	escaped bool
	last    byte
}

func (x *lexer) read(s string) {
	if x.mode == asText {
		return
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		before := x.last
		x.last = c
		switch {
		case x.escaped:
			x.escaped = false
			x.last = 0
		case x.mode == asTemplate && !x.code:
			switch {
			case c == '\\':
				// Only \{{ is an escape, and the filter reads it so.
				if strings.HasPrefix(s[i+1:], "{{") {
					i += 2
					x.last = 0
				}
			case c == '{' && before == '{':
				x.code, x.depth, x.last = true, 0, 0
			}
		case x.code && x.quote == 0 && x.depth == 0 && c == '}' && before == '}':
			x.code, x.comment, x.last = false, "", 0
		case x.comment == "//":
			if c == '\n' {
				x.comment = ""
			}
		case x.comment == "/*":
			if before == '*' && c == '/' {
				x.comment, x.last = "", 0
			}
		case x.quote != 0:
			switch {
			case c == '\\' && x.quote != '`':
				x.escaped = true
			case c == x.quote:
				x.quote = 0
			}
		case c == '"', x.mode != asJSON && (c == '\'' || c == '`'):
			x.quote = c
		case x.mode != asJSON && before == '/' && (c == '/' || c == '*'):
			x.comment, x.last = "/"+string(c), 0
		case c == '{':
			x.depth++
		case c == '}' && x.depth > 0:
			x.depth--
			x.last = 0
		}
	}
}

// write gives the form in which a value stands at the place that read has come to.
func (x *lexer) write(value string) (string, string) {
	before := x.last
	x.last = 0
	switch {
	case x.mode == asText:
		return value, ""
	case x.mode == asTemplate && !x.code:
		if before == '{' && strings.HasPrefix(value, "{") {
			return "", "the value starts with { where another { stands before it"
		}
		if value != "" {
			x.last = value[len(value)-1]
			if strings.HasSuffix(value, "{{") {
				x.last = 0
			}
		} else {
			x.last = before
		}
		return strings.ReplaceAll(value, "{{", `\{{`), ""
	case x.comment != "":
		return "", ""
	case x.quote == '`':
		if strings.ContainsAny(value, "`\r") {
			return "", "the value holds a ` and cannot stand between two of them"
		}
		return value, ""
	case x.escaped:
		return "", "a backslash before ${ is no escape: a literal ${ is written $${"
	case x.quote != 0:
		return escape(value, x.quote), ""
	}
	return `"` + escape(value, '"') + `"`, ""
}

// escape writes a value as the inside of a literal of expr and of JSON: both know these escapes.
func escape(value string, quote byte) string {
	var b strings.Builder
	for _, r := range value {
		switch {
		case r == rune(quote) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
