package pipeline

import (
	"context"
	"math"
	"time"

	"github.com/leatdev/leat/config"
)

// backoff gives the wait before an attempt (2 is the first repeat): it grows from Initial by Multiplier up to Max, and a
// random half of it is taken off, so that many that failed together do not come again together.
func (p *pipe) backoff(r *config.Retry, attempt int) time.Duration {
	d := float64(r.Initial) * math.Pow(r.Multiplier, float64(attempt-2))
	d = min(d, float64(r.Max))
	return time.Duration(d/2 + p.env.random()*d/2)
}

// sleep waits for d by the pipeline's clock, or until one of the contexts ends; it reports whether the time has passed.
func (p *pipe) sleep(d time.Duration, ctxs ...context.Context) bool {
	t := p.clock.NewTimer(d)
	defer t.Stop()
	var a, b <-chan struct{}
	if len(ctxs) > 0 {
		a = ctxs[0].Done()
	}
	if len(ctxs) > 1 {
		b = ctxs[1].Done()
	}
	select {
	case <-t.C:
		return true
	case <-a:
		return false
	case <-b:
		return false
	}
}
