package pipeline

import (
	"sync/atomic"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// counts are a pipeline's source events by outcome, beside the metrics: for the summary and the status.
type counts struct {
	received atomic.Int64
	outcomes [event.Released + 1]atomic.Int64
	unrouted atomic.Int64 // of the filtered: no case of a branch was for them
	metrics  *telemetry.Pipeline
}

func (c *counts) receive(n int) {
	c.received.Add(int64(n))
	c.metrics.Received(n)
}

func (c *counts) settle(o event.Outcome, n int) {
	if n == 0 {
		return
	}
	c.outcomes[o].Add(int64(n))
	c.metrics.Settled(o, n)
}

// unroute counts an event that came to a branch without a case for it; it is filtered too.
func (c *counts) unroute(step string) {
	c.unrouted.Add(1)
	c.metrics.Unrouted(step, 1)
}

func (c *counts) of(o event.Outcome) int64 { return c.outcomes[o].Load() }

// settled counts the events that have an outcome.
func (c *counts) settled() int64 {
	var n int64
	for i := range c.outcomes {
		n += c.outcomes[i].Load()
	}
	return n
}
