package pipeline

import (
	"errors"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/steps"
)

// attempts takes a log event whose steps have failed through them until they succeed, or its attempts are used up: the
// error is then that of an event to be parked. An outage counts for none. The relay waits, as order is kept; other relays
// do not. It gives the number of its attempts. errStopped means that the relay stops before that.
func (r *relay) attempts(x *steps.Exec, e *event.Recorded, i int, failed error) (attempt int, err error) {
	attempt, err = 1, failed
	waits := 0
	before := len(x.Out)
	for steps.Repeatable(err) {
		retry := &r.plan.retry
		var at *steps.Error
		if errors.As(err, &at) && at.Retry != nil {
			retry = at.Retry
		}
		after, down := event.AsUnavailable(err)
		wait := after
		switch {
		case errors.Is(err, errStopped):
			return attempt, errStopped
		case down && retry.Outage != "poison":
			waits++
			r.down(err)
			wait = max(wait, r.pipe.backoff(&r.pipe.outageRetry, min(waits+1, 16)))
		case attempt >= retry.Attempts:
			return attempt, err
		default:
			attempt++
			r.metrics.Retries(1)
			wait = r.pipe.backoff(retry, attempt)
			if told, ok := event.AsRetryAfter(err); ok {
				wait = max(wait, told)
			}
		}
		if !r.pipe.sleep(wait, r.stopping(), r.hard()) {
			return attempt, errStopped
		}
		x.Out = x.Out[:before]
		err = r.runSteps(x, e, i)
		if _, still := event.AsUnavailable(err); waits > 0 && !still {
			waits = 0
			r.up()
		}
	}
	return attempt, err
}
