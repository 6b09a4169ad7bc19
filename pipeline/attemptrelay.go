package pipeline

import (
	"errors"
	"strconv"

	"github.com/leatdev/leat/pipeline/event"
)

// attempts takes a log event whose steps have failed through them until they succeed, or its attempts are used up: the
// error is then that of an event to be parked. An outage counts for none. The relay waits, as order is kept; other relays
// do not. errStopped means that the relay stops before that.
func (r *relay) attempts(x *exec, e *event.Recorded, i int, err error) error {
	attempt, waits := 1, 0
	before := len(x.out)
	for repeatable(err) {
		retry := &r.plan.retry
		var at *stepError
		if errors.As(err, &at) && at.retry != nil {
			retry = at.retry
		}
		after, down := event.AsUnavailable(err)
		wait := after
		switch {
		case errors.Is(err, errStopped):
			return errStopped
		case down && retry.Outage != "poison":
			waits++
			r.down(err)
			wait = max(wait, r.pipe.backoff(&r.pipe.outageRetry, min(waits+1, 16)))
		case attempt >= retry.Attempts:
			return err
		default:
			attempt++
			r.metrics.Retries(1)
			wait = r.pipe.backoff(retry, attempt)
			if told, ok := event.AsRetryAfter(err); ok {
				wait = max(wait, told)
			}
		}
		if !r.pipe.sleep(wait, r.stopping(), r.hard()) {
			return errStopped
		}
		x.out = x.out[:before]
		err = r.runSteps(x, e, i)
		x.used, x.tries = true, attempt
		if _, still := event.AsUnavailable(err); waits > 0 && !still {
			waits = 0
			r.up()
		}
	}
	return err
}

// lose notes an event for which a branch had no case.
func (g *gathered) lose(r *relay, i int, step string) {
	if g.unrouted == nil {
		g.unrouted = map[int]string{}
	}
	g.unrouted[i] = step
	if r.pipe.plan.log {
		r.pipe.metrics.Unrouted(step, 1)
	}
}

// logIdentity names the log event in hand for derived ids: every relay derives the same. Without a log it is the event's id.
func (p *pipe) logIdentity(x *exec) string {
	key := x.ev.ID
	if !x.ev.Stream.IsZero() {
		key = x.ev.Stream.String() + "\x00" + strconv.FormatInt(x.ev.Revision, 10)
	}
	if key == "" {
		key = event.NewID()
	}
	return p.cfg.Name + "\x00" + key
}
