package aws

import (
	"context"
	"math/rand/v2"
	"time"
)

// attempts is how often a call is tried where the settings say nothing.
const attempts = 4

// Retry repeats a call that may fare better soon: where AWS throttles or does not answer. It is for calls at the start;
// what runs has waits of its own.
func Retry[T any](ctx context.Context, s Settings, call func() (T, error)) (T, error) {
	most := s.Attempts
	if most == 0 {
		most = attempts
	}
	for n := 1; ; n++ {
		out, err := call()
		if err == nil || n >= most {
			return out, err
		}
		if k := KindOf(err); k != Unreachable && k != Throttled {
			return out, err
		}
		wait := min(100*time.Millisecond<<min(n-1, 6), 2*time.Second)
		timer := time.NewTimer(wait/2 + rand.N(wait/2+1))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return out, err
		}
	}
}
