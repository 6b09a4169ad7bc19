package event

import (
	"errors"
	"fmt"
	"sort"
	"time"
)

// Codes of poisoned events: stable, for `leat poison ls --code` and for metrics.
const (
	CodeMalformed   = "malformed"   // the body is not what its envelope promises
	CodeTooLarge    = "too_large"   // beyond the payload limit
	CodeExpression  = "expression"  // an expression met a value that it cannot take
	CodeStream      = "stream"      // the stream's name came out empty
	CodeConflict    = "conflict"    // expected revision, after its retries
	CodeIDReused    = "id_reused"   // a known key with another payload
	CodeIdempotency = "idempotency" // an event id known in the stream beside one that is not
	CodeSink        = "sink"        // the sink refused the event
	CodeHandler     = "handler"     // a handler failed
	CodePanic       = "panic"       // a plugin panicked
	CodeTimeout     = "timeout"     // a step's own time ran out
	CodeRejected    = "rejected"    // validate said no
	CodeLookup      = "lookup"      // no row, or several, where one is needed
	CodeProjection  = "projection"  // the row could not be computed or written
	CodePoison      = "poison"      // a plugin said so without a code
	CodeAttempts    = "attempts"    // retries are used up and the error has no code of its own
	CodeUnmatched   = "unmatched"   // nothing routes it
	CodeHeld        = "held"        // waits behind a poisoned event of its stream
	CodeReceives    = "receives"    // the queue would move it to its dead-letter queue next
	CodeBody        = "body"        // the body lies elsewhere and cannot be had
)

// Codes lists them.
func Codes() []string {
	return []string{CodeMalformed, CodeTooLarge, CodeExpression, CodeStream, CodeConflict, CodeIDReused, CodeIdempotency, CodeSink, CodeHandler,
		CodePanic, CodeTimeout, CodeRejected, CodeProjection, CodePoison, CodeAttempts, CodeUnmatched, CodeHeld}
}

type skipError struct{ reason string }

func (e *skipError) Error() string { return "event: skipped: " + e.reason }

// Skip says that the event is not wanted: it counts as filtered.
func Skip(reason string) error { return &skipError{reason: reason} }

// AsSkip reports whether err says Skip, and why.
func AsSkip(err error) (reason string, ok bool) {
	var s *skipError
	if errors.As(err, &s) {
		return s.reason, true
	}
	return "", false
}

type retryError struct {
	after time.Duration
	err   error
}

func (e *retryError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("event: retry after %s", e.after)
	}
	return e.err.Error()
}
func (e *retryError) Unwrap() error { return e.err }

// RetryAfter asks for another attempt, not before d.
func RetryAfter(d time.Duration, err error) error { return &retryError{after: d, err: err} }

// AsRetryAfter reports the wait that err asks for.
func AsRetryAfter(err error) (time.Duration, bool) {
	var r *retryError
	if errors.As(err, &r) {
		return r.after, true
	}
	return 0, false
}

type poisonError struct {
	code string
	err  error
}

func (e *poisonError) Error() string {
	if e.err == nil {
		return "event: poisoned"
	}
	return e.err.Error()
}
func (e *poisonError) Unwrap() error { return e.err }

// Poison says that no repeat will mend it: the event is parked at once.
func Poison(err error) error { return &poisonError{code: CodePoison, err: err} }

// PoisonAs is Poison with a code.
func PoisonAs(code string, err error) error { return &poisonError{code: code, err: err} }

// IsPoison reports whether err says that no repeat will mend it.
func IsPoison(err error) bool {
	var p *poisonError
	return errors.As(err, &p)
}

type codeError struct {
	code string
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

// WithCode names the kind of an error that may be retried.
func WithCode(code string, err error) error { return &codeError{code: code, err: err} }

// Code gives the code that err carries, "" where it has none.
func Code(err error) string {
	var p *poisonError
	if errors.As(err, &p) {
		return p.code
	}
	var c *codeError
	if errors.As(err, &c) {
		return c.code
	}
	return ""
}

type unavailableError struct {
	after time.Duration
	err   error
}

func (e *unavailableError) Error() string { return e.err.Error() }
func (e *unavailableError) Unwrap() error { return e.err }

// Unavailable says that the other side is down or throttles: it is no event's fault and counts for none; the caller
// waits (at least after, where it is not zero) and tries again.
func Unavailable(after time.Duration, err error) error {
	return &unavailableError{after: after, err: err}
}

// AsUnavailable reports whether err is an outage, and how long the other side asks to wait.
func AsUnavailable(err error) (time.Duration, bool) {
	var u *unavailableError
	if errors.As(err, &u) {
		return u.after, true
	}
	return 0, false
}

// BatchError says which events of a batch failed, each with its own error; the others are done.
type BatchError struct {
	// Failed is by index in the batch.
	Failed map[int]error
}

// Error gives the count and the first of them.
func (e *BatchError) Error() string {
	keys := make([]int, 0, len(e.Failed))
	for i := range e.Failed {
		keys = append(keys, i)
	}
	sort.Ints(keys)
	if len(keys) == 0 {
		return "event: batch failed"
	}
	return fmt.Sprintf("event: %d of the batch failed, first #%d: %v", len(keys), keys[0], e.Failed[keys[0]])
}

// Fail notes one failure and gives the error back, so that a nil *BatchError can be grown.
func (e *BatchError) Fail(i int, err error) *BatchError {
	if e == nil {
		e = &BatchError{}
	}
	if e.Failed == nil {
		e.Failed = map[int]error{}
	}
	e.Failed[i] = err
	return e
}

// Err gives nil where nothing failed.
func (e *BatchError) Err() error {
	if e == nil || len(e.Failed) == 0 {
		return nil
	}
	return e
}
