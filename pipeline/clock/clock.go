// Package clock is the time that a pipeline lives in: the real one, or one that a test moves by hand.
//
// The engine and the sources that wait for times take their timers from a Clock, so that a pipeline's retries, back-offs,
// batches and schedules can be run through in no time. What guards against a world that hangs (a connection, a shutdown)
// stays on real time.
package clock

import (
	"context"
	"time"
)

// Clock tells the time and wakes at times. It is safe for concurrent use.
type Clock interface {
	Now() time.Time
	// NewTimer gives a timer that sends the time on C after d; at once where d is not positive.
	NewTimer(d time.Duration) *Timer
	// NewTicker sends the time on C every d, which must be positive, and leaves out ticks that nobody takes in time.
	NewTicker(d time.Duration) *Ticker
	// AfterFunc calls f after d in a goroutine of its own, unless the timer is stopped before. Its C is nil.
	AfterFunc(d time.Duration, f func()) *Timer
}

// Real is the machine's time.
var Real Clock = machine{}

// Or gives c, or Real where c is nil.
func Or(c Clock) Clock {
	if c == nil {
		return Real
	}
	return c
}

// Timer is one time to come.
type Timer struct {
	C    <-chan time.Time
	real *time.Timer
	hand *alarm
}

// Stop takes the time back; it reports false where it has come already, or was stopped. Nothing is received from C
// afterwards.
func (t *Timer) Stop() bool {
	if t.real != nil {
		return t.real.Stop()
	}
	return t.hand.stop()
}

// Reset sets the timer anew to d from now; it reports whether it was still to come.
func (t *Timer) Reset(d time.Duration) bool {
	if t.real != nil {
		return t.real.Reset(d)
	}
	return t.hand.reset(d)
}

// Ticker is a time that comes again and again.
type Ticker struct {
	C    <-chan time.Time
	real *time.Ticker
	hand *alarm
}

// Stop ends the ticks. It does not close C.
func (t *Ticker) Stop() {
	if t.real != nil {
		t.real.Stop()
		return
	}
	t.hand.stop()
}

type machine struct{}

func (machine) Now() time.Time { return time.Now() }

func (machine) NewTimer(d time.Duration) *Timer {
	t := time.NewTimer(d)
	return &Timer{C: t.C, real: t}
}

func (machine) NewTicker(d time.Duration) *Ticker {
	t := time.NewTicker(d)
	return &Ticker{C: t.C, real: t}
}

func (machine) AfterFunc(d time.Duration, f func()) *Timer {
	return &Timer{real: time.AfterFunc(d, f)}
}

// WithTimeout is context.WithTimeout by c's time.
func WithTimeout(ctx context.Context, c Clock, d time.Duration) (context.Context, context.CancelFunc) {
	m, ok := c.(*Manual)
	if !ok {
		return context.WithTimeout(ctx, d)
	}
	inner, cancel := context.WithCancelCause(ctx)
	t := &timeout{Context: inner, at: m.Now().Add(d)}
	if outer, ok := ctx.Deadline(); ok && outer.Before(t.at) {
		t.at = outer
	}
	alarm := m.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return t, func() {
		alarm.Stop()
		cancel(context.Canceled)
	}
}

// timeout is a context that ends by a clock moved by hand.
type timeout struct {
	context.Context
	at time.Time
}

// Deadline implements context.Context.
func (t *timeout) Deadline() (time.Time, bool) { return t.at, true }

// Err implements context.Context.
func (t *timeout) Err() error {
	if err := t.Context.Err(); err == nil || context.Cause(t.Context) != context.DeadlineExceeded { //nolint:errorlint // the very value is meant
		return err
	}
	return context.DeadlineExceeded
}
