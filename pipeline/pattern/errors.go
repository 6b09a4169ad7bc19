package pattern

import (
	"errors"
	"fmt"
)

// ErrEvent is returned, wrapped with the byte offset, where an event is not a JSON object. A matcher reads only as much of an
// event as it needs, so a fault in the part that it skipped or never reached is not reported.
var ErrEvent = errors.New("pattern: the event is not a JSON object")

// Error says why a pattern is not valid and where.
type Error struct {
	// Reason is EventBridge's own wording, without its "Event pattern is not valid. Reason: ".
	Reason string
	// Pointer is the JSON pointer (RFC 6901) of the offending value, "" for the whole pattern.
	Pointer string
	// Offset is the byte offset of the offending token in the text given to Compile, from 0.
	Offset int
	// Line and Column are its place in that text, both from 1; the column counts bytes.
	Line, Column int
}

// Error implements error with the service's wording, followed by the place.
func (e *Error) Error() string {
	at := fmt.Sprintf(" at line %d, column %d", e.Line, e.Column)
	if e.Pointer != "" {
		at += " (" + e.Pointer + ")"
	}
	return "Event pattern is not valid. Reason: " + e.Reason + at
}

// newError places reason at offset in text.
func newError(text []byte, offset int, pointer, reason string) *Error {
	offset = min(offset, len(text))
	line, column := 1, 1
	for _, c := range text[:offset] {
		column++
		if c == '\n' {
			line, column = line+1, 1
		}
	}
	return &Error{Reason: reason, Pointer: pointer, Offset: offset, Line: line, Column: column}
}
