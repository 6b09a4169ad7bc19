package steps

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// ErrFiltered ends an event's way through the steps: it is not wanted. It is no failure.
var ErrFiltered = errors.New("steps: filtered")

// errUnrouted is ErrFiltered, of an event that fits no case of a branch.
var errUnrouted = fmt.Errorf("no case of the branch fits: %w", ErrFiltered)

// ErrStopped says that the pipeline stops before an event was handled; the event is to be released.
var ErrStopped = errors.New("pipeline: stopped before the event was handled")

// Error says in which step an event failed.
type Error struct {
	Step  string
	Retry *config.Retry // how the step repeats; nil: it does not, as of a source
	Err   error
}

func (e *Error) Error() string { return e.Step + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// RejectError says that a step refuses the source event as a whole: its sender is told, and it is dropped.
type RejectError struct{ err error }

func (e *RejectError) Error() string { return e.err.Error() }
func (e *RejectError) Unwrap() error { return e.err }

// dropError says that a step drops the event, and why.
type dropError struct{ err error }

func (e *dropError) Error() string { return e.err.Error() }
func (e *dropError) Unwrap() error { return e.err }

// PanicError is a panic of a plugin, which is the failure of the event that it had in hand.
type PanicError struct {
	value any
	// Stack is the goroutine's.
	Stack []byte
}

// NewPanic makes a PanicError of what recover gave; it is called where that was.
func NewPanic(v any) error { return &PanicError{value: v, Stack: debug.Stack()} }

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// Repeatable reports whether another attempt may mend what failed: it failed in a step, not in the source, and neither is it
// poison nor did a plugin panic.
func Repeatable(err error) bool {
	return err != nil && err != ErrFiltered && repeatable(err) //nolint:errorlint // the usual one, as it is
}

func repeatable(err error) bool {
	var p *PanicError
	var s *Error
	return !event.IsPoison(err) && !errors.As(err, &p) && errors.As(err, &s) && s.Retry != nil
}

// Code gives the stable code of a failure.
func Code(err error) string {
	if c := event.Code(err); c != "" {
		return c
	}
	var conflict *eventstore.ConflictError
	var p *PanicError
	switch {
	case errors.As(err, &p):
		return event.CodePanic
	case errors.As(err, &conflict):
		return event.CodeConflict
	case errors.Is(err, eventstore.ErrIDReused):
		return event.CodeIDReused
	case errors.Is(err, eventstore.ErrIdempotency):
		return event.CodeIdempotency
	case errors.Is(err, eventstore.ErrTooLarge):
		return event.CodeTooLarge
	}
	return event.CodeAttempts
}
