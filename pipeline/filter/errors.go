package filter

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Codes of the mistakes that Compile and Template find.
const (
	CodeSyntax   = "expression_syntax"   // it does not parse
	CodeName     = "expression_name"     // it names what is not there
	CodeType     = "expression_type"     // its parts do not fit together, or the whole is not what is wanted
	CodeCost     = "expression_cost"     // it could run away
	CodeTemplate = "expression_template" // {{ without }}, or nothing between them
)

// Error is one mistake in an expression or a template.
type Error struct {
	Code    string
	Message string
	// Hint says what to write instead, or is empty.
	Hint string
	// Offset counts bytes from 0, Line and Column from 1, Column in characters; all within the source given.
	Offset, Line, Column int
}

// Error gives place, message and hint in one line.
func (e *Error) Error() string {
	s := fmt.Sprintf("filter: %d:%d: %s", e.Line, e.Column, e.Message)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Errors gives the mistakes that an error of Compile or Template carries, in the order of the source.
func Errors(err error) []*Error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Error
		for _, e := range j.Unwrap() {
			all = append(all, Errors(e)...)
		}
		return all
	}
	var e *Error
	if errors.As(err, &e) {
		return []*Error{e}
	}
	return nil
}

func join(all []*Error) error {
	if len(all) == 1 {
		return all[0]
	}
	var errs []error
	for _, e := range all {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// mistake places a message at a byte offset of src.
func mistake(code, src string, offset int, hint, format string, args ...any) *Error {
	e := &Error{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
	e.place(src, offset)
	return e
}

func (e *Error) place(src string, offset int) {
	e.Offset = max(0, min(offset, len(src)))
	before := src[:e.Offset]
	e.Line = 1 + strings.Count(before, "\n")
	e.Column = 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

// byteOffset turns expr's offsets, which count characters, into bytes.
func byteOffset(src string, runes int) int {
	n := 0
	for i := range src {
		if n == runes {
			return i
		}
		n++
	}
	return len(src)
}

// site is a place in an expression that may fail at run time.
type site struct {
	src  string
	at   int // byte offset
	what string
}

// TypeError says that an expression met a value that it cannot take.
type TypeError struct {
	site *site
	got  [2]kind
	n    int
	why  string
}

// Error names the operator or function, what it got, and the expression.
func (e *TypeError) Error() string {
	var b strings.Builder
	b.WriteString("filter: ")
	b.WriteString(e.site.what)
	switch {
	case e.why != "":
		b.WriteString(": " + e.why)
	case e.n == 1:
		b.WriteString(" cannot take " + e.got[0].String())
	case e.n == 2:
		b.WriteString(" cannot take " + e.got[0].String() + " and " + e.got[1].String())
	}
	fmt.Fprintf(&b, " in %s", shorten(e.site.src))
	return b.String()
}

// reason is the message without the expression.
func (e *TypeError) reason() string {
	m := strings.TrimPrefix(e.Error(), "filter: ")
	return strings.TrimSuffix(m, " in "+shorten(e.site.src))
}

// Offset gives the place in the expression, in bytes from 0.
func (e *TypeError) Offset() int { return e.site.at }

// CostError says that an evaluation was stopped because it did too much work.
type CostError struct{ site *site }

// Error names the expression.
func (e *CostError) Error() string {
	return fmt.Sprintf("filter: too much work for one event in %s", shorten(e.site.src))
}

func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= 120 {
		return s
	}
	return string([]rune(s)[:119]) + "…"
}
