package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// errBroken is wrapped where an answer did not come whole.
var errBroken = errors.New("client: the daemon's answer broke off")

// refusal is an answer that is no success.
type refusal struct {
	status int
	after  time.Duration // Retry-After
	err    error
}

// Error implements error.
func (r *refusal) Error() string { return r.err.Error() }

// Unwrap gives the problem.
func (r *refusal) Unwrap() error { return r.err }

const (
	firstWait = 50 * time.Millisecond
	maxWait   = 5 * time.Second
)

// again calls f until it has an answer that another attempt would not change. What f does must be harmless to repeat.
func (c *Client) again(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, done := c.during(ctx)
	defer done()
	for n := 1; ; n++ {
		err := f(ctx)
		if err == nil || n >= c.attempts || !c.passes(err) || !pause(ctx, n, err) {
			return c.closed(err)
		}
	}
}

// passes reports whether an error may be gone at another attempt.
func (c *Client) passes(err error) bool {
	var no *refusal
	switch {
	case errors.As(err, &no):
		return no.status == http.StatusTooManyRequests || no.status == http.StatusBadGateway ||
			no.status == http.StatusServiceUnavailable || no.status == http.StatusGatewayTimeout
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.Is(err, ErrUnreachable):
		return c.reached.Load()
	}
	return errors.Is(err, errBroken)
}

// pause waits before attempt n+1: twice as long each time, with jitter, and at least as long as the daemon wishes.
func pause(ctx context.Context, n int, err error) bool {
	wait := min(firstWait<<(n-1), maxWait)
	wait = wait/2 + rand.N(wait/2+1)
	var no *refusal
	if errors.As(err, &no) {
		wait = max(wait, min(no.after, maxWait))
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// during gives a context that ends with the client too.
func (c *Client) during(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// closed gives ErrClosed where the client was closed meanwhile.
func (c *Client) closed(err error) error {
	if err != nil && c.life.Err() != nil {
		return eventstore.ErrClosed
	}
	return err
}
