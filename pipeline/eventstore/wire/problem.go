package wire

import (
	"context"
	"errors"
	"net/http"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// Problem is the body of an answer that is no success: problem details of RFC 9457 (application/problem+json), with a
// code for programs. Through Unwrap it is the error of the store's contract again, so that errors.Is and errors.As see
// the same across the API.
//
//nolint:errname // it is the body, and the RFC's word for it
type Problem struct {
	Type   string `json:"type" doc:"urn:leat:problem: and the code" example:"urn:leat:problem:conflict"`
	Title  string `json:"title" doc:"the status in words"`
	Status int    `json:"status" doc:"the HTTP status"`
	Detail string `json:"detail" doc:"what is wrong this time"`
	Code   string `json:"code" doc:"what is wrong, for programs" example:"conflict"`

	// Stream, Expected and Actual are set in a conflict. Actual is 0 where the stream does not exist.
	Stream   string `json:"stream,omitempty" doc:"in a conflict: the stream"`
	Expected string `json:"expected,omitempty" doc:"in a conflict: what was expected of it"`
	Actual   *int64 `json:"actual,omitempty" doc:"in a conflict: its revision, 0 where it does not exist"`
	// Errors name each field that is wrong.
	Errors []FieldProblem `json:"errors,omitempty" doc:"each field that is wrong"`
}

// FieldProblem is what is wrong with one field.
type FieldProblem struct {
	Location string `json:"location,omitempty" doc:"where it stands" example:"query.max"`
	Message  string `json:"message"`
}

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// NewProblem makes a problem of its status, code and words.
func NewProblem(status int, code, detail string) *Problem {
	return &Problem{Type: "urn:leat:problem:" + code, Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// Error implements error.
func (p *Problem) Error() string {
	s := p.Detail
	for _, f := range p.Errors {
		s += "; "
		if f.Location != "" {
			s += f.Location + ": "
		}
		s += f.Message
	}
	return s
}

// GetStatus gives the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType gives the media type of the body.
func (p *Problem) ContentType(string) string { return ProblemType }

// Unwrap gives the error of the store's contract that the code stands for.
func (p *Problem) Unwrap() error {
	if p.Code == codeConflict && p.Actual != nil {
		s, bad := event.ParseStream(p.Stream)
		e, worse := eventstore.ParseExpect(p.Expected)
		if bad == nil && worse == nil {
			return &eventstore.ConflictError{Stream: s, Expected: e, Actual: *p.Actual}
		}
		return nil // a daemon of another time
	}
	for i := range known {
		if known[i].code == p.Code {
			return known[i].err
		}
	}
	return nil
}

const codeConflict = "conflict"

// known are the errors that keep what they are on their way through the API.
var known = []struct {
	code   string
	status int
	err    error
}{
	{"not_found", http.StatusNotFound, poison.ErrNotFound},
	{"id_reused", http.StatusConflict, eventstore.ErrIDReused},
	{"idempotency", http.StatusConflict, eventstore.ErrIdempotency},
	{"gone", http.StatusConflict, eventstore.ErrGone},
	{"too_large", http.StatusRequestEntityTooLarge, eventstore.ErrTooLarge},
	{"fenced", http.StatusConflict, eventstore.ErrFenced},
	{"held", http.StatusConflict, eventstore.ErrHeld},
	{"read_only", http.StatusConflict, eventstore.ErrReadOnly},
	{"unavailable", http.StatusServiceUnavailable, eventstore.ErrUnavailable},
	{"closed", http.StatusServiceUnavailable, eventstore.ErrClosed},
	{"timeout", http.StatusServiceUnavailable, context.DeadlineExceeded},
	{"corrupt", http.StatusInternalServerError, eventstore.ErrCorrupt},
}

// RequestError is a request that cannot be right.
type RequestError struct{ Err error }

// Error implements error.
func (e *RequestError) Error() string { return e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *RequestError) Unwrap() error { return e.Err }

// ProblemOf gives the problem that says err, with redact over its words. An error that is none of the contract's is
// internal, 500.
func ProblemOf(err error, redact func(string) string) *Problem {
	var (
		p        *Problem
		bad      *RequestError
		conflict *eventstore.ConflictError
		unknown  *table.UnknownError
		missing  *control.UnknownError
		busy     *control.BusyError
		refused  *control.RefusedError
	)
	words := redact(err.Error())
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &bad):
		return NewProblem(http.StatusBadRequest, "bad_request", words)
	case errors.As(err, &conflict):
		p = NewProblem(http.StatusConflict, codeConflict, words)
		p.Stream, p.Expected, p.Actual = conflict.Stream.String(), conflict.Expected.String(), &conflict.Actual
		return p
	case errors.As(err, &unknown) && unknown.Kind == "column":
		return NewProblem(http.StatusBadRequest, "unknown", words) // of a table that is there
	case errors.As(err, &busy):
		return NewProblem(http.StatusConflict, "busy", words)
	case errors.As(err, &refused):
		return NewProblem(http.StatusUnprocessableEntity, "refused", words)
	case errors.As(err, &unknown), errors.As(err, &missing):
		return NewProblem(http.StatusNotFound, "unknown", words)
	}
	for i := range known {
		if errors.Is(err, known[i].err) {
			return NewProblem(known[i].status, known[i].code, words)
		}
	}
	return NewProblem(http.StatusInternalServerError, "internal", words)
}
