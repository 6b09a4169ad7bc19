package sqs

import (
	"context"
	"math/rand/v2"
	"time"
)

// sleep waits; false where ctx was done first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// backoff is the wait after the n-th failure in a row, from 1: it doubles from first to most, with jitter over its half.
func backoff(n int, first, most time.Duration) time.Duration {
	d := min(first<<min(n-1, 20), most)
	return d/2 + rand.N(d/2+1)
}
